"""Files as the annotation tools write them."""

from __future__ import annotations

import base64
import io
import json
import posixpath
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.datasets.reading import read_mask
from mmseg_deeplabv3x.prepare import annotations
from mmseg_deeplabv3x.prepare.annotations import (
    prepare_coco_json,
    prepare_cvat,
    prepare_labelme,
)
from mmseg_deeplabv3x.prepare.class_table import read_class_table
from mmseg_deeplabv3x.prepare.own_dataset import make_own_dataset

WIDTH, HEIGHT = 40, 30


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    return buffer.getvalue()


PHOTO = png(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8))


def box(left, top, right, bottom):
    """Bool (H, W), edges included."""
    region = np.zeros((HEIGHT, WIDTH), bool)
    region[top : bottom + 1, left : right + 1] = True
    return region


def shape(label, points, kind='polygon', **more):
    return dict(
        label=label, points=points, group_id=None, description='', shape_type=kind, flags={}, **more
    )


@pytest.fixture
def labelme(tmp_path):
    """Writes a page of LabelMe, with its image beside it."""
    folder = tmp_path / 'in'

    def labelme(shapes, name='a.json', image='a.png', **changes):
        page = dict(
            version='5.5.0', flags={}, shapes=shapes, imagePath=image, imageData=None,
            imageHeight=HEIGHT, imageWidth=WIDTH,
        )  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(dict(page, **changes)), 'utf-8')
        if changes.get('imageData') is None:
            (folder / name).with_name(image.replace('\\', '/').split('/')[-1]).write_bytes(PHOTO)

    return labelme


@pytest.fixture
def run(tmp_path):
    def run(prepare, *sources):
        said = prepare(str(tmp_path / 'out'), sources or [tmp_path / 'in'])
        table = read_class_table(tmp_path / 'out/labelmap.txt')
        masks = {
            path.relative_to(tmp_path / 'out/masks').as_posix(): read_mask(path)
            for path in (tmp_path / 'out/masks').rglob('*.png')
        }
        return said, table.names, masks

    return run


def test_labelme_shapes_lie_in_the_order_of_the_file(labelme, run):
    labelme([
        shape('road', [[2, 2], [20, 2], [20, 20], [2, 20]]),
        shape('car', [[25.0, 15.0], [10.0, 10.0]], 'rectangle'),  # from its last corner
        shape('__ignore__', [[12, 12], [14, 14]], 'rectangle'),
        shape('road', [[18, 18], [19, 19]], 'rectangle'),
    ])  # fmt: skip
    _, names, masks = run(prepare_labelme)
    assert names == ['background', 'car', 'road']
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    for region, value in (
        (box(2, 2, 20, 20), 2), (box(10, 10, 25, 15), 1), (box(12, 12, 14, 14), 255),
        (box(18, 18, 19, 19), 2),
    ):  # fmt: skip
        expected[region] = value
    assert list(masks) == ['a.png.png']
    assert (masks['a.png.png'] == expected).all()


def test_labelme_circles_and_masks(labelme, run):
    part = np.array([[0, 1], [1, 1]], bool)
    labelme([
        shape('ball', [[20, 15], [26, 15]], 'circle'),
        shape('part', [[3, 4], [5, 6]], 'mask', mask=base64.b64encode(png(part)).decode()),
    ])  # fmt: skip
    mask = run(prepare_labelme)[2]['a.png.png']
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(x - 20, y - 15)
    assert (mask[distance < 5.4] == 1).all() and (mask[distance > 6.6] != 1).all()
    assert np.argwhere(mask == 2).tolist() == [[4, 4], [5, 3], [5, 4]]


def test_labelme_oriented_rectangles(labelme, run):
    corners = [[10.0, 5.0], [15.0, 10.0], [10.0, 15.0], [5.0, 10.0]]
    labelme([shape('tilted', corners, 'oriented_rectangle')])
    mask = run(prepare_labelme)[2]['a.png.png']
    assert mask[10, 6:15].all() and mask[6:15, 10].all() and not mask[6, 6] and not mask[14, 14]


def test_labelme_of_more_labels_than_16_bits_hold(labelme, run):
    labelme([shape(f'{i}', [[0, 0], [0, 0]], 'rectangle') for i in range(65535)])
    with pytest.raises(ValueError, match='There are 65535 labels; .* room for 65534'):
        run(prepare_labelme)


