import os
import pickle
from unittest import mock

import numpy as np
import pytest
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from mmseg_deeplabv3x.datasets.class_index import count_labels, default_cache_file, id_table


def save(path, labels, mode='P'):
    image = Image.fromarray(labels).convert('L')
    if mode == 'P':
        image = Image.fromarray(labels, mode='P')
        image.putpalette(list(range(256)) * 3)
    image.save(path)
    return str(path)


@pytest.fixture
def masks(tmp_path):
    rng = np.random.default_rng(0)
    return [
        save(tmp_path / f'{i}.png', rng.choice(np.uint8([0, 1, 9, 254, 255]), (8, 8 + i)), mode)
        for i, mode in enumerate('PLPL')
    ]


def spoil(*masks):
    """Change the bytes, not the size and the time: to read a mask again would be an error."""
    for mask in masks:
        state = os.stat(mask)
        with open(mask, 'wb') as file:
            file.write(b'x' * state.st_size)
        os.utime(mask, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_counts_are_those_of_the_pixels(masks, tmp_path):
    counts = count_labels(masks, tmp_path / 'index.npz')
    expected = [np.bincount(np.asarray(Image.open(mask)).ravel(), minlength=256) for mask in masks]
    assert np.array_equal(counts, expected)


def test_ids_of_16_bits_are_counted_and_kept(tmp_path):
    wide = str(tmp_path / 'wide.png')
    Image.fromarray(np.uint16([[255, 999, 999, 65535]])).save(wide)
    masks = [save(tmp_path / 'narrow.png', np.uint8([[0, 255]]), 'L'), wide]
    counts = count_labels(masks, tmp_path / 'index.npz')
    assert counts.shape == (2, 1000)
    assert counts[1, [255, 999]].tolist() == [1, 2] and counts.sum() == 5  # 65535 is no label
    spoil(*masks)
    assert np.array_equal(count_labels(masks, tmp_path / 'index.npz'), counts)
    table = id_table(True, {0: 5, 998: 255}, 1000)
    assert table[[0, 1, 255, 999]].tolist() == [65535, 5, 254, 255]


@pytest.mark.parametrize('shape', [(1, 5), (5, 1), (1, 1)])
def test_a_mask_may_be_one_pixel_high_or_wide(shape, tmp_path):
    mask = save(tmp_path / 'thin.png', np.full(shape, 3, np.uint8), 'L')
    counts = count_labels([mask], tmp_path / 'index.npz')
    assert (counts.sum(), counts[0, 3]) == (np.prod(shape), np.prod(shape))


def test_cache_is_used_until_a_mask_changes(masks, tmp_path):
    first = count_labels(masks, tmp_path / 'index.npz')
    spoil(*masks)
    assert np.array_equal(count_labels(masks, tmp_path / 'index.npz'), first)
    state = os.stat(masks[1])

    save(masks[1], np.full((8, 9), 9, np.uint8), 'L')  # another content ...
    os.utime(masks[1], ns=(state.st_atime_ns, state.st_mtime_ns + 1))  # ... a nanosecond later
    changed = count_labels(masks, tmp_path / 'index.npz')
    assert changed[1, 9] == 72
    assert np.array_equal(np.delete(changed, 1, 0), np.delete(first, 1, 0))


def test_size_alone_invalidates(masks, tmp_path):
    count_labels(masks, tmp_path / 'index.npz')
    state = os.stat(masks[2])
    save(masks[2], np.zeros((30, 30), np.uint8))
    os.utime(masks[2], ns=(state.st_atime_ns, state.st_mtime_ns))
    assert count_labels(masks, tmp_path / 'index.npz')[2, 0] == 900


def test_splits_share_one_cache_file(masks, tmp_path):
    parts = [count_labels(part, tmp_path / 'index.npz') for part in (masks[:2], masks[2:])]
    spoil(*masks)
    assert np.array_equal(count_labels(masks, tmp_path / 'index.npz'), np.concatenate(parts))


def test_cache_moves_with_the_data(masks, tmp_path):
    moved = tmp_path.parent / f'{tmp_path.name}_moved'
    before = count_labels(masks, tmp_path / 'index.npz')
    spoil(*masks)
    tmp_path.rename(moved)
    after = count_labels([str(moved / f'{i}.png') for i in range(4)], moved / 'index.npz')
    assert np.array_equal(before, after)


def test_broken_cache_is_made_anew(masks, tmp_path):
    expected = count_labels(masks, tmp_path / 'index.npz')
    whole = (tmp_path / 'index.npz').read_bytes()
    for broken in (b'', b'nonsense', whole[: len(whole) // 2]):
        (tmp_path / 'index.npz').write_bytes(broken)
        assert np.array_equal(count_labels(masks, tmp_path / 'index.npz'), expected)
        assert (tmp_path / 'index.npz').read_bytes() == whole


class Hostile:
    def __reduce__(self):
        return os.mkdir, ('canary',)


def an_array(path):
    with open(path, 'wb') as file:
        np.save(file, np.zeros(3))


def damaged(path):
    """A cache file with a bit changed in the middle of what is compressed."""
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    'spoil',
    [
        lambda path: path.write_bytes(pickle.dumps(Hostile())),
        lambda path: np.savez(path, names=np.array([Hostile()], object)),
        an_array,
        lambda path: np.savez(path, names=np.array(['0.png']), states=[1], counts=[2]),
        lambda path: np.savez(path, names=['0.png'], states=[[1, 2]], counts=np.zeros((1, 9))),
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        damaged,
    ],
    ids=['pickle', 'pickle in it', 'array', 'shapes', 'ids', 'cut', 'bit'],
)
def test_a_cache_that_is_none_is_made_anew(masks, tmp_path, monkeypatch, spoil):
    monkeypatch.chdir(tmp_path)
    expected = count_labels(masks, tmp_path / 'index.npz')
    spoil(tmp_path / 'index.npz')
    assert np.array_equal(count_labels(masks, tmp_path / 'index.npz'), expected)
    assert not (tmp_path / 'canary').exists()


def test_failed_write_keeps_the_old_cache_and_the_counts(masks, tmp_path):
    count_labels(masks[:1], tmp_path / 'index.npz')
    before = (tmp_path / 'index.npz').read_bytes()
    with mock.patch.object(np, 'savez_compressed', side_effect=OSError('disk full')):
        assert count_labels(masks, tmp_path / 'index.npz').shape == (4, 256)
    assert (tmp_path / 'index.npz').read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        '0.png', '1.png', '2.png', '3.png', 'index.npz',
    ]  # fmt: skip


@pytest.mark.parametrize('reduce_zero_label', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 1, 1: 255, 8: 0, 9: 3}])
def test_id_table_is_what_mmseg_does(tmp_path, reduce_zero_label, label_map):
    path = save(tmp_path / 'all.png', np.arange(256, dtype=np.uint8)[None], 'L')
    results = LoadAnnotations()(
        dict(
            seg_map_path=path,
            seg_fields=[],
            reduce_zero_label=reduce_zero_label,
            label_map=label_map,
        )
    )
    assert np.array_equal(id_table(reduce_zero_label, label_map), results['gt_seg_map'].ravel())


def test_cache_lies_in_the_data_root_or_with_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert default_cache_file(tmp_path) == tmp_path / 'class_index.npz'
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    elsewhere = default_cache_file(tmp_path)
    assert elsewhere.parent == tmp_path / 'cache/mmseg_deeplabv3x'
    assert elsewhere != default_cache_file(tmp_path / 'other')


def test_errors_name_the_file(masks, tmp_path):
    cache = tmp_path / 'index.npz'
    Image.new('RGB', (4, 4)).save(tmp_path / 'rgb.png')
    (tmp_path / 'cut.png').write_bytes((tmp_path / '0.png').read_bytes()[:60])
    with pytest.raises(ValueError, match=r'rgb.png is RGB, expected a palette or gray'):
        count_labels([*masks, str(tmp_path / 'rgb.png')], cache)
    with pytest.raises(ValueError, match=r'cut.png is truncated'):
        count_labels([*masks, str(tmp_path / 'cut.png')], cache)
    with pytest.raises(FileNotFoundError, match=r'1 of 5 masks are missing.*no.png'):
        count_labels([*masks, str(tmp_path / 'no.png')], cache)
