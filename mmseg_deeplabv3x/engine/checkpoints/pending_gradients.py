"""With ``accumulative_counts``: gradients that wait for the rest of their step."""

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor

from .loading import inner_model


def share_pending_gradients(runner: Runner) -> None:
    """Give each process the mean of what all have added up, which one of them can then save.

    The step comes to the same: it is on the mean of the sums. All processes must call this.
    """
    for parameter in _pending(runner).values() if get_world_size() > 1 else ():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        all_reduce(parameter.grad, 'mean')


def pending_gradients(runner: Runner) -> dict[str, Tensor]:
    """What a checkpoint needs beside the weights, on the CPU; empty at the end of a step."""
    return {name: p.grad.cpu() for name, p in _pending(runner).items() if p.grad is not None}


def restore_pending_gradients(runner: Runner, gradients: dict[str, Tensor]) -> None:
    """Go on with the step that a checkpoint was saved in."""
    parameters = _pending(runner)
    for name in gradients.keys() & parameters.keys():
        parameters[name].grad = gradients[name].to(parameters[name].device)


def _pending(runner: Runner) -> dict[str, torch.nn.Parameter]:
    """Parameters in the middle of a step, by name."""
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper) or wrapper.should_update():
        return {}
    return {n: p for n, p in inner_model(runner.model).named_parameters() if p.requires_grad}
