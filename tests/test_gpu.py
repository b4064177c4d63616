"""On a GPU: the main job with mixed precision, resume and evaluation, and the Triton kernel."""

from importlib.util import find_spec

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.ops import upsampled_cross_entropy

if not torch.cuda.is_available():
    pytest.skip('needs a CUDA GPU', allow_module_level=True)


def test_trains_with_amp_resumes_and_evaluates(tiny_config, tmp_path):
    config, work_dir = tiny_config('gpu'), tmp_path / 'run'
    line = [config, '--work-dir', str(work_dir), '--amp', '--cfg-options']
    cli_train.train([*line, 'train_cfg.max_iters=2', 'train_cfg.val_interval=2'])
    half = torch.load(work_dir / 'iter_2.pth', map_location='cpu')
    assert half['optimizer'].get('loss_scaler'), "float16's loss scale is in the checkpoint"
    cli_train.train([config, '--work-dir', str(work_dir), '--amp', '--resume'])
    assert torch.load(work_dir / 'iter_4.pth', map_location='cpu')['meta']['iter'] == 4

    cfg = Config.fromfile(config)
    cfg.update(work_dir=str(tmp_path / 'test'), load_from=str(work_dir / 'iter_4.pth'))
    cfg.experiment_name = 'gpu_evaluation'
    runner = Runner.from_cfg(cfg)
    assert 0 <= runner.test()['mIoU'] <= 100
    assert next(runner.model.parameters()).is_cuda


@pytest.mark.skipif(find_spec('triton') is None, reason='needs the package triton')
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize(
    'shape,size',
    [
        ((4, 21, 65, 65), (513, 513)),
        ((2, 150, 32, 32), (512, 512)),
        ((2, 2, 1, 1), (65, 97)),
        ((2, 19, 33, 17), (16, 31)),
    ],
)
def test_the_triton_loss_equals_the_plain_one(shape, size, align_corners, dtype):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(shape, generator=generator)).to('cuda', dtype).requires_grad_()
    labels = torch.randint(shape[1], (shape[0], *size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = 255
    weight = torch.rand(shape[1], generator=generator).tolist()

    def run(triton):
        loss, accuracy = upsampled_cross_entropy(
            logits,
            labels.cuda(),
            align_corners,
            class_weight=weight,
            return_accuracy=True,
            triton=triton,
        )
        value = upsampled_cross_entropy(
            logits.detach(), labels.cuda().byte(), align_corners, class_weight=weight, triton=triton
        )
        assert abs(value - loss) <= 1e-6 * loss, 'without gradient, of labels in bytes'
        return loss.detach(), torch.autograd.grad(loss, logits)[0].float(), accuracy

    plain, kernel, again = run(False), run(True), run(True)
    assert all(torch.equal(*pair) for pair in zip(kernel, again)), 'the same in every run'
    assert abs(kernel[0] - plain[0]) <= 1e-6 * plain[0]
    largest = plain[1].abs().max()
    rounding = 2e-6 if dtype == torch.float32 else torch.finfo(dtype).eps
    assert (kernel[1] - plain[1]).abs().max() <= rounding * largest
    # where two classes are equal up to rounding, either may be the highest
    assert abs(kernel[2] - plain[2]) <= 1e-2
