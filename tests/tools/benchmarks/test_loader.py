from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
from textwrap import dedent

import pytest
from benchmarks import loader, pipeline


def run(*options):
    parser = argparse.ArgumentParser()
    loader.add_arguments(parser)
    tables = loader.run(parser.parse_args([*options, '--batches', '3', '--rounds', '2']))
    return tables.split('\n\n')


def test_tables_and_numbers_of_drawn_files(monkeypatch, tmp_path, table_cells):
    small = pipeline.Case(40, 60, 33, '.jpg', '.png', 1.45)
    monkeypatch.setattr(pipeline, 'CASES', [small])
    path = tmp_path / 'numbers.json'
    before = set(multiprocessing.active_children())
    load, train, val = run('--workers', '0', '1', '--prefetch', '2', '--json', str(path))
    assert 'load of the machine' in load
    variants = [[row[:2] for row in table_cells(table)[1:]] for table in (train, val)]
    assert variants[0] == [['0', '-'], ['1', '2']]
    assert variants[1] == [['0', 'False'], ['1', 'False'], ['1', 'True']]
    numbers = json.loads(path.read_text())
    for rows in numbers['train'], numbers['val']:
        for row in rows:
            assert len(row['rate']) == len(row['first']) == len(row['cpu']) == 2
            assert len(row['mib']) == (2 if row['variant']['num_workers'] else 0)
            assert min(row['rate'] + row['first'] + row['cpu']) > 0
            assert len(row['again']) == (2 if rows is numbers['val'] else 0)
    assert not set(multiprocessing.active_children()) - before


def test_the_loaders_and_data_of_a_config(tmp_path, table_cells):
    """A pass shorter than asked for is measured as it is; settings of workers are replaced."""
    case = pipeline.Case(40, 60, 33, '.jpg', '.png', 1.45)
    pipeline.write_files(str(tmp_path), case, 3)
    config = tmp_path / 'config.py'
    config.write_text(
        dedent(
            f"""
            dataset = dict(
                type='BaseSegDataset', data_root='{tmp_path}', img_suffix='.jpg',
                seg_map_suffix='_labels.png', pipeline=[
                    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
                    dict(type='PackSegInputs')])
            train_dataloader = dict(
                batch_size=9, num_workers=7, persistent_workers=True,
                sampler=dict(type='InfiniteSampler'), dataset=dataset)
            val_dataloader = dict(
                batch_size=1, num_workers=7, persistent_workers=True,
                sampler=dict(type='DefaultSampler'), dataset=dataset)
            """
        )
    )
    options = ['--workers', '0', '--cfg-options', 'train_dataloader.batch_size=2']
    _, train, val = run(str(config), *options)
    assert len(table_cells(train)) == len(table_cells(val)) == 1 + 1


@pytest.mark.parametrize('workers', [0, 1, 4])
def test_a_pass_too_short_to_time_is_refused(workers):
    """After the first batch of each worker at least one must be left."""
    settings = dict(dataset=[None], batch_size=1, sampler=dict(type='DefaultSampler'))
    with pytest.raises(ValueError, match=f'1 full batches.*first {max(workers, 1)}, .*fewer'):
        loader.measure(dict(settings, num_workers=workers), 3)


def test_cpu_time_and_memory_of_a_process():
    block = (
        "import time; x = b'1' * (50 << 20); [i for i in range(4 * 10**6)]; "
        'print(flush=True); time.sleep(60)'
    )
    child = subprocess.Popen([sys.executable, '-c', block], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        assert loader.cpu_seconds([child.pid]) - loader.cpu_seconds([]) > 0.05
        assert 50 < loader.own_mib(child.pid) < 150
        assert loader.own_mib(os.getpid()) > 50
    finally:
        child.kill()
        child.communicate()
