"""What the exact course of a run hangs on beside its config."""

import torch
from mmengine.dist import get_world_size
from torch.utils.data import DataLoader


def resume_conditions(loader: DataLoader) -> dict[str, int | str | None]:
    """The setting of this run: numbers and text only, for a checkpoint.

    Args:
        loader: That of the training.

    Returns:
        Value by name, as the log has it.
    """
    return {
        'processes': get_world_size(),
        'images per iteration': get_world_size() * (loader.batch_size or 0),
        'seed of the data': getattr(loader.sampler, 'seed', None),
        'torch': str(torch.__version__),
    }


def changed_conditions(saved: dict, now: dict) -> str:
    """Tell how two settings differ.

    Args:
        saved: Setting of the run that wrote the checkpoint; empty if it told none.
        now: Setting of the run that goes on from it.

    Returns:
        As in 'processes 1 -> 2, images per iteration 4 -> 8'; empty if nothing differs.
    """
    differ = [name for name in now if name in saved and saved[name] != now[name]]
    return ', '.join(f'{name} {saved[name]} -> {now[name]}' for name in differ)
