import builtins
import json

import numpy as np
import pytest
from mmseg.datasets import PascalVOCDataset
from pycocotools import mask as rle
from pycocotools.coco import COCO

from mmseg_deeplabv3x.prepare import coco
from mmseg_deeplabv3x.prepare.coco import CATEGORIES, paint, prepare_coco
from mmseg_deeplabv3x.prepare.download import DownloadError

# pycocotools 2.0.11 under numpy 2
pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')

PERSON, CUP, DOG, TABLE = 1, 47, 18, 67
VOC_OF = {PERSON: 15, DOG: 12, TABLE: 11}
CATS = [dict(id=number, name=f'category {number}') for number in (*CATEGORIES, CUP)]


def box(left, top, right, bottom):
    """A polygon that covers columns left to right - 1 and rows top to bottom - 1."""
    return [left, top, right, top, right, bottom, left, bottom]


def in_box(left, top, right, bottom, size=(40, 60)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def counts_of(mask):
    """COCO's uncompressed RLE: lengths of the runs down the columns, zeros first."""
    flat = np.concatenate([[0], mask.ravel(order='F'), [2]])
    edges = np.flatnonzero(np.diff(flat.astype(int)))
    runs = np.diff(np.concatenate([[0], edges]))
    return dict(size=list(mask.shape), counts=runs.tolist())


def compressed(mask):
    packed = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=packed['size'], counts=packed['counts'].decode())


def annotation(number, image, category, segmentation, crowd=0):
    return dict(
        id=number, image_id=image, category_id=category, segmentation=segmentation, iscrowd=crowd
    )


