"""What a part of a config is, whatever name it has there."""

from collections.abc import Mapping

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
    """The class that a part of a config builds.

    Args:
        part: Its config. ``type`` is a class or a registered name, with or without its scope.
        registry: Where it is registered. Default: among the transforms.

    Returns:
        The class; None if there is no such name.
    """
    kind = part['type']
    return registry.get(kind) if isinstance(kind, str) else kind


def builds_one_of(part: Mapping, classes: type | tuple[type, ...], *registry: Registry) -> bool:
    """Whether a part of a config builds one of these classes or of their subclasses."""
    kind = kind_of(part, *registry)
    return isinstance(kind, type) and issubclass(kind, classes)
