"""Keeps the OpenMMLab stack alive on today's PyTorch.

Every patch is one function: guarded, so that it does nothing where nothing is broken, and safe to
call twice. All are applied when this module is imported, which must be before ``mmseg.models`` is.
"""

import functools
import importlib
import importlib.util
import logging
import os.path as osp
import re
import warnings


def _minor(version: str) -> tuple:
    """Major and minor number of a version."""
    return tuple(int(number) for number in version.split('.')[:2])


def check_mmcv() -> None:
    """Say in one sentence which mmcv is needed, where none or one that mmseg refuses is installed.

    mmseg 1.2.2 fails with ``No module named 'mmcv'`` or with an assertion that asks for
    ``mmcv>=2.0.0rc4``: https://github.com/open-mmlab/mmsegmentation/issues/3729.

    Raises:
        ImportError: If mmcv is missing or too new.
    """
    if importlib.util.find_spec('mmcv') is None:
        raise ImportError(
            "mmcv is not installed: `pip install -e '.[lite]'` installs mmcv-lite, which is all "
            'that mmseg_deeplabv3x needs.'
        )
    version = importlib.import_module('mmcv').__version__
    if _minor(version) >= (2, 2):
        raise ImportError(
            f'mmcv {version} is installed, but mmsegmentation takes only mmcv below 2.2: '
            "`pip install 'mmcv-lite>=2.1,<2.2'`, or a full mmcv 2.1."
        )


class MissingOps:
    """Stands for mmcv's compiled ops where there are none; each raises when it is called."""

    def __getattr__(self, name):
        if name.startswith('__'):  # Python's own questions, as when this is copied
            raise AttributeError(name)

        def op(*args, **kwargs):
            raise ImportError(
                f'{name} is a compiled op, and mmcv-lite has none: install a full mmcv 2.1 to use '
                'it (mmseg_deeplabv3x itself never does).'
            )

        return op


def provide_missing_ops() -> None:
    """Let ``mmseg.models`` be imported on mmcv-lite, which has no ``mmcv._ext``.

    mmseg imports mmcv.ops, and mmcv.ops loads its compiled part at once:
    https://github.com/open-mmlab/mmdetection/issues/3271. A full mmcv is left as it is.
    """
    if importlib.util.find_spec('mmcv._ext') is not None:
        return
    from mmcv.utils import ext_loader

    # not a fake module in sys.modules: whoever asks whether mmcv._ext is there must hear no
    ext_loader.load_ext = lambda name, funcs: MissingOps()


def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load`` read what mmengine writes into a checkpoint, and nothing more.

    From torch 2.6 on, ``torch.load`` refuses all but tensors and plain containers
    (https://github.com/open-mmlab/mmengine/issues/1655); what a training log needs besides is in
    ``checkpoint_objects``. What comes from a URL, mmengine lets ``torch.hub`` read without any such
    restriction; here with the same.
    """
    import torch
    from mmengine.runner import checkpoint

    if _minor(torch.__version__) < (2, 6):
        return
    from .checkpoint_objects import allowed_objects

    torch.serialization.add_safe_globals(allowed_objects())
    if not isinstance(checkpoint.load_url, functools.partial):
        checkpoint.load_url = functools.partial(checkpoint.load_url, weights_only=True)


def _weights_url(name: str):
    """Where the framework gets weights from; None for a name that it does not know."""
    import mmengine
    from mmengine.runner import checkpoint

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


def _explained(load):
    """Wrap a loader of weights: one sentence when they cannot be had or are not let in."""

    @functools.wraps(load)  # the log names the backend after the function
    def loader(filename, map_location=None):
        from .checkpoint_objects import why_refused

        try:
            return load(filename, map_location=map_location)
        except (FileNotFoundError, MemoryError):
            raise
        except Exception as error:  # whatever the bytes of a broken file lead to
            raise ValueError(f'{filename} is not loaded: {why_refused(error)}.') from error

    return loader


def _found(load):
    """Wrap a loader of remote weights: one sentence when they cannot be had."""

    @functools.wraps(load)
    def loader(filename, map_location=None):
        import torch

        try:
            return load(filename, map_location=map_location)
        except (OSError, KeyError, ImportError) as error:
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

    return loader


def explain_missing_weights() -> None:
    """Say which file is missing when pretrained weights cannot be had, or why it is not let in.

    Without a network the framework says ``<urlopen error ...>`` and names no file; without
    torchvision, ``torchvision://`` says ``No module named 'torchvision'``. What is wrong with a
    file, ``torch.load`` says in a page that does not name it and advises to trust it. The loaders
    are replaced through mmengine's ``CheckpointLoader.register_scheme``.
    """
    from mmengine.runner import checkpoint

    schemes = {
        ('http://', 'https://'): checkpoint.load_from_http,
        ('modelzoo://', 'torchvision://'): checkpoint.load_from_torchvision,
        ('open-mmlab://', 'openmmlab://'): checkpoint.load_from_openmmlab,
        'mmcls://': checkpoint.load_from_mmcls,
    }
    register = checkpoint.CheckpointLoader.register_scheme
    for prefixes, load in schemes.items():
        register(prefixes, _explained(_found(load)), force=True)
    register('', _explained(checkpoint.load_from_local), force=True)


def skip_blank_lines() -> None:
    """Let mmseg's datasets skip the blank lines of a list of images, and name a list that is none.

    Upstream, a blank line is an image without a name, and ``.jpg`` is not found in the middle of a
    run; so is the first name after a byte order mark, which no message shows.
    """
    from mmseg.datasets import BaseSegDataset

    load = BaseSegDataset.load_data_list
    if hasattr(load, '__wrapped__'):
        return

    @functools.wraps(load)
    def load_data_list(self):
        try:
            infos = load(self)
        except UnicodeDecodeError as error:
            raise ValueError(f'{self.ann_file} is no list of images in UTF-8: {error}.') from error
        blank = osp.join(self.data_prefix['img_path'], self.img_suffix)
        infos = [info for info in infos if info['img_path'] != blank]
        for info in infos:
            path = info['img_path']
            if (
                len(path) > 4096
                or len(osp.basename(path)) > 255
                or re.search('[\x00-\x1f\x7f\ufeff]', path)
            ):
                name = osp.relpath(path, self.data_prefix['img_path'])
                raise ValueError(
                    f'{self.ann_file} holds {name[:50]!r}, which is no name of an image; expected '
                    'one name without suffix a line, in UTF-8 without a byte order mark.'
                )
        return infos

    BaseSegDataset.load_data_list = load_data_list


def name_empty_splits() -> None:
    """Say which split is empty, where mmengine says ``need at least one array to concatenate``."""
    from mmengine.dataset import BaseDataset

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
    ('`torch.cuda.amp.GradScaler', 'mmengine.optim.optimizer.amp_optimizer_wrapper'),
    ('`broadcast_buffers` is deprecated', 'mmengine.model.wrappers.distributed'),
]
# The same, written to the log at level WARNING, and the level that they deserve.
_OWN_LOG_LINES = [
    ('The prefix is not set in metric class', 'mmengine.evaluator.metric', logging.DEBUG),
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


check_mmcv()
provide_missing_ops()
allow_mmengine_checkpoints()
explain_missing_weights()
skip_blank_lines()
name_empty_splits()
quiet_own_warnings()
