"""Whether two checkpoints hold the same training."""

from collections.abc import Iterator

import torch

# What a run is at an iteration; the rest of a checkpoint tells time and place.
_PARTS = ('state_dict', 'optimizer', 'param_schedulers')


def differences(one: dict, other: dict) -> list[str]:
    """Names of all that two checkpoints do not have in common, bit for bit.

    Args:
        one: As read by :func:`~mmseg_deeplabv3x.engine.checkpoints.resume.read_checkpoint`.
        other: Another.

    Returns:
        Such as ``state_dict.decode_head.conv_seg.bias``: of weights, optimizer state,
        schedule and iteration.
    """
    states = [
        {'iter': checkpoint['meta']['iter'], **{part: checkpoint.get(part) for part in _PARTS}}
        for checkpoint in (one, other)
    ]
    return list(_differing('', *states))


def _differing(name: str, one, other) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            inner = f'{name}.{key}' if name else str(key)
            if key in one and key in other:
                yield from _differing(inner, one[key], other[key])
            else:
                yield inner
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        yield from _differing(name, dict(enumerate(one)), dict(enumerate(other)))
    elif not _equal(one, other):
        yield name


def _equal(one, other) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same_kind = one.dtype == other.dtype and one.shape == other.shape
        return same_kind and one.numpy().tobytes() == other.numpy().tobytes()
    return type(one) is type(other) and one == other
