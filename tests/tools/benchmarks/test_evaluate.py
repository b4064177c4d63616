"""evaluate: both tools give the same predictions, and each variant has a line in the table."""

from __future__ import annotations

import argparse
import json
import re
import runpy
import sys

import numpy as np
import pytest
from benchmarks import evaluate
from common.child_process import CommandError, run_command
from mmengine.visualization import Visualizer
from PIL import Image

VARIANTS = [
    'mmseg',
    'ours, --fast',
    'ours, --fast, batches of 2',
    'ours, --fast --precision bf16, batches of 2',
]


def run(*argv):
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(argv))


@pytest.fixture
def lines(monkeypatch):
    """Command lines, which are run in this process: importing takes long."""
    taken = []

    def run_here(command, log, show, PYTHONPATH):
        interpreter, tool, *argv = map(str, command)
        assert interpreter == sys.executable
        taken.append([tool, *argv])
        Visualizer._instance_dict.clear()  # else one of the same name counts as a mistake
        monkeypatch.setattr(sys, 'argv', [tool, *argv])
        runpy.run_path(tool, run_name='__main__')

    monkeypatch.setattr(evaluate, 'run_command', run_here)
    # each conversion for OpenVINO takes seconds
    fast_prediction = 'mmseg_deeplabv3x.models.segmentors.fast_prediction'
    monkeypatch.setattr(f'{fast_prediction}.find_spec', lambda name: None)
    # layout of the configs in the logs, most of the time
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda code, **style: (code, True))
    return taken


def test_all_variants_predict_the_same(lines, trained, tiny_config, table_cells, tmp_path):
    # lively weights: with the tool's own random ones many pixels are nearly undecided in bfloat16
    options = {'--config': tiny_config('evaluate'), '--images': '3', '--checkpoint': trained[1]}
    argv = [word for option in options.items() for word in option]
    file = tmp_path / 'evaluate.json'
    table = run(*argv, '--batch-size', '2', '--rounds', '1', '--json', str(file))
    assert [name for name, *_ in table_cells(table)[1:]] == VARIANTS
    same = re.search(r"mmseg's class: ([\d.]+) %, ([\d.]+) %, ([\d.]+) %", table)
    assert all(float(share) > least for share, least in zip(same.groups(), (99.9, 99.9, 95)))
    assert int(re.search(r'Classes predicted: (\d+)', table)[1]) > 2
    scores = re.findall(r': ([\d.]+)', table.splitlines()[-1].partition(':')[2])
    scores = [float(score) for score in scores if score != '16']
    assert len(scores) == 4 and len({*scores[:3]}) == 1 and scores[0] > 0
    assert [one[0]['mIoU'] for one in json.loads(file.read_text())['times'].values()] == (
        pytest.approx(scores, abs=0.01)
    )

    assert len(lines) == 8, 'once for the predictions, once for the time'
    assert ['--out' in line for line in lines] == [True] * 4 + [False] * 4
    for tool, *argv in lines:
        assert ('--fast' in argv) == ('site-packages' not in tool)


def test_mmsegs_tool_finds_our_head_and_hook(monkeypatch, tiny_config):
    """The one variant in a process of its own, as users run it."""
    taken = []

    def theirs_alone(command, *args, **kwargs):
        taken.append(command)
        if 'site-packages' in str(command[1]):
            return run_command(command, *args, **kwargs)
        raise CommandError('as far as ours')

    monkeypatch.setattr(evaluate, 'run_command', theirs_alone)
    with pytest.raises(CommandError, match='as far as ours'):
        run('--config', tiny_config('evaluate_theirs'), '--images', '3', '--batch-size', '2')
    assert len(taken) == 2


def test_a_tool_that_fails_is_told(monkeypatch, tiny_config, tmp_path):
    tool = tmp_path / 'test.py'
    tool.write_text('raise SystemExit("out of luck")')
    monkeypatch.setattr(evaluate, 'THEIR_TOOL', tool)
    with pytest.raises(CommandError, match='out of luck\nExit code 1;'):
        run('--config', tiny_config('evaluate_fails'))


def test_there_must_be_something_to_time(tiny_config):
    with pytest.raises(ValueError, match='more than --batch-size 4.*but got 4'):
        run('--config', tiny_config('evaluate_none'), '--images', '4')


def test_the_clock_leaves_out_the_first_batch(tmp_path, monkeypatch):
    moments = iter([10.0, 16.0])
    monkeypatch.setattr(evaluate.time, 'perf_counter', lambda: next(moments))
    hook = evaluate.ClockHook(str(tmp_path / 'times.json'))
    for number, images in enumerate((4, 4, 3)):
        hook.after_test_iter(None, number, outputs=[None] * images)
    hook.after_test_epoch(None, dict(mIoU=np.float32(50)))
    record = json.loads((tmp_path / 'times.json').read_text())
    assert (record['images'], record['seconds'], record['mIoU']) == (7, 6.0, 50.0)


def test_the_share_of_equal_pixels(tmp_path):
    for name, ids in dict(a=[0, 1, 2, 3], b=[0, 1, 2, 2], c=[0, 1, 2, 3]).items():
        (tmp_path / name).mkdir()
        Image.fromarray(np.array([ids], np.uint8)).save(tmp_path / name / 'x.png')
    assert evaluate._same_pixels([tmp_path / name for name in 'abc']) == ([0.75, 1.0], 4)


def test_the_table_has_images_per_second_and_ratios():
    theirs = [dict(images=10, seconds=s, cpu_seconds=1.0) for s in (5.0, 10.0)]
    ours = [dict(images=10, seconds=2.5, cpu_seconds=0.5)] * 2
    assert evaluate._row('a', ours, theirs) == [
        'a',
        '4.00 (4.00 to 4.00)',
        '3.00 (2.00 to 4.00)',
        '50 (50 to 50)',
        '2.00 (2.00 to 2.00)',
    ]
