import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from show_data import draw, main, sheet

from mmseg_deeplabv3x.datasets import ShapesDataset


def test_the_sheet_is_the_seeds(tiny_config, tmp_path, capsys):
    config = tiny_config('show_data')
    for name, seed in (('a', '3'), ('b', '3'), ('c', '4')):
        main([config, '--seed', seed, '--number', '4', '-o', str(tmp_path / f'{name}.png')])
    a, b, c = (np.asarray(Image.open(tmp_path / f'{name}.png')) for name in 'abc')
    assert (a == b).all() and (a.shape != c.shape or (a != c).any())
    assert '4 images of training' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([config, '-o', 'x.jpg'])


LEFTS = 12  # columns at which an image may begin


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_pixels_are_those_of_the_images(tiny_config, bgr_to_rgb, shapes_root):
    name = f'show_data_{bgr_to_rgb}'
    cfg = Config.fromfile(tiny_config(name, {'model.data_preprocessor.bgr_to_rgb': bgr_to_rgb}))
    cfg.train_dataloader.dataset.pipeline.pop(2)  # the crop
    cfg.model.data_preprocessor.size = (80, 104)
    cfg.model.data_preprocessor.size_divisor = None
    pictures = draw(cfg, 6, seed=0)
    paths = sorted((shapes_root / 'JPEGImages').iterdir())
    known = [
        np.kron(np.asarray(Image.open(path)), np.ones((3, 3, 1), np.uint8))  # drawn three times
        for path in paths
    ]
    for picture in pictures:
        # where the image begins is the visualizer's matter: all of it must be there
        found = [(windows(picture, image) == image).all((1, 2, 3)) for image in known]
        assert sum(map(any, found)) == 1
        # beside it, its labels: their colours by half over the gray image
        [number], [place] = np.nonzero(found)
        ids = np.asarray(Image.open(shapes_root / f'SegmentationClass/{paths[number].stem}.png'))
        top, left = divmod(place, LEFTS)
        gray = known[number].astype(int) @ [0.299, 0.587, 0.114]
        panel = gray[..., None] / 2 + colours()[np.kron(ids, np.ones((3, 3), int))] / 2
        row = picture[top : top + len(panel), left + 3 * 104 :].astype(int)  # it is padded
        assert abs(windows(row, panel) - panel).max((1, 2, 3)).min() < 2


def colours():
    """Of all ids, white where there is no class, (256, 3)."""
    palette = ShapesDataset.METAINFO['palette']
    return np.array([*palette, *[[255] * 3] * (256 - len(palette))])


def windows(picture, image):
    """The places, below one another, at which an image can lie in the first columns."""
    rows = range(picture.shape[0] - image.shape[0] + 1)
    lefts = range(LEFTS)
    return np.array([
        picture[top : top + image.shape[0], left : left + image.shape[1]]
        for top in rows[:40] for left in lefts
    ])  # fmt: skip


def test_a_misspelt_setting_is_told(tiny_config, tmp_path):
    out = tmp_path / 'x.png'
    config, option = tiny_config('show_data_spelling'), 'train_dataloder.batch_size=2'
    with pytest.raises(SystemExit, match="no 'train_dataloder'; 'train_dataloader' is prob"):
        main([config, '-o', str(out), '--cfg-options', option])
    assert not out.exists()


def test_a_sheet_holds_pictures_of_all_sizes():
    canvas = sheet([np.full((10 + i, 20, 3), i, np.uint8) for i in range(5)])
    assert set(np.unique(canvas)) == {0, 1, 2, 3, 4, 255}
