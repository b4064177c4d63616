import itertools

import fit
import pytest
from common.network_description import describe_network, training_memory
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from torch.profiler import ProfilerActivity, profile


def test_any_network_tells_stride_and_rate_of_its_layers():
    stock = ConfigDict(
        type='EncoderDecoder',
        backbone=dict(
            type='ResNet', depth=18, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1),
            norm_cfg=dict(type='SyncBN'),
        ),
        decode_head=dict(type='FCNHead', in_channels=512, in_index=3, channels=8, num_classes=2,
                         num_convs=1),
        pretrained='open-mmlab://resnet18_v1c',
    )  # fmt: skip
    lines = describe_network(stock, {None: 'as it is'}, (64, 96))
    assert '  backbone.conv1: 1 x 7x7, stride 2, rate 1' in lines
    assert '  backbone.layer3: 1 x 3x3, stride 1, rate 2' in lines
    ours = ConfigDict(
        type='DeepLabV3',
        backbone=dict(type='AtrousBackbone', backbone=dict(type='MobileNetV2', widen_factor=0.25)),
        decode_head=dict(type='ImagePoolASPPHead', in_channels=80, channels=8, num_classes=2),
    )
    fine, coarse = (describe_network(ours, {s: 'here'}, (65, 65)) for s in (8, 16))
    assert not any('backbone' in line and 'rate 4' in line for line in coarse)
    assert any('backbone' in line and 'rate 4' in line for line in fine)


def measured(model, optimizer, batch):
    """The most bytes of tensors in a real training step, as PyTorch's profiler saw them."""
    kept = [*model.parameters(), *model.buffers()]
    kept += [v for s in optimizer.optimizer.state.values() for v in s.values() if v is not None]
    before = sum(tensor.nbytes for tensor in kept) + sum(image.nbytes for image in batch['inputs'])
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        model.train_step(batch, optimizer)
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == '[memory]')
    return before + max(itertools.accumulate(size for _, size in changes))


@pytest.mark.parametrize('with_cp', [False, True])
def test_memory_of_a_training_step_is_what_a_real_one_takes(tiny_config, with_cp):
    changes = {
        'model.backbone.base_channels': 32,
        'model.backbone.with_cp': with_cp,
        'model.decode_head.in_channels': 256,
        'model.data_preprocessor.size': (129, 161),
        'model.data_preprocessor.size_divisor': None,
        'train_dataloader.batch_size': 4,
    }
    cfg = Config.fromfile(tiny_config(f'memory_{with_cp}', changes))
    expected = training_memory(cfg, 4, (129, 161))
    model = MODELS.build(cfg.model).train()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = fit._batch(cfg)
    model.train_step(batch, optimizer)  # from then on the optimizer has its state
    assert measured(model, optimizer, batch) == pytest.approx(expected, rel=0.1)


def test_checkpointing_and_fewer_images_take_less(tiny_config):
    cfg = Config.fromfile(tiny_config('less_memory'))
    full, half = (training_memory(cfg, batch, (129, 129)) for batch in (4, 2))
    cfg.model.backbone.with_cp = True
    assert training_memory(cfg, 4, (129, 129)) < full and half < 0.7 * full
