"""aspp, taps, model and train: all variants do the same thing, and each has a line in the table."""

from __future__ import annotations

import argparse
import re

import pytest
import torch
from benchmarks import aspp, model, train
from benchmarks import valid_tap_conv as taps
from benchmarks.baselines import mmseg_model, our_model


def run(subject, *argv):
    parser = argparse.ArgumentParser()
    subject.add_arguments(parser)
    return subject.run(parser.parse_args(['--rounds', '1', *argv]))


def test_aspp():
    table = run(aspp, '--in-channels', '16', '--sizes', '9')
    variants = ['mmseg', 'ours, fast=False', 'ours', 'ours, channels_last']
    assert re.findall(r'\| (ours[^|]*|mmseg) \|', table) == variants * 2


@pytest.mark.parametrize('shape', aspp.SHAPES.values(), ids=['paper', 'mmseg'])
def test_the_heads_are_the_same(shape):
    heads = aspp._heads(16, (6, 12, 18), 16, *shape)
    torch.manual_seed(0)
    x = torch.randn(2, 16, 33, 33)
    with torch.no_grad():
        outputs = [head([x]) for head in heads.values()]
    for output in outputs[1:]:
        assert (output - outputs[0]).abs().max() < 1e-3 * outputs[0].abs().max()


def test_taps():
    table = run(taps, '--channels', '4', '5', '--size', '9', '--rates', '2', '8')
    cases = re.findall(r', (\w+), rate (\d), (\d+)% of the taps on the map \| ([^|]*) \|', table)
    # 9 + 2 * 7 of 3 * 9 taps fit along each side at rate 2, 9 + 2 at rate 8
    assert cases == [
        (layout, rate, share, variant)
        for rate, share in (('2', '73'), ('8', '17'))
        for layout in ('channels_last', 'NCHW')
        for variant in ('conv2d', 'by taps')
    ]


def rates(table):
    """Of the rows of mmseg's network with the paper's head and of ours: GFLOP of an image."""
    rows = re.findall(
        r"\| (?:mmseg, the paper's head|ours[^|]*) \|.*\| ([^|]+) \| ([^|]+) \| \d+% \|", table
    )
    return [float(gflops) / float(images) for images, gflops in rows]


def test_model(monkeypatch):
    monkeypatch.setattr(model, 'peak_gflops', lambda: 100.0)
    table = run(model, '--size', '65')
    assert len(rates(table)) == 3 and rates(table) == pytest.approx([rates(table)[0]] * 3, rel=0.2)
    found = re.findall(r'ours[^:;|]*: ([\d.]+) %', table)
    assert len(found) == 2 and all(float(percent) > 99.9 for percent in found)
    assert table.count('\n| ResNet-50') >= 4


def test_train(monkeypatch):
    monkeypatch.setattr(train, 'peak_gflops', lambda dtype: 100.0)
    table = run(train, '--crop', '33')
    assert len(rates(table)) == 3 and rates(table) == pytest.approx([rates(table)[0]] * 3, rel=0.2)
    assert table.count('\n| ResNet-50') >= 4


@pytest.mark.parametrize('output_stride', [8, 16])
def test_the_peer_with_the_papers_head_has_our_layers(output_stride):
    theirs, ours = (
        build.state_dict()
        for build in (mmseg_model(50, output_stride, False), our_model(50, output_stride))
    )
    assert {k: v.shape for k, v in theirs.items()} == {k: v.shape for k, v in ours.items()}
