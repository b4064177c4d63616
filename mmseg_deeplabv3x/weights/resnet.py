"""ResNets of torchvision, timm and mmpretrain, and of all who train those without labels."""

from .source import CLASSIFIER, Drop, Source

# An encoder inside something larger: smp, DINO, MoCo, a detector.
INSIDE = '(?:(?:backbone|encoder|encoder_q|body|model)(?:.|$))*'
UNITS = {
    rf'{INSIDE}(layer[1-4].\d+.(?:conv[123]|bn[123]|downsample.[012]))': r'backbone.\1',
}
PLAIN = {f'{INSIDE}(conv1|bn1)': r'backbone.\1', **UNITS}
# Three convolutions as timm names them (c, d, s, t); mmseg's ResNetV1c calls them stem.0 to stem.7.
DEEP_STEM = {
    f'{INSIDE}conv1.([01346])': r'backbone.stem.\1',
    f'{INSIDE}bn1': 'backbone.stem.7',
    **UNITS,
}
OTHER_TASK = {
    f'{INSIDE}(?:head.)?fc': CLASSIFIER,
    'encoder_k.[^/]+': Drop('second encoder of MoCo'),
    'head[^/]*': Drop('head of another task'),
}
SOURCES = (
    Source('ResNet', PLAIN | OTHER_TASK),
    Source('ResNet with a deep stem', DEEP_STEM | OTHER_TASK),
)
