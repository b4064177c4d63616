"""What a test writes beside its scores: predictions as images, and archives of them."""

import inspect
import os.path as osp
from pathlib import Path

from mmengine.config import Config
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS

from ..evaluation.voc_archive import pack_voc
from ..transforms.kinds import LABEL_LOADERS, builds_one_of, kind_of


def write_predictions(cfg: Config, folder: str) -> None:
    """Let a test write its predictions as images of class ids.

    With ``format_only=True`` in every evaluator no labels are read: there need not be any.

    Args:
        cfg: A runner's config, changed in place.
        folder: Where to.
    """
    evaluators = cfg.test_evaluator
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    stock = [evaluator for evaluator in evaluators if kind_of(evaluator, METRICS) is IoUMetric]
    for evaluator in evaluators:
        if evaluator not in stock:
            kind = kind_of(evaluator, METRICS)  # None for one that building will refuse
            takes = inspect.signature(kind).parameters if kind else ('output_dir', 'keep_results')
            settings = dict(output_dir=folder, keep_results=True)
            evaluator.update({key: value for key, value in settings.items() if key in takes})
    if all(evaluator.get('format_only') for evaluator in evaluators):
        dataset = cfg.test_dataloader.dataset
        (dataset.get('data_prefix') or {}).pop('seg_map_path', None)
        if 'pipeline' in dataset:
            dataset.pipeline = _without_labels(dataset.pipeline)
    # mmseg's would write x/1.png over y/1.png, others write nothing
    if stock or not any('output_dir' in evaluator for evaluator in evaluators):
        writer = dict(type='ConfusionIoUMetric', format_only=True, output_dir=folder)
        scored = [e for e in evaluators if e not in stock or not e.get('format_only')]
        cfg.test_evaluator = [*scored, writer]


def check_packable(cfg: Config) -> None:
    """Refuse a test whose predictions could not be packed.

    Args:
        cfg: A runner's config.

    Raises:
        ValueError: If it does not read the images of one list.
    """
    dataset = cfg.test_dataloader.dataset
    for key in ('data_root', 'ann_file'):
        if not dataset.get(key):
            raise ValueError(
                f'--pack voc needs test_dataloader.dataset.{key}, and the {dataset.type} there has '
                'none: test on a PascalVOCDataset.'
            )


def pack_predictions(cfg: Config, folder: str) -> Path:
    """Pack what a test wrote for PASCAL VOC's server.

    Args:
        cfg: The config of the test.
        folder: Where it wrote to.

    Returns:
        The archive, ``<folder>.tgz``.

    Raises:
        FileNotFoundError: If a prediction or an image is missing.
        ValueError: If the folder holds other images too, or one of another size.
    """
    dataset = cfg.test_dataloader.dataset
    split = osp.join(dataset.data_root, dataset.ann_file)
    return pack_voc(folder, dataset.data_root, split, f'{Path(folder)}.tgz')


def _without_labels(pipeline: list) -> list:
    """A pipeline that loads no labels; also inside ``TestTimeAug``, whose transforms are lists."""
    steps = []
    for step in pipeline:
        if isinstance(step, list):
            step = _without_labels(step)
        elif 'transforms' in step:
            step = dict(step, transforms=_without_labels(step['transforms']))
        elif builds_one_of(step, LABEL_LOADERS):
            continue
        steps += [step] if step else []
    return steps
