"""Pictures under the folders of their images; under tools/test.py, see tests/cli."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_deeplabv3x.engine.hooks import FolderVisualizationHook
from mmseg_deeplabv3x.visualization import LegendVisualizer


@pytest.mark.parametrize('mode', ['val', 'test'])
def test_each_interval_draws_its_image_into_its_folder(tmp_path, mode):
    paths = [tmp_path / f'{folder}/1.png' for folder in ('x', 'y', 'x/z')]
    for path in paths:
        path.parent.mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    visualizer = LegendVisualizer.get_instance(
        f'{tmp_path.name}{mode}',
        vis_backends=[dict(type='mmseg.SafeLocalVisBackend')],
        save_dir=f'{tmp_path}/out',
    )
    visualizer.dataset_meta = dict(classes=('sky',), palette=[[1, 2, 3]])
    hook = FolderVisualizationHook(draw=True, interval=2)
    hook._visualizer = visualizer

    class Images(list):
        def get_data_info(self, i):
            return dict(img_path=str(self[i]))

    loader = SimpleNamespace(dataset=Images(paths))
    runner = SimpleNamespace(iter=7, **{f'{mode}_dataloader': loader})
    for i, path in enumerate([*paths, paths[0]]):
        prediction = PixelData(data=torch.zeros(1, 8, 8, dtype=torch.long))
        output = SegDataSample(pred_sem_seg=prediction, metainfo=dict(img_path=str(path)))
        getattr(hook, f'after_{mode}_iter')(runner, i, {}, [output])
    drawn = (tmp_path / 'out').rglob('*.png')
    assert sorted(p.relative_to(tmp_path / 'out/vis_data/vis_image').as_posix() for p in drawn) == [
        f'x/{mode}_1.png_7.png',
        f'y/{mode}_1.png_7.png',
    ]
