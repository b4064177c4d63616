"""Every row against a derivation written here from the paper's text, not from ``atrous``."""

from __future__ import annotations

import copy
import functools
import re

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models.backbones.resnet import Bottleneck
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from paper_tables.config import row_config

from mmseg_deeplabv3x.paper import REFERENCES, ROWS, find_rows

WIDTH, HEAD_WIDTH, SIZE = 4, 4, 65


def told(row_id: str) -> dict:
    """What the tables' captions and cells say of a row."""
    table, name = row_id.split('/')
    numbers = [int(n) for n in re.findall(r'\d+', name)]
    # the best ASPP model, trained and evaluated at output_stride 16, batch 16, crop 513
    said = dict(depth=101, grid=(1, 2, 4), rates=(6, 12, 18), pool=True, strides=(16, 16))
    said.update(batch=16, crop=513, scales=(1,), flip=False, block=4)
    cascade = dict(rates=None, pool=False)
    if table == 'table1':
        said.update(cascade, depth=50, grid=(1, 1, 1), block=7, strides=(numbers[0],) * 2)
    elif table == 'table2':
        said.update(cascade, depth=numbers[0], grid=(1, 1, 1), block=numbers[1])
    elif table == 'table3':
        said.update(cascade, grid=tuple(int(n) for n in str(numbers[0])), block=numbers[1])
    elif table == 'table4':
        said.update(cascade, grid=(1, 2, 1), block=7)
    elif table == 'table5':
        said.update(grid=tuple(int(n) for n in str(numbers[0])), pool=name.endswith('pool'))
        if 'rates4' in name:
            said.update(rates=(6, 12, 18, 24))
    elif table == 'table8' and name == 'crop321':
        said.update(crop=321)
    elif table == 'table9':
        said.update(batch=numbers[0])
    elif table == 'table10':
        said.update(strides=tuple(numbers))
    elif table in ('table12', 'table13'):
        said.update(crop=769)
    if table in ('table4', 'table6', 'table12', 'table13') and name != 'os16':
        said.update(strides=(16, 8))
    if '-ms' in name or name == 'coco':
        said.update(scales=(0.5, 0.75, 1, 1.25, 1.5, 1.75), flip='flip' in name or name == 'coco')
        if table == 'table12':
            said.update(scales=(0.75, 1, 1.25))
    if table == 'table13':
        said.update(scales=(0.75, 1, 1.25, 1.5, 1.75, 2), flip=True)
    return said


UNITS = {50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}


def expected_units(said: dict, output_stride: int) -> list[tuple[int, int]]:
    """(stride, rate) of the 3x3 convolution of each unit, block after block.

    The stem has stride 4, block2 and later ones one of 2 each in the first unit; a stride beyond
    output_stride is removed and doubles the rate of all that comes after it.
    """
    units = UNITS[said['depth']] + [3] * (said['block'] - 4)
    reached, rate, plan = 4, 1, []
    for block, count in enumerate(units, start=1):
        grid = said['grid'] if block >= 4 else (1,) * count
        before, stride = rate, 1
        if block > 1 and reached < output_stride:
            reached, stride = reached * 2, 2
        elif block > 1:
            rate *= 2
        plan += [(stride, grid[0] * before)] + [(1, unit * rate) for unit in grid[1:]]
    return plan


def expected_parameters(said: dict, classes: int) -> int:
    def conv(kernel, inputs, outputs):
        return kernel * kernel * inputs * outputs + 2 * outputs  # and BN

    total, channels = conv(7, 3, WIDTH), WIDTH
    for block, count in enumerate(UNITS[said['depth']] + [3] * (said['block'] - 4), start=1):
        middle = WIDTH * 2 ** (min(block, 4) - 1)
        total += conv(1, channels, 4 * middle)  # the shortcut of the first unit
        for _ in range(count):
            total += conv(1, channels, middle) + conv(3, middle, middle)
            total += conv(1, middle, 4 * middle)
            channels = 4 * middle
    if said['rates']:
        branches = 1 + len(said['rates']) + said['pool']
        total += (1 + said['pool']) * conv(1, channels, HEAD_WIDTH)
        total += len(said['rates']) * conv(3, channels, HEAD_WIDTH)
        total += conv(1, branches * HEAD_WIDTH, HEAD_WIDTH)
        channels = HEAD_WIDTH
    return total + (channels + 1) * classes


