"""DeepLabv3 as the paper defines it, for MMSegmentation on today's PyTorch.

Importing this package registers everything; one line in a config is enough::

    custom_imports = dict(imports=['mmseg_deeplabv3x'])
"""

from typing import TYPE_CHECKING  # noqa: I001  (compat is first: it makes mmseg importable)

from . import compat  # noqa: F401
from . import datasets, engine, evaluation, models, transforms, visualization  # noqa: F401

if TYPE_CHECKING:
    from .inference import DeepLabV3Predictor as DeepLabV3Predictor

__version__ = '0.1.0'


def __getattr__(name: str):
    # not imported with the package: a training needs none of it
    if name == 'DeepLabV3Predictor':
        from .inference import DeepLabV3Predictor

        return DeepLabV3Predictor
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
