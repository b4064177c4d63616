"""The head of the cascade."""

from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS

from ...losses import UpsampledLossMixin


@MODELS.register_module()
class UpsampledFCNHead(UpsampledLossMixin, FCNHead):
    """mmseg's ``FCNHead`` whose loss needs no upsampled logits; state dicts and results agree.

    With ``num_convs=0`` and ``concat_input=False`` it is the single 1x1 convolution that classifies
    the features of a cascade (paper, section 3.2).
    """
