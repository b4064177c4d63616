"""DeepLabv3 of torchvision."""

from torch import Tensor

from .resnet import PLAIN
from .source import CLASSIFIER, Drop, Source, by_stage, with_bn

CONV_BN = '.0', '.1'  # in a Sequential


def aspp(theirs: str) -> dict[str, str]:
    """Rules of an ASPP as torchvision, and smp after it, name its parts, in a module ``theirs``."""
    return {
        **with_bn(
            {
                f'{theirs}.convs.([0-3])': (
                    r'decode_head.aspp_modules.\1.conv decode_head.aspp_modules.\1.bn'
                ),
                f'{theirs}.project': 'decode_head.bottleneck.conv decode_head.bottleneck.bn',
            },
            *CONV_BN,
        ),
        f'{theirs}.convs.4.1': 'decode_head.image_pool.1.conv',
        f'{theirs}.convs.4.2': 'decode_head.image_pool.1.bn',
    }


def pooling_first(key: str, tensor: Tensor) -> Tensor:
    """Let the projection read the image-level branch first, as ours does, in place of last."""
    if key != 'decode_head.bottleneck.conv.weight':
        return tensor
    return tensor.roll(len(tensor), dims=1)  # each branch has the projection's own width


HEAD = {
    **aspp('classifier.0'),
    'classifier.1': 'decode_head.post_conv.conv',
    'classifier.2': 'decode_head.post_conv.bn',
    'classifier.4': 'decode_head.conv_seg',
}

# Alone or in DeepLabv3. The first unit does not expand.
IN = '(?:backbone|features)'
UNIT = rf'{IN}.(?P<unit>\d+).block'
MOBILENET_V3 = {
    **with_bn(
        {
            f'{IN}.0': 'backbone.conv_stem backbone.bn1',
            f'{IN}.1.block.0': 'backbone.blocks.0.0.conv_dw backbone.blocks.0.0.bn1',
            f'{IN}.1.block.1': 'backbone.blocks.0.0.conv_pw backbone.blocks.0.0.bn2',
            f'{UNIT}.0': 'backbone.blocks.UNIT.conv_pw backbone.blocks.UNIT.bn1',
            f'{UNIT}.1': 'backbone.blocks.UNIT.conv_dw backbone.blocks.UNIT.bn2',
            f'{UNIT}.[23]': 'backbone.blocks.UNIT.conv_pwl backbone.blocks.UNIT.bn3',
            f'{IN}.16': 'backbone.blocks.6.0.conv backbone.blocks.6.0.bn1',
        },
        *CONV_BN,
    ),
    f'{UNIT}.2.fc1': 'backbone.blocks.UNIT.se.conv_reduce',
    f'{UNIT}.2.fc2': 'backbone.blocks.UNIT.se.conv_expand',
    'classifier.[03]': CLASSIFIER,
}

# Auxiliary heads: of a ResNet's it reads block3; of MobileNetV3's, what no backbone here returns.
AUXILIARY = {
    'aux_classifier.0': 'auxiliary_head.convs.0.conv',
    'aux_classifier.1': 'auxiliary_head.convs.0.bn',
    'aux_classifier.4': 'auxiliary_head.conv_seg',
}
INSIDE_A_STAGE = {'aux_classifier.[014]': Drop('auxiliary head on a map inside a stage')}

SOURCES = (
    Source('torchvision DeepLabv3 on a ResNet', PLAIN | HEAD | AUXILIARY, value=pooling_first),
    Source(
        'torchvision MobileNetV3-Large',
        MOBILENET_V3 | HEAD | INSIDE_A_STAGE,
        units=['', *by_stage(1, 2, 3, 4, 2, 3)],  # theirs are counted from 1
        network="AtrousBackbone around timm's mobilenetv3_large_100 with bn_eps=1e-3",
        value=pooling_first,
    ),
)
