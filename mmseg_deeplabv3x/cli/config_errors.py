"""What is wrong with a config, from the names in it and from the errors that it leads to."""

import inspect
import re
import sys
import textwrap
import traceback
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

import mmengine.registry
import mmseg.registry
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner

# What reads a config and builds from it, and so meets its faults; and what these call.
_READERS = tuple(f'mmengine.{room}' for room in ('config', 'logging', 'runner', 'utils'))
_LIBRARIES = {*sys.stdlib_module_names, 'cv2', 'numpy', 'torch'}


def check_spelling(options: Iterable[str], cfg: Mapping) -> None:
    """Refuse a setting of ``--cfg-options`` that is no part of the config, but nearly one.

    mmengine adds it as a setting that nothing reads, and the run goes on without what was asked
    for. Below a ``type`` nothing is looked at: a class refuses the arguments it does not know.

    Args:
        options: Names, as in 'train_dataloader.batch_size'.
        cfg: What they change.

    Raises:
        ValueError: Names the setting and the likely one.
    """
    for option in options:
        node, read, path = cfg, {*cfg, *inspect.signature(Runner).parameters}, ''
        for name in option.split('.'):
            if hasattr(node, 'items') and 'type' not in node:
                meant = get_close_matches(name, read, n=1, cutoff=0.8)
                if name not in read and meant:
                    raise ValueError(
                        f'--cfg-options: the config has no {path + name!r}; {path + meant[0]!r} '
                        'is probably meant.'
                    )
            node = _child(node, name)
            read, path = set(node if hasattr(node, 'items') else ()), f'{path}{name}.'


def _child(node, name: str):
    if hasattr(node, 'items'):
        return node.get(name)
    is_item = isinstance(node, (list, tuple)) and name.isdecimal() and int(name) < len(node)
    return node[int(name)] if is_item else None


def explain_start_error(error: Exception) -> str | None:
    """Say what is wrong with a config that mmengine cannot read, or not build from.

    Args:
        error: Any, with its traceback.

    Returns:
        A sentence with the dotted path of the setting; None if the error is not about a config.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames:
        return None
    cfg = next((cfg for f in frames if isinstance(cfg := f.f_locals.get('cfg'), Config)), {})
    settings = dict(_settings(cfg))
    path, kind = _being_built(frames, settings)
    text = _text(error)
    if text.startswith('Expected more than 1 value per channel'):
        return (
            'BN cannot be trained on one value per channel: set train_dataloader.batch_size to 2 '
            'or more, or model.freeze_bn=True.'
        )
    if text.startswith('None is not a callable'):  # an optimizer is looked at before it is built
        path = next(p for p in settings if p.startswith(path) and p.endswith('optimizer.type'))
        text = f'{settings[path]} is not in the mmengine::optimizer registry.'
    where = f'{path}: ' if path else ''
    unknown = re.match(r'(\S+) is not in the (\S+)::(.+) registry\.', text)
    if unknown:
        name, _, what = unknown.groups()
        likely = _meant(name, _registered(what)) or 'is its package in custom_imports?'
        return f'{where}There is no {what} {name!r}; {likely}'
    argument = re.match(r"(\S+?)(\.__init__)?\(\) got an unexpected keyword argument '(\w+)'", text)
    if argument:
        taker, _, name = argument.groups()
        place = next((p for p in settings if f'.{p}'.endswith(f'.{name}') and path in p), name)
        if place == name and not kind:
            return None  # a call that the config has no part in
        likely = _meant(name, _arguments(kind) | _siblings(place, settings))
        return (
            f'The config gives {place!r} to {taker}, which has no such argument; {likely}'.rstrip(
                '; '
            )
        )
    if 'must contain the key "type"' in text and path:
        likely = _meant(path.rpartition('.')[2], _siblings(path, settings))
        return f'{where}It has no type; {likely or "say what is to be built."}'
    own = [f for f in frames if _module(f).split('.')[0] not in _LIBRARIES][-1]
    if not _module(own):  # the code of a config file has no name
        where = f'{own.f_code.co_filename}, line {own.f_lineno}: '
    elif not where and not _module(own).startswith(_READERS):
        return None
    elif isinstance(error, SyntaxError):
        where = f'{own.f_locals.get("filename")}: '
    elif isinstance(error, KeyError) and not where:
        where = next((f'{p}: ' for p, v in settings.items() if v == error.args[0]), 'The config: ')
    wrong = _wrong_type(kind, settings.get(path), text)
    said = f'{path}.{wrong}' if wrong else f'{where}{text.rstrip(". ")}'
    return f'{said} (PYTHONDEVMODE=1 shows where).'


def _module(frame: types.FrameType) -> str:
    return frame.f_globals.get('__name__', '')


def _text(error: Exception) -> str:
    """An error's text on one line."""
    while isinstance(error, ImportError) and isinstance(error.__context__, ImportError):
        error = error.__context__
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, KeyError) and ' ' not in text:
        text = f'there is no {text!r}'
    text = text or f'`{traceback.extract_tb(error.__traceback__)[-1].line}` fails'
    return textwrap.shorten(re.sub(r'[\[=]*\{.*', ' ...', text), 300, placeholder=' ...')


