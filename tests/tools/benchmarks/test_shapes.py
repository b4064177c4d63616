import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import shapes
from common.shapes_generator import generate_shapes
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_deeplabv3x.datasets import ShapesDataset

CONFIG = Path(__file__).parents[3] / 'configs/deeplabv3x_r18_os16_shapes.py'


def test_trains_each_head_with_each_seed(tmp_path, table_cells):
    root = generate_shapes(tmp_path / 'shapes', 4, 2, (48, 64))
    options = {
        'train_cfg.max_iters': 2,
        'model.backbone.base_channels': 8,
        'model.decode_head.in_channels': 64,
        'model.decode_head.channels': 64,
        'model.data_preprocessor.size': (33, 33),
        'train_dataloader.batch_size': 2,
        'train_dataloader.dataset.pipeline.2.crop_size': (33, 33),
    }
    for loader in ('train', 'val', 'test'):
        options[f'{loader}_dataloader.dataset.data_root'] = str(root)
        options[f'{loader}_dataloader.num_workers'] = 0
        options[f'{loader}_dataloader.persistent_workers'] = False
    parser = argparse.ArgumentParser()
    shapes.add_arguments(parser)
    args = parser.parse_args(
        ['--config', str(CONFIG), '--seeds', '0', '1', '--work-dir', str(tmp_path / 'work')]
    )
    args.cfg_options = options
    header, *rows = table_cells(shapes.run(args))
    assert header == ['IoU in %', '1x1', 'aspp']
    assert [row[0] for row in rows[:3]] == list(ShapesDataset.METAINFO['classes'][:3])
    assert 'nan' not in rows[0][1]
    assert sorted(path.name for path in (tmp_path / 'work').iterdir()) == [
        '1x1_0', '1x1_1', 'aspp_0', 'aspp_1',
    ]  # fmt: skip


def test_table_gives_mean_and_range_over_the_seeds_and_differences_seed_by_seed(table_cells):
    first = np.array([[0.5, 0.1], [0.7, 0.2]])
    table = shapes.iou_over_seeds(['a', 'b'], {'head': first, 'other': first + [[0.1], [0.3]]})
    assert table_cells(table) == [
        ['IoU in %', 'head', 'other'],
        ['a', '60.0 (50.0 to 70.0)', '80.0 (60.0 to 100.0)'],
        ['b', '15.0 (10.0 to 20.0)', '35.0 (20.0 to 50.0)'],
        ['**mean**', '37.5 (30.0 to 45.0)', '57.5 (40.0 to 75.0)'],
        ['against head', '', '+20.00 ± 10.00'],
    ]


@pytest.mark.parametrize(
    'head, neck, channels',
    [('1x1', 0, 256), ('block5', 1, 256), ('block7', 3, 256), ('aspp_no_pool', 0, 4 * 64)],
)
def test_the_heads(head, neck, channels):
    """Table 2 adds blocks, under a classifier of single positions; Table 5 leaves pooling out."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIG)
    shapes.set_head(cfg.model, head)
    model = MODELS.build(cfg.model).eval()
    last = model.decode_head
    layer = last.bottleneck.conv if head == 'aspp_no_pool' else last.conv_seg
    assert layer.in_channels == channels
    blocks = model.neck.state_dict() if neck else {}
    assert len({name.split('.')[0] for name in blocks}) == neck
    assert model(torch.zeros(1, 3, 145, 193)).shape[1] == 9
