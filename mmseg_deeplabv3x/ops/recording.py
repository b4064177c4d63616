"""Is the network being run, or written down?"""

import torch


def is_recorded() -> bool:
    """Whether operations are traced, compiled or exported.

    Code that chooses by the size of a map then takes the way that is right for every size.
    """
    return torch.jit.is_tracing() or torch.compiler.is_compiling()
