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

    Args:
        runner: In training.
    """
    if get_world_size() > 1 and _is_step_pending(runner):
        for parameter in runner.model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                all_reduce(parameter.grad, 'mean')


def pending_gradients(runner: Runner) -> dict[str, Tensor]:
    """What a checkpoint needs beside the weights; empty at the end of a step.

    Args:
        runner: In training.

    Returns:
        Gradient by name of the parameter, on the CPU.
    """
    named = inner_model(runner.model).named_parameters() if _is_step_pending(runner) else ()
    return {name: p.grad.cpu() for name, p in named if p.grad is not None}


def restore_pending_gradients(runner: Runner, gradients: dict[str, Tensor]) -> None:
    """Go on with the step that a checkpoint was saved in.

    Args:
        runner: About to train.
        gradients: As of :func:`pending_gradients`.
    """
    if _is_step_pending(runner):
        for name, parameter in inner_model(runner.model).named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter.device)


def _is_step_pending(runner: Runner) -> bool:
    wrapper = runner.optim_wrapper
    return isinstance(wrapper, OptimWrapper) and not wrapper.should_update()
