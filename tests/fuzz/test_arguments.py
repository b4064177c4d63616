"""Any value as an argument of a config: something that works, or an error that names the argument.

``FUZZ_EXAMPLES=100000 pytest tests/fuzz`` tries more values than the suite does, which are always
the same.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from mmseg_deeplabv3x import atrous
from mmseg_deeplabv3x.cli.test import test_parser as parser_of_test
from mmseg_deeplabv3x.cli.train import train_parser
from mmseg_deeplabv3x.datasets import BootstrapDataset
from mmseg_deeplabv3x.datasets.fault_tolerant import FaultTolerantDataset
from mmseg_deeplabv3x.engine.schedulers.deeplab_poly_lr import DeepLabPolyLR
from mmseg_deeplabv3x.models import AtrousResNet, CascadeNeck, ImagePoolASPPHead
from mmseg_deeplabv3x.transforms import RandomNativeScale, RandomScaleCropFlip

EXAMPLES = int(os.environ.get('FUZZ_EXAMPLES', 100))
fuzz = settings(settings.get_profile('fuzz'), max_examples=EXAMPLES)

numbers = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([64, 128, 2**31, 10**30]),
    st.floats(),
    st.sampled_from([0.25, 0.5, 0.9, 2.0]),
    st.booleans(),
)
scalars = st.one_of(st.none(), numbers, st.text(max_size=4), st.sampled_from(['8', 'sky', 'skip']))
values = st.one_of(
    scalars,
    st.lists(st.integers(1, 6), min_size=3, max_size=3).map(tuple),
    st.lists(scalars, max_size=4),
    st.lists(st.lists(scalars, max_size=2), max_size=4),
    st.dictionaries(st.text(max_size=3), scalars, max_size=2),
)


class Data:
    """All that the wrappers ask of a dataset when they are made."""

    metainfo = dict(classes=('sky', 'tree'))


def optimizer():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)


def schedule(**arguments):
    scheduler = DeepLabPolyLR(optimizer(), by_epoch=False, **arguments)
    for _ in range(5):
        scheduler.step()
    assert np.isfinite(scheduler.get_last_value()).all()


def head(**arguments):
    return ImagePoolASPPHead(4, 2, channels=2, **arguments)


def scale(cls, **arguments):
    transform = cls(**arguments)
    ratio = getattr(transform, 'scale', transform)._random_ratio()
    assert 0 < ratio < np.inf


TARGETS = {
    'output_stride': lambda output_stride: atrous.check_output_stride(output_stride, 7),
    'multi_grid': lambda multi_grid: atrous.check_multi_grid(multi_grid, 3, 4),
    'rates': lambda rates, output_stride: atrous.aspp_rates(rates, output_stride),
    'backbone': lambda output_stride, multi_grid: AtrousResNet(
        18, output_stride, multi_grid, base_channels=2
    ),
    'neck': lambda num_blocks, output_stride, multi_grid, out_blocks: CascadeNeck(
        18,
        num_blocks,
        output_stride=output_stride,
        multi_grid=multi_grid,
        out_blocks=out_blocks,
        base_channels=2,
    ),
    'head': lambda rates, output_stride, loss_size: head(
        rates=rates, output_stride=output_stride, loss_size=loss_size
    ),
    'bootstrap': lambda hard_classes, times, min_pixels: BootstrapDataset(
        Data(), hard_classes, times, min_pixels, lazy_init=True
    ),
    'tolerant': lambda on_bad_sample, max_bad_samples: FaultTolerantDataset(
        Data(), on_bad_sample, max_bad_samples, lazy_init=True
    ),
    'poly': lambda power, begin, end, eta_min: schedule(
        power=power, begin=begin, end=end, eta_min=eta_min
    ),
    'scale': lambda ratio_range, step: scale(RandomNativeScale, ratio_range=ratio_range, step=step),
    'crop': lambda crop_size, cat_max_ratio, flip_prob: scale(
        RandomScaleCropFlip,
        crop_size=crop_size,
        cat_max_ratio=cat_max_ratio,
        flip_prob=flip_prob,
    ),
}
SAID = dict(rates='rate', hard_classes='ard')  # what messages call them
# One legal value of each, so that any one argument is also tried beside good ones.
GOOD = dict(
    output_stride=16, multi_grid=None, rates=(6, 12), num_blocks=1, out_blocks=None,
    loss_size='labels', hard_classes=['sky'], times=2, min_pixels=1, on_bad_sample='skip',
    max_bad_samples=3, power=0.9, begin=0, end=10, eta_min=0.0, ratio_range=(0.5, 2.0), step=0.25,
    crop_size=5, cat_max_ratio=0.75, flip_prob=0.5,
)  # fmt: skip


@pytest.fixture(autouse=True, scope='module')
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.mark.parametrize('target', TARGETS)
@fuzz
@given(data=st.data())
def test_an_argument_works_or_is_named(target, data):
    function = TARGETS[target]
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    given_ = {name: GOOD[name] for name in names}
    for name in data.draw(st.sets(st.sampled_from(names), min_size=1), 'changed'):
        given_[name] = data.draw(values, name)
    try:
        function(**given_)
    except (ValueError, TypeError) as error:
        message = str(error)
        assert any(SAID.get(name, name) in message for name in names), message
        assert '\n' not in message and len(message) < 400


words = st.one_of(
    st.sampled_from([
        '--resume', '--amp', '--seed', '--work-dir', '--cfg-options', '--launcher', '--tta',
        '--scales', '--no-flip', '--output-stride', '--out', '--show-dir', '--wait-time', '--fast',
        '8', '16', '0.5', '-1', 'nan', '1e400', 'a=b', 'a', '=', 'a=[', 'a=(1,2', 'a.b=1',
        'model=1',
        'model.backbone=None', 'model.x.y=[1,(2,3)]', 'pytorch', 'train_dataloader.0=1', '',
        'a=' + '[' * 50 + ']' * 50, 'x.0=1', 'l.0=5', 'l.9=5', 'l.a=5',
    ]),
    st.text(st.characters(exclude_categories=['Cs']), max_size=6),
)  # fmt: skip


@pytest.mark.parametrize('tool', ['train', 'test'])
@settings(fuzz, max_examples=2 * EXAMPLES)
@given(argv=st.lists(words, max_size=6))
def test_a_command_line_is_parsed_or_refused(tool, argv, tmp_path_factory, capsys):
    config = tmp_path_factory.getbasetemp() / 'config.py'
    config.write_text('model = dict(backbone=dict(depth=18))\nl = [1, 2]')
    parser = train_parser() if tool == 'train' else parser_of_test()
    files = [str(config)] + [str(config)] * (tool == 'test')
    try:
        args = parser.parse_args([*files, *argv])
    except SystemExit as end:
        said = capsys.readouterr()
        assert end.code == (2 if said.err else 0), 'help ends with 0'
        return
    assert isinstance(args.cfg_options, dict)
    cfg = Config(ConfigDict(model=dict(backbone=dict(depth=18)), l=[1, 2]))
    try:
        cfg.merge_from_dict(args.cfg_options)
    except (TypeError, KeyError, AssertionError, IndexError, ValueError) as error:
        assert str(error), 'mmengine says what it does not like'
