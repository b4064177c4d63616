"""Against mmseg's SegDataPreProcessor, bit by bit."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from mmseg_deeplabv3x.models.channels_last_preprocessor import ChannelsLastPreProcessor

CFG = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)


def draw(n=2, shape=(3, 16, 16), dtype=torch.uint8):
    torch.manual_seed(0)
    images = [torch.randint(0, 256, shape).to(dtype) for _ in range(n)]
    return dict(inputs=images, data_samples=[SegDataSample() for _ in images])


def both(data, training=False, **cfg):
    """Of ours and of mmseg's."""
    return [
        kind(**{**CFG, **cfg})(data, training)['inputs']
        for kind in (ChannelsLastPreProcessor, SegDataPreProcessor)
    ]


@pytest.mark.parametrize('shape', [(3, 16, 16), (3, 5, 7), (3, 1, 4), (3, 4, 1), (3, 1, 1)])
@pytest.mark.parametrize('n', [1, 3])
def test_the_same_numbers_side_by_side(shape, n):
    data = draw(n, shape)
    before = torch.stack(data['inputs'])
    ours, theirs = both(data)
    assert ours.dtype == torch.float32 and torch.equal(ours, theirs)
    assert ours.permute(0, 2, 3, 1).is_contiguous()
    assert torch.equal(torch.stack(data['inputs']), before)


def test_every_byte_of_every_channel():
    values = torch.arange(256, dtype=torch.uint8)
    image = torch.stack([values, values.flip(0), values.roll(7)])[:, :, None]
    ours, theirs = both(dict(inputs=[image]))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    'cfg', [dict(bgr_to_rgb=False), dict(mean=[0, 100, 200], std=[1, 2, 3]), dict(mean=None)]
)
def test_other_settings(cfg):
    assert torch.equal(*both(draw(), **cfg))


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16])
def test_a_model_in_another_precision(dtype):
    ours, theirs = [
        kind(**CFG).to(dtype)(draw())['inputs']
        for kind in (ChannelsLastPreProcessor, SegDataPreProcessor)
    ]
    assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


@pytest.mark.parametrize(
    'kind', [dict(shape=(1, 8, 8)), dict(shape=(4, 8, 8)), dict(dtype=torch.float32)]
)
def test_other_images_are_left_to_mmseg(kind):
    cfg = dict(mean=[123.675], std=[58.395])
    assert torch.equal(*both(draw(**kind), **cfg))


def test_padding_is_left_to_mmseg():
    ours, theirs = both(draw(), test_cfg=dict(size=(20, 24)))
    assert ours.shape == (2, 3, 20, 24) and torch.equal(ours, theirs)


def test_training_is_left_to_mmseg():
    data = draw()
    for sample in data['data_samples']:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 16, 16, dtype=torch.long))
    ours, theirs = both(data, training=True, size=(20, 24))
    assert ours.shape == (2, 3, 20, 24) and torch.equal(ours, theirs)


def test_images_of_several_sizes_are_refused_as_in_mmseg():
    images = draw()['inputs'] + draw(shape=(3, 16, 15))['inputs']
    with pytest.raises(AssertionError, match='same'):
        ChannelsLastPreProcessor(**CFG)(dict(inputs=images))


def test_data_samples_come_along():
    data = draw()
    data['data_samples'][1].set_metainfo(dict(img_path='a.png'))
    assert ChannelsLastPreProcessor(**CFG)(data)['data_samples'][1].img_path == 'a.png'
    assert ChannelsLastPreProcessor(**CFG)(dict(inputs=data['inputs']))['data_samples'] is None
