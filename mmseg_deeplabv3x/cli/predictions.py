"""What a test writes beside its scores: predictions as images, and archives of them."""

import inspect
import os.path as osp
from pathlib import Path

from mmengine.config import Config
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS

from ..data_check.splits import leaves
from ..evaluation.voc_archive import pack_voc
from ..transforms.kinds import LABEL_LOADERS, builds_one_of, kind_of, replace_steps


def write_predictions(cfg: Config, folder: str) -> None:
    """Let a test write its predictions into a folder, as images of class ids.

    With ``format_only=True`` in every evaluator no labels are read: there need not be any.
    """
    inside = 'metrics' in cfg.test_evaluator  # of an Evaluator, which the config writes out
    holder, key = (cfg.test_evaluator, 'metrics') if inside else (cfg, 'test_evaluator')
    evaluators = holder[key] if isinstance(holder[key], list) else [holder[key]]
    stock = [evaluator for evaluator in evaluators if kind_of(evaluator, METRICS) is IoUMetric]
    for evaluator in evaluators:
        if evaluator not in stock:
            kind = kind_of(evaluator, METRICS)  # None for one that building will refuse
            takes = inspect.signature(kind).parameters if kind else ('output_dir', 'keep_results')
            settings = dict(output_dir=folder, keep_results=True)
            evaluator.update({key: value for key, value in settings.items() if key in takes})
    if all(evaluator.get('format_only') for evaluator in evaluators):
        for _, dataset in leaves(cfg.test_dataloader, 'test_dataloader'):
            (dataset.get('data_prefix') or {}).pop('seg_map_path', None)
            dataset['pipeline'] = replace_steps(
                dataset.get('pipeline') or [],
                lambda step: None if builds_one_of(step, LABEL_LOADERS) else step,
            )
    # mmseg's would write x/1.png over y/1.png, others write nothing
    if stock or not any('output_dir' in evaluator for evaluator in evaluators):
        writer = dict(type='ConfusionIoUMetric', format_only=True, output_dir=folder)
        scored = [e for e in evaluators if e not in stock or not e.get('format_only')]
        holder[key] = [*scored, writer]


def check_packable(cfg: Config) -> None:
    """Refuse, with a ValueError, a test that does not read the images of one list."""
    dataset = cfg.test_dataloader.dataset
    for key in ('data_root', 'ann_file'):
        if not dataset.get(key):
            raise ValueError(
                f'--pack voc needs test_dataloader.dataset.{key}, and the {dataset.type} there has '
                'none: test on a PascalVOCDataset.'
            )


def pack_predictions(cfg: Config, folder: str) -> Path:
    """Pack what a test wrote into a folder for PASCAL VOC's server: into ``<folder>.tgz``."""
    dataset = cfg.test_dataloader.dataset
    split = osp.join(dataset.data_root, dataset.ann_file)
    return pack_voc(folder, dataset.data_root, split, f'{Path(folder)}.tgz')
