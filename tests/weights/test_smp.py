import pytest

from mmseg_deeplabv3x.weights import convert, describe


@pytest.fixture
def smp():
    return pytest.importorskip(
        'segmentation_models_pytorch', reason='needs segmentation_models.pytorch'
    )


@pytest.mark.parametrize('depth', [18, 50])
def test_every_tensor_of_its_deeplabv3(smp, depth):
    state = smp.DeepLabV3(f'resnet{depth}', encoder_weights=None, classes=5).state_dict()
    report = convert(state)
    assert not report.dropped
    assert len(report.tensors) == len(state)
    assert describe(report.tensors) == f'AtrousResNet(depth={depth})'
