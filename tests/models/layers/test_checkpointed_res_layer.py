"""CheckpointedResLayer: less memory, and otherwise the numbers of mmseg's ResLayer."""

import copy
import pickle

import pytest
import torch
from mmseg.models.backbones import resnet
from mmseg.models.backbones.resnet import BasicBlock, Bottleneck
from mmseg.models.utils import ResLayer
from torch.nn.parallel import DistributedDataParallel

from mmseg_deeplabv3x.models.layers.checkpointed_res_layer import CheckpointedResLayer


def layers(block=Bottleneck):
    """mmseg's layer and ours, of the same weights, in training mode."""
    torch.manual_seed(0)
    shape = dict(block=block, inplanes=8, planes=4, num_blocks=3, stride=2)
    theirs = ResLayer(**shape)
    ours = CheckpointedResLayer(**shape, with_cp=True)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def train(layer, steps=2, needs_grad=True, run=None):
    """Outputs, gradients of weights and map, and the state after two steps."""
    images = torch.randn(2, 8, 17, 13, generator=torch.Generator().manual_seed(1))
    images.requires_grad_(needs_grad)
    for _ in range(steps):
        out = (run or layer)(images)
        out.float().pow(2).sum().backward()
    grads = {name: p.grad for name, p in layer.named_parameters()}
    return out.detach(), grads, images.grad, layer.state_dict()


@pytest.mark.filterwarnings('error:torch.utils.checkpoint')
@pytest.mark.parametrize('block', [BasicBlock, Bottleneck])
@pytest.mark.parametrize('needs_grad', [True, False])
def test_training_is_that_of_mmsegs_layer(block, needs_grad):
    """BN's statistics too, which upstream count each batch twice."""
    expected, found = (train(layer, needs_grad=needs_grad) for layer in layers(block))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert found[3]['0.bn1.num_batches_tracked'] == 2


def test_frozen_bn_stays_frozen():
    theirs, ours = layers()
    for layer in (theirs, ours):
        layer[1].eval()
    expected, found = train(theirs), train(ours)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert found[3]['1.bn1.num_batches_tracked'] == 0


def test_gradient_asked_for_twice():
    expected, found = [], []
    for layer, results in zip(layers(), (expected, found)):
        loss = layer(torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(1))).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        results += [layer[0].conv1.weight.grad, layer.state_dict()]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_mixed_precision():
    results = []
    for layer in layers():
        with torch.autocast('cpu', torch.bfloat16):
            results.append(train(layer))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


def test_compiled():
    theirs, ours = layers()
    found = train(ours, run=torch.compile(ours, backend='aot_eager', fullgraph=True))
    torch.testing.assert_close(found, train(theirs))


def test_under_ddp(one_process):
    theirs, ours = layers()
    found = train(ours, run=DistributedDataParallel(ours))
    torch.testing.assert_close(found, train(theirs), rtol=0, atol=0)


def test_copies_are_layers_of_their_own():
    theirs, ours = layers()
    expected = train(theirs)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        torch.testing.assert_close(train(other), expected, rtol=0, atol=0)
    assert ours[0].bn1.num_batches_tracked == 0


def kept_bytes(layer, x):
    """Of all that is kept for the gradient."""
    kept = []

    def keep(tensor):
        kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x)
    return sum(kept)


def test_keeps_less_for_the_gradient():
    theirs, ours = layers()
    x = torch.randn(2, 8, 17, 13, requires_grad=True)
    assert kept_bytes(ours, x) < 0.25 * kept_bytes(theirs, x)
    ours.with_cp = False
    assert kept_bytes(ours, x) == kept_bytes(theirs, x)


@pytest.mark.parametrize('kind', ['AtrousResNet', 'CascadeNeck'])
def test_backbone_and_neck_have_it(build, kind):
    cfg = dict(type=kind, depth=18, base_channels=8)
    x = torch.randn(2, 3, 33, 33) if kind == 'AtrousResNet' else [torch.randn(2, 64, 5, 5)]
    plain, checkpointed = (build(**cfg, with_cp=with_cp) for with_cp in (False, True))
    assert kept_bytes(checkpointed, x) < 0.6 * kept_bytes(plain, x)


def test_other_resnets_keep_pytorchs_module():
    assert resnet.cp is torch.utils.checkpoint
