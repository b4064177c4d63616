"""By which file backend a dataset's pipeline reads."""

from mmcv.transforms import LoadAnnotations, LoadImageFromFile  # ours and mmseg's are subclasses


def first_leaf(dataset):
    """The (first) dataset inside any number of wrappers."""
    while hasattr(dataset, 'datasets') or hasattr(dataset, 'dataset'):
        dataset = dataset.datasets[0] if hasattr(dataset, 'datasets') else dataset.dataset
    return dataset


def image_backend(dataset) -> dict | None:
    """``backend_args`` by which the images of a dataset, or of a wrapper of such, are loaded."""
    return _backend_args(first_leaf(dataset), LoadImageFromFile)


def mask_backend(dataset) -> dict | None:
    """``backend_args`` by which the masks of a dataset, or of a wrapper of such, are loaded."""
    return _backend_args(first_leaf(dataset), LoadAnnotations)


def _backend_args(dataset, loader: type) -> dict | None:
    for step in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
        if isinstance(step, loader):
            return step.backend_args
    return getattr(dataset, 'backend_args', None)
