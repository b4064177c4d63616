"""What masks hold, and what becomes of it."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.datasets.reading import read_mask
from mmseg_deeplabv3x.prepare.class_table import ClassTable
from mmseg_deeplabv3x.prepare.mask_classes import count_ids, find_classes, put_masks, read_ids
from mmseg_deeplabv3x.prepare.output import Output

IDS = np.array([[0, 1, 2], [2, 1, 255]], np.uint8)
COLOURS = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
TABLE = ClassTable(['sky', 'road', 'car'], COLOURS)


def save(path, pixels, palette=None, mode=None):
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(np.array(palette, np.uint8).tobytes())
    (image.convert(mode) if mode else image).save(path)
    return path


def decide(used, names, tmp_path):
    mask = save(tmp_path / 'm.png', IDS)
    return find_classes([dict.fromkeys(used, 1)], ClassTable(names) if names else None, [mask])


def table(classes):
    return {i: int(new) for i, new in enumerate(classes.table) if new != 255}


def test_reads_gray_palette_and_colours_as_the_same_ids(tmp_path):
    colours = np.array([*COLOURS, *[(9, 9, 9)] * 252, (224, 224, 192)], np.uint8)
    painted = colours[np.where(IDS == 255, 0, IDS)]
    kinds = [
        (save(tmp_path / 'gray.png', IDS), None, IDS),
        (save(tmp_path / 'gray.tif', IDS), TABLE, IDS),
        (save(tmp_path / 'palette.png', IDS, colours.tolist()), None, IDS),
        (save(tmp_path / 'rgb_of_gray.png', IDS, mode='RGB'), None, IDS),
        (save(tmp_path / 'bool.png', IDS == 1), None, IDS == 1),
        (save(tmp_path / 'rgb.png', painted), TABLE, IDS % 255),
        (save(tmp_path / 'rgba.png', painted, mode='RGBA'), TABLE, IDS % 255),
        # indices of a palette are no ids where a table names the colours
        (save(tmp_path / 'turned.png', 2 - IDS % 255, COLOURS[::-1]), TABLE, IDS % 255),
    ]
    for path, names, ids in kinds:
        assert (read_ids(path, names) == ids).all(), path


def test_colours_without_a_table_and_jpegs_are_refused(tmp_path):
    path = save(tmp_path / 'rgb.png', np.array([[COLOURS[1], COLOURS[2]]], np.uint8))
    with pytest.raises(ValueError, match=r'\[0, 128, 0\], \[128, 0, 0\]: give --classes FILE'):
        read_ids(path, None)
    said = (
        r'rgb.png holds the colour \(0, 128, 0\), which the table of classes does not use: add to '
        r'it the line "void 0 128 0", or a class, as "background", in place of void\.$'
    )
    with pytest.raises(ValueError, match=said):
        read_ids(path, ClassTable(['road'], COLOURS[1:2]))
    noise = np.random.default_rng(0).integers(0, 9, (8, 8, 3), np.uint8)
    said = (
        r'colour \(0, .* more, which .*add to it the line.*; or it is not a mask, or was saved with'
    )
    with pytest.raises(ValueError, match=said):
        read_ids(save(tmp_path / 'noise.png', noise), ClassTable(['road'], COLOURS[1:2]))
    with pytest.raises(ValueError, match='is a JPEG'):
        read_ids(save(tmp_path / 'lossy.png.jpg', IDS), None)


@pytest.mark.parametrize(
    'used, names, expected, classes',
    [
        ([0, 1, 2, 255], None, {0: 0, 1: 1, 2: 2}, ['class 0', 'class 1', 'class 2']),
        ([0, 255], None, {0: 0, 255: 1}, ['background', 'foreground']),
        ([0, 255], ['no', 'crack'], {0: 0, 255: 1}, ['no', 'crack']),
        ([0, 255], ['crack'], {0: 0, 255: 1}, ['background', 'crack']),
        ([0, 65535], None, {0: 0, 65535: 1}, ['background', 'foreground']),
        ([0, 65535], ['no', 'crack'], {0: 0, 65535: 1}, ['no', 'crack']),
        ([0, 65535], ['crack'], {0: 0, 65535: 1}, ['background', 'crack']),
        ([0, 65535], ['a', 'b', 'c'], {0: 0, 1: 1, 2: 2}, ['a', 'b', 'c']),
        ([0, 255, 65535], None, {0: 0, 255: 1}, ['background', 'foreground']),
        ([0, 1], ['crack'], {0: 0, 1: 1}, ['background', 'crack']),
        ([0, 7, 11], None, {0: 0, 7: 1, 11: 2}, ['class 0', 'class 7', 'class 11']),
        ([0, 128, 255], ['a', 'b', 'c'], {0: 0, 128: 1, 255: 2}, ['a', 'b', 'c']),
        ([0, 2, 255], ['a', 'b', 'c'], {0: 0, 1: 1, 2: 2}, ['a', 'b', 'c']),
        ([0, 1, 2], ['a', 'b'], {0: 0, 1: 1, 2: 2}, ['background', 'a', 'b']),
        ([0, 1, 2], ['ignore', 'a', 'b'], {1: 0, 2: 1}, ['a', 'b']),
        ([1, 2, 255], ['a', 'b'], {1: 0, 2: 1}, ['a', 'b']),
    ],
)
def test_what_ids_mean(used, names, expected, classes, tmp_path):
    found = decide(used, names, tmp_path)
    assert (table(found), found.names) == (expected, classes)
    assert any('Ids are rewritten' in line for line in found.said) == any(
        old != new for old, new in expected.items()
    )
    assert any('is taken for a class' in line for line in found.said) == (
        [*expected] in ([0, 255], [0, 65535])
    )
    assert len(found.palette) == len(set(found.palette)) == len(classes)


@pytest.mark.parametrize(
    'used, names, said',
    [
        ([0, 5, 9], ['a', 'b'], '2 names, and the masks hold 3 ids, 0, 5, 9'),
        ([0], None, 'one class alone'),
        ([255], None, 'no class'),
        ([65535], None, 'no class: all pixels are 255 or 65535'),
        ([0, 1], ['void', 'a'], 'one class alone, void, a'),
    ],
)
def test_what_cannot_be_learnt_is_refused(used, names, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        decide(used, names, tmp_path)


@pytest.mark.parametrize(
    'used, names, said',
    [
        (
            [0, 85, 170, 255],
            None,
            '255 is taken for "no label", 25 % of the pixels: to make it a class, give all names',
        ),
        ([0, 1, 2, 255], None, '"no label", 25 % of the pixels: to make it a class, give it anot'),
        ([0, 1, 9, 65535], None, '65535 is taken for "no label", 25 % of the pixels: to make it a'),
        ([0, 1, 255, 65535], None, '255 and 65535 are taken for "no label", 50 % of the pixels'),
        ([0, 85, 170, 255], ['a', 'b', 'c'], 'No label (255): 25 % of the pixels.'),
        ([0, 85, 170, 255], ['a', 'b', 'c', 'd'], ''),
        ([0, 255], None, ''),
        ([0, 255, 300, 400], None, ''),
    ],
)
def test_what_is_no_label_without_a_name_is_said(used, names, said, tmp_path):
    told = [line for line in decide(used, names, tmp_path).said if '% of the pixels' in line]
    assert len(told) == bool(said)
    assert said in ''.join(told)


def disks(size=120):
    """A large disk and two small ones, bool (size, size)."""
    y, x = np.mgrid[:size, :size] / size
    round_ = [(0.4, 0.4, 0.25), (0.8, 0.7, 0.07), (0.15, 0.85, 0.1)]
    return np.any([(y - a) ** 2 + (x - b) ** 2 < r * r for a, b, r in round_], axis=0)


def blurred(high, width):
    return cv2.GaussianBlur(
        np.where(disks(), high, 0).astype(np.min_scalar_type(high)), (0, 0), width
    )


def classes_of(tmp_path, pixels, names=None):
    masks = [save(tmp_path / f'{i}.png', p) for i, p in enumerate([np.uint8([[0, 255]]), pixels])]
    table = ClassTable(names) if names else None
    return find_classes(count_ids(masks, table), table, masks)


SMOOTHED = {
    'blurred': blurred(255, 1),
    'blurred much': blurred(255, 4),
    'of 200': blurred(200, 1.5),
    'of 16 bits': blurred(65535, 1),
    'resized': cv2.resize(np.uint8(255 * disks()), (333, 333), interpolation=cv2.INTER_LINEAR),
    'drawn with 4 x 4 samples': cv2.resize(
        np.uint8(255 * disks(480)), (120, 120), interpolation=cv2.INTER_AREA
    ),
    'three ids': cv2.GaussianBlur(np.uint8(170 * disks() + 85 * disks().T), (0, 0), 1),
}


@pytest.mark.parametrize('kind', SMOOTHED)
def test_smoothed_edges_are_no_classes(tmp_path, kind):
    pixels = SMOOTHED[kind]
    ids = len(np.unique(pixels))
    said = rf'1\.png holds {ids} ids, all but [\d, ]+ along edges alone, as smoothing makes'
    with pytest.raises(ValueError, match=said):
        classes_of(tmp_path, pixels)
    with pytest.raises(ValueError, match=f'--classes has 2 names.*{said}'):
        classes_of(tmp_path, pixels, ['no', 'crack'])


def test_smoothed_edges_with_a_name_each_are_taken(tmp_path):
    names = [f'gray {i}' for i in range(17)]
    assert classes_of(tmp_path, SMOOTHED['drawn with 4 x 4 samples'], names).names == names


def patches(ids, side, high):
    """A mask of 0 whose left third is ``high``, with a square of each id."""
    columns = 2 * side * 10
    mask = np.zeros((2 * side * (len(ids) // 10 + 1), 3 * columns // 2), np.uint16)
    mask[:, : columns // 2] = high
    for place, i in enumerate(ids):
        y, x = 2 * side * (place // 10), columns // 2 + 2 * side * (place % 10)
        mask[y : y + side, x : x + side] = i
    return mask if mask.max() > 255 else mask.astype(np.uint8)


@pytest.mark.parametrize(
    'pixels',
    [
        patches(range(1, 150), 3, 255),  # ADE20K, much of it without a label
        patches(range(1, 34), 4, 33),  # Cityscapes
        patches([85, 170], 1, 255),
        patches(range(10, 250, 10), 2, 255),  # few pixels each
        patches(range(1, 3000), 3, 65535),  # instances
        np.uint8(np.where(disks(), 255, 0)),
    ],
)
def test_ids_in_small_regions_are_classes(tmp_path, pixels):
    assert len(classes_of(tmp_path, pixels).names) >= 2


MANY = [f'thing {i}' for i in range(1000)]


@pytest.mark.parametrize('names', [None, MANY, ['ignore', *MANY[1:]]])
def test_a_thousand_classes_have_16_bits(tmp_path, names):
    ids = np.uint16([[*range(1000), 65535]])
    mask = save(tmp_path / 'm.png', ids)
    table = ClassTable(names) if names else None
    assert (read_ids(mask, table) == ids).all()
    found = find_classes([Counter(ids[0].tolist())], table, [mask])
    skipped = bool(names) and names[0] == 'ignore'
    assert len(found.names) == len(set(found.palette)) == 1000 - skipped
    assert any('65535 is the label' in line for line in found.said)
    with Output(tmp_path / 'out') as out:
        put_masks(out, {'a.png': mask}, table, found)
    assert ((tmp_path / 'out/a.png').read_bytes() == mask.read_bytes()) != skipped
    written = read_mask(tmp_path / 'out/a.png', wide=True)
    expected = np.where(ids == 65535, ids, ids - np.uint16(skipped))
    assert written.dtype == np.uint16 and (written == expected).all()


def test_few_classes_with_large_ids_have_8_bits(tmp_path):
    mask = save(tmp_path / 'm.png', np.uint16([[255, 300, 9000, 65535]]))
    found = find_classes([Counter([255, 300, 9000, 65535])], None, [mask])
    assert found.names == ['class 255', 'class 300', 'class 9000']
    with Output(tmp_path / 'out') as out:
        put_masks(out, {'a.png': mask}, None, found)
    written = np.asarray(Image.open(tmp_path / 'out/a.png'))
    assert written.dtype == np.uint8 and written.tolist() == [[0, 1, 2, 255]]


def test_more_colours_than_8_bits_hold_ids(tmp_path):
    table = ClassTable(MANY, [(i % 256, i // 256, 0) for i in range(1000)])
    pixels = np.uint8([[(231, 3, 0), (255, 0, 0), (224, 224, 192)]])
    mask = save(tmp_path / 'm.png', pixels)
    assert read_ids(mask, table).tolist() == [[999, 255, 65535]]
    assert len(find_classes([Counter([255, 999, 65535])], table, [mask]).names) == 1000


def test_colours_come_from_the_table_or_the_palette(tmp_path):
    palette = [(1, 1, 1), (2, 2, 2), (3, 3, 3)]
    mask = save(tmp_path / 'm.png', IDS % 255, palette)
    assert find_classes([Counter([0, 1, 2])], None, [mask]).palette == palette
    assert find_classes([Counter([0, 1, 2])], TABLE, [mask]).palette == COLOURS


def test_masks_of_ids_stay_and_others_are_rewritten(tmp_path):
    good = save(tmp_path / 'good.png', IDS)
    binary = save(tmp_path / 'binary.png', np.uint8([[0, 255]]))
    wide = save(tmp_path / 'wide.png', np.uint16([[0, 65535]]))
    with Output(tmp_path / 'out') as out:
        put_masks(out, {'a.png': good}, None, find_classes([Counter([0, 1, 2, 255])], None, [good]))
        put_masks(out, {'b.png': binary}, None, find_classes([Counter([0, 255])], None, [binary]))
        put_masks(out, {'c.png': wide}, None, find_classes([Counter([0, 65535])], None, [wide]))
    assert (tmp_path / 'out/a.png').read_bytes() == good.read_bytes()
    assert read_mask(tmp_path / 'out/b.png').tolist() == [[0, 1]]
    assert read_mask(tmp_path / 'out/c.png').tolist() == [[0, 1]]