def _meant(name: str, names: Iterable[str]) -> str:
    meant = get_close_matches(name, names, n=1, cutoff=0.66)
    return f'{meant[0]!r} is probably meant.' if meant else ''


def _siblings(path: str, settings: dict) -> set[str]:
    """Names of the settings beside one."""
    split = [p.rpartition('.') for p in settings if p != path]
    return {name for parent, _, name in split if parent == path.rpartition('.')[0]}


def _settings(node, path: str = '') -> Iterator[tuple[str, object]]:
    """Dotted path, as for --cfg-options, and value of everything in a config."""
    items = node.items() if hasattr(node, 'items') else enumerate(node)
    for key, value in items:
        yield f'{path}{key}', value
        if isinstance(value, (Mapping, list, tuple)):
            yield from _settings(value, f'{path}{key}.')


def _being_built(frames: list[types.FrameType], settings: dict) -> tuple[str, type | None]:
    """Path and class of what was being built when an error arose; '' and None if nothing was.

    The first argument of the framework's functions ``build...`` is the config of what they build.
    A part may have changed it for one of its own parts: then the type tells.
    """
    kind = None
    for frame in reversed(frames):
        name, variables = frame.f_code.co_name, frame.f_code.co_varnames[:2]
        if not name.lstrip('_').startswith(('build', 'initialize')) or not _module(
            frame
        ).startswith('mm'):
            continue
        kind = kind or frame.f_locals.get('obj_cls')
        given = [v for v in map(frame.f_locals.get, variables) if isinstance(v, Mapping) and v]
        for alike in (dict.__eq__, _of_one_type):
            paths = [p for g in given for p, v in settings.items() if v and alike(g, v) is True]
            if paths:
                return paths[0], kind
    return '', kind


def _of_one_type(given: Mapping, value) -> bool:
    return isinstance(value, Mapping) and given.get('type', 0) == value.get('type')


def _arguments(kind) -> set[str]:
    """Names of what a class and its bases, or a function, take."""
    makers = [c.__init__ for c in kind.__mro__] if inspect.isclass(kind) else [kind] * bool(kind)
    return {name for make in makers for name in inspect.signature(make).parameters} - {'self'}


def _wrong_type(kind, given, text: str) -> str | None:
    """Name an argument of another type than its annotation or default, if the text does not."""
    if not kind or not isinstance(given, Mapping):
        return None
    for name, parameter in inspect.signature(kind).parameters.items():
        hint = parameter.annotation
        hints = (
            typing.get_args(hint)
            if typing.get_origin(hint) in (typing.Union, types.UnionType)
            else [hint]
        )
        right = {typing.get_origin(hint) or hint for hint in hints} - {inspect.Parameter.empty}
        if parameter.default not in (None, inspect.Parameter.empty):
            right.add(type(parameter.default))
        if (
            not right
            or name not in given
            or name in text
            or not all(isinstance(t, type) for t in right)
        ):
            continue
        also = {float: int, tuple: list, list: tuple}
        if not isinstance(
            given[name], tuple(right | {also[t] for t in right if t in also} | {dict})
        ):
            names = ' or '.join(sorted(t.__name__ for t in right - {types.NoneType}))
            return f'{name} is {given[name]!r}, but {kind.__name__} takes {names}'
    return None


def _registered(kind: str) -> set[str]:
    """Names of all modules of a kind, such as 'model', mmengine's included."""
    names = set()
    for registry in [*vars(mmseg.registry).values(), *vars(mmengine.registry).values()]:
        if isinstance(registry, Registry) and registry.name == kind:
            while registry:
                names.update(registry.module_dict)
                registry = registry.parent
    return names
