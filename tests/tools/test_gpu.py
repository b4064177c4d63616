"""gpu.py: parts in turn, within the time, resumable, and their tables in the docs."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import benchmark
import gpu
import pytest
import torch
from benchmarks.interleaved import device
from gpu import MARKS, Part

from mmseg_deeplabv3x.cli.train import train_config, train_parser

PAGE = f'# Page\n\n{MARKS[0]}\nold\n{MARKS[1]}\n\n## Next\n'


def prints(text, code=0):
    return Part('Prints', ['-c', f'print({text!r}); raise SystemExit({code})'])


@pytest.fixture
def docs(tmp_path):
    path = tmp_path / 'page.md'
    path.write_text(PAGE)
    return path


def test_a_part_that_is_there_is_passed_over(tmp_path, docs, capsys):
    todo = dict(one=prints('first'), bad=prints('woe', 3), two=prints('second'))
    assert gpu.run_parts(todo, tmp_path, 5) == ['bad']
    assert 'bad failed' in capsys.readouterr().err
    stamp = (tmp_path / 'one.json').stat().st_mtime_ns
    todo['bad'] = prints('better')
    assert gpu.run_parts(todo, tmp_path, 5) == []
    assert (tmp_path / 'one.json').stat().st_mtime_ns == stamp
    assert gpu.write_results(todo, tmp_path, docs) == []
    results = json.loads((tmp_path / 'gpu.json').read_text())
    assert [results[name]['output'] for name in todo] == ['first\n', 'better\n', 'second\n']
    for result in results.values():
        assert result['torch'] == torch.__version__
        assert result['device'] == device() and torch.__version__ in device()


def test_the_numbers_of_a_part_are_kept(tmp_path):
    script = 'import sys; open(sys.argv[1], "w").write("[1, 2]")'
    gpu.run_parts(dict(one=Part('Writes', ['-c', script, '{json}'])), tmp_path, 5)
    assert json.loads((tmp_path / 'one.json').read_text())['numbers'] == [1, 2]


def test_the_table_replaces_what_stands_between_the_marks(tmp_path, docs):
    lines = [f'line {i:02d} ' for i in range(20)]
    todo = dict(one=prints('first'), two=prints('\n'.join([*lines, 'second'])))
    gpu.run_parts({'one': todo['one']}, tmp_path, 5)
    assert gpu.write_results(todo, tmp_path, docs) == ['two']
    gpu.run_parts(todo, tmp_path, 5)
    assert gpu.write_results(todo, tmp_path, docs) == []
    page = docs.read_text()
    assert page.startswith('# Page\n') and page.endswith(f'{MARKS[1]}\n\n## Next\n')
    assert 'old' not in page and page.count('    first') == page.count('    second') == 1
    # of what is no benchmark, the last 16 lines
    shown = [f'    {line}' for line in [*lines[-15:], 'second']]
    assert '\n'.join(shown) in page and f'    {lines[-16]}' not in page
    docs.write_text('no marks')
    with pytest.raises(ValueError, match='has no lines'):
        gpu.write_results(todo, tmp_path, docs)


def test_what_takes_too_long(tmp_path, capsys):
    long = Part('Sleeps', ['-c', 'import time; print("begun", flush=True); time.sleep(100)'])
    # the second one starts anew in the next call, where it is the first
    todo = dict(one=prints('first'), two=long)
    assert gpu.run_parts(todo, tmp_path, 0.03) == []
    assert not (tmp_path / 'two.json').exists()
    assert gpu.run_parts(todo, tmp_path, 0.03) == ['two']
    assert json.loads((tmp_path / 'two.json').read_text())['status'].startswith('stopped after')
    # the training goes on in the next call
    assert gpu.run_parts(dict(training=long), tmp_path, 0.03) == []
    assert not (tmp_path / 'training.json').exists()


def test_without_a_gpu_it_is_refused(monkeypatch):
    monkeypatch.setattr(gpu.torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit, match='no GPU.*REHEARSE=1'):
        gpu.main([])


@pytest.mark.parametrize('rehearse', [True, False])
def test_every_part_is_a_command_line_that_its_program_takes(rehearse, monkeypatch, capsys):
    monkeypatch.chdir(gpu.CHECKOUT)
    called = []
    for subject in benchmark.SUBJECTS:
        module = importlib.import_module(f'benchmarks.{subject}')
        monkeypatch.setattr(module, 'run', lambda args: called.append(args) or 'done')
    for name, part in gpu.parts(rehearse).items():
        program, *argv = [word.format(json='x.json', folder='folder') for word in part.argv]
        if program == 'tools/benchmark.py':
            monkeypatch.setattr('sys.argv', [program, *argv])
            benchmark.main()
            assert called[-1].subject == argv[0] and called[-1].json == 'x.json', name
        elif program == 'tools/train.py':
            args = train_parser().parse_args(argv)
            cfg = train_config(args)
            assert cfg.train_cfg.max_iters == (2 if rehearse else 4000)
            assert args.resume and args.amp and args.work_dir == 'folder/training'
        else:
            files = [word for word in (program, *argv) if word.endswith('.py')]
            assert files and all(map(os.path.exists, files)), name
    assert len(called) == 6


@pytest.mark.slow
def test_a_rehearsal(tmp_path):
    """From a copy: it writes into data/ and work_dirs/."""
    for name in ('configs', 'docs', 'tests', 'tools', 'mmseg_deeplabv3x'):
        shutil.copytree(gpu.CHECKOUT / name, tmp_path / name)
    for name in ('Makefile', 'setup.cfg', 'pyproject.toml'):
        shutil.copy(gpu.CHECKOUT / name, tmp_path)
    command = ['make', 'gpu', 'REHEARSE=1', f'PYTHON={sys.executable}']
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'}
    for _ in range(4):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if 'Left:' not in done.stdout:
            break
    folder = tmp_path / 'work_dirs/gpu_rehearsal'
    results = json.loads((folder / 'gpu.json').read_text())
    assert results.keys() == gpu.parts(True).keys()
    assert all(result['status'] == 0 for result in results.values())
    assert 'mIoU' in results['training']['output']
    page = Path(folder, 'benchmarks.md').read_text()
    assert all(result['command'] in page for result in results.values())
