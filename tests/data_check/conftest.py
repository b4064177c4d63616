"""A small data set that is as it should be, for tests to break."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

CLASSES = ('sky', 'tree', 'road', 'pole')


class Data:
    """8 images to train on and 3 to evaluate on, 10x12 pixels; image i holds class i % 4."""

    def __init__(self, root):
        self.root = root
        for folder in ('images', 'masks'):
            (root / folder).mkdir()
        for i in range(11):
            Image.new('RGB', (12, 10), (20 * i, 90, 200)).save(self.image(i))
            labels = np.zeros((10, 12), np.uint8)
            labels[:2, : i + 1] = i % 4
            labels[-1] = 255
            self.write_mask(i, labels)
        self.write_list('train', range(8))
        self.write_list('val', range(8, 11))

    def image(self, i):
        return self.root / f'images/{i}.jpg'

    def mask(self, i):
        return self.root / f'masks/{i}.png'

    def write_mask(self, i, labels):
        Image.fromarray(labels).save(self.mask(i))

    def write_list(self, split, names):
        (self.root / f'{split}.txt').write_text(''.join(f'{name}\n' for name in names))

    def dataset(self, split, **changes):
        config = dict(
            type='BaseSegDataset',
            data_root=str(self.root),
            ann_file=f'{split}.txt',
            data_prefix=dict(img_path='images', seg_map_path='masks'),
            img_suffix='.jpg',
            metainfo=dict(classes=CLASSES),
            pipeline=[dict(type='LoadImageFromFile')],
        )
        return dict(config, **changes)

    def config(self, train=None):
        evaluation = dict(dataset=self.dataset('val'))
        return Config(
            dict(
                default_scope='mmseg',
                train_dataloader=dict(dataset=train or self.dataset('train')),
                val_dataloader=evaluation,
                test_dataloader=evaluation,
            )
        )


@pytest.fixture
def data(tmp_path):
    return Data(tmp_path)
