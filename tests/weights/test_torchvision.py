import pytest
import torch

from mmseg_deeplabv3x.weights import convert, describe
from mmseg_deeplabv3x.weights.torchvision import pooling_first


def segmentation(name):
    models = pytest.importorskip('torchvision.models.segmentation', reason='needs torchvision')
    model = getattr(models, name)(weights=None, weights_backbone=None, aux_loss=True)
    return model.state_dict()


def test_projection_reads_the_image_level_branch_first():
    branches = torch.arange(5.0).repeat_interleave(4).expand(4, 20)[..., None, None]
    ours = pooling_first('decode_head.bottleneck.conv.weight', branches)
    assert ours[0, ::4].flatten().tolist() == [4, 0, 1, 2, 3]


@pytest.mark.parametrize('depth', [50, 101])
def test_every_tensor_of_deeplabv3_on_a_resnet(depth):
    state = segmentation(f'deeplabv3_resnet{depth}')
    report = convert(state)
    assert not report.dropped
    assert len(report.tensors) == len(state)
    assert describe(report.tensors) == f'AtrousResNet(depth={depth})'


def test_every_tensor_of_deeplabv3_on_mobilenetv3_is_one_of_timms():
    timm = pytest.importorskip('timm', reason='needs timm')
    report = convert(segmentation('deeplabv3_mobilenet_v3_large'))
    assert not report.dropped
    network = timm.create_model('mobilenetv3_large_100', features_only=True).state_dict()
    backbone = {
        key.removeprefix('backbone.'): value
        for key, value in report.tensors.items()
        if key.startswith('backbone.')
    }
    assert backbone.keys() == network.keys()
    assert all(value.shape == network[key].shape for key, value in backbone.items())


def test_mobilenetv3_without_a_head():
    models = pytest.importorskip('torchvision.models', reason='needs torchvision')
    report = convert(models.mobilenet_v3_large().state_dict())
    assert set(report.dropped.values()) == {'classifier of images'}
    assert len(report.dropped) == 4
