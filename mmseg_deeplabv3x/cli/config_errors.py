"""What is wrong with a config, from the names in it and from the errors that it leads to."""

import inspect
import re
import sys
import sysconfig
import textwrap
import traceback
import types
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import accumulate

import mmengine.registry
import mmseg.registry
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import Registry
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..transforms.kinds import kind_of, parts
from ..transforms.kinds import settings as walk

# What reads a config and builds from it, and so meets its faults; and what these call.
_READERS = tuple(f'mmengine.{room}' for room in ('config', 'logging', 'runner', 'utils'))
_LIBRARIES = {*sys.stdlib_module_names, 'cv2', 'numpy', 'torch'}
_PACKAGE = __name__.partition('.')[0]
_FRAMEWORKS = ('mmcv', 'mmengine', 'mmseg', _PACKAGE)
_NUMBER = r'[-+]?\d*\.?\d+(e[-+]?\d+)?'
# Words in the annotation of what takes a text, or a list.
_FITS = {str: 'str|Any|Literal|Path', list: 'ist|uple|Sequence|Iterable|Any'}


def check_spelling(options: Iterable[str], cfg: Mapping) -> None:
    """Refuse a setting of ``--cfg-options`` that is no part of the config, but nearly one.

    mmengine adds it as a setting that nothing reads, and the run goes on without what was asked
    for. Below a ``type`` nothing is looked at: a class refuses the arguments it does not know.
    """
    settings = dict(walk(cfg))
    for path in (path for option in options for path in accumulate(option.split('.'), _join)):
        parent, _, name = path.rpartition('.')
        node = settings.get(parent) if parent else cfg
        if not hasattr(node, 'items') or 'type' in node or name in node:
            continue
        read = set(node if parent else [*node, *inspect.signature(Runner).parameters])
        meant = get_close_matches(name, read, n=1, cutoff=0.8)
        if name not in read and meant:
            raise ValueError(
                f'--cfg-options: the config has no {path!r}; '
                f'{_join(parent, meant[0])!r} is probably meant.'
            )


def _join(parent: str, name: str) -> str:
    return f'{parent}.{name}' if parent else name


def check_numbers(cfg: Config) -> None:
    """Refuse a number that is written as a text: many are used long after the start only."""
    cfg = dict(cfg)
    if isinstance(cfg.get('log_processor'), Mapping):  # which the runner builds without a type
        cfg['log_processor'] = {'type': 'LogProcessor', **cfg['log_processor']}
    registries = [r for r in vars(mmseg.registry).values() if isinstance(r, Registry)]
    for path, part in parts(cfg):
        texts = [name for name, value in part.items() if _is_number_as_text(value)]
        kinds = (kind_of(part, registry) for registry in registries) if texts else ()
        taken = _arguments(next(filter(None, kinds), None))
        for name in texts:
            hint = _hint(taken[name]) if name in taken else ''
            if re.search(r'\b(int|float)\b', hint) and not re.search(_FITS[str], hint):
                raise ValueError(f'{path}.{name} is the text {part[name]!r}, is a number meant?')


