import numpy as np
import pytest
from scipy.io import savemat

from mmseg_deeplabv3x.prepare import sbd

NAMES = ['s0', 's1', 's2', 's3', 't0', 't1', 't2']


@pytest.fixture
def prepare(small, tmp_path):
    def run(*sources, root=tmp_path / 'VOCdevkit/VOC2012'):
        sbd.prepare_sbd(root, sources, tmp_path / 'dl', small.SBD_COUNTS, small.SBD_TOTAL)

    return run


@pytest.mark.parametrize('name', ['benchmark.tgz', ''])
def test_masks_and_list(small, tmp_path, prepare, name):
    voc = small.make_voc(tmp_path)
    small.make_sbd(tmp_path / 'source')
    source = small.pack(tmp_path / 'source', tmp_path / name) if name else tmp_path / 'source'
    prepare(source)
    assert (voc / 'ImageSets/Segmentation/train_aug.txt').read_text().split() == NAMES
    masks = {path.stem: small.read(path) for path in (voc / 'SegmentationClassAug').iterdir()}
    assert sorted(masks) == NAMES
    for name, ids in masks.items():
        assert (ids == (small.voc_ids if name[0] == 't' else small.sbd_ids)(name)).all()
    palette = small.Image.open(voc / 'SegmentationClassAug/s0.png').getpalette()
    assert palette[: 21 * 3] == small.devkit_palette()[:21].ravel().tolist()


@pytest.mark.parametrize('name', ['benchmark.tgz', ''])
def test_the_demo_in_the_official_archive_is_not_the_data(small, tmp_path, prepare, name):
    voc = small.make_voc(tmp_path)
    small.make_sbd(tmp_path / 'source')
    demo = tmp_path / 'source/benchmark_RELEASE/benchmark_code_RELEASE/demo/datadir'
    small.save_mat(demo / 'cls/s0.mat', small.sbd_ids('of the demo'))
    for split in ('train', 'val'):
        small.write_list(demo / f'{split}.txt', ['s0'])
    prepare(small.pack(tmp_path / 'source', tmp_path / name) if name else tmp_path / 'source')
    assert (voc / 'ImageSets/Segmentation/train_aug.txt').read_text().split() == NAMES
    assert (small.read(voc / 'SegmentationClassAug/s0.png') == small.sbd_ids('s0')).all()


def test_a_second_run_makes_only_what_is_missing(small, tmp_path, prepare):
    voc = small.make_voc(tmp_path)
    source = small.make_sbd(tmp_path / 'source')
    prepare(source)
    times = {path: path.stat().st_mtime_ns for path in voc.rglob('*') if path.is_file()}
    (voc / 'SegmentationClassAug/s1.png').unlink()
    with pytest.raises(FileNotFoundError, match='needs 14 files, of which 1 .*ClassAug/s1.png'):
        prepare()
    prepare(source)
    prepare()
    for path, time in times.items():
        assert (path.stat().st_mtime_ns == time) == (path.name != 's1.png')


def test_train_aug_is_all_that_is_labelled_without_val():
    rng = np.random.default_rng(0)
    for _ in range(50):
        lists = {key: rng.choice(60, rng.integers(1, 30), replace=False) for key in sbd.COUNTS}
        expected = sorted(
            name
            for name in range(60)
            if name not in lists['VOC val']
            and any(name in lists[key] for key in ('SBD train', 'SBD val', 'VOC train'))
        )
        assert sbd.train_aug_names(lists, total=len(expected)) == expected


def test_the_official_count():
    """8,498 + 2,857 of SBD, all of which are in VOC 2012; 2,237 of VOC's are among them."""
    ids = {'SBD train': range(8498), 'SBD val': range(8498, 11355)}
    ids['VOC train'] = [*range(1133), *range(20000, 20331)]
    ids['VOC val'] = [*range(2000, 3104), *range(30000, 30345)]
    assert {key: len(names) for key, names in ids.items()} == sbd.COUNTS
    assert len(sbd.train_aug_names(ids)) == 10582


@pytest.mark.parametrize(
    'key,names,message',
    [
        ('SBD val', 'c', '3 names, not 4: SBD val holds 1 names, not 2'),
        ('VOC val', 'bc', '3 names, not 4: VOC val holds 2 names, not 1'),
        ('SBD train', 'bc', '3 names, not 4: the lists have their lengths, but not the official'),
    ],
)
def test_another_count_is_refused_with_the_reason(key, names, message):
    lists = {'SBD train': 'xb', 'SBD val': 'cd', 'VOC train': 'a', 'VOC val': 'b'}
    counts = {key: len(names) for key, names in lists.items()}
    assert sbd.train_aug_names(lists, counts, 4) == ['a', 'c', 'd', 'x']
    with pytest.raises(ValueError, match=message):
        sbd.train_aug_names({**lists, key: names}, counts, 4)


def test_voc_comes_first(tmp_path, prepare):
    with pytest.raises(FileNotFoundError, match='run `prepare_data.py voc` first'):
        prepare(tmp_path)


def test_what_is_missing_is_named(small, tmp_path, prepare):
    voc = small.make_voc(tmp_path)
    source = small.make_sbd(tmp_path / 'source')
    (source / 'cls/s2.mat').unlink()
    with pytest.raises(FileNotFoundError, match='masks of 1 images of train_aug, .*cls/s2.mat'):
        prepare(source)
    small.save_mat(source / 'cls/s2.mat', small.sbd_ids('s2'))
    (voc / 'JPEGImages/s3.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='of which 1 are missing: JPEGImages/s3.jpg'):
        prepare(source)
    (source / 'val.txt').unlink()
    with pytest.raises(FileNotFoundError, match="SBD's val.txt is missing"):
        prepare(source)
    assert not (voc / 'SegmentationClassAug').exists()


def test_a_list_that_was_there_is_counted(small, tmp_path, prepare):
    voc = small.make_voc(tmp_path)
    small.write_list(voc / 'ImageSets/Segmentation/train_aug.txt', ['t0', 's0'])
    with pytest.raises(ValueError, match='train_aug.txt holds 2 names, not 7'):
        prepare()


def test_a_mask_of_another_size_is_named(small, tmp_path, prepare):
    voc = small.make_voc(tmp_path)
    source = small.make_sbd(tmp_path / 'source')
    small.save_jpg(voc / 'JPEGImages/s0.jpg', (8, 12))
    with pytest.raises(ValueError, match='s0.mat has 8x12 pixels and its image .*s0.jpg 12x8'):
        prepare(source)


@pytest.mark.parametrize(
    'content',
    [
        dict(GTinst=dict(Segmentation=np.zeros((2, 2)))),
        dict(GTcls=np.zeros((2, 2))),
        dict(GTcls=dict(Segmentation=np.full((2, 2), 21))),
        dict(GTcls=dict(Segmentation=np.full((2, 2), -1))),
        dict(GTcls=dict(Segmentation=np.zeros((2, 2, 3)))),
        b'text',
        b'',
    ],
)
def test_what_is_no_mask_of_sbd_is_named(tmp_path, content):
    path = tmp_path / 'a.mat'
    path.write_bytes(content) if isinstance(content, bytes) else savemat(path, content)
    with pytest.raises(ValueError, match='a.mat.*GTcls.Segmentation'):
        sbd.read_mat(path)
