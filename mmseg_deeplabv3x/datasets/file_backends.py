"""By which file backend a dataset's pipeline reads."""


def first_leaf(dataset):
    """The (first) dataset inside any number of wrappers."""
    while hasattr(dataset, 'datasets') or hasattr(dataset, 'dataset'):
        dataset = dataset.datasets[0] if hasattr(dataset, 'datasets') else dataset.dataset
    return dataset


def file_backend(dataset, loader: type) -> dict | None:
    """``backend_args`` of the step of a dataset's pipeline that is a kind of ``loader``."""
    dataset = first_leaf(dataset)
    for step in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
        if isinstance(step, loader):
            return step.backend_args
    return getattr(dataset, 'backend_args', None)