def write(path, images, annotations, size=(60, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    items = [
        dict(id=image, file_name=f'{image:012}.jpg', width=size[0], height=size[1])
        for image in images
    ]
    path.write_text(json.dumps(dict(images=items, annotations=annotations, categories=CATS)))
    return path


def painted(tmp_path, *annotations):
    data = COCO(str(write(tmp_path / 'a.json', [1], list(annotations))))
    return paint(data, data.imgs[1])


def test_the_classes_are_those_of_the_paper():
    names = PascalVOCDataset.METAINFO['classes'][1:]
    assert len(CATEGORIES) == len(names) == 20
    known = dict(zip(names, CATEGORIES))
    assert known['person'] == 1 and known['aeroplane'] == 5 and known['tvmonitor'] == 72
    assert known['diningtable'] == 67 and known['sofa'] == 63 and known['motorbike'] == 4


@pytest.mark.parametrize('encode', [counts_of, compressed])
def test_polygons_and_both_kinds_of_rle(tmp_path, encode):
    ids = painted(
        tmp_path,
        annotation(1, 1, PERSON, [box(2, 3, 12, 13), box(20, 3, 30, 13)]),
        annotation(2, 1, DOG, encode(in_box(40, 20, 55, 39))),
    )
    expected = np.zeros((40, 60))
    expected[in_box(2, 3, 12, 13) | in_box(20, 3, 30, 13)] = 15
    expected[in_box(40, 20, 55, 39)] = 12
    assert ids.dtype == np.uint8 and (ids == expected).all()


def test_crowds_are_ignored_and_other_objects_are_background(tmp_path):
    ids = painted(
        tmp_path,
        annotation(1, 1, PERSON, [box(10, 10, 20, 20)]),
        annotation(2, 1, PERSON, counts_of(in_box(0, 0, 30, 30)), crowd=1),
        annotation(3, 1, CUP, [box(12, 12, 14, 14)]),
        annotation(4, 1, CUP, counts_of(in_box(40, 0, 60, 10)), crowd=1),
    )
    expected = np.zeros((40, 60))
    expected[in_box(0, 0, 30, 30)] = 255
    expected[in_box(10, 10, 20, 20)] = 15
    assert (ids == expected).all()


def test_where_objects_overlap_the_smaller_is_seen(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(30):
        regions = []
        for number in range(1, 7):
            left, top = rng.integers(0, 50), rng.integers(0, 30)
            right, bottom = left + rng.integers(1, 30), top + rng.integers(1, 25)
            category = int(rng.choice([PERSON, DOG, TABLE, CUP]))
            crowd = int(rng.random() < 0.3)
            regions.append((number, category, crowd, in_box(left, top, right, bottom)))
        ids = painted(
            tmp_path,
            *(annotation(n, 1, category, counts_of(m), crowd) for n, category, crowd, m in regions),
        )
        expected = np.zeros((40, 60))
        for y in range(40):
            for x in range(60):
                here = [region for region in regions if region[3][y, x] and region[1] != CUP]
                objects = [region for region in here if not region[2]]
                if objects:  # of two that are alike, the later one
                    smallest = min(objects, key=lambda region: (region[3].sum(), -region[0]))
                    expected[y, x] = VOC_OF[smallest[1]]
                elif here:
                    expected[y, x] = 255
        assert (ids == expected).all()


@pytest.fixture
def source(small, tmp_path):
    """COCO of five images: 1 to 4 in train, 5 in val; 1 shows 1001 pixels of VOC's objects."""
    folder = tmp_path / 'coco'
    line = in_box(0, 0, 25, 40) | in_box(25, 0, 26, 1)
    train = [
        annotation(1, 1, PERSON, counts_of(line)),
        annotation(2, 2, DOG, [box(0, 0, 25, 40)]),
        annotation(3, 3, CUP, [box(0, 0, 60, 40)]),
        annotation(4, 3, PERSON, counts_of(in_box(0, 0, 60, 40)), crowd=1),
        annotation(5, 4, DOG, [box(0, 0, 20, 30)]),
        annotation(6, 4, DOG, [box(0, 20, 20, 40)]),
        annotation(7, 4, TABLE, [box(30, 0, 50, 20)]),
    ]
    write(folder / 'annotations/instances_train2017.json', [1, 2, 3, 4], train)
    val = [annotation(8, 5, DOG, [box(0, 0, 50, 40)])]
    write(folder / 'annotations/instances_val2017.json', [5], val)
    for split, images in (('train', [1, 2, 3, 4]), ('val', [5])):
        for image in images:
            small.save_jpg(folder / f'{split}2017/{image:012}.jpg', (60, 40))
    return folder


@pytest.mark.parametrize('packed', [True, False])
def test_images_with_enough_pixels_are_kept(small, tmp_path, source, packed):
    sources = [source]
    if packed:
        for part in ('annotations', 'train2017', 'val2017'):
            (tmp_path / part).mkdir()
            (source / part).rename(tmp_path / part / part)
            small.pack(tmp_path / part, tmp_path / f'{part}.zip')
        sources = [tmp_path / f'{part}.zip' for part in ('train2017', 'annotations', 'val2017')]
    root = tmp_path / 'data/coco_voc'
    assert prepare_coco(root, sources).endswith('train 2, val 1')
    kept = {'train': ['000000000001', '000000000004'], 'val': ['000000000005']}
    for split, names in kept.items():
        data = PascalVOCDataset(
            data_root=str(root),
            ann_file=f'ImageSets/Segmentation/{split}.txt',
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
            lazy_init=True,
        ).load_data_list()
        assert [item['img_path'][-16:-4] for item in data] == names
        for item in data:
            ids = small.read(item['seg_map_path'])
            assert ids.shape == (40, 60) and ((ids > 0) & (ids < 255)).sum() > 1000
    assert len(list((root / 'JPEGImages').iterdir())) == 3
    assert len(list((root / 'SegmentationClass').iterdir())) == 3


def test_the_limit_is_an_argument_and_is_remembered(tmp_path, source):
    root = tmp_path / 'out'
    assert prepare_coco(root, [source], min_pixels=999).endswith('train 3, val 1')
    with pytest.raises(ValueError, match='made with --min-pixels 999, not 1000: choose another'):
        prepare_coco(root, [source])


def test_a_second_run_changes_nothing_and_a_split_may_come_later(tmp_path, source):
    root = tmp_path / 'out'
    (source / 'val2017').rename(tmp_path / 'later')
    assert prepare_coco(root, [source]).endswith(': train 2')
    times = {path: path.stat().st_mtime_ns for path in root.rglob('*.[jpt]*') if path.is_file()}
    (tmp_path / 'later').rename(source / 'val2017')
    assert prepare_coco(root, [source]).endswith('train 2, val 1')
    assert prepare_coco(root).endswith('train 2, val 1')
    assert all(path.stat().st_mtime_ns == times[path] for path in times if path.suffix != '.json')


def test_it_goes_on_after_an_error(tmp_path, source, monkeypatch):
    lost = source / 'train2017/000000000004.jpg'
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(
        FileNotFoundError, match='COCO needs .*, of which 1 are missing: JPEGImages/000000000004'
    ):
        prepare_coco(tmp_path / 'out', [source])
    assert not (tmp_path / 'out').exists()
    with pytest.raises(FileNotFoundError):
        prepare_coco(tmp_path / 'out', [source], min_pixels=10)
    lost.write_bytes(content)
    drawn, draw = [], coco.paint
    monkeypatch.setattr(coco, 'paint', lambda d, i: (drawn.append(i['id']), draw(d, i))[1])
    assert prepare_coco(tmp_path / 'out', [source]).endswith('train 2, val 1')
    assert drawn == [5]  # the masks of 1, 2 and 4 were there; 2 is not kept at this limit


def test_what_is_missing_is_named(small, tmp_path, source):
    with pytest.raises(FileNotFoundError, match='COCO 2017 lacks annotations or images in .*empty'):
        (tmp_path / 'empty').mkdir()
        prepare_coco(tmp_path / 'out', [tmp_path / 'empty'])
    with pytest.raises(FileNotFoundError, match='COCO 2017 lacks annotations or images'):
        prepare_coco(tmp_path / 'out', [source / 'annotations'])
    small.save_jpg(source / 'train2017/000000000001.jpg', (40, 60))
    with pytest.raises(
        ValueError, match='000000000001.jpg has 60x40 pixels, but its annotations say 40x60'
    ):
        prepare_coco(tmp_path / 'out', [source])


@pytest.mark.parametrize(
    'change,message',
    [
        (dict(categories=CATS[:-2]), 'has no category 72: it is not one of COCO'),
        (dict(images=[dict(id=1, file_name='../../x.jpg')]), "the image name '../../x.jpg'"),
        (dict(images=[dict(id=1)]), 'is not an instances file of COCO'),
        (
            dict(images=[dict(id=1, file_name='1.jpg', width=10**6, height=10**6)]),
            'an image of 1000000x1000000 pixels',
        ),
        (dict(annotations=[dict(id=1)]), 'is not an instances file of COCO'),
        ([], 'is not an instances file of COCO'),
    ],
)
def test_damaged_files_are_named(tmp_path, source, change, message):
    path = source / 'annotations/instances_train2017.json'
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **change} if change else change))
    with pytest.raises(ValueError, match=f'instances_train2017.json .*{message}'):
        prepare_coco(tmp_path / 'out', [source])


