"""On a GPU: the main job with mixed precision, resume and evaluation; late errors."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint
from mmseg_deeplabv3x.losses import UpsampledCrossEntropyLoss

if not torch.cuda.is_available():
    pytest.skip('needs a CUDA GPU', allow_module_level=True)


def test_trains_with_amp_resumes_and_evaluates(tiny_config, tmp_path):
    config, work_dir = tiny_config('gpu'), tmp_path / 'run'
    line = [config, '--work-dir', str(work_dir), '--amp', '--cfg-options']
    cli_train.train([*line, 'train_cfg.max_iters=2', 'train_cfg.val_interval=2'])
    half = read_checkpoint(str(work_dir / 'iter_2.pth'))
    assert half['optimizer'].get('loss_scaler'), "float16's loss scale is in the checkpoint"
    cli_train.train([config, '--work-dir', str(work_dir), '--amp', '--resume'])
    assert read_checkpoint(str(work_dir / 'iter_4.pth'))['meta']['iter'] == 4

    cfg = Config.fromfile(config)
    cfg.update(work_dir=str(tmp_path / 'test'), load_from=str(work_dir / 'iter_4.pth'))
    cfg.experiment_name = 'gpu_evaluation'
    runner = Runner.from_cfg(cfg)
    assert 0 <= runner.test()['mIoU'] <= 100
    assert next(runner.model.parameters()).is_cuda


def test_a_label_that_is_no_class_is_found_after_the_last_batch_too():
    loss = UpsampledCrossEntropyLoss()
    logits, labels = torch.randn(2, 5, 9, 9, device='cuda'), torch.full((2, 65, 65), 37).cuda()
    loss.loss_and_accuracy(logits, labels, True, 255)
    with pytest.raises(ValueError, match='0 to 4, or ignore_index=255, but got 37'):
        loss.eval()
    loss.eval()
