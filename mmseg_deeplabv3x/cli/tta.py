"""How an image is shown to the network in evaluation: scales and flips."""

from collections.abc import Sequence

from mmcv.transforms import RandomFlip, Resize, TestTimeAug
from mmengine.config import Config

from ..paper.rows import VOC_SCALES
from ..transforms.kinds import LABEL_LOADERS, builds_one_of


def use_tta(cfg: Config, scales: Sequence[float] | None = None, flip: bool | None = None) -> None:
    """Let a test show each image in several views and take the mean of their probabilities.

    A config without ``tta_pipeline`` gets :func:`tta_pipeline`, one without ``tta_model`` gets
    ``RunningMeanTTAModel``; the views may be changed as by :func:`set_views`.
    """
    dataset = cfg.test_dataloader.dataset
    if 'pipeline' not in dataset:
        raise ValueError(
            f'--tta changes test_dataloader.dataset.pipeline, and the {dataset.get("type")} there '
            'has none: evaluate the datasets inside it one by one.'
        )
    pipeline = cfg.get('tta_pipeline') or tta_pipeline(dataset.pipeline)
    if scales is not None or flip is not None:
        set_views(pipeline, scales, flip)
    dataset.pipeline = pipeline
    cfg.model = dict(cfg.get('tta_model') or dict(type='RunningMeanTTAModel'), module=cfg.model)


def tta_pipeline(pipeline: Sequence[dict]) -> list[dict]:
    """A test's pipeline with the paper's views, six scales of the image's own size, and flip.

    They stand between image and labels; a ``Resize`` is left out, the last transform packs.
    """
    steps = [step for step in pipeline if not builds_one_of(step, Resize)]
    # a view's labels are those of the image itself, whose size its scores are brought back to
    loaders = (i for i, step in enumerate(steps) if builds_one_of(step, LABEL_LOADERS))
    first = next(loaders, len(steps) - 1)
    views = [_scales(VOC_SCALES), _flips(True), *([step] for step in steps[first:])]
    return [*steps[:first], dict(type='TestTimeAug', transforms=views)]


def set_views(
    pipeline: Sequence[dict], scales: Sequence[float] | None = None, flip: bool | None = None
) -> None:
    """Change the views of a ``tta_pipeline``, whose ``TestTimeAug`` is changed in place.

    Args:
        pipeline: Of a test.
        scales: Scales, of the image's own size. Default: as it was.
        flip: Whether to add each view's mirror image. Default: as it was.
    """
    views = (step['transforms'] for step in pipeline if builds_one_of(step, TestTimeAug))
    views = next(views, None)
    if views is None:
        names = ', '.join(str(step['type']) for step in pipeline)
        raise ValueError(f'tta_pipeline has no TestTimeAug, which makes the views: {names}.')
    if scales is not None:
        _replace(views, Resize, _scales(scales))
    if flip is not None:
        _replace(views, RandomFlip, _flips(flip))


def _scales(scales: Sequence[float]) -> list[dict]:
    return [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in scales]


def _flips(flip: bool) -> list[dict]:
    probabilities = (0.0, 1.0) if flip else (0.0,)
    return [dict(type='RandomFlip', prob=p, direction='horizontal') for p in probabilities]


def _replace(views: list[list[dict]], kind: type, choices: list[dict]) -> None:
    """Put choices in the place of those of their kind; in front where there are none."""
    for i, old in enumerate(views):
        if builds_one_of(old[0], kind):
            views[i] = choices
            return
    views.insert(0, choices)
