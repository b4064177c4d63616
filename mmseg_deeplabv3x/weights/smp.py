"""DeepLabV3 of segmentation_models.pytorch."""

from .resnet import PLAIN
from .source import Source
from .torchvision import aspp, pooling_first

SOURCES = (
    Source(
        'segmentation_models.pytorch DeepLabV3',
        {
            **aspp('decoder.(?:aspp|0)'),  # a number in its older versions
            'decoder.(?:conv|1)': 'decode_head.post_conv.conv',
            'decoder.(?:bn|2)': 'decode_head.post_conv.bn',
            'segmentation_head.0': 'decode_head.conv_seg',
            **PLAIN,
            'encoder.(?:model.)?([^/]+)': r'backbone.\1',  # of timm
        },
        arguments=', contract_dilation=False',
        value=pooling_first,
    ),
)
