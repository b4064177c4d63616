"""What the framework says in other words, or not at all, under our commands.

The commands install it; importing the package alone changes no message.
"""

import functools
import importlib
import logging
import os.path as osp
import re
import warnings
from collections.abc import Callable

import mmengine
import torch
from mmengine.runner import checkpoint
from mmseg.datasets import BaseSegDataset

from ..checkpoint_objects import why_refused
from ..datasets.lists import checked_data_list

_REMOTE = tuple(f'load_from_{kind}' for kind in ('http', 'torchvision', 'openmmlab', 'mmcls'))


@functools.cache
def install_messages() -> None:
    """Install all of it in this process, once."""
    explain_missing_weights()
    skip_blank_lines()
    quiet_own_warnings()
    lower_own_log_lines()


def explain_missing_weights() -> None:
    """Say which file is missing when pretrained weights cannot be had, or why it is not let in.

    Without a network the framework says ``<urlopen error ...>`` and names no file. For
    ``torchvision://`` it imports torchvision; the address is known without. What is wrong with a
    file, ``torch.load`` says in a page that does not name it and advises to trust it. A loader
    that somebody else registered for its scheme stays as it is.
    """
    loader = checkpoint.CheckpointLoader
    http = loader._schemes['https://']
    for prefix, load in list(loader._schemes.items()):
        own = getattr(checkpoint, getattr(load, '__name__', ''), None)
        if own is not None and getattr(load, '__wrapped__', None) is own:  # compat wraps each once
            loader.register_scheme(prefix, _explained(load, http), force=True)


def _explained(load: Callable, http: Callable) -> Callable:
    """Wrap a loader of weights: one sentence when they cannot be had, or are not let in."""
    remote = load.__name__ in _REMOTE

    @functools.wraps(load)  # the log names the backend after the function
    def load_explained(filename, map_location=None):
        try:
            try:
                return load(filename, map_location=map_location)
            except ImportError:
                if not remote:
                    raise
                return http(weights_url(filename) or filename, map_location=map_location)
        except MemoryError:
            raise
        except Exception as error:  # whatever the bytes of a broken file lead to
            if remote and isinstance(error, (OSError, KeyError)):
                raise FileNotFoundError(_how_to_get(filename, error)) from error
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f'{filename} is not loaded: {why_refused(error)}.') from error

    return load_explained


def _how_to_get(name: str, error: Exception) -> str:
    url = weights_url(name)
    cached = osp.join(torch.hub.get_dir(), 'checkpoints', osp.basename(url or ''))
    message = f'{name} cannot be had ({error}): download {url} to {cached}'
    if url is None:
        message = f'{name} is no name of weights that the framework knows: give a URL'
    place = 'in its place in the config (`checkpoint` of an init_cfg, or load_from)'
    return f'{message}, or name a local file {place}.'


def weights_url(name: str) -> str | None:
    """Where the framework gets weights from; None for a name that it does not know."""
    scheme, _, key = name.partition('://')
    if scheme in ('torchvision', 'modelzoo'):
        table = mmengine.load(osp.join(mmengine.__path__[0], 'hub/torchvision_0.12.json'))
    elif scheme in ('open-mmlab', 'openmmlab'):
        table = checkpoint.get_external_models()
        key = checkpoint.get_deprecated_model_names().get(key, key)
    elif scheme == 'mmcls':
        table = checkpoint.get_mmcls_models()
    else:
        return name
    return table.get(key)


def skip_blank_lines() -> None:
    """Let mmseg's datasets read their lists by :func:`.lists.checked_data_list`."""
    load = BaseSegDataset.load_data_list

    @functools.wraps(load)
    def load_data_list(self):
        return checked_data_list(self, functools.partial(load, self))

    BaseSegDataset.load_data_list = load_data_list


# Warnings of the framework about its own insides: (start of the text, module that warns).
_OWN_WARNINGS = [
    ('``build_loss`` would be deprecated soon', 'mmseg.models.builder'),
    ('The draw is False, it means that the hook for visualization', 'mmseg.engine.hooks'),
    ('The shape of value will convert from', 'mmengine.structures.pixel_data'),
    ('pkg_resources is deprecated as an API', 'mmengine.utils.package_utils'),
    ('pkg_resources is deprecated as an API', 'importlib'),  # where it is imported by name
    ('`torch.cuda.amp.GradScaler', 'mmengine.optim.optimizer.amp_optimizer_wrapper'),
    ('`broadcast_buffers` is deprecated', 'mmengine.model.wrappers.distributed'),
]
# The same, written to the log at level WARNING, by the module that does, and the level that they
# deserve. Of metrics, only mmseg's and ours: the names of their scores are known without a prefix.
_NO_PREFIX = 'The prefix is not set in metric class'
_OWN_LOG_LINES = {
    'mmengine.evaluator.metric': {
        f'{_NO_PREFIX} IoUMetric.': logging.DEBUG,
        f'{_NO_PREFIX} ConfusionIoUMetric.': logging.DEBUG,
    },
    'mmengine.fileio.file_client': {
        '"FileClient" will be deprecated': logging.DEBUG,
        '"HardDiskBackend" is the alias': logging.DEBUG,
    },
    'mmengine.runner.loops': {'Advance dataloader': logging.INFO},
}


def quiet_own_warnings() -> None:
    """Quiet what the framework warns of in every run and its user can do nothing about."""
    for text, module in _OWN_WARNINGS:
        warnings.filterwarnings('ignore', message=re.escape(text), module=re.escape(module))


def lower_own_log_lines() -> None:
    """The same for what goes to the log."""
    for name, levels in _OWN_LOG_LINES.items():
        module = importlib.import_module(name)
        module.print_log = _at_own_levels(module.print_log, levels)


def _at_own_levels(print_log: Callable, levels: dict[str, int]) -> Callable:
    def print_log_at_level(msg, logger=None, level=logging.INFO):
        own = (own for start, own in levels.items() if str(msg).startswith(start))
        print_log(msg, logger=logger, level=next(own, level))

    return functools.wraps(print_log)(print_log_at_level)
