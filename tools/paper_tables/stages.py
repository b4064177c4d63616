"""The two-stage recipe of section 4.1 by one command."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config

from . import train_evaluate
from .config import CONFIGS
from .runs import refuse_other_settings, save_config

FIRST = CONFIGS / 'deeplabv3x_r101_os16_voc.py'
SECOND = CONFIGS / 'deeplabv3x_r101_stage2_os8_voc.py'
BOOTSTRAPPED = CONFIGS / 'deeplabv3x_r101_stage2boot_os8_voc.py'


def run_stages(
    work_dir: str,
    first: str | Path = FIRST,
    second: str | Path = SECOND,
    options: Mapping | None = None,
) -> str:
    """Train the first stage, then the second from the first one's best checkpoint.

    A finished stage is skipped, a broken one resumed.

    Args:
        work_dir: Folder of both, as ``stage1`` and ``stage2``.
        first: Config of the first stage. Default: ResNet-101 on VOC train_aug.
        second: Config of the second. Default: VOC trainval, output_stride 8, BN
            frozen.
        options: Dotted settings of both stages.

    Returns:
        The second stage's last checkpoint.

    Raises:
        FileNotFoundError: If the first stage kept no best checkpoint.
        CommandError: If a training fails.
    """
    best = None
    for number, config in enumerate((first, second), start=1):
        cfg = Config.fromfile(config)
        cfg.merge_from_dict(dict(options or {}))
        if number == 2:
            cfg.load_from = best
        folder, max_iters = Path(work_dir) / f'stage{number}', cfg.train_cfg.max_iters
        refuse_other_settings(folder, cfg)
        start = f', from {cfg.load_from}' if cfg.load_from else ''
        print(f'[{number}/2] {Path(config).stem}{start}', flush=True)
        if train_evaluate.finished_checkpoint(folder, max_iters):
            print('    done before', flush=True)
        else:
            train_evaluate.train(save_config(folder, cfg), folder)
        if number == 1:
            best = best_checkpoint(folder / 'training')
    return train_evaluate.finished_checkpoint(folder, max_iters)


def best_checkpoint(work_dir: Path) -> str:
    """The checkpoint that was best in validation.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = sorted(work_dir.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(
            f'{work_dir} holds no best_*.pth: the first stage needs '
            "default_hooks.checkpoint.save_best='mIoU' and a validation."
        )
    return str(found[-1])
