import hashlib

import numpy as np
import pytest
from common import shapes_generator
from common.shapes_generator import (
    CLASSES,
    PALETTE,
    draw_scene,
    folder_written_aside,
    generate_shapes,
)
from PIL import Image

LIST = 'ImageSets/Segmentation/train.txt'
WATER_AND_LAND = ('raft', 'buoy'), ('roof', 'flag')


def digest(root):
    """What every file under a root holds."""
    return {
        str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in root.rglob('*')
        if path.is_file()
    }


def test_layout_is_that_of_voc(tmp_path):
    root = generate_shapes(tmp_path / 'shapes', num_train=3, num_val=2, size=(48, 64))
    for split, count in (('train', 3), ('val', 2)):
        names = (root / f'ImageSets/Segmentation/{split}.txt').read_text().split()
        assert len(names) == count
        for name in names:
            image = Image.open(root / f'JPEGImages/{name}.jpg')
            mask = Image.open(root / f'SegmentationClass/{name}.png')
            assert (image.format, image.mode, image.size) == ('JPEG', 'RGB', (64, 48))
            assert (mask.mode, mask.size) == ('P', (64, 48))
            assert set(np.unique(mask)) <= {*range(len(CLASSES)), 255}
            colours = np.reshape(mask.getpalette(), (-1, 3))[: len(CLASSES)]
            assert [tuple(colour) for colour in colours] == list(PALETTE)
    assert not [path for path in tmp_path.iterdir() if path != root]


def test_same_arguments_same_pixels_on_any_number_of_threads(tmp_path):
    one = generate_shapes(tmp_path / 'one', 4, 2, (48, 64), seed=3, workers=1)
    many = generate_shapes(tmp_path / 'many', 4, 2, (48, 64), seed=3, workers=3)
    other = generate_shapes(tmp_path / 'other', 4, 2, (48, 64), seed=4)
    longer = generate_shapes(tmp_path / 'longer', 5, 2, (48, 64), seed=3)
    assert digest(one) == digest(many)
    assert digest(one)['JPEGImages/train_00000.jpg'] != digest(other)['JPEGImages/train_00000.jpg']
    assert digest(one)['JPEGImages/train_00003.jpg'] == digest(longer)['JPEGImages/train_00003.jpg']
    assert digest(one)['JPEGImages/train_00000.jpg'] != digest(one)['JPEGImages/val_00000.jpg']


def test_complete_root_is_kept(tmp_path):
    root = generate_shapes(tmp_path / 'shapes', 2, 1, (48, 64))
    image = root / 'JPEGImages/train_00000.jpg'
    image.write_bytes(b'to be drawn again')
    assert generate_shapes(tmp_path / 'shapes', 2, 1, (48, 64)) == root
    assert image.read_bytes() == b'to be drawn again'


def test_root_of_other_arguments_is_replaced_only_when_asked(tmp_path):
    root = generate_shapes(tmp_path / 'shapes', 2, 1, (48, 64))
    before = digest(root)
    with pytest.raises(FileExistsError, match=r"shapes was made with .*'seed': 0.* not with .*1"):
        generate_shapes(root, 2, 1, (48, 64), seed=1)
    assert digest(root) == before
    generate_shapes(root, 2, 1, (48, 64), seed=1, overwrite=True)
    assert digest(root) != before
    assert [path.name for path in tmp_path.iterdir()] == ['shapes']


@pytest.mark.parametrize(
    'file', ['JPEGImages/val_00000.jpg', 'SegmentationClass/train_00001.png', LIST]
)
def test_root_that_lacks_files_is_replaced_only_when_asked(tmp_path, file):
    root = generate_shapes(tmp_path / 'shapes', 2, 1, (48, 64))
    before = digest(root)
    (root / file).unlink()
    with pytest.raises(
        FileExistsError,
        match=rf'lacks 1 of its files, such as {root / file}; .*`python tools/make_shapes.py --ov',
    ):
        generate_shapes(root, 2, 1, (48, 64))
    generate_shapes(root, 2, 1, (48, 64), overwrite=True)
    assert digest(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ['shapes']


def test_strange_folder_is_never_touched(tmp_path):
    (tmp_path / 'mine').write_text('x')
    with pytest.raises(FileExistsError, match='is not a Shapes dataset'):
        generate_shapes(tmp_path, 2, 1, (48, 64), overwrite=True)
    assert (tmp_path / 'mine').read_text() == 'x'


def test_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(rng, size):
        raise MemoryError

    monkeypatch.setattr(shapes_generator, 'draw_scene', fail)
    with pytest.raises(MemoryError):
        generate_shapes(tmp_path / 'shapes', 2, 1, (48, 64))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_train=0), 'num_train and num_val must be at least 1, got 0 and 100'),
        (dict(size=(16, 64)), r'size must be .* at least 32 pixels, got \(16, 64\)'),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_shapes(tmp_path / 'shapes', **arguments)


@pytest.fixture(scope='module')
def labels():
    """60 masks at the default size."""
    scenes = [draw_scene(np.random.default_rng([5, i]), (145, 193)) for i in range(60)]
    return np.stack([labels for _, labels in scenes])


def test_scales_differ_strongly(labels):
    pixels = {name: max((image == i).sum() for image in labels) for i, name in enumerate(CLASSES)}
    assert min(pixels['raft'], pixels['roof']) > 0.25 * labels[0].size
    assert pixels['dot'] < 0.05 * labels[0].size  # all dots of an image together


def test_every_class_occurs_and_the_star_is_rare(labels):
    share = {name: (labels == i).any((1, 2)).mean() for i, name in enumerate(CLASSES)}
    assert min(share.values()) > 0
    assert share['star'] < 0.3 < min(share[name] for name in CLASSES if name != 'star')


def test_the_whole_scene_names_its_objects(labels):
    water, land = ({CLASSES.index(name) for name in pair} for pair in WATER_AND_LAND)
    for image in labels:
        assert not (water & set(image.flat) and land & set(image.flat))


def test_blue_prevails_on_water_only():
    afloat = {CLASSES.index('raft'), CLASSES.index('buoy')}
    for i in range(20):
        image, labels = draw_scene(np.random.default_rng([5, i]), (145, 193))
        ground = image[labels == 0].astype(int)
        blue = (ground[:, 0] > ground[:, 2]).mean()
        assert (blue > 0.5) == bool(afloat & set(labels.flat))


def test_void_lies_between_different_classes(labels):
    for image in labels:
        for a, b in ((image[1:], image[:-1]), (image[:, 1:], image[:, :-1])):
            touching = (a != b) & (a != 255) & (b != 255)
            assert not touching.any()


def test_a_folder_appears_whole_and_replaces_what_is_there(tmp_path):
    root = tmp_path / 'new/er'
    for content in ('first', 'second'):
        with folder_written_aside(root) as aside:
            (aside / content).touch()
            assert not (root / content).exists()
        assert [path.name for path in root.iterdir()] == [content]
    assert list(root.parent.iterdir()) == [root]


def test_a_folder_that_fails_leaves_the_old_one_and_nothing_else(tmp_path):
    root = tmp_path / 'root'
    root.mkdir()
    (root / 'old').touch()
    with pytest.raises(KeyError), folder_written_aside(root) as aside:
        (aside / 'half').touch()
        raise KeyError
    assert list(tmp_path.rglob('*')) == [root, root / 'old']
