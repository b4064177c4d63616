"""GradientCompressionHook: two processes of this machine exchange rounded gradients."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmseg.registry import HOOKS
from torch import nn

from mmseg_deeplabv3x.cli import runner
from mmseg_deeplabv3x.cli import train as cli_train

# what docs/scaling.md offers; the small buckets make it several
OPTIONS = dict(
    broadcast_buffers=False, bucket_cap_mb=0.001, gradient_as_bucket_view=True, static_graph=True
)
ROUNDING = 2**-8  # of bfloat16, at most, relative
WAYS = {'plain': {}, 'options': OPTIONS}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 5, 3))


def gradients(model, rank):
    generator = torch.Generator().manual_seed(rank)
    model(torch.randn(2, 3, 9, 9, generator=generator)).square().mean().backward()
    return [parameter.grad for parameter in model.parameters()]


def compress(model):
    HOOKS.build(dict(type='GradientCompressionHook')).before_train(SimpleNamespace(model=model))
    return model


def one_of_two(rank, folder, config):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE='2', LOCAL_RANK=str(rank), CUDA_VISIBLE_DEVICES='')
    file = f'file://{folder}/rendezvous'
    dist.init_process_group('gloo', init_method=file, rank=rank, world_size=2)
    found = {}
    for way, options in WAYS.items():
        found[way] = gradients(MMDistributedDataParallel(network(), **options), rank)
        compressed = compress(MMDistributedDataParallel(network(), **options))
        found[f'{way}, compressed'] = gradients(compressed, rank)
    torch.save(found, f'{folder}/{rank}.pth')

    # the tool takes the process group that is there
    runner.init_process_group = lambda launcher: None
    options = [f'model_wrapper_cfg.{key}={value}' for key, value in OPTIONS.items()]
    options += ['default_hooks.gradient_compression.type=GradientCompressionHook']
    argv = [config, '--launcher', 'pytorch', '--work-dir', f'{folder}/work_dir']
    cli_train.train([*argv, '--cfg-options', *options])


@pytest.fixture(scope='module')
def folder(tiny_config, tmp_path_factory):
    """What two processes left, each its gradients in each way, and a training's work dir."""
    folder = tmp_path_factory.mktemp('two')
    changes = {'train_cfg.max_iters': 1, 'train_cfg.val_interval': 2}
    config = tiny_config('gradient_compression', changes)
    torch.multiprocessing.start_processes(
        one_of_two, (str(folder), config), nprocs=2, start_method='spawn'
    )
    return folder


@pytest.fixture(scope='module')
def found(folder):
    return [torch.load(folder / f'{rank}.pth') for rank in range(2)]


@pytest.fixture(scope='module')
def alone():
    """The gradients of each process by itself."""
    return [gradients(network(), rank) for rank in range(2)]


@pytest.mark.parametrize('way', WAYS)
def test_without_the_hook_it_is_the_mean(found, alone, way):
    for one, other, *own in zip(found[0][way], found[1][way], *alone):
        assert torch.equal(one, other)
        assert torch.allclose(one, sum(own) / 2, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('way', WAYS)
def test_with_the_hook_it_is_the_mean_within_rounding(found, alone, way):
    pairs = list(zip(*(each[f'{way}, compressed'] for each in found), *alone))
    for one, other, *own in pairs:
        assert torch.equal(one, other) and one.dtype == torch.float32
        mean = sum(own) / 2
        bound = ROUNDING * (sum(gradient.abs() for gradient in own) / 2 + mean.abs())
        assert ((one - mean).abs() <= 1.01 * bound).all()
    assert all(torch.equal(one, one.bfloat16().float()) for one, *_ in pairs), 'it was rounded'
    assert any(not torch.equal(one, sum(own) / 2) for one, _, *own in pairs)


def test_the_tool_trains_with_every_option(folder):
    (log,) = (folder / 'work_dir').glob('*/*.log')
    assert 'GradientCompressionHook' in log.read_text()
    assert (folder / 'work_dir' / 'iter_1.pth').is_file()


def test_a_model_that_is_not_distributed_is_refused():
    with pytest.raises(ValueError, match='the model is a Sequential: start several processes'):
        compress(network())


def test_a_backend_without_bfloat16_is_named(tmp_path, monkeypatch):
    def all_reduce(*args, **kwargs):
        raise RuntimeError('Invalid scalar type')

    file = f'file://{tmp_path}/rendezvous'
    dist.init_process_group('gloo', init_method=file, rank=0, world_size=1)
    try:
        model = MMDistributedDataParallel(network())
        monkeypatch.setattr(dist, 'all_reduce', all_reduce)
        with pytest.raises(ValueError, match=r'but gloo of PyTorch .* \(Invalid scalar type\)'):
            compress(model)
    finally:
        dist.destroy_process_group()
