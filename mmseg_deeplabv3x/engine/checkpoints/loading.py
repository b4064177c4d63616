"""What a model takes from a checkpoint: told in one line, or refused in one sentence."""

from collections.abc import Sequence

from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import Tensor, nn

from ...models.published_weights import PublishedWeightsMixin
from ...weights import unwrap


def inner_model(model: nn.Module) -> nn.Module:
    """The model itself, out of what ``DistributedDataParallel`` or test-time augmentation wraps."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def complete(
    model: nn.Module, state_dict: dict[str, Tensor], source: str, purpose: str = 'start'
) -> None:
    """Make a state dict one that a model loads without a word, or refuse it.

    What the model has and the file has not, or in another shape, stays as the model has it; what
    the model has not is left out. The log tells both in one line, with the file's name, ``source``.
    The ``purpose`` 'resume' needs what the model has and no more, 'evaluation' all but an auxiliary
    head, 'start' most weights of the backbone.

    Raises:
        ValueError: If it does not fit.
    """
    own, state = model.state_dict(), dict(state_dict)
    ours = isinstance(model, PublishedWeightsMixin)
    try:
        if ours and purpose != 'resume':  # what a run wrote has the model's own names
            model.fit_weights(state)
        elif not own.keys() & state.keys():
            state = unwrap(state)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error

    fits = {k: state[k] for k in own if k in state and state[k].shape == own[k].shape}
    missing = [key for key in own if key not in state]
    if purpose != 'resume':  # many files lack these counts
        missing = [key for key in missing if not key.endswith('.num_batches_tracked')]
    other = [key for key in own if key in state and key not in fits]
    unused = 'auxiliary_head.' if purpose == 'evaluation' else ()
    needed = [key for key in missing if not key.startswith(unused)]
    extra = [key for key in state if key not in own]
    foreign = extra if purpose == 'resume' else []
    if purpose != 'start' and (needed or other or foreign):
        shown = [f'{key} is missing' for key in needed[:3]]
        shown += [f'{k} is {tuple(state[k].shape)}, not {tuple(own[k].shape)}' for k in other[:3]]
        shown += [f'{key} is not in the model' for key in foreign[:3]]
        raise ValueError(
            f'{source} does not fit the model of the config: {len(needed)} of {len(own)} tensors '
            f'are missing, {len(other)} have another shape and {len(foreign)} are of another '
            f'model: {"; ".join(shown)}.'
        )
    names = [name for name, _ in model.named_parameters()]
    backbone = [name for name in names if name.startswith('backbone.')] or names
    taken = len(fits.keys() & set(backbone))
    if 2 * taken < len(backbone):
        raise ValueError(
            f'{source} does not fit: it has {taken} of the {len(backbone)} weights of the backbone '
            f'({_few(backbone)}), and others in their place ({_few(list(state))}).'
        )
    parts = {'not in the file': missing, 'of another shape': other, 'not in the model': extra}
    told = ''.join(f'; {name}: {_few(keys)}' for name, keys in parts.items() if keys)
    if told and not ours:  # ours have said it
        total = len(fits) + len(missing) + len(other)
        print_log(f'Weights: loaded {len(fits)} of {total} tensors of {source}{told}.', 'current')
    state_dict.clear()
    state_dict.update({**own, **fits})


def _few(keys: Sequence[str]) -> str:
    more = f' and {len(keys) - 3} more' if len(keys) > 3 else ''
    return ', '.join(keys[:3]) + more
