from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor

from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.engine.hooks import ThroughputHook, throughput_hook

WINDOW = 10


@pytest.fixture
def run(monkeypatch, request):
    """Runs of iterations of (images, seconds, seconds of them waiting for data)."""
    monkeypatch.setattr(throughput_hook, 'is_cuda_available', lambda: False)
    hub = MessageHub(request.node.name)
    lines = []
    runner = SimpleNamespace(
        message_hub=hub,
        log_processor=LogProcessor(window_size=WINDOW),
        train_dataloader=SimpleNamespace(num_workers=3),
        logger=SimpleNamespace(warning=lines.append),
    )

    def run(iterations, timed=True):
        hook = ThroughputHook()
        hook.before_train(runner)
        for i, (images, seconds, waited) in enumerate(iterations):
            if timed:  # as IterTimerHook does
                hub.update_scalar('train/data_time', waited)
                hub.update_scalar('train/time', seconds)
            hook.after_train_iter(runner, i, dict(inputs=[None] * images))
        return {key: scalar.current() for key, scalar in hub.log_scalars.items()}

    run.hub, run.lines = hub, lines
    return run


def test_the_numbers_are_those_of_the_window(run):
    found = run([(99, 99.0, 99.0)] * 5 + [(4, 1.0, 0.25)] * 5 + [(2, 3.0, 0.25)] * 5)
    assert found['train/img/s'] == pytest.approx(30 / 20)
    assert found['train/data_wait'] == pytest.approx(100 * 2.5 / 20)


def test_the_first_iterations_are_a_shorter_window(run):
    found = run([(4, 1.0, 0.5), (2, 2.0, 0.25)])
    assert found['train/img/s'] == pytest.approx(2.0)
    assert found['train/data_wait'] == pytest.approx(25.0)


def test_what_was_before_a_resume_does_not_count(run):
    run([(8, 9.0, 9.0)] * WINDOW)  # mmengine's times go through the checkpoint
    found = run([(4, 1.0, 0.25)] * 3)
    assert found['train/img/s'] == pytest.approx(4.0)
    assert found['train/data_wait'] == pytest.approx(25.0)


def test_the_images_of_all_processes_count(run, monkeypatch):
    monkeypatch.setattr(throughput_hook, 'get_world_size', lambda: 16)
    assert run([(4, 2.0, 0.0)] * 2)['train/img/s'] == pytest.approx(32.0)


def test_a_resumed_run_starts_without_the_numbers_of_its_checkpoint(run):
    ours = {'train/img/s', 'train/data_wait', 'train/memory'}
    assert ours < run([(4, 1.0, 0.25)] * 2).keys()
    assert ours.isdisjoint(run([]))


def test_no_history_of_them_is_kept(run):
    run([(4, 1.0, 0.25)] * 5)
    assert len(run.hub.get_scalar('train/img/s').data[0]) == 1


def test_memory_is_what_the_process_had_at_most(run):
    found = run([(4, 1.0, 0.25)])['train/memory']
    status = Path('/proc/self/status').read_text()
    assert found == pytest.approx(int(re.search(r'VmHWM:\s+(\d+) kB', status)[1]) / 1024, rel=0.05)


def test_with_a_gpu_memory_is_the_frameworks(run, monkeypatch):
    monkeypatch.setattr(throughput_hook, 'is_cuda_available', lambda: True)
    assert 'train/memory' not in run([(4, 1.0, 0.25)])


def test_without_a_timer_there_is_only_memory(run):
    assert set(run([(4, 1.0, 0.25)], timed=False)) == {'train/memory'}


SLOW, FAST = (4, 1.0, 0.31), (4, 1.0, 0.29)


@pytest.mark.parametrize(
    'iterations, times',
    [
        ([SLOW] * 49, 0),
        ([SLOW] * 50, 1),
        ([SLOW] * 200, 1),
        ([SLOW] * 60 + [FAST] * 20 + [SLOW] * 60, 1),
        ([FAST] * 200, 0),
        # four workers that make a batch in the time of two iterations: burst, then wait
        ([(4, 1.0, 0.0), (4, 1.0, 0.0), (4, 1.0, 0.0), (4, 5.0, 4.0)] * 20, 1),
        # a validation or a checkpoint now and then
        (([FAST] * 40 + [(4, 60.0, 59.0)]) * 5, 0),
    ],
)
def test_a_loader_that_stays_too_slow_is_told_of_once(run, iterations, times):
    run(iterations)
    assert len(run.lines) == times
    for line in run.lines:
        assert 'Data is the bottleneck' in line and 'num_workers, now 3,' in line


ITERATIONS = {'train_cfg.max_iters': 3, 'train_cfg.val_interval': 3}
EPOCHS = {
    'train_cfg': dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=1),
    'train_dataloader.sampler.type': 'DefaultSampler',
    'log_processor.by_epoch': True,
}


@pytest.mark.parametrize('loop', [ITERATIONS, EPOCHS], ids=['iterations', 'epochs'])
def test_the_frameworks_log_and_backends_have_them(tiny_config, tmp_path, loop, request):
    config = tiny_config(
        request.node.callspec.id,
        {
            'custom_hooks': [dict(type='ThroughputHook')],
            'optim_wrapper.accumulative_counts': 2,
            'log_processor.window_size': 2,
            **loop,
        },
    )
    cli_train.train([config, '--work-dir', str(tmp_path)])
    (log,) = tmp_path.glob('*/*.log')
    found = re.findall(r'(?=.*data_time).* img/s: \S+  data_wait: \S+', log.read_text())
    assert len(found) == 3
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    lines = [line for line in lines if 'loss' in line]
    assert len(lines) == 3
    for line in lines:
        assert line['img/s'] == pytest.approx(2 / line['time'])
        assert line['data_wait'] == pytest.approx(100 * line['data_time'] / line['time'])
        assert line['memory'] > 50
