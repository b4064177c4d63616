"""DeepLabv3 as the paper defines it, for MMSegmentation on today's PyTorch.

Importing this package registers everything; one line in a config is enough::

    custom_imports = dict(imports=['mmseg_deeplabv3x'])
"""

from . import compat  # noqa: F401, I001  (first: it makes mmseg importable)
from . import datasets, engine, evaluation, models, transforms  # noqa: F401
from .version import __version__

__all__ = ['__version__']
