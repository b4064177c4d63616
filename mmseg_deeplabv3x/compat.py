"""Keeps the OpenMMLab stack alive on today's PyTorch."""

import importlib

from mmcv.utils import ext_loader


class _MissingExt:
    """Stands where mmcv's compiled ops would be; each op raises when called."""

    def __getattr__(self, name):
        def op(*args, **kwargs):
            raise ImportError(f'{name} needs the compiled ops of full mmcv, and mmcv-lite has none.')

        return op


def _provide_missing_ext() -> None:
    original = ext_loader.load_ext

    def load_ext(name, funcs):
        try:
            return original(name, funcs)
        except ModuleNotFoundError:
            return _MissingExt()

    try:
        importlib.import_module('mmcv._ext')
    except ModuleNotFoundError:
        ext_loader.load_ext = load_ext


_provide_missing_ext()