def test_labelme_of_many_labels_has_masks_of_16_bits(labelme, tmp_path):
    labelme([
        *(shape(f'label {i:03}', [[i % 40, i // 40], [i % 40, i // 40]], 'rectangle')
          for i in range(300)),
        shape('void', [[0, 20], [3, 20]], 'rectangle'),
    ])  # fmt: skip
    said = prepare_labelme(str(tmp_path / 'out'), [tmp_path / 'in'])
    assert said.endswith('label 048 and 251 more')
    ids = read_mask(tmp_path / 'out/masks/a.png.png', wide=True)
    assert ids.dtype == np.uint16 and (ids[:7].ravel() == range(1, 281)).all()
    assert (ids[20, :4] == 65535).all() and not ids[21:].any()
    table = read_class_table(tmp_path / 'out/labelmap.txt')
    assert (len(table.names), len(set(table.colours)), table.names[300]) == (301, 301, 'label 299')


def test_labelme_what_has_no_area_is_said(labelme, run):
    labelme([shape('a', [[1, 1], [9, 1], [9, 9]]), shape('b', [[3, 3]], 'point')])
    said, names, _ = run(prepare_labelme)
    assert 'passed over: point (1)' in said and names == ['background', 'a']


@pytest.mark.parametrize('kind', ['polygon', None])
def test_labelme_stray_polygons_are_passed_over_and_said(labelme, run, kind):
    strays = [shape('b', [[3, 3], [9, 9]][:count], kind) for count in range(3)]
    labelme([shape('a', [[1, 1], [9, 1], [9, 9]]), *strays])
    said, names, _ = run(prepare_labelme)
    assert said.endswith('passed over: polygon of fewer than 3 points (3)')
    assert names == ['background', 'a']


@pytest.mark.parametrize('label, said', [(None, 'null'), (3, '3'), (' ', '" "')])
def test_what_is_no_name_of_a_class_is_refused(labelme, write, run, tmp_path, label, said):
    labelme([shape(label, [[1, 1], [9, 1], [9, 9]])])
    expected = f'^a.json has the label {said}; expected the name of a class.$'
    with pytest.raises(ValueError, match=expected):
        run(prepare_labelme)
    page = coco([dict(category_id=3, segmentation=[polygon(2, 2, 11, 11)])])
    page['categories'][0]['name'] = label
    write('a.json', page)
    with pytest.raises(ValueError, match=expected):
        run(prepare_coco_json)


def test_names_of_classes_arrive_whatever_they_hold(labelme, run):
    labels = ['#1', '2', 'a, b', 'at 1 2 3', 'line\nbreak', '\\#x', 'x:']
    labelme([shape(label, [[i, 0], [i, 9]], 'rectangle') for i, label in enumerate(labels)])
    _, names, _ = run(prepare_labelme)
    assert names == ['background', *sorted(' '.join(label.split()) for label in labels)]


def test_labelme_images_of_one_folder_above(labelme, run, tmp_path):
    labelme([shape('a', [[1, 1], [9, 1], [9, 9]])], 'json/a.json', '../left/a.png')
    for place in ('deep/left', 'right'):
        (tmp_path / 'in' / place).mkdir(parents=True)
        (tmp_path / 'in' / place / 'a.png').write_bytes(PHOTO)
    (tmp_path / 'in/json/a.png').unlink()
    with pytest.raises(
        ValueError, match=r'^json/a.json names .*a.png, and there are deep/left/a.png, right/a.png'
    ):
        run(prepare_labelme)
    page = json.loads((tmp_path / 'in/json/a.json').read_text())
    (tmp_path / 'in/json/a.json').write_text(json.dumps(dict(page, imagePath='left/a.png')))
    assert list(run(prepare_labelme)[2]) == ['deep/left/a.png.png']


def test_images_are_found_whatever_the_threads_do(labelme, run, tmp_path, monkeypatch):
    (tmp_path / 'in/photos').mkdir(parents=True)
    for i in range(20):
        labelme([shape('a', [[1, 1], [9, 1], [9, 9]])], f'json/{i}.json', f'{i}.png')
        (tmp_path / f'in/json/{i}.png').rename(tmp_path / f'in/photos/{i}.png')
    basename = posixpath.basename

    def slow(path):
        time.sleep(0.002)
        return basename(path)

    monkeypatch.setattr(annotations.posixpath, 'basename', slow)
    assert len(run(prepare_labelme)[2]) == 20


def test_two_pages_on_one_image_are_refused(labelme, write, run):
    labelme([shape('a', [[1, 1], [9, 1], [9, 9]])], 'a.json')
    labelme([shape('b', [[1, 1], [9, 1], [9, 9]])], 'a_backup.json')
    said = r'^{} labels the image a.png, which {} has labelled before: leave one of them out.$'
    with pytest.raises(ValueError, match=said.format('a_backup.json', 'a.json')):
        run(prepare_labelme)
    write('instances.json', coco([dict(category_id=1, segmentation=[polygon(2, 2, 11, 11)])]))
    write('keypoints.json', coco([]))
    with pytest.raises(ValueError, match=said.format('keypoints.json', 'instances.json')):
        run(prepare_coco_json)


def test_a_page_that_lists_an_image_twice_is_refused(write, run):
    page = coco([])
    page['images'].append(dict(page['images'][0], id=8))
    write('a.json', page)
    write('a.png', PHOTO)
    with pytest.raises(ValueError, match='^a.json labels the image a.png, which a.json has'):
        run(prepare_coco_json)


def test_embedded_images_of_like_places_do_not_mix(labelme, run, tmp_path):
    places = [('site/1_01', 0), ('site_1/01', 1), ('site_1_01', 2)]
    for place, value in places:
        photo = png(np.full((HEIGHT, WIDTH, 3), value, np.uint8))
        labelme([], f'{place}.json', 'lost.jpg', imageData=base64.b64encode(photo).decode())
    run(prepare_labelme)
    for place, value in places:
        assert np.asarray(Image.open(tmp_path / f'out/images/{place}.png'))[0, 0, 0] == value


def test_different_files_of_one_name_are_refused(labelme, write, run, tmp_path, small):
    labelme([shape('a', [[1, 1], [9, 1], [9, 9]])])
    one, other = tmp_path / 'in', tmp_path / 'other'
    same = dict(run(prepare_labelme)[2])
    small.pack(one, tmp_path / 'same.zip')
    (tmp_path / 'out').rename(tmp_path / 'out1')
    assert dict(run(prepare_labelme, one, tmp_path / 'same.zip')[2]).keys() == same.keys()
    (tmp_path / 'out').rename(tmp_path / 'out2')
    one.rename(other)
    labelme([shape('b', [[1, 1], [9, 1], [9, 9]])])
    with pytest.raises(ValueError, match=f'^{one}/a.json and {other}/a.json are two files of the'):
        run(prepare_labelme, one, other)
    packed = small.pack(other, tmp_path / 'other.zip')
    with pytest.raises(ValueError, match=rf'^{one}/a.json and .*a.json in {packed} are two files'):
        run(prepare_labelme, one, packed)
    write('images/a.json', dict(shapes=[], imagePath='a.png'))
    with pytest.raises(ValueError, match=f'^{one}/a.json and {one}/images/a.json are two'):
        run(prepare_labelme)


def test_different_coco_files_of_one_name_are_refused(write, run, tmp_path):
    for place in 'ST':
        write(f'{place}/annotations/instances_default.json', coco([
            dict(category_id=1, segmentation=[polygon(2, 2, 11, 11)]),
        ], f'{place}.png'))  # fmt: skip
        write(f'{place}/images/{place}.png', PHOTO)
    with pytest.raises(ValueError, match=r'S/ann.*default.json and .*T/ann.* of the same name'):
        run(prepare_coco_json, tmp_path / 'in/S', tmp_path / 'in/T')
    assert len(run(prepare_coco_json)[2]) == 2  # as folders of one


def test_labelme_finds_images_elsewhere_and_in_the_file(labelme, run, tmp_path):
    triangle = [shape('a', [[1, 1], [9, 1], [9, 9]])]
    embedded = base64.b64encode(PHOTO).decode()
    labelme(triangle, 'json/über 1.json', '..\\photos\\über 1.png')
    (tmp_path / 'in/photos').mkdir()
    (tmp_path / 'in/json/über 1.png').rename(tmp_path / 'in/photos/über 1.png')
    labelme(triangle, 'json/b.json', 'lost.jpg', imageData=embedded)
    masks = run(prepare_labelme)[2]
    assert sorted(masks) == ['json/b.png.png', 'photos/über 1.png.png']
    assert (tmp_path / 'out/images/json/b.png').read_bytes() == PHOTO


def test_labelme_in_trouble(labelme, run, tmp_path):
    labelme([shape('a', [[1, 1]])], imageData='')
    with pytest.raises(FileNotFoundError, match=r'a\.json: the image a\.png is not there'):
        run(prepare_labelme)
    labelme([shape('a', [[1, 1]], 'circle')])
    with pytest.raises(ValueError, match=r'a\.json is damaged'):
        run(prepare_labelme)
    (tmp_path / 'in/a.json').write_text('{')
    with pytest.raises(ValueError, match=r'a\.json is damaged'):
        run(prepare_labelme)
    (tmp_path / 'in/a.json').unlink()
    with pytest.raises(FileNotFoundError, match='No JSON with imagePath, shapes'):
        run(prepare_labelme)
    (tmp_path / 'out').mkdir()
    with pytest.raises(ValueError, match='is there already'):
        run(prepare_labelme)


def runs(region):
    """COCO's uncompressed run-length code: columns first, zeros first."""
    flat = region.ravel(order='F')
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return dict(size=[HEIGHT, WIDTH], counts=[0, *counts] if flat[0] else counts)


def polygon(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def coco(annotations, file_name='a.png'):
    items = [
        dict(id=i, image_id=7, bbox=[0, 0, 1, 1], area=1, iscrowd=0, **item)
        for i, item in enumerate(annotations, 1)
    ]
    return dict(
        info={}, licenses=[], annotations=items,
        images=[dict(id=7, width=WIDTH, height=HEIGHT, file_name=file_name)],
        categories=[dict(id=3, name='ring', supercategory=''), dict(id=1, name='bar'),
                    dict(id=0, name='objects', supercategory='none')],
    )  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / 'in' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    return write


def test_coco_polygons_holes_and_order(write, run):
    hollow = box(5, 5, 20, 20) & ~box(9, 9, 12, 12)
    crowd = dict(runs(hollow))
    write('annotations/instances_default.json', coco([
        dict(category_id=1, segmentation=[polygon(2, 2, 11, 11), polygon(30, 20, 35, 25)]),
        dict(category_id=3, segmentation=crowd) | {},
        dict(category_id=1, segmentation=[polygon(18, 18, 25, 25)]),
        dict(category_id=3, segmentation=[]),
    ]))  # fmt: skip
    write('images/a.png', PHOTO)
    said, names, masks = run(prepare_coco_json)
    assert names == ['background', 'bar', 'ring']  # 'objects' has no annotation
    assert 'passed over: box (1)' in said
    mask = masks['a.png.png']
    later = mask[18:25, 18:25]
    assert (later == 1).all()
    assert (mask[hollow & ~box(17, 17, 26, 26)] == 2).all()
    assert (mask[9:11, 9:11] == 1).all() and mask[12, 12] == 0  # through the hole
    assert mask[22, 32] == 1 and mask[0, 0] == 0


def test_coco_of_several_folders_keeps_them(write, run):
    for split in ('train', 'valid'):
        write(f'{split}/_annotations.coco.json', coco([
            dict(category_id=1, segmentation=[polygon(2, 2, 11, 11)]),
        ]))  # fmt: skip
        write(f'{split}/a.png', PHOTO)
    assert sorted(run(prepare_coco_json)[2]) == ['train/a.png.png', 'valid/a.png.png']


def test_coco_stray_polygons_are_passed_over_and_said(write, run):
    write('a.json', coco([
        dict(category_id=1, segmentation=[polygon(2, 2, 11, 11), [20, 20, 9, 9], [1, 1]]),
        dict(category_id=3, segmentation=[[20, 20, 9, 9]]),
    ]))  # fmt: skip
    write('a.png', PHOTO)
    said, names, masks = run(prepare_coco_json)
    assert said.endswith('passed over: polygon of fewer than 3 points (3)')
    assert names == ['background', 'bar'] and not masks['a.png.png'][15:, 15:].any()


def test_coco_in_trouble(write, run):
    write('a.json', coco([dict(category_id=9, segmentation=[polygon(1, 1, 3, 3)])]))
    with pytest.raises(ValueError, match=r'a\.json is damaged.*9'):
        run(prepare_coco_json)
    write('a.json', coco([], file_name='lost.png'))
    with pytest.raises(FileNotFoundError, match=r'a\.json: the image lost\.png is not there'):
        run(prepare_coco_json)
    write('x/lost.png', PHOTO)
    write('y/lost.png', PHOTO)
    with pytest.raises(ValueError, match=r'x/lost\.png, y/lost\.png'):
        run(prepare_coco_json)


def test_cvats_archive_becomes_ids(tmp_path, run):
    colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colours[box(5, 5, 10, 10)] = 250, 50, 83
    colours[box(12, 5, 20, 10)] = 61, 245, 61
    with zipfile.ZipFile(tmp_path / 'task.zip', 'w') as file:
        file.writestr(
            'labelmap.txt',
            '# label:color_rgb:parts:actions\nbackground:0,0,0::\nred car:250,50,83::\n'
            'void:61,245,61::\n',
        )
        file.writestr('ImageSets/Segmentation/default.txt', 'sub/a\nb\n')
        for i, name in enumerate(('sub/a', 'b')):
            file.writestr(f'SegmentationClass/{name}.png', png(colours))
            file.writestr(f'SegmentationObject/{name}.png', png(colours))
            file.writestr(f'JPEGImages/{name}.png', png(np.full_like(colours, i)))
    prepare_cvat(str(tmp_path / 'out'), [tmp_path / 'task.zip'])
    root = tmp_path / 'out'
    made = make_own_dataset(str(root / 'images'), str(root / 'masks'), str(tmp_path / 'my'))
    assert made.classes == ['background', 'red car']
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[box(5, 5, 10, 10)] = 1
    expected[box(12, 5, 20, 10)] = 255
    assert (read_mask(tmp_path / 'my/masks/sub/a.png.png') == expected).all()


def cvat_zip(path, name, value, *lists):
    with zipfile.ZipFile(path, 'w') as file:
        for folder in ('JPEGImages', 'SegmentationClass'):
            file.writestr(f'{folder}/{name}.png', png(np.full((4, 4, 3), value, np.uint8)))
        for place in lists:
            file.writestr(f'ImageSets/Segmentation/{place}.txt', f'{name}\n')
    return path


def test_cvats_lists_come_along(tmp_path):
    splits = dict(a='Train', sub='train', b='Validation', c='test')
    archives = [
        cvat_zip(tmp_path / f'{name}.zip', f'{name}/x', 0, split, 'default')
        for name, split in splits.items()
    ]
    for task in 'de':
        path = tmp_path / f'folder/{task}/ImageSets/Segmentation/train.txt'
        path.parent.mkdir(parents=True)
        path.write_text(f'{task}/x\n\nsub/x\n')
    prepare_cvat(str(tmp_path / 'out'), [*archives, tmp_path / 'folder'])
    lists = tmp_path / 'out/ImageSets/Segmentation'
    found = {path.name: path.read_text() for path in lists.iterdir()}
    train = 'a/x\nsub/x\nd/x\ne/x\n'
    assert found == {'train.txt': train, 'val.txt': 'b/x\n', 'test.txt': 'c/x\n'}


def test_cvats_second_export_of_the_same_names_is_refused(tmp_path):
    archives = [cvat_zip(tmp_path / f'{i}.zip', 'frame_000000', i) for i in range(2)]
    with pytest.raises(ValueError, match=r'frame_000000.png in .*0.zip and .*in .*1.zip are two'):
        prepare_cvat(str(tmp_path / 'out'), archives)


def test_cvats_archives_with_files_of_one_name_in_other_folders(tmp_path):
    archives = [cvat_zip(tmp_path / f'{i}.zip', f'{i}/frame', i) for i in range(2)]
    prepare_cvat(str(tmp_path / 'out'), archives)
    for i in range(2):
        assert (np.asarray(Image.open(tmp_path / f'out/images/{i}/frame.png')) == i).all()


def test_cvat_without_images_is_told_how(tmp_path):
    with zipfile.ZipFile(tmp_path / 'task.zip', 'w') as file:
        file.writestr('SegmentationClass/a.png', PHOTO)
    with pytest.raises(FileNotFoundError, match='0 images and SegmentationClass 1 masks: export'):
        prepare_cvat(str(tmp_path / 'out'), [tmp_path / 'task.zip'])


def test_what_the_tools_give_is_a_dataset(labelme, run, tmp_path):
    triangle = [shape('a', [[1, 1], [9, 1], [9, 9]])]
    for i in range(4):
        labelme(
            [*triangle, shape('__ignore__', [[20, 20], [22, 22]], 'rectangle')],
            f'{i}.json',
            f'{i}.png',
        )
        Image.new('RGB', (WIDTH, HEIGHT), (i, 0, 0)).save(tmp_path / f'in/{i}.png')
    run(prepare_labelme)
    root = tmp_path / 'out'
    made = make_own_dataset(str(root / 'images'), str(root / 'masks'), str(tmp_path / 'my'))
    assert made.classes == ['background', 'a']
    mask = read_mask(tmp_path / 'my/masks/0.png.png')
    assert mask[21, 21] == 255 and mask[2, 8] == 1
