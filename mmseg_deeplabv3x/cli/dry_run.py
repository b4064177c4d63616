"""``tools/train.py --dry-run``: all of a training, once: one iteration, one image to evaluate."""

import tempfile

from mmengine.config import Config

from ..data_check.splits import leaves


def plan(cfg: Config) -> str:
    """What a training would do, in one sentence."""
    loop, schedule = cfg.train_cfg, cfg.get('default_hooks') or {}
    length = f'{loop.max_iters} iterations' if 'max_iters' in loop else f'{loop.max_epochs} epochs'
    checkpoints = (schedule.get('checkpoint') or {}).get('interval')
    return (
        f'Dry run. The training would take {length}, with an evaluation every '
        f'{loop.get("val_interval", 1)} and a checkpoint every {checkpoints}, in {cfg.work_dir}.'
    )


def shorten(cfg: Config) -> None:
    """Leave one iteration and one image to evaluate, and let nothing be kept."""
    cfg.work_dir = tempfile.mkdtemp(prefix='dry_run_')
    cfg.resume = False
    if 'max_epochs' in cfg.train_cfg:
        cfg.train_cfg.update(max_epochs=1, val_interval=1)
        for _, dataset in leaves(cfg.train_dataloader, 'train_dataloader'):
            dataset['indices'] = cfg.train_dataloader.batch_size
    else:
        cfg.train_cfg.update(max_iters=1, val_interval=1)
    for _, dataset in leaves(cfg.get('val_dataloader') or {}, 'val_dataloader'):
        dataset['indices'] = 1
    if cfg.get('default_hooks'):
        cfg.default_hooks.checkpoint = None
        cfg.default_hooks.setdefault('logger', {}).update(interval=1)
