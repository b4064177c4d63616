from __future__ import annotations

import itertools
import resource
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.utils import get_classes, get_palette
from PIL import Image

from mmseg_deeplabv3x.visualization import LegendVisualizer

NAMES = (f'visualizer{i}' for i in itertools.count())
CLASSES, PALETTE = ('sky', 'tree', 'car'), [[10, 20, 250], [20, 160, 30], [220, 30, 40]]
MARK = (123, 45, 67)  # the image is all of this colour, and is found in the picture by it


def build(classes=CLASSES, palette=PALETTE, **kwargs):
    kwargs = dict(dict(type='LegendVisualizer', name=next(NAMES), alpha=1), **kwargs)
    visualizer = VISUALIZERS.build(kwargs)
    visualizer.dataset_meta = dict(classes=classes, palette=palette)
    return visualizer


def sample(gt=None, pred=None, **meta):
    fields = {'gt_sem_seg': gt, 'pred_sem_seg': pred}
    fields = {
        k: PixelData(data=torch.as_tensor(v)[None]) for k, v in fields.items() if v is not None
    }
    return SegDataSample(metainfo=meta, **fields)


def halves(top, bottom, height=60, width=300):
    labels = np.full((height, width), top)
    labels[height // 2 :] = bottom
    return labels


def picture(tmp_path, image, data_sample=None, visualizer=None, **kwargs):
    path = tmp_path / 'picture.png'
    visualizer = visualizer or build()
    visualizer.add_datasample('x', image, data_sample, out_file=str(path), **kwargs)
    return np.asarray(Image.open(path))


def has(pixels, colour):
    return (pixels == np.array(colour)).all(-1).any()


def panels_of(drawn, height, width):
    """Cuts (height, width) pictures out of the white sheet, left to right, and the legend."""
    rows = np.flatnonzero((drawn == MARK).all(-1).any(1))
    cols = np.flatnonzero((drawn[rows[0]] == MARK).all(-1))
    top, left = rows[0], cols[0]
    gap = left
    count = (drawn.shape[1] - gap) // (width + gap)
    starts = [left + i * (width + gap) for i in range(count)]
    panels = [drawn[top : top + height, x : x + width] for x in starts]
    return panels, drawn[top + height :]


def flat_image(height=60, width=300):
    return np.full((height, width, 3), MARK, np.uint8)


def test_image_ground_truth_and_prediction_stand_side_by_side_in_rgb(tmp_path):
    gt, pred = halves(0, 1), halves(1, 2)
    drawn = picture(tmp_path, flat_image(), sample(gt, pred))
    (image, truth, prediction), legend = panels_of(drawn, 60, 300)
    np.testing.assert_array_equal(image, flat_image())
    np.testing.assert_array_equal(truth, np.array(PALETTE)[gt])
    np.testing.assert_array_equal(prediction, np.array(PALETTE)[pred])
    assert all(has(legend, colour) for colour in PALETTE)


@pytest.mark.parametrize(
    'gt, pred, flags, shown',
    [
        (None, 2, {}, [2]),
        (1, None, {}, [1]),
        (1, 2, dict(draw_gt=False), [2]),
        (1, 2, dict(draw_pred=False), [1]),
        (None, None, {}, []),
    ],
)
def test_what_is_absent_or_unwanted_takes_no_room(tmp_path, gt, pred, flags, shown):
    maps = [None if i is None else halves(i, i) for i in (gt, pred)]
    panels, legend = panels_of(picture(tmp_path, flat_image(), sample(*maps), **flags), 60, 300)
    assert [p[0, 0].tolist() for p in panels[1:]] == [PALETTE[i] for i in shown]
    assert [i for i in range(3) if has(legend, PALETTE[i])] == shown


def test_captions_stand_whole_above_their_panels(tmp_path):
    drawn = picture(tmp_path, flat_image(), sample(halves(0, 1), halves(1, 2)))
    top, left = np.argwhere((drawn == MARK).all(-1))[0]
    ink = (drawn[:top] < 128).all(-1)
    for panel in range(3):
        start = left + panel * (300 + left)
        rows = np.flatnonzero(ink[:, start : start + 300].any(1))
        assert rows[0] > 0 and rows[-1] < top - 1 and len(rows) > 5


def test_image_alone_needs_no_sample(tmp_path):
    panels, _ = panels_of(picture(tmp_path, flat_image()), 60, 300)
    assert len(panels) == 1


def test_the_image_shines_through(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (60, 300, 3), dtype=np.uint8)
    image[0, 0] = MARK
    visualizer = build(alpha=0.25)
    panels, _ = panels_of(picture(tmp_path, image, sample(halves(2, 2)), visualizer), 60, 300)
    grey = image @ np.array([0.299, 0.587, 0.114])
    expected = 0.75 * grey[..., None] + 0.25 * np.array(PALETTE[2])
    assert np.abs(panels[1] - expected).max() <= 1


@pytest.mark.parametrize('dtype', [np.int64, np.int32, np.uint16, np.float32, np.float64])
def test_numbers_of_any_type_are_drawn_as_bytes_are(tmp_path, dtype):
    image = np.random.default_rng(0).integers(0, 256, (60, 300, 3), dtype=np.uint8)
    drawn = [
        picture(tmp_path, kind(image), sample(halves(0, 2)), build(alpha=0.4))
        for kind in (np.asarray, lambda image: image.astype(dtype))
    ]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize('label', [255, 17, -1, -2])
def test_pixels_without_a_class_are_white_and_called_void(tmp_path, label):
    data = sample(halves(label, 1))
    (_, truth), legend = panels_of(picture(tmp_path, flat_image(), data), 60, 300)
    assert (truth[:30] == 255).all() and (truth[30:] == PALETTE[1]).all()
    no_void = panels_of(picture(tmp_path, flat_image(), sample(halves(1, 1))), 60, 300)[1]
    assert (legend != 255).sum() > (no_void != 255).sum()


def test_legend_can_be_left_out(tmp_path):
    data = sample(halves(0, 1))
    _, legend = panels_of(picture(tmp_path, flat_image(), data, with_labels=False), 60, 300)
    assert (legend == 255).all()


@pytest.mark.parametrize('width', [64, 100, 500])
def test_every_one_of_21_classes_fits_in_the_legend(tmp_path, width):
    classes, palette = get_classes('voc'), get_palette('voc')
    labels = np.arange(64 * width).reshape(64, width) % 21
    visualizer = build(classes, palette)
    drawn = picture(tmp_path, flat_image(64, width), sample(labels), visualizer)
    zoom = -(-240 // width)
    panels, legend = panels_of(drawn, 64 * zoom, width * zoom)
    np.testing.assert_array_equal(panels[1][::zoom, ::zoom], np.array(palette)[labels])
    assert all(has(legend, colour) for colour in palette)
    assert (legend[:, -2:] == 255).all() and (legend[-2:] == 255).all()  # nothing is cut off


def test_a_name_longer_than_the_picture_widens_it(tmp_path):
    visualizer = build(('sky', 'tree', 'a very long name ' * 10), PALETTE)
    drawn = picture(tmp_path, flat_image(), sample(halves(2, 1)), visualizer)
    assert drawn.shape[1] > 1000 and (drawn[:, -2:] == 255).all()


def test_stock_hook_writes_one_png_per_image_with_dataset_colours(tmp_path):
    image = np.asarray(Image.new('RGB', (80, 48), (200, 60, 20)))
    Image.fromarray(image).save(tmp_path / 'a.jpg', quality=100)
    backends = [dict(type='LocalVisBackend')]
    visualizer = LegendVisualizer.get_instance(
        next(NAMES), vis_backends=backends, save_dir=str(tmp_path)
    )
    visualizer.dataset_meta = dict(classes=CLASSES, palette=PALETTE)
    hook = SegVisualizationHook(draw=True, interval=1)
    data = sample(halves(0, 1, 48, 80), halves(0, 2, 48, 80), img_path=str(tmp_path / 'a.jpg'))
    hook.after_test_iter(SimpleNamespace(iter=7), 0, {}, [data])
    (path,) = (tmp_path / 'vis_data' / 'vis_image').iterdir()
    assert path.name == 'test_a.jpg_7.png'
    drawn = np.asarray(Image.open(path)).astype(int)
    assert all(has(drawn, colour) for colour in PALETTE)  # in the legend
    assert (np.abs(drawn - [200, 60, 20]).max(-1) < 8).any()  # the photo is RGB, too


def test_a_full_disk_leaves_the_picture_that_was_there(tmp_path, limit_files):
    picture(tmp_path, flat_image(), sample(halves(0, 1)))
    before = (tmp_path / 'picture.png').read_bytes()
    limit_files(len(before) // 2)
    with pytest.raises(OSError, match='File too large'):
        picture(tmp_path, flat_image(), sample(halves(2, 2)))
    limit_files(resource.RLIM_INFINITY)
    assert [p.name for p in tmp_path.iterdir()] == ['picture.png']
    assert (tmp_path / 'picture.png').read_bytes() == before


def test_a_file_that_is_no_image_is_refused(tmp_path):
    with pytest.raises(ValueError, match='out_file .*a.txt must be an image file, such as x.png'):
        build().add_datasample('x', flat_image(), out_file=str(tmp_path / 'a.txt'))


def test_a_picture_may_go_into_a_new_folder(tmp_path):
    path = tmp_path / 'new/a.jpg'
    build().add_datasample('x', flat_image(), out_file=str(path))
    assert Image.open(path).format == 'JPEG'


def test_get_image_gives_the_picture(tmp_path):
    visualizer = build()
    drawn = picture(tmp_path, flat_image(), sample(halves(0, 1)), visualizer)
    np.testing.assert_array_equal(visualizer.get_image(), drawn)


def test_label_map_of_another_size_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'x: the prediction has \(30, 300\).*\(60, 300\)'):
        picture(tmp_path, flat_image(), sample(pred=halves(0, 1, height=30)))


def test_a_class_without_colour_is_refused(tmp_path):
    with pytest.raises(ValueError, match='3 classes and 2 palette colours'):
        picture(tmp_path, flat_image(), visualizer=build(palette=PALETTE[:2]))


def test_depth_maps_are_not_drawn(tmp_path):
    data = sample(halves(0, 1))
    expected = picture(tmp_path, flat_image(), data)
    for field in ('gt_depth_map', 'pred_depth_map'):
        data.set_data({field: PixelData(data=torch.rand(1, 60, 300))})
    np.testing.assert_array_equal(picture(tmp_path, flat_image(), data), expected)
