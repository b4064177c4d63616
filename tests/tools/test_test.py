"""tools/test.py on an untrained model; how the options are read is in engine/test_cli.py."""

from __future__ import annotations

import json
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS


@pytest.fixture(scope='module')
def results(tiny_config, in_one_process, tmp_path_factory):
    """{name: (mIoU, what was printed)} of one checkpoint, evaluated in different ways."""
    root = tmp_path_factory.mktemp('results')
    config = tiny_config('views', {'model.output_stride': 16})
    cfg = Config.fromfile(config)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    # logits that differ by place and class: random ones of a new model are nearly constant
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    torch.save(dict(state_dict=model.state_dict(), meta={}), root / 'weights.pth')
    without = {key: value for key, value in cfg.items() if not key.startswith('tta_')}
    Config(without).dump(root / 'bare.py')

    ways = dict(
        at_16=[],
        at_8=['--output-stride', 8],
        option=['--cfg-options', 'model.output_stride=8'],
        one_view=['--tta', '--output-stride', '8', '--scales', '1.0', '--no-flip'],
        default=['--tta', '--scales', '0.5', '1.0'],
        explicit=['--tta', '--scales', '0.5', '1.0'],
        fast=['--fast', '--output-stride', 8],
        fast_views=['--fast', '--tta', '--scales', '0.5', '1.0'],
        half=['--tta', '--scales', '0.5', '--no-flip'],
    )
    lines = []
    for name, flags in ways.items():
        options = ['visualizer.name=' + name]
        if '--cfg-options' in flags:
            flags, options = [], options + flags[1:]
        file = root / 'bare.py' if name in ('default', 'fast_views') else config
        lines.append(
            ('test.py', file, root / 'weights.pth', '--work-dir', root / name)
            + (*flags, '--cfg-options', *options)
        )
    printed = in_one_process(lines)
    measured = {}
    for name, text in zip(ways, printed):
        (path,) = (root / name).glob('*/*.json')
        measured[name] = json.loads(path.read_text())['mIoU'], text
    return measured


def test_output_stride_is_the_option_of_the_model(results):
    assert results['at_8'][0] == results['option'][0] != results['at_16'][0]


def test_one_view_of_the_native_image_is_no_augmentation(results):
    assert results['one_view'][0] == results['at_8'][0]


def test_fast_is_the_same(results):
    assert results['fast'][0] == pytest.approx(results['at_8'][0], abs=0.02)
    assert results['fast_views'][0] == pytest.approx(results['explicit'][0], abs=0.02)


def test_scales_and_flip_are_shown(results):
    assert results['explicit'][0] != results['half'][0] != results['at_16'][0]


def test_a_config_without_tta_is_evaluated_with_it(results):
    miou, printed = results['default']
    assert miou == pytest.approx(
        results['explicit'][0], abs=0.02
    )  # a running mean, and a stock one
    assert 'RunningMeanTTAModel of DeepLabV3' in printed


def test_the_time_per_image_is_shown(results):
    for _, printed in results.values():
        assert re.search(r'3 images in [\d.]+ s: [\d.]+ s per image, [\d.]+ images/s', printed)


def test_a_backbone_alone_is_not_evaluated(tiny_config, run_tool, tmp_path):
    config = tiny_config('headless')
    with DefaultScope.overwrite_default_scope('mmseg'):
        backbone = MODELS.build(Config.fromfile(config).model.backbone)
    torch.save({'model': backbone.state_dict()}, tmp_path / 'backbone.pth')
    printed = run_tool(
        'test.py', config, tmp_path / 'backbone.pth', '--work-dir', tmp_path, status=1
    )
    last = printed.splitlines()[-1]
    assert re.match(r'test\.py: .*backbone\.pth does not fit .*decode_head', last)
    assert 'Traceback' not in printed