@functools.cache
def _small_config(row_id):
    options = {'model.backbone.base_channels': WIDTH, 'model.decode_head.channels': HEAD_WIDTH}
    return row_config(ROWS[row_id], options=options)


def small_config(row_id):
    return copy.deepcopy(_small_config(row_id))


def units(model):
    return [
        (unit.conv2.stride[0], unit.conv2.dilation[0])
        for unit in model.modules()
        if isinstance(unit, Bottleneck)
    ]


@pytest.mark.parametrize('row_id', ROWS)
def test_row_is_what_the_paper_says(row_id):
    said, cfg = told(row_id), small_config(row_id)
    classes = 19 if row_id.startswith(('table12', 'table13')) else 21
    init_default_scope('mmseg')
    cfg.model.data_preprocessor = None
    model = MODELS.build(cfg.model)

    assert cfg.train_dataloader.batch_size == said['batch']
    crops = re.findall(r"'crop_size': \((\d+), (\d+)\)", str(cfg.train_dataloader))
    assert set(crops) == {(str(said['crop']),) * 2}
    assert ROWS[row_id].augmented == (said['scales'] != (1,) or said['flip'])
    if ROWS[row_id].augmented:
        scales, flips = cfg.tta_pipeline[1].transforms[:2]
        assert tuple(scale['scale_factor'] for scale in scales) == said['scales']
        assert [flip['prob'] for flip in flips] == [0, 1][: 1 + said['flip']]
    assert cfg.optim_wrapper.optimizer.lr == (0.0001 if row_id == 'table6/coco' else 0.007)

    assert sum(p.numel() for p in model.parameters()) == expected_parameters(said, classes)
    sizes = {}
    for mode, output_stride in zip(('train', 'eval'), said['strides']):
        getattr(model, mode)()
        assert units(model) == expected_units(said, output_stride)
        if said['rates']:
            found = [m.conv.dilation[0] for m in list(model.decode_head.aspp_modules)[1:]]
            assert found == [rate * 16 // output_stride for rate in said['rates']]
        sizes[mode] = -(-SIZE // output_stride)
    image = torch.randn(2, 3, SIZE, SIZE)
    if ROWS[row_id].shares or said['strides'][0] != said['strides'][1]:
        with torch.no_grad():
            assert model(image).shape == (2, classes, sizes['eval'], sizes['eval'])
    model.train()
    shapes = []
    model.decode_head.conv_seg.register_forward_hook(lambda _, __, out: shapes.append(out.shape))
    label = torch.randint(0, classes, (1, SIZE, SIZE))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in image]
    loss, _ = model.parse_losses(model(image, samples, mode='loss'))
    loss.backward()
    assert shapes == [(2, classes, sizes['train'], sizes['train'])]
    for name, parameter in model.named_parameters():
        norm = re.search(r'(bn\d|\.bn|downsample\.1)\.(weight|bias)$', name)
        assert (parameter.grad is None) == bool(row_id == 'table8/no-bn' and norm), name


def test_base_rates_of_the_papers_figure():
    """Fig. 3b: block4 to block7 at output_stride 16 have the rates 2, 4, 8, 16."""
    plan = expected_units(told('table3/mg111-block7'), 16)
    assert [plan[i][1] for i in (-10, -7, -4, -1)] == [2, 4, 8, 16]
    assert [rate for _, rate in expected_units(told('table5/mg124-pool'), 16)[-2:]] == [4, 8]


def trained_at(model):
    output_stride = model.pop('output_stride')
    return output_stride if isinstance(output_stride, int) else output_stride['train']


def test_rows_that_share_a_training_train_the_same():
    for row in ROWS.values():
        if row.shares:
            ours, theirs = small_config(row.id), small_config(row.shares)
            assert ROWS[row.shares].shares == ''
            assert trained_at(ours.model) == trained_at(theirs.model)
            for key in ('model', 'train_dataloader', 'optim_wrapper', 'train_cfg', 'load_from'):
                assert ours.get(key) == theirs.get(key)


def test_the_same_thing_is_never_trained_twice():
    trainings = {}
    for row in ROWS.values():
        if not row.shares:
            cfg = small_config(row.id)
            cfg.model.trained_at = trained_at(cfg.model)
            if row.id in ('table12/os16', 'table13/test'):
                continue
            kept = ('model', 'train_dataloader', 'optim_wrapper', 'train_cfg', 'load_from')
            trainings.setdefault(str([cfg.get(key) for key in kept]), []).append(row.id)
    assert [ids for ids in trainings.values() if len(ids) > 1] == []
    assert ROWS['table4/os8'].training == ROWS['table4/os16'].training == 'table3/mg121-block7'
    best = ('table6/os8', 'table8/reference', 'table9/batch16', 'table10/train16-eval8')
    assert {ROWS[row_id].training for row_id in best} == {'table5/mg124-pool'}


@pytest.mark.parametrize(
    'row_id,miou',
    [
        ('table1/os256', 20.29),
        ('table2/r50-block6', 74.29),
        ('table2/r101-block5', 73.21),
        ('table3/mg121-block7', 76.66),
        ('table3/mg222-block6', 74.70),
        ('table3/mg124-block4', 73.45),
        ('table4/os8-ms', 78.93),
        ('table5/mg124-rates4', 76.46),
        ('table5/mg124-pool', 77.21),
        ('table6/os8', 78.51),
        ('table6/os8-ms-flip', 79.77),
        ('table6/coco', 82.70),
        ('table8/no-bn', 75.95),
        ('table8/crop321', 67.22),
        ('table9/batch4', 64.43),
        ('table10/train8-eval16', 74.45),
        ('table10/train32-eval8', 75.75),
        ('table11/replicas32', 76.69),
        ('table12/os8', 77.82),
        ('table13/test', 81.3),
    ],
)
def test_published_numbers(row_id, miou):
    assert ROWS[row_id].miou == miou


def test_each_table_has_as_many_rows_as_the_paper():
    tables = {}
    for row in ROWS.values():
        tables.setdefault(row.table, []).append(row.id)
    counts = {1: 6, 2: 8, 3: 20, 4: 4, 5: 5, 6: 5, 8: 4, 9: 4, 10: 6, 11: 6, 12: 4, 13: 1}
    assert {table: len(ids) for table, ids in tables.items()} == counts
    assert all(REFERENCES[table] in ids for table, ids in tables.items())


@pytest.mark.parametrize('name', ['table4', '4', 'table4/*'])
def test_rows_are_found_by_table_number_and_pattern(name):
    assert [row.id for row in find_rows(name)] == [i for i in ROWS if i.startswith('table4/')]


@pytest.mark.parametrize(
    'name,message',
    [
        (
            'table3/mg121-blok7',
            "no row or table 'table3/mg121-blok7'; nearest: table3/mg121-block7",
        ),
        ('tabel5', "no row or table 'tabel5'; nearest: table5"),
        ('table7', 'Table 7 is the test server.*stages'),
        ('xyz', 'list" shows all'),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name, message):
    with pytest.raises(ValueError, match=message):
        find_rows(name)


def test_table11_changes_the_loop_alone_and_one_replica_is_the_synchronous_training():
    assert ROWS['table11/replicas1'].training == ROWS['table5/mg124-pool'].training
    one, eight = (small_config(f'table11/replicas{count}') for count in (1, 8))
    assert (
        eight.train_cfg.pop('type') == 'AsyncReplicaLoop' and eight.train_cfg.pop('replicas') == 8
    )
    assert one.train_cfg.pop('type') == 'IterBasedTrainLoop'
    for key in ('model', 'train_dataloader', 'optim_wrapper', 'train_cfg', 'param_scheduler'):
        assert one[key] == eight[key]
