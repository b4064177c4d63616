"""What the framework says in other words, or not at all, under our commands.

The commands install it; importing the package alone changes no message. Each part does nothing
where it is installed already.
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
from mmengine.dataset import BaseDataset
from mmengine.runner import checkpoint
from mmseg.datasets import BaseSegDataset

from ..checkpoint_objects import why_refused
from ..datasets.lists import checked_data_list


def install_messages() -> None:
    """Install all of it in this process."""
    explain_missing_weights()
    check_lists()
    name_empty_splits()
    quiet_own_warnings()


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
        name = getattr(load, '__name__', '')
        own = getattr(checkpoint, name, None)
        if own is None or getattr(load, '__wrapped__', None) is not own:  # compat wraps each once
            continue
        if name.removeprefix('load_from_') in ('http', 'torchvision', 'openmmlab', 'mmcls'):
            load = _name_missing(load, http)
        loader.register_scheme(prefix, _name_refused(load), force=True)


def _name_refused(load: Callable) -> Callable:
    """Wrap a loader of weights: one sentence when a file is not let in."""

    @functools.wraps(load)  # the log names the backend after the function
    def load_named(filename, map_location=None):
        try:
            return load(filename, map_location=map_location)
        except (FileNotFoundError, MemoryError):
            raise
        except Exception as error:  # whatever the bytes of a broken file lead to
            raise ValueError(f'{filename} is not loaded: {why_refused(error)}.') from error

    return load_named


def _name_missing(load: Callable, http: Callable) -> Callable:
    """Wrap a loader of remote weights: one sentence when they cannot be had."""

    @functools.wraps(load)
    def load_named(filename, map_location=None):
        try:
            try:
                return load(filename, map_location=map_location)
            except ImportError:
                return http(_weights_url(filename) or filename, map_location=map_location)
        except (OSError, KeyError) as error:
            url = _weights_url(filename)
            if url is None:
                message = f'{filename} is no name of weights that the framework knows: give a URL'
            else:
                cached = osp.join(torch.hub.get_dir(), 'checkpoints', osp.basename(url))
                message = f'{filename} cannot be had ({error}): download {url} to {cached}'
            raise FileNotFoundError(
                f'{message}, or name a local file in its place in the config (`checkpoint` of an '
                'init_cfg, or load_from).'
            ) from error

    return load_named


def _weights_url(name: str) -> str | None:
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


def check_lists() -> None:
    """Let mmseg's datasets skip the blank lines of a list of images, and name a list that is none.

    See :func:`.lists.checked_data_list`.
    """
    load = BaseSegDataset.load_data_list
    if hasattr(load, '__wrapped__'):
        return

    @functools.wraps(load)
    def load_data_list(self):
        return checked_data_list(self, functools.partial(load, self))

    BaseSegDataset.load_data_list = load_data_list


def name_empty_splits() -> None:
    """Say which split is empty, where mmengine says ``need at least one array to concatenate``."""
    serialize = BaseDataset._serialize_data
    if hasattr(serialize, '__wrapped__'):
        return

    @functools.wraps(serialize)
    def serialize_data(self):
        if not self.data_list:
            source = self.ann_file or self.data_prefix.get('img_path')
            raise ValueError(f'The split {source} is empty.')
        return serialize(self)

    BaseDataset._serialize_data = serialize_data


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
# The same, written to the log at level WARNING, and the level that they deserve. Of metrics, only
# mmseg's and ours: the names of their scores are known without a prefix.
_NO_PREFIX = 'The prefix is not set in metric class'
_OWN_LOG_LINES = [
    (f'{_NO_PREFIX} IoUMetric.', 'mmengine.evaluator.metric', logging.DEBUG),
    (f'{_NO_PREFIX} ConfusionIoUMetric.', 'mmengine.evaluator.metric', logging.DEBUG),
    ('"FileClient" will be deprecated', 'mmengine.fileio.file_client', logging.DEBUG),
    ('"HardDiskBackend" is the alias', 'mmengine.fileio.file_client', logging.DEBUG),
    ('Advance dataloader', 'mmengine.runner.loops', logging.INFO),
]


def quiet_own_warnings() -> None:
    """Quiet what the framework warns of in every run and its user can do nothing about.

    Each warning is named by its text and the module that gives it; all others are still heard.
    """
    for text, module in _OWN_WARNINGS:
        warnings.filterwarnings('ignore', message=re.escape(text), module=re.escape(module))
    for text, module, level in _OWN_LOG_LINES:
        _set_log_level(importlib.import_module(module), text, level)


def _set_log_level(module, text: str, level: int) -> None:
    """Make ``module`` log its lines that start with ``text`` at ``level``."""
    if not hasattr(module, 'print_log'):
        return
    if not hasattr(module.print_log, 'levels'):
        print_log = module.print_log

        @functools.wraps(print_log)
        def print_log_at_level(msg, logger=None, level=logging.INFO):
            for start, own_level in print_log_at_level.levels.items():
                level = own_level if str(msg).startswith(start) else level
            print_log(msg, logger=logger, level=level)

        print_log_at_level.levels = {}
        module.print_log = print_log_at_level
    module.print_log.levels[text] = level
