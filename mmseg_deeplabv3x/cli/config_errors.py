"""Names that a user mistyped, and what was probably meant."""

import inspect
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import mmseg.registry
from mmengine.registry import Registry
from mmengine.runner import Runner


def check_spelling(options: Iterable[str], cfg: Mapping) -> None:
    """Refuse a setting of ``--cfg-options`` that is no part of the config, but nearly one.

    mmengine adds it as a setting that nothing reads, and the run goes on without what was asked
    for. Only the first part of a name is looked at: a class refuses the arguments it does not know.

    Args:
        options: Names, as in 'train_dataloader.batch_size'.
        cfg: What they change.

    Raises:
        ValueError: Names the setting and the likely one.
    """
    read = {*cfg, *inspect.signature(Runner).parameters}
    for option in options:
        name = option.partition('.')[0]
        meant = get_close_matches(name, read, n=1, cutoff=0.8)
        if name not in read and meant:
            raise ValueError(
                f'--cfg-options: the config has no {name!r}; {meant[0]!r} is probably meant.'
            )


def explain_build_error(error: KeyError | TypeError) -> str | None:
    """Say what is wrong with a config from which mmengine could not build something.

    Args:
        error: Any.

    Returns:
        A sentence; None if the error is not about a name in a config.
    """
    text = str(error.args[0]) if error.args else ''
    unknown = re.match(r'(\S+) is not in the (\S+)::(.+) registry\.', text)
    if unknown:
        name, _, kind = unknown.groups()
        meant = get_close_matches(name, _registered(kind), n=1, cutoff=0.7)
        hint = f'{meant[0]!r} is probably meant' if meant else 'is its package in custom_imports?'
        return f'There is no {kind} {name!r}; {hint}.'
    argument = re.match(r"(\S+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", text)
    if argument:
        return f'The config gives {argument[2]!r} to {argument[1]}, which has no such argument.'
    return None


def _registered(kind: str) -> set[str]:
    """Names of all modules of a kind, such as 'model', mmengine's included."""
    names = set()
    for registry in vars(mmseg.registry).values():
        if isinstance(registry, Registry) and registry.name == kind:
            while registry:
                names.update(registry.module_dict)
                registry = registry.parent
    return names
