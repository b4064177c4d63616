"""Keeps the OpenMMLab stack alive on today's PyTorch.

Every patch is one function: guarded, so that it does nothing where nothing is broken, and safe to
call twice. All are applied when this module is imported, which must be before ``mmseg.models`` is.
"""

import functools
import importlib
import importlib.util


def check_mmcv() -> None:
    """Say in one sentence which mmcv is needed, where none or one that mmseg refuses is installed.

    mmseg 1.2.2 fails with ``No module named 'mmcv'`` or with an assertion that asks for
    ``mmcv>=2.0.0rc4``: https://github.com/open-mmlab/mmsegmentation/issues/3729.

    Raises:
        ImportError: If mmcv is missing or too new.
    """
    if importlib.util.find_spec('mmcv') is None:
        raise ImportError(
            "mmcv is not installed: `pip install 'mmcv-lite>=2.1,<2.2'` is all that "
            'mmseg_deeplabv3x needs.'
        )
    version = importlib.import_module('mmcv').__version__
    if tuple(int(number) for number in version.split('.')[:2]) >= (2, 2):
        raise ImportError(
            f'mmcv {version} is installed, but mmsegmentation takes only mmcv below 2.2: '
            "`pip install 'mmcv-lite>=2.1,<2.2'`, or a full mmcv 2.1."
        )


class MissingOps:
    """Stands for mmcv's compiled ops where there are none; each raises when it is called."""

    def get_compiler_version(self) -> str:
        """What ``mmcv.utils.collect_env`` says of mmcv-lite."""
        return 'n/a'

    get_compiling_cuda_version = get_compiler_version

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


def load_checkpoints_safely() -> None:
    """Let mmengine's loaders read what mmengine writes into a checkpoint, and nothing more.

    From torch 2.6 on, ``torch.load`` refuses all but tensors and plain containers, a training log
    too: https://github.com/open-mmlab/mmengine/issues/1655. See ``checkpoint_objects`` for what is
    let in. A loader that somebody else registered for its scheme stays as it is.
    """
    from mmengine.runner import checkpoint

    from .checkpoint_objects import load_safely

    loader = checkpoint.CheckpointLoader
    for prefix, load in list(loader._schemes.items()):
        if getattr(checkpoint, getattr(load, '__name__', ''), None) is load:
            safe = functools.wraps(load)(functools.partial(load_safely, load))
            loader.register_scheme(prefix, safe, force=True)


check_mmcv()
provide_missing_ops()
load_checkpoints_safely()
