"""What can be told of a GPU without one: no mix of devices, and no wait of the host.

FakeTensorMode carries tensors that have a device and a shape but no numbers. An operation on a mix
of devices is an error there, and so is reading a number (``.item()``), for which a real GPU would
make the host wait. It takes a CUDA build of PyTorch, as in the second environment.
"""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

import mmseg_deeplabv3x  # noqa: F401

pytestmark = pytest.mark.skipif(
    torch.version.cuda is None, reason='pretending a cuda device takes a CUDA build of PyTorch'
)
NETWORKS = {
    'aspp': dict(
        backbone=dict(type='AtrousResNet', depth=50, multi_grid=(1, 2, 4)),
        decode_head=dict(type='ImagePoolASPPHead', in_channels=2048, num_classes=21),
    ),
    'cascade': dict(
        backbone=dict(type='AtrousResNet', depth=18, with_cp=True),
        neck=dict(type='CascadeNeck', depth=18),
        decode_head=dict(
            type='UpsampledFCNHead',
            in_channels=512,
            channels=512,
            num_classes=21,
            num_convs=0,
            concat_input=False,
        ),
    ),
}


class Event:
    """A CUDA event where there is no CUDA."""

    def record(self, *_):
        pass

    def synchronize(self):
        pass


@pytest.fixture(params=NETWORKS)
def model(request, monkeypatch):
    """A network in training mode on a pretended GPU."""
    init_default_scope('mmseg')
    monkeypatch.setattr(torch.cuda, 'Event', Event)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device('cuda'):
        network = MODELS.build(
            dict(
                type='DeepLabV3',
                output_stride=dict(train=16, test=8),
                data_preprocessor=dict(
                    type='SegDataPreProcessor', mean=[1.0] * 3, std=[2.0] * 3, size=(129, 129)
                ),
                **NETWORKS[request.param],
            )
        )
        network.data_preprocessor._device = torch.device('cuda')
        yield network


def test_reading_a_number_and_mixing_devices_are_errors(model):
    with pytest.raises(DataDependentOutputException):
        images(1, (9, 9)).sum().item()
    with pytest.raises(RuntimeError, match='found two different devices|at least two devices'):
        images(1, (9, 9)) + torch.empty(1, 3, 9, 9, device='cpu')


def samples(count, size):
    labels = torch.empty(1, *size, dtype=torch.long, device='cuda')
    return [
        SegDataSample(
            gt_sem_seg=PixelData(data=labels),
            metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size),
        )
        for _ in range(count)
    ]


def images(count, size):
    return torch.empty(count, 3, *size, device='cuda')


def test_a_training_step_stays_on_the_device(model):
    losses = model.loss(images(2, (129, 129)), samples(2, (129, 129)))
    total = sum(value for name, value in losses.items() if 'loss' in name)
    # the loss forms its gradient in the forward pass; autograd's own threads need a real device
    assert total.device.type == 'cuda' and total.requires_grad


def test_a_prediction_stays_on_the_device(model):
    model.eval()
    with torch.no_grad():
        (sample,) = model.predict(images(1, (120, 97)), samples(1, (120, 97)))
    assert sample.pred_sem_seg.data.device.type == 'cuda'
    assert sample.pred_sem_seg.data.shape == (1, 120, 97)


def test_tta_stays_on_the_device(model):
    tta = MODELS.build(dict(type='RunningMeanTTAModel', module=model))
    model.eval()
    views = [images(1, (120, 97))] * 2
    with torch.no_grad():
        data = dict(
            inputs=[[view[0]] for view in views],
            data_samples=[samples(1, (120, 97)) for _ in views],
        )
        (sample,) = tta.test_step(data)
    assert sample.pred_sem_seg.data.device.type == 'cuda'
