"""What a row's network looks like, what it costs, and what makes it this row."""

from common.network_description import describe_network
from mmengine.config import Config

from mmseg_deeplabv3x.paper.rows import ROWS, Row

from .config import base_config, differences


def describe(row: Row, cfg: Config) -> str:
    """A page on a row.

    Args:
        row: The row.
        cfg: Its config, see :func:`paper_tables.config.row_config`.

    Returns:
        Several lines.
    """
    crop = cfg.model.data_preprocessor.size[0]
    lines = [f'{row.id}: {row.change}', f'  published mIoU: {row.miou:.2f}']
    if row.shares:
        lines.append(f'  evaluates the training of {row.shares}: {ROWS[row.shares].change}')
    if row.note:
        lines.append(f'  note: {row.note}')
    views = f'scales {", ".join(map(str, row.scales))}' + ', each also mirrored' * row.flip
    lines.append(f'  evaluated at output_stride {row.eval_stride}, {views}')

    modes = {row.train_stride: 'training', row.eval_stride: 'evaluation'}
    if len(modes) == 1:
        modes = {row.train_stride: 'training and evaluation'}
    lines += describe_network(cfg.model, modes, (crop, crop))

    lines += ['', f'differs from configs/{row.base} in:']
    changed = differences(cfg, base_config(row))
    lines += [f'  {key} = {ours!r} (there: {theirs!r})' for key, (ours, theirs) in changed.items()]
    return '\n'.join(lines if changed else [*lines, '  nothing'])
