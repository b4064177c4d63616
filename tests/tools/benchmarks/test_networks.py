"""The variants of aspp, valid_tap_conv, model and train do the same; each is in the table."""

from __future__ import annotations

import argparse
import json
import re
from importlib.util import find_spec

import pytest
import torch
from benchmarks import aspp, model, train, valid_tap_conv
from benchmarks.baselines import mmseg_model, our_model


def run(subject, *argv):
    parser = argparse.ArgumentParser()
    subject.add_arguments(parser)
    return subject.run(parser.parse_args(['--rounds', '1', *argv]))


def test_aspp(table_cells):
    table = run(aspp, '--in-channels', '16', '--sizes', '9')
    variants = ['mmseg', 'ours, fast=False', 'ours', 'ours, channels_last']
    assert [row[1] for row in table_cells(table)[1:]] == variants * 2


@pytest.mark.parametrize('shape', aspp.SHAPES.values(), ids=['paper', 'mmseg'])
def test_the_heads_are_the_same(shape):
    heads = aspp._heads(16, (6, 12, 18), 16, *shape)
    torch.manual_seed(0)
    x = torch.randn(2, 16, 33, 33)
    with torch.no_grad():
        outputs = [head([x]) for head in heads.values()]
    for output in outputs[1:]:
        assert (output - outputs[0]).abs().max() < 1e-3 * outputs[0].abs().max()


def test_valid_tap_conv():
    table = run(valid_tap_conv, '--channels', '4', '5', '--size', '9', '--rates', '2', '8')
    pattern = r', (\w+), rate (\d), (\d+)% of the taps on the map +\| (.*?) +\|'
    cases = re.findall(pattern, table)
    # 9 + 2 * 7 of 3 * 9 taps fit along each side at rate 2, 9 + 2 at rate 8
    assert cases == [
        (layout, rate, share, variant)
        for rate, share in (('2', '73'), ('8', '17'))
        for layout in ('channels_last', 'NCHW')
        for variant in ('conv2d', 'by taps')
    ]


def rates(table):
    """Of the rows of mmseg's network with the paper's head and of ours: GFLOP of an image."""
    return [
        float(gflops) / float(images)
        for _, name, *_, images, gflops, _ in table[1:]
        if name == "mmseg, the paper's head" or name.startswith('ours')
    ]


def check_model(monkeypatch, table_cells, tmp_path, *argv):
    """Names of the variants, after a check of what is said of them."""
    monkeypatch.setattr(model, 'peak_gflops', lambda: 100.0)
    monkeypatch.setattr(model, 'keep_freed_memory', lambda: None)  # it would outlast the test
    files = ['--json', str(tmp_path / 'a.json'), '--plot', str(tmp_path / 'a.png')]
    text = run(model, '--depth', '18', '--size', '65', *files, *argv)
    table, started = (table_cells(part) for part in text.split('\n\n')[1:])
    assert rates(table) == pytest.approx([rates(table)[0]] * len(rates(table)), rel=0.2)
    for name, _, share in started[1:]:
        assert float(share[:-1]) > (95 if 'bf16' in name else 99.9), name
    (result,) = json.loads((tmp_path / 'a.json').read_text())['results']
    assert result['equal_pixels'].keys() == {row[0] for row in started[1:]}
    assert result['start_seconds'].keys() == {row[1] for row in table[1:]}
    assert (tmp_path / 'a.png').exists()
    return [row[1] for row in table[1:]]


def test_model(monkeypatch, table_cells, tmp_path):
    monkeypatch.setattr(model, 'find_spec', lambda name: None)
    names = check_model(monkeypatch, table_cells, tmp_path, '--no-compile')
    assert [name for name in names if name.startswith('ours')] == [
        'ours',
        'ours, --fast --fast-runtime torch',
        'ours, --fast --fast-runtime torch --precision bf16',
    ]


@pytest.mark.slow
def test_model_with_all_that_is_installed(monkeypatch, table_cells, tmp_path):
    names = check_model(monkeypatch, table_cells, tmp_path)
    assert any('torch.compile' in name for name in names)
    if find_spec('openvino') and find_spec('onnxscript'):
        assert {'ONNX Runtime', 'OpenVINO', 'ours, --fast'} <= {*names}


def test_train(monkeypatch, table_cells):
    monkeypatch.setattr(train, 'peak_gflops', lambda dtype: 100.0)
    table = table_cells(run(train, '--crop', '33'))
    assert len(rates(table)) == 3 and rates(table) == pytest.approx([rates(table)[0]] * 3, rel=0.2)
    assert len(table) >= 1 + 4 and all('ResNet-50' in row[0] for row in table[1:])


@pytest.mark.parametrize('depth, output_stride', [(18, 16), (50, 8), (50, 16)])
def test_the_baseline_with_the_papers_head_has_our_layers(depth, output_stride):
    theirs, ours = (
        build.state_dict()
        for build in (mmseg_model(depth, output_stride, False), our_model(depth, output_stride))
    )
    assert {k: v.shape for k, v in theirs.items()} == {k: v.shape for k, v in ours.items()}
