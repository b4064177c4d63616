"""mmseg's segmentors and backbones, and what this package writes: the keys are ours."""

from .resnet import INSIDE, OTHER_TASK, PLAIN
from .source import Drop, Source

SOURCES = (
    Source(
        'mmseg',
        {
            '((?:backbone|neck|decode_head|auxiliary_head).[^/]+)': r'\1',
            'data_preprocessor': Drop('the config has the preprocessor'),
            f'{INSIDE}stem.([013467])': r'backbone.stem.\1',
            **PLAIN,
            **OTHER_TASK,
        },
    ),
)
