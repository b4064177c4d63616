"""Any bytes as a list of images: the images that it names, or one sentence.

``FUZZ_EXAMPLES=100000 pytest tests/fuzz`` tries more lists than the suite does, which are always
the same.
"""

from __future__ import annotations

import io
import os
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from PIL import Image

from mmseg_deeplabv3x.data_check.splits import load_splits
from mmseg_deeplabv3x.datasets.lists import read_split

EXAMPLES = int(os.environ.get('FUZZ_EXAMPLES', 200))
NAMES = ['a', 'b', 'sub/c', 'with space', 'größe', '画像']
ODD = [
    '', ' ', '\t', '..', '.', '/', '../secret', '../../secret', 'sub/../../secret', '/etc/passwd',
    '\ufeff', '\0', 'a\0', 'a\tb', 'x' * 300, 'y/' * 3000, 'a' * 100_000, '\x1b[2J', '\u2028',
    '~', '$HOME', '*', 'a.jpg', 'a/', '//', 'C:\\a', '-', '\u202ejpg', 'link', 'pipe', 'http://a',
]  # fmt: skip


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('fuzz') / 'data'
    for name in [*NAMES, '../secret', '../images2/secret']:
        for folder, suffix in (('images', '.jpg'), ('masks', '.png')):
            path = root / folder / f'{name}{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((3, 4), np.uint8)).save(path)
    os.rename(root / 'secret.jpg', root.parent / 'secret.jpg')
    (root / 'images/link.jpg').symlink_to(root.parent / 'secret.jpg')
    os.mkfifo(root / 'images/pipe.jpg')
    return root


lines = st.one_of(st.sampled_from(NAMES), st.sampled_from(ODD), st.text(max_size=5))
contents = st.one_of(
    st.builds(
        lambda lines, end, code: end.join(lines).encode(code, 'surrogatepass'),
        st.lists(lines, max_size=6),
        st.sampled_from(['\n', '\r\n', '\n\n', '\r', ' \n']),
        st.sampled_from(['utf-8', 'utf-8', 'utf-8', 'utf-8-sig', 'utf-16']),
    ),
    st.binary(max_size=40),
)
fuzz = settings(settings.get_profile('fuzz'), max_examples=EXAMPLES)


def check(message, root):
    assert str(root) in message and len(message) < 1000 + 3 * len(str(root))
    assert not re.search('[\x00-\x1f\ufeff]', message) and message.endswith('.')


def names_of(content):
    """What a list means, read independently of the framework."""
    return [
        line.strip() for line in io.StringIO(content.decode('utf-8'), newline=None) if line.strip()
    ]


@fuzz
@given(content=contents)
def test_a_list_gives_its_images_or_one_sentence(root, content):
    (root / 'list.txt').write_bytes(content)
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(root),
        ann_file='list.txt',
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=('sky',)),
        pipeline=[],
    )
    cfg = Config(dict(train_dataloader=dict(dataset=dataset), allow_outside_links=False))
    (split,) = load_splits(cfg, ('train_dataloader',))
    for problem in split.problems:
        check(problem.message, root)
    for info in split.infos:
        for path in (info['img_path'], info['seg_map_path']):
            assert os.path.realpath(path).startswith(str(root.resolve()) + '/')
    if all(problem.kind in ('blank lines', 'doubled') for problem in split.problems):
        paths = [(info['img_path'], info['seg_map_path']) for info in split.infos]
        expected = names_of(content)
        assert paths == [(f'{root}/images/{n}.jpg', f'{root}/masks/{n}.png') for n in expected]
        assert all(os.path.isfile(path) for pair in paths for path in pair)


@fuzz
@given(content=contents)
def test_a_list_to_prepare_gives_names_or_one_sentence(root, content):
    path = root / 'prepare.txt'
    path.write_bytes(content)
    try:
        names = read_split(path)
    except ValueError as error:
        check(str(error), root)
    else:
        assert names == names_of(content)
        assert all(os.path.basename(name) == name not in ('', '.', '..') for name in names)
