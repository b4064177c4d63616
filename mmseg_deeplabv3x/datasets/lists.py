"""Lists of image names, one name a line."""

import os
import os.path as osp
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path


def read_lines(path: str | os.PathLike, of: str = 'image names') -> list[str]:
    """Read the lines of a list, stripped, the blank ones too; ``of`` says what it lists."""
    if Path(path).is_dir():
        raise ValueError(f'{path} is a folder; expected a file, a list of {of}.')
    if not Path(path).is_file():
        raise FileNotFoundError(f'The list of {of} {path} does not exist.')
    try:
        with open(path, encoding='utf-8') as file:
            return [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error, of) from error


def check_name(name: str, path: str | os.PathLike, plain: bool = False) -> None:
    """Refuse, with a ValueError, a line that cannot be the name of an image.

    A byte order mark before the first name is seen in no message, and a name that is too long is an
    error of the file system. With ``plain``, folders, spaces and what a terminal does not show are
    refused too; PASCAL VOC's names have none.
    """
    file = os.path.basename(name)
    wrong = len(name) > 4000 or len(file) > 250 or re.search('[\x00-\x1f\x7f\ufeff]', name)
    if plain and not wrong:
        wrong = name in ('.', '..') or file != name or ' ' in name or not name.isprintable()
    if wrong:
        raise ValueError(
            f'{path} holds {name[:50]!r}, which is not the name of an image; expected one name '
            f'without suffix{" and folder" if plain else ""} a line, in UTF-8 without a byte order '
            'mark.'
        )


def read_split(path: str | os.PathLike) -> list[str]:
    """Read a list of image names without suffix, one a line; blank lines do not count.

    Refused is one that is empty, holds a name twice or something that is no name.
    """
    names = [line for line in read_lines(path) if line]
    if not names:
        raise ValueError(f'{path} is empty; expected a list of image names.')
    for name in names:
        check_name(name, path, plain=True)
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(f'{path} holds {name!r} {count} times; expected each name once.')
    return names


def write_split(path: Path, names: Iterable[str]) -> None:
    """Write names, one a line."""
    path.write_text(''.join(f'{name}\n' for name in names), 'utf-8')


def first_few(names: Iterable[str], shown: int = 3) -> str:
    """The first names and how many more there are, for messages."""
    names = list(names)
    more = f' and {len(names) - shown} more' if len(names) > shown else ''
    return ', '.join(names[:shown]) + more


def common_folder(images: Iterable[str]) -> str:
    """The innermost folder that holds all images, in it or in folders below it."""
    return osp.commonpath([osp.dirname(osp.abspath(image)) for image in images])


def checked_data_list(dataset, load: Callable[[], list[dict]]) -> list[dict]:
    """The images of one of mmseg's datasets, without those that blank lines of its list stand for.

    Upstream, a blank line is an image without a name, and ``.jpg`` is not found in the middle of a
    run. ``load`` is the dataset's ``load_data_list``. A list that is not text, or holds what is no
    name of an image, is refused.
    """
    folder, source = dataset.data_prefix['img_path'], dataset.ann_file
    try:
        infos = load()
    except UnicodeDecodeError as error:
        raise _not_utf8(source, error) from error
    infos = [info for info in infos if info['img_path'] != osp.join(folder, dataset.img_suffix)]
    for info in infos:
        name = info['img_path'].removeprefix(osp.join(folder, ''))
        check_name(name.removesuffix(dataset.img_suffix), source or folder)
    return infos


def _not_utf8(
    path: str | os.PathLike, error: UnicodeDecodeError, of: str = 'image names'
) -> ValueError:
    return ValueError(f'{path} is not a list of {of} in UTF-8: {error}.')
