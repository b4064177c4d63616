"""The variants of aspp, valid_tap_conv, model and train do the same; each is in the table."""

from __future__ import annotations

import argparse
import re

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


def test_model(monkeypatch, table_cells):
    monkeypatch.setattr(model, 'peak_gflops', lambda: 100.0)
    text = run(model, '--size', '65')
    table = table_cells(text)
    assert len(rates(table)) == 3 and rates(table) == pytest.approx([rates(table)[0]] * 3, rel=0.2)
    found = re.findall(r'ours[^:;|]*: ([\d.]+) %', text)
    assert len(found) == 2 and all(float(percent) > 99.9 for percent in found)
    assert len(table) >= 1 + 4 and all('ResNet-50' in row[0] for row in table[1:])


def test_train(monkeypatch, table_cells):
    monkeypatch.setattr(train, 'peak_gflops', lambda dtype: 100.0)
    table = table_cells(run(train, '--crop', '33'))
    assert len(rates(table)) == 3 and rates(table) == pytest.approx([rates(table)[0]] * 3, rel=0.2)
    assert len(table) >= 1 + 4 and all('ResNet-50' in row[0] for row in table[1:])


@pytest.mark.parametrize('output_stride', [8, 16])
def test_the_baseline_with_the_papers_head_has_our_layers(output_stride):
    theirs, ours = (
        build.state_dict()
        for build in (mmseg_model(50, output_stride, False), our_model(50, output_stride))
    )
    assert {k: v.shape for k, v in theirs.items()} == {k: v.shape for k, v in ours.items()}