def explain_start_error(error: Exception) -> str | None:
    """Say in a sentence, with the dotted path, what in a config mmengine cannot read or build.

    None if the error, any with its traceback, is not about a config.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    cfg = next((cfg for f in frames if isinstance(cfg := f.f_locals.get('cfg'), Config)), {})
    settings = dict(walk(cfg))
    path, kind = _being_built(frames, settings)
    text = _text(error)
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
        likely = _meant(name, {*_arguments(kind), *_siblings(place, settings)})
        likely = f'; {likely}' if likely else '.'
        return f'The config gives {place!r} to {taker}, which has no such argument{likely}'
    if 'must contain the key "type"' in text and path:
        likely = _meant(path.rpartition('.')[2], _siblings(path, settings))
        return f'{where}It has no type; {likely or "say what is to be built."}'
    own = [f for f in frames if _module(f).split('.')[0] not in _LIBRARIES][-1:]
    reader = bool(own) and _module(own[0]).startswith(_READERS)
    if own and not _module(own[0]):  # the code of a config file has no name
        where = f'{own[0].f_code.co_filename}, line {own[0].f_lineno}: '
    elif reader and isinstance(error, SyntaxError):
        where = f'{own[0].f_locals.get("filename")}: '
    elif reader and isinstance(error, KeyError) and not where:
        where = next((f'{p}: ' for p, v in settings.items() if v == error.args[0]), 'The config: ')
    elif not reader and not where:
        return None
    wrong = _wrong_type(kind, settings.get(path), text)
    hint = _number_as_text(path, settings)
    said = f'{path}.{wrong}' if wrong else f'{where}{text.rstrip(". ")}{hint}'
    return f'{said} (PYTHONDEVMODE=1 shows where).'


def explain_first_iteration(error: Exception) -> str | None:
    """Say which part of a run cannot do its first iteration, as the config has it.

    None if the error arose in code of the user's own, or in no run.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    owners = [frame.f_locals.get('self') for frame in frames]
    runner = next((owner for owner in owners if isinstance(owner, Runner)), None)
    text, own = _text(error), [m for m in map(_module, frames) if m.split('.')[0] not in _LIBRARIES]
    path = ''
    if frames and _module(frames[-1]) == 'torch._utils':  # a worker's error, as text
        files = re.findall(
            rf'File "(?:.*(?:site-packages/|/(?={_PACKAGE}/)))?(.+?\.py)"', str(error)
        )
        stdlib = sysconfig.get_path('stdlib')
        own = [f for f in files if f.split('/')[0] not in _LIBRARIES and not f.startswith(stdlib)]
        path = f'A data pipeline, in {own[-1]}' if own else ''
        text = str(error).strip().rpartition('\n')[2]
    if 'unexpected keyword argument' in text:  # explain_start_error knows the likely one
        return None
    if runner is None or not own or re.split('[./]', own[-1])[0] not in _FRAMEWORKS:
        return None
    settings = dict(walk(runner.cfg))
    names = {id(module): name for name, module in runner.model.named_modules()}
    image = None
    for frame, owner in zip(frames, owners):
        hook = frame.f_locals.get('hook')
        if isinstance(hook, Hook):
            same = (p for p, part in parts(runner.cfg) if kind_of(part, HOOKS) is type(hook))
            path = next(same, type(hook).__name__)
        elif isinstance(owner, BaseTransform):
            same = (p for p, part in parts(runner.cfg) if kind_of(part) is type(owner))
            image = (frame.f_locals.get('results') or {}).get('img_path', image)
            path = f'{next(same, type(owner).__name__)}, on {image}'
        elif names.get(id(owner)):
            path = f'model.{names[id(owner)]}'
    hint = _number_as_text(path.partition(',')[0], settings)
    text = re.sub(r' in <\S+ object at 0x\w+>', '', text)  # as the runner names a hook
    return (
        f'{path or "The training"} fails in the first iteration: {text.rstrip(". ")}{hint} '
        '(PYTHONDEVMODE=1 shows where).'
    )


def _number_as_text(path: str, settings: dict) -> str:
    """Name a setting at or below a path that is a number, written as a text."""
    while path and path not in settings:
        path = path.rpartition('.')[0]
    for place, value in settings.items() if path else ():
        if f'{place}.'.startswith(f'{path}.') and _is_number_as_text(value):
            return f'; {place} is the text {value!r}, is a number meant?'
    return ''


def _is_number_as_text(value) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(_NUMBER, value))


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


def _being_built(frames: list[types.FrameType], settings: dict) -> tuple[str, type | None]:
    """Path and class of what was being built when an error arose; '' and None if nothing was.

    The first argument of the framework's functions ``build...`` is the config of what they build.
    A part may have changed it for one of its own parts: then the type tells.
    """
    kind = None
    for frame in reversed(frames):
        code = frame.f_code
        builds = code.co_name.lstrip('_').startswith(('build', 'initialize'))
        if not builds or not _module(frame).startswith('mm'):
            continue
        kind = kind or frame.f_locals.get('obj_cls')
        given = [
            v for v in map(frame.f_locals.get, code.co_varnames[:2]) if isinstance(v, Mapping) and v
        ]
        dicts = {p: v for p, v in settings.items() if isinstance(v, Mapping) and v}
        alike = [p for p, v in dicts.items() if v in given]
        alike += [p for p, v in dicts.items() for g in given if v.get('type', 0) == g.get('type')]
        if alike:
            return alike[0], kind
    return '', kind


def _arguments(kind) -> dict[str, inspect.Parameter]:
    """What a class and its bases, or a function, take."""
    makers = [c.__init__ for c in kind.__mro__] if inspect.isclass(kind) else [kind] * bool(kind)
    found = {}
    for make in reversed(makers):
        found.update(inspect.signature(make).parameters)
    found.pop('self', None)
    return found


def _hint(parameter: inspect.Parameter) -> str:
    """The type that an argument has by its annotation, or else by its default."""
    hint = parameter.annotation
    return inspect.formatannotation(type(parameter.default) if hint is parameter.empty else hint)


def _wrong_type(kind, given, text: str) -> str | None:
    """Name a text or list where a class takes something else, unless the error's text names it."""
    parameters = inspect.signature(kind).parameters.values() if kind else ()
    for p in parameters if isinstance(given, Mapping) else ():
        value, hint = given.get(p.name), _hint(p)
        fits = _FITS.get(type(value), '')
        if p.name not in text and hint not in ('type', 'NoneType') and not re.search(fits, hint):
            return f'{p.name} is {value!r}, but {kind.__name__} takes {hint}'
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
