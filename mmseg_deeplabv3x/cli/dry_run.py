"""``tools/train.py --dry-run``: all of a training, once: one iteration, one image to evaluate."""

import tempfile

from mmengine.config import Config

from ..data_check.splits import leaves


def plan(cfg: Config, resumed: dict | None = None) -> str:
    """What a training would do, in a sentence; ``resumed`` is the meta of what it goes on from."""
    loop, schedule = cfg.train_cfg, cfg.get('default_hooks') or {}
    unit = 'iteration' if 'max_iters' in loop else 'epoch'
    total = loop.max_iters if 'max_iters' in loop else loop.max_epochs
    length, tried = f'take {total} {unit}s', ''
    if resumed is not None:
        done = resumed['iter' if 'max_iters' in loop else 'epoch']
        length = f'go on after {unit} {done} and take {max(total - done, 0)} {unit}s'
        tried = ' Here, one iteration starts from its weights, and is counted as the first.'
    checkpoints = (schedule.get('checkpoint') or {}).get('interval')
    return (
        f'Dry run. The training would {length}, with an evaluation every '
        f'{loop.get("val_interval", 1)} and a checkpoint every {checkpoints}, in '
        f'{cfg.work_dir}.{tried}'
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
