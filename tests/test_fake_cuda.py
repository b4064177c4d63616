"""What can be told of a GPU without one: no mix of devices, and no wait of the host.

FakeTensorMode carries tensors that have a device and a shape but no numbers. An operation on a mix
of devices is an error there, and so is reading a number (``.item()``), for which a real GPU would
make the host wait. It takes a CUDA build of PyTorch, as in the second environment.
"""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import METRICS, MODELS
from mmseg.structures import SegDataSample
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode

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
    # parameters without numbers cannot change their layout
    move = torch.nn.Module.to
    monkeypatch.setattr(
        torch.nn.Module, 'to', lambda self, *to, **how: move(self, *to) if to else self
    )
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device('cuda'):
        network = MODELS.build(
            dict(
                type='DeepLabV3',
                output_stride=dict(train=16, test=8),
                channels_last=False,  # as on a GPU
                data_preprocessor=dict(
                    type='SegDataPreProcessor', mean=[1.0] * 3, std=[2.0] * 3, size=(129, 129)
                ),
                **NETWORKS[request.param],
            )
        )
        network.data_preprocessor._device = torch.device('cuda')
        yield network


PREPARE = dict(
    plain=lambda model: model.eval(),
    fast=lambda model: model.speed_up(),
    fast_in_bfloat16=lambda model: model.speed_up(precision='bf16'),
)


def test_reading_a_number_and_mixing_devices_are_errors(model):
    with pytest.raises(DataDependentOutputException):
        images(1, (9, 9)).sum().item()
    with pytest.raises(RuntimeError, match='found two different devices|at least two devices'):
        images(1, (9, 9)) + torch.empty(1, 3, 9, 9, device='cpu')


def samples(count, size, **meta):
    labels = torch.empty(1, *size, dtype=torch.long, device='cuda')
    return [
        SegDataSample(
            gt_sem_seg=PixelData(data=labels),
            metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size, **meta),
        )
        for _ in range(count)
    ]


def images(count, size):
    return torch.empty(count, 3, *size, device='cuda')


def test_the_network_stays_on_the_device(model):
    assert model(images(2, (129, 129))).device.type == 'cuda'


@pytest.mark.parametrize('amp', [False, True])
def test_a_training_step_stays_on_the_device(model, amp):
    with torch.autocast('cuda', torch.bfloat16, enabled=amp):
        losses = model.loss(images(2, (129, 129)), samples(2, (129, 129)))
    total = sum(value for name, value in losses.items() if 'loss' in name)
    # the loss forms its gradient in the forward pass; autograd's own threads need a real device
    assert total.device.type == 'cuda' and total.requires_grad


@pytest.mark.parametrize('prepare', PREPARE.values(), ids=PREPARE)
def test_a_prediction_stays_on_the_device(model, prepare):
    prepare(model)
    with torch.no_grad():
        (sample,) = model.predict(images(1, (120, 97)), samples(1, (120, 97)))
    assert sample.pred_sem_seg.data.device.type == 'cuda'
    assert sample.pred_sem_seg.data.shape == (1, 120, 97)


@pytest.mark.parametrize('how', [None, {}, dict(precision='bf16')])
def test_tta_stays_on_the_device(model, how):
    tta = MODELS.build(dict(type='RunningMeanTTAModel', module=model)).eval()
    if how is not None:
        tta.speed_up(**how)
    size, mirrored = (120, 97), dict(flip=True, flip_direction='horizontal')
    data = dict(inputs=[], data_samples=[])
    for view, meta in (size, {}), ((60, 49), mirrored):
        data['inputs'].append([images(1, view)[0]])
        data['data_samples'].append(samples(1, view, **meta))
        data['data_samples'][-1][0].set_metainfo(dict(ori_shape=size))
    with torch.no_grad():
        (sample,) = tta.test_step(data)
    for result, channels in (sample.pred_sem_seg.data, 1), (sample.seg_logits.data, 21):
        assert result.device.type == 'cuda' and result.shape == (channels, *size)


@pytest.fixture
def waits(monkeypatch):
    """What makes the host wait for the pretended GPU; it reads zeros."""
    found = []

    def replace(owner, name, answer):
        def read(tensor, **kwargs):
            found.append(name)
            return answer(tensor, **kwargs)

        monkeypatch.setattr(owner, name, read)

    replace(FakeTensor, 'tolist', lambda tensor: np.zeros(tensor.shape, int).tolist())
    replace(FakeTensor, 'item', lambda tensor: 0)
    replace(FakeTensor, 'cpu', FromDevice)
    # CUDA's reads the largest number, to know how long its result is
    replace(torch, 'bincount', lambda tensor, minlength: tensor.new_empty(minlength))
    return found


class FromDevice:
    """A copy on the host."""

    def __init__(self, tensor):
        self.shape = tuple(tensor.shape)

    def numpy(self):
        return np.zeros(self.shape, np.int64)


def test_the_metric_counts_on_the_device(waits):
    metric = METRICS.build(dict(type='ConfusionIoUMetric'))
    metric.dataset_meta = dict(classes=['a', 'b', 'c'])
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device('cuda'):
        (sample,) = samples(1, (120, 97))
        sample.pred_sem_seg = PixelData(data=torch.empty(1, 120, 97, dtype=torch.long))
        metric.process({}, [sample.to_dict()])
    # the extremes of labels and of predictions, then the counts: numbers, and no map
    assert waits == ['tolist', 'tolist', 'bincount', 'cpu']
    assert metric.results[0][1].shape == (1, 3, 3)
