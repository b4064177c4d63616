"""What a part of a config is, whatever name it has there."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.registry import Registry
from mmseg.datasets.transforms import (
    LoadBiomedicalAnnotation,
    LoadBiomedicalImageFromFile,
    LoadSingleRSImageFromFile,
)
from mmseg.registry import TRANSFORMS

LABEL_LOADERS = (LoadAnnotations, LoadBiomedicalAnnotation)  # mmseg's own is a subclass of mmcv's
IMAGE_LOADERS = (LoadImageFromFile, LoadBiomedicalImageFromFile, LoadSingleRSImageFromFile)


def kind_of(part: Mapping, registry: Registry = TRANSFORMS) -> type | None:
    """The class that a part of a config builds; None if there is no such name.

    ``type`` is a class or a registered name, with or without its scope.
    """
    kind = part['type']
    return registry.get(kind) if isinstance(kind, str) else kind


def builds_one_of(part: Mapping, classes: type | tuple[type, ...], *registry: Registry) -> bool:
    """Whether a part of a config builds one of these classes or of their subclasses."""
    kind = kind_of(part, *registry)
    return isinstance(kind, type) and issubclass(kind, classes)


def settings(node: Mapping | list | tuple, path: str = '') -> Iterator[tuple[str, object]]:
    """Everything in a config: dotted path, as for ``--cfg-options``, and value."""
    for key, value in node.items() if hasattr(node, 'items') else enumerate(node):
        yield f'{path}{key}', value
        if isinstance(value, (Mapping, list, tuple)):
            yield from settings(value, f'{path}{key}.')


def parts(node: Mapping | list | tuple, path: str = '') -> Iterator[tuple[str, dict]]:
    """What a config has a ``type`` for: dotted path and config of each, whatever holds it."""
    return (
        (place, value)
        for place, value in settings(node, path)
        if isinstance(value, Mapping) and 'type' in value
    )


def replace_steps(pipeline: Sequence, replace: Callable[[dict], dict | None]) -> list:
    """A pipeline with other steps, also inside those that hold transforms, such as ``TestTimeAug``.

    ``replace`` gives for a transform's config that of the one in its place; None for none.
    """
    steps = []
    for step in pipeline:
        if isinstance(step, (list, tuple)):
            step = replace_steps(step, replace)
        elif 'transforms' in step:
            inner = step['transforms']
            if isinstance(inner, Mapping):  # mmcv's RandomApply takes one, too
                inner = [inner]
            step = dict(step, transforms=replace_steps(inner, replace))
        else:
            step = replace(step)
        steps += [step] if step else []
    return steps
