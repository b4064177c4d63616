"""Lists of image names, one name a line."""

from __future__ import annotations

import os
import os.path as osp
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path


def read_split(path: str | os.PathLike) -> list[str]:
    """Read the names of a list.

    Args:
        path: Text file with one image name without suffix a line; blank lines do not count.

    Returns:
        The names in the order of the file.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it is empty, holds a name twice or something that is no name.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'There is no list of images {path}.')
    try:
        lines = path.read_text('utf-8').split('\n')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text file of image names.') from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError(f'{path} lists no image.')
    for name in names:
        is_name = name == os.path.basename(name) and name not in ('.', '..') and len(name) < 256
        if not is_name or not name.isprintable() or len(name.split()) > 1:
            raise ValueError(f'{path} holds {name[:50]!r}, which is no name of an image.')
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(f'{path} holds {name!r} {count} times.')
    return names


def write_split(path: Path, names: Iterable[str]) -> None:
    """Write names, one a line."""
    path.write_text(''.join(f'{name}\n' for name in names), 'utf-8')


def first_few(names: Iterable[str], shown: int = 3) -> str:
    """The first names and how many more there are, for messages."""
    names = list(names)
    more = f' and {len(names) - shown} more' if len(names) > shown else ''
    return ', '.join(names[:shown]) + more


def checked_data_list(dataset, load: Callable[[], list[dict]]) -> list[dict]:
    """The images of one of mmseg's datasets, without those that blank lines of its list stand for.

    Upstream, a blank line is an image without a name, and ``.jpg`` is not found in the middle of a
    run; so is the first name after a byte order mark, which no message shows.

    Args:
        dataset: A ``BaseSegDataset``.
        load: Its ``load_data_list``.

    Returns:
        What ``load`` lists, less the blank lines.

    Raises:
        ValueError: If the list is no text, or holds something that is no name of an image.
    """
    try:
        infos = load()
    except UnicodeDecodeError as error:
        raise ValueError(f'{dataset.ann_file} is no list of images in UTF-8: {error}.') from error
    folder = dataset.data_prefix['img_path']
    infos = [info for info in infos if info['img_path'] != osp.join(folder, dataset.img_suffix)]
    for path in (info['img_path'] for info in infos):
        too_long = len(path) > 4096 or len(osp.basename(path)) > 255
        if too_long or re.search('[\x00-\x1f\x7f\ufeff]', path):
            raise ValueError(
                f'{dataset.ann_file} holds {osp.relpath(path, folder)[:50]!r}, which is no name of '
                'an image; expected one name without suffix a line, in UTF-8 without a byte order '
                'mark.'
            )
    return infos
