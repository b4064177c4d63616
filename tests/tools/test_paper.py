"""tools/paper.py: its commands, and one row trained and evaluated for real."""

from __future__ import annotations

import json

import pytest
from common.child_process import CommandError
from mmengine.config import Config
from paper_tables import train_evaluate
from paper_tables.cli import main


def test_list(capsys):
    main(['list', 'table8'])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith('table8/reference') and '77.21' in lines[0]
    assert 'the training of table5/mg124-pool; reference of its table' in lines[0]
    main(['list'])
    assert len(capsys.readouterr().out.splitlines()) == 73


def test_show(capsys):
    main(
        ['show', 'table5/mg121', '--dataset', 'shapes', '--cfg-options', 'model.backbone.depth=34']
    )
    shown = capsys.readouterr().out
    assert 'model.backbone.depth = 34 (there: 101)' in shown and 'M parameters' in shown


def test_config_is_plain_and_complete(tmp_path, capsys):
    path = tmp_path / 'row.py'
    main(['config', 'table4/os8-ms', '-o', str(path)])
    shown = capsys.readouterr().out
    assert 'tools/test.py --tta' in shown and 'its training is that of table3/mg121-block7' in shown
    text = path.read_text()
    assert '_base_' not in text and text.startswith(
        '"""table4/os8-ms: evaluated at output_stride 8'
    )
    assert Config.fromfile(path).model.output_stride == dict(train=16, test=8)


@pytest.mark.parametrize(
    'argv,message',
    [
        (['list', 'tabel3'], "paper.py: There is no row or table 'tabel3'; nearest: table3"),
        (['show', 'table4'], 'paper.py: table4 is 4 rows, name one: table4/os16'),
        (['show', 'table5/mg111', '--iters', '0'], 'paper.py: --iters must be at least 1, got 0'),
        (
            ['config', 'table5/mg111', '-o', f'{__file__}/x.py'],
            f"paper.py: [Errno 17] File exists: '{__file__}'",
        ),
        (['compare', 'no/such/folder'], 'paper.py: no/such/folder holds no result'),
    ],
)
def test_problems_end_with_one_sentence(argv, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(argv)
    assert str(error.value).startswith(message)


def test_a_failing_row_ends_with_its_reason(monkeypatch, tmp_path):
    def broken(config, folder):
        raise CommandError('train failed')

    monkeypatch.setattr(train_evaluate, 'train', broken)
    with pytest.raises(SystemExit) as error:
        main(['run', 'table5/mg111', '--dataset', 'shapes', '--work-dir', str(tmp_path)])
    assert str(error.value) == 'paper.py: 1 failed: table5/mg111, seed 0: train failed'


@pytest.mark.slow
def test_a_row_is_trained_and_evaluated(shapes_root, tmp_path, capsys, monkeypatch):
    """Table 10, trained at 16 and evaluated at 8, whose training is Table 5's last row."""
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    work_dir = tmp_path / 'runs'
    options = [
        *('model.backbone.base_channels=4', 'model.backbone.depth=50'),
        *('model.decode_head.channels=4', 'train_dataloader.batch_size=2'),
    ]
    for loader in ('train_dataloader', 'test_dataloader'):
        options += [f'{loader}.dataset.data_root={shapes_root}', f'{loader}.num_workers=0']
        options += [f'{loader}.persistent_workers=False']
    argv = ['run', 'table10/train16-eval8', '--dataset', 'shapes', '--iters', '2']
    argv += ['--work-dir', str(work_dir), '--cfg-options', *options]
    main(argv)
    main(argv)
    shown = capsys.readouterr().out
    assert shown.count('done before') == 1 and 'tools/paper.py compare' in shown
    result = json.loads((work_dir / 'table10/train16-eval8/seed0/result.json').read_text())
    assert 0 <= result['miou'] <= 100 and result['training'] == 'table5/mg124-pool'
    assert (work_dir / 'table5/mg124-pool/seed0/training/iter_2.pth').is_file()
    main(['compare', str(work_dir)])
    assert '| table10/train16-eval8 ' in capsys.readouterr().out
