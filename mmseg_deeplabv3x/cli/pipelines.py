"""What a step of a config's pipeline is, whatever name it has there."""

from collections.abc import Mapping

from mmcv.transforms import LoadAnnotations
from mmseg.datasets.transforms import LoadBiomedicalAnnotation
from mmseg.registry import TRANSFORMS

from ..transforms import LoadCheckedAnnotations

# mmseg's own LoadAnnotations is a subclass of mmcv's
LABEL_LOADERS = (LoadAnnotations, LoadBiomedicalAnnotation, LoadCheckedAnnotations)


def builds_one_of(step: Mapping, classes: type | tuple[type, ...]) -> bool:
    """Whether a step of a pipeline builds a transform of these classes or their subclasses.

    Args:
        step: Its config. ``type`` is a class or a registered name, with or without its scope.
        classes: As for ``issubclass``.
    """
    kind = step['type']
    kind = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, classes)
