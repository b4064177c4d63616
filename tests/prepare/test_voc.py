import pytest

from mmseg_deeplabv3x.prepare import voc
from mmseg_deeplabv3x.prepare.download import DownloadError


@pytest.fixture
def prepare(small, tmp_path):
    def run(*sources, root=tmp_path / 'data/VOC2012'):
        voc.prepare_voc(root, sources, tmp_path / 'downloads', small.VOC_COUNTS)
        return root

    return run


@pytest.mark.parametrize('name', ['voc.tar', 'voc.tgz', 'voc.zip', ''])
def test_layout_from_an_archive_or_a_folder(small, tmp_path, prepare, name):
    source = small.make_voc(tmp_path / 'source')
    before = small.files_in(tmp_path / 'source')
    archive = small.pack(tmp_path / 'source', tmp_path / name) if name else tmp_path / 'source'
    root = prepare(archive)
    wanted = {path: data for path, data in small.files_in(source).items() if 'Annot' not in path}
    assert small.files_in(root) == wanted
    assert [path.name for path in root.parent.iterdir()] == ['VOC2012']
    assert small.files_in(tmp_path / 'source') == before


def test_mmseg_reads_it(small, tmp_path, prepare):
    from mmseg.datasets import PascalVOCDataset

    root = prepare(small.make_voc(tmp_path / 'source', painted=['t1']))
    for split, count in (('train', 3), ('val', 2), ('trainval', 5)):
        data = PascalVOCDataset(
            data_root=str(root),
            ann_file=f'ImageSets/Segmentation/{split}.txt',
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
            lazy_init=True,
        ).load_data_list()
        assert len(data) == count
        for item in data:
            name = item['img_path'][-6:-4]
            assert (small.read(item['seg_map_path']) == small.voc_ids(name)).all()


def test_painted_masks_become_ids_also_in_a_root_that_was_there(small, tmp_path, prepare):
    root = small.make_voc(tmp_path, painted=['t0', 'v1'])
    other = (root / 'SegmentationClass/t1.png').read_bytes()
    prepare(root=root)
    for name in ('t0', 't1', 't2', 'v0', 'v1'):
        assert (small.read(root / f'SegmentationClass/{name}.png') == small.voc_ids(name)).all()
    assert (root / 'SegmentationClass/t1.png').read_bytes() == other
    assert (root / 'Annotations/t0.xml').exists()


def test_a_second_run_changes_nothing(small, tmp_path, prepare):
    archive = small.pack(small.make_voc(tmp_path / 'source', painted=['t0']), tmp_path / 'a.tar')
    root = prepare(archive)
    times = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    assert prepare(archive) == prepare() == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob('*')} == times


def test_the_test_images_may_come_later(small, tmp_path, prepare):
    root = prepare(small.make_voc(tmp_path / 'source'))
    for name in ('x0', 'x1'):
        small.save_jpg(tmp_path / f'test/VOC2012/JPEGImages/{name}.jpg')
    path = tmp_path / 'test/VOC2012/ImageSets/Segmentation/test.txt'
    small.write_list(path, ['x0', 'x1', 'x2'])
    with pytest.raises(ValueError, match='test.txt of PASCAL VOC 2012 holds 2 names, this one 3'):
        prepare(tmp_path / 'test')
    small.write_list(path, ['x0', 'x2'])
    with pytest.raises(FileNotFoundError, match='test.txt needs 2 files, .* 1 .*JPEGImages/x2.jpg'):
        prepare(tmp_path / 'test')
    assert not (root / 'ImageSets/Segmentation/test.txt').exists()
    small.write_list(path, ['x0', 'x1'])
    prepare(tmp_path / 'test')
    assert (root / 'ImageSets/Segmentation/test.txt').exists()
    assert (root / 'JPEGImages/x1.jpg').exists() and (root / 'JPEGImages/t0.jpg').exists()


def test_the_official_counts():
    assert dict(train=1464, val=1449, trainval=2913, test=1456) == voc.COUNTS
    assert voc.COUNTS['train'] + voc.COUNTS['val'] == voc.COUNTS['trainval']


@pytest.mark.parametrize(
    'split,names,message',
    [
        ('train', ['t0'], 'train.txt .* holds 3 names, this one 1: the list is cut short'),
        ('val', ['v0', 'v1', 't0'], 'val.txt .* holds 2 names, this one 3: names were added'),
        ('val', ['v0', 't0'], 'trainval.txt is not the union of train.txt and val.txt'),
        ('trainval', ['t0', 't1', 't2', 'v0', 's0'], 'trainval.txt is not the union'),
        ('trainval', [f'{i:03}' for i in range(422)], 'these lists are those of VOC 2007'),
        ('train', ['t0', 't1', 't1'], "train.txt holds 't1' 2 times"),
    ],
)
def test_wrong_lists_are_refused_with_the_reason(small, tmp_path, prepare, split, names, message):
    source = small.make_voc(tmp_path / 'source')
    small.write_list(source / f'ImageSets/Segmentation/{split}.txt', names)
    with pytest.raises(ValueError, match=message):
        prepare(source)
    assert not (tmp_path / 'data').exists() or not any((tmp_path / 'data').iterdir())


def test_what_is_missing_is_named(small, tmp_path, prepare):
    source = small.make_voc(tmp_path / 'source')
    (source / 'SegmentationClass/v0.png').unlink()
    with pytest.raises(FileNotFoundError, match='4 files, of which 1 are missing: .*v0.png'):
        prepare(source)
    assert not (tmp_path / 'data/VOC2012').exists()
    (source / 'ImageSets/Segmentation/val.txt').unlink()
    with pytest.raises(
        FileNotFoundError,
        match='ImageSets/Segmentation/val.txt is neither in what --from names nor in',
    ):
        prepare(source)


def test_a_damaged_mask_is_named_and_repaired_by_the_next_run(small, tmp_path, prepare):
    source = small.make_voc(tmp_path / 'source')
    good = (source / 'SegmentationClass/t1.png').read_bytes()
    (source / 'SegmentationClass/t1.png').write_bytes(good[:100])
    with pytest.raises(ValueError, match='t1.png is truncated'):
        prepare(source)
    assert not (tmp_path / 'data/VOC2012').exists()
    (source / 'SegmentationClass/t1.png').write_bytes(good)
    root = prepare(source)
    assert (root / 'SegmentationClass/t1.png').read_bytes() == good


def test_without_anything_the_official_archive_is_asked_for(small, tmp_path, prepare, monkeypatch):
    asked = []

    def download(remote, folder):
        asked.append((remote.url, folder))
        raise DownloadError('no network')

    monkeypatch.setattr(voc, 'download', download)
    with pytest.raises(DownloadError):
        prepare()
    assert asked == [(voc.ARCHIVE.url, tmp_path / 'downloads')]
    prepare(small.make_voc(tmp_path / 'source'))
    prepare()
    assert len(asked) == 1
