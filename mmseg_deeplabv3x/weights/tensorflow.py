"""TensorFlow: slim's ResNet v1 and its beta, and DeepLabv3 as released, on it or on MobileNetV2.

Names are those that ``research/deeplab`` and ``research/slim`` of tensorflow/models give.
"""

from torch import Tensor

from .source import CENTRED, CLASSIFIER, Drop, Source, by_stage, with_bn

SLOT = Drop('state of an optimizer')
LAST = {
    'weights': 'weight',
    'depthwise_weights': 'weight',
    'biases': 'bias',
    'gamma': 'weight',
    'beta': 'bias',
    'moving_mean': 'running_mean',
    'moving_variance': 'running_var',
    **dict.fromkeys(('Momentum', 'RMSProp', 'RMSProp_1', 'Adam', 'Adam_1'), SLOT),
    'global_step': Drop('number of the iteration'),
}


def layout(key: str, tensor: Tensor) -> Tensor:
    """From (height, width, in, out), and depthwise (height, width, out, 1), to PyTorch's."""
    if tensor.ndim != 4:
        return tensor
    return tensor.permute((2, 3, 0, 1) if '.conv_dw.' in key else (3, 2, 0, 1)).contiguous()


HEAD = {
    **with_bn(
        {
            'image_pooling': 'decode_head.image_pool.1.conv decode_head.image_pool.1.bn',
            'aspp([0-3])': r'decode_head.aspp_modules.\1.conv decode_head.aspp_modules.\1.bn',
            'concat_projection': 'decode_head.bottleneck.conv decode_head.bottleneck.bn',
        },
        bn='/BatchNorm',
    ),
    'logits/semantic': 'decode_head.conv_seg',
    r'decoder/[^.]+|aspp\d_(?:depth|point)wise[^.]*': Drop('part of DeepLabv3+'),
}

ROOT = r'resnet_v1_\d+'
UNIT = rf'{ROOT}/block([1-4])/unit_(?P<unit>\d+)/bottleneck_v1'
RESNET = {
    **with_bn(
        {
            f'{ROOT}/conv1': 'backbone.conv1 backbone.bn1',
            f'{ROOT}/conv1_1': 'backbone.stem.0 backbone.stem.1',
            f'{ROOT}/conv1_2': 'backbone.stem.3 backbone.stem.4',
            f'{ROOT}/conv1_3': 'backbone.stem.6 backbone.stem.7',
            f'{UNIT}/conv([123])': (r'backbone.layer\1.UNIT.conv\3 backbone.layer\1.UNIT.bn\3'),
            f'{UNIT}/shortcut': (
                r'backbone.layer\1.UNIT.downsample.0 backbone.layer\1.UNIT.downsample.1'
            ),
        },
        bn='/BatchNorm',
    ),
    f'{ROOT}/logits': CLASSIFIER,
}

FIRST = 'MobilenetV2/expanded_conv'  # does not expand
UNIT = r'MobilenetV2/expanded_conv_(?P<unit>\d+)'
MOBILENET_V2 = {
    **with_bn(
        {
            'MobilenetV2/Conv': 'backbone.conv_stem backbone.bn1',
            f'{FIRST}/depthwise': 'backbone.blocks.0.0.conv_dw backbone.blocks.0.0.bn1',
            f'{FIRST}/project': 'backbone.blocks.0.0.conv_pw backbone.blocks.0.0.bn2',
            f'{UNIT}/expand': 'backbone.blocks.UNIT.conv_pw backbone.blocks.UNIT.bn1',
            f'{UNIT}/depthwise': 'backbone.blocks.UNIT.conv_dw backbone.blocks.UNIT.bn2',
            f'{UNIT}/project': 'backbone.blocks.UNIT.conv_pwl backbone.blocks.UNIT.bn3',
        },
        bn='/BatchNorm',
    ),
    'MobilenetV2/Conv_1[^.]*': Drop('layer before the classifier of images'),
    'MobilenetV2/Logits[^.]*': CLASSIFIER,
}

COMMON = dict(value=layout, last=LAST, average='/ExponentialMovingAverage')
SOURCES = (
    Source(
        'TensorFlow ResNet v1',
        RESNET | HEAD,
        units=['', *map(str, range(99))],  # theirs are counted from 1
        arguments=', strides_last=True',
        images='mean=[123.15, 115.9, 103.06], std=[1.0, 1.0, 1.0], bgr_to_rgb=True',
        **COMMON,
    ),
    Source(
        'TensorFlow MobileNetV2',
        MOBILENET_V2 | HEAD,
        units=by_stage(1, 2, 3, 4, 3, 3, 1),
        images=CENTRED,
        network="AtrousBackbone around timm's mobilenetv2_100 with bn_eps=1e-3",
        **COMMON,
    ),
)
