"""Registered decode heads."""

from .image_pool_aspp_head import ImagePoolASPPHead
from .upsampled_fcn_head import UpsampledFCNHead