@pytest.mark.parametrize(
    'segmentation',
    [
        [],
        [[1, 2]],
        'x',
        dict(size=[40, 60], counts='ooo0'),
        dict(size=[40, 60], counts=[10, 3000]),
        counts_of(in_box(0, 0, 3, 3, (10, 10))),
    ],
)
def test_damaged_annotations_are_named(tmp_path, segmentation):
    with pytest.raises(ValueError, match='Annotation 7, of 000000000001.jpg in COCO, is damaged'):
        painted(tmp_path, annotation(7, 1, DOG, segmentation))


@pytest.mark.parametrize('counts', ['?', '0000000', [5, 5], [0]])
def test_runs_that_end_early_never_give_a_wrong_mask(tmp_path, counts):
    """pycocotools does not initialize what they do not reach; zeros there are right."""
    for _ in range(20):
        try:
            ids = painted(tmp_path, annotation(7, 1, DOG, dict(size=[40, 60], counts=counts)))
            assert (ids.T.ravel()[10:] == 0).all()
        except ValueError as error:
            assert 'Annotation 7, of 000000000001.jpg in COCO, is damaged' in str(error)


def test_pycocotools_is_asked_for_before_a_download(tmp_path, monkeypatch):
    asked, load = [], builtins.__import__

    def without(name, *args):
        if name.startswith('pycocotools'):
            raise ImportError(name)
        return load(name, *args)

    def download(remote, folder):
        asked.append(remote.url)
        if len(asked) == 3:
            raise DownloadError('no network')

    monkeypatch.setattr(coco, 'download', download)
    with monkeypatch.context() as context:
        context.setattr(builtins, '__import__', without)
        with pytest.raises(ImportError, match='pip install pycocotools'):
            prepare_coco(tmp_path / 'out')
    assert not asked
    with pytest.raises(DownloadError):
        prepare_coco(tmp_path / 'out')
    assert len(asked) == 3
