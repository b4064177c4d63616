"""Modules of another class in the place of those that are there."""

from torch import nn


def rebuild(kind: type[nn.Module], module: nn.Module) -> nn.Module:
    """Build a module of a subclass that shares all that another module has.

    Its parameters are the same objects, so that an optimizer keeps them; its buffers, hooks,
    settings and mode are the same too.

    Args:
        kind: A subclass of ``module``'s class that needs no attributes of its own.
        module: Left as it is, to be thrown away.

    Returns:
        The module to put into its place.
    """
    new = kind.__new__(kind)
    vars(new).update(vars(module))
    return new
