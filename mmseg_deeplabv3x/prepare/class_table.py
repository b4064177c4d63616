"""Names of classes, and the colours that masks are painted in, as files list them."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..datasets.lists import read_lines
from ..datasets.voc_masks import VOID

# Names that annotation tools give to what has no label.
NO_CLASS = {'void', 'ignore', 'ignored', '__ignore__', 'unlabeled', 'unlabelled'}
_COLOUR = r'(?P<r>\d{1,3})[\s,;]+(?P<g>\d{1,3})[\s,;]+(?P<b>\d{1,3})'
_LINES = (
    rf'(?P<name>.+):{_COLOUR}:[^:]*:[^:]*',  # CVAT's: whatever the name holds
    rf'(?P<name>.*?)[\s,;:]+{_COLOUR}(?:\s*:.*)?',
    rf'{_COLOUR}[\s,;]+(?P<name>.*)',
)


class ClassTable(NamedTuple):
    """What a file of classes says."""

    names: list[str]  # one for each id of the masks, from 0
    colours: list[tuple[int, int, int]] | None = None

    def ids(self, void: int = VOID) -> list[int]:
        """What becomes of each line: numbers from 0, ``void`` for names as 'void' or 'ignore'."""
        classes = [name for name in self.names if name.lower() not in NO_CLASS]
        numbers = {name: number for number, name in enumerate(classes)}
        return [numbers.get(name, void) for name in self.names]


def read_class_table(path: str | os.PathLike) -> ClassTable:
    r"""Read names, one a line, or names and colours.

    With colours a line is ``name r g b``, ``r g b name``, with spaces, tabs, commas or semicolons
    between, or ``name:r,g,b:parts:actions``, as in CVAT's labelmap.txt. Blank lines, lines that
    start with ``#``, and the head of a table of colours (``name,r,g,b``) do not count. A name that
    starts with ``#`` has a ``\`` before it.
    """
    lines = [line.lstrip('\ufeff') for line in read_lines(path, 'classes')]
    lines = [line for line in lines if line and not line.startswith('#')]
    found = [next(filter(None, (re.fullmatch(p, line) for p in _LINES)), None) for line in lines]
    if len(lines) > 1 and not found[0] and all(found[1:]):
        lines, found = lines[1:], found[1:]
    names, colours = lines, None
    if any(found):
        if not all(found):
            plain = next(line for line, match in zip(lines, found) if not match)
            raise ValueError(f'{path} has lines with colours, and {plain!r} without: give all one.')
        names = [match['name'] for match in found]
        colours = [tuple(int(match[channel]) for channel in 'rgb') for match in found]
        wrong = [colour for colour in colours if max(colour) > 255]
        if wrong:
            raise ValueError(f'{path} has the colour {wrong[0]}; expected values of 0 to 255.')
    names = [re.sub(r'^\\(?=\\*#)', '', name) for name in names]
    if not names:
        raise ValueError(f'{path} names no class; expected one name a line.')
    for what, values in (('name', names), ('colour', colours or names)):
        value, count = Counter(values).most_common(1)[0]
        if count > 1:
            raise ValueError(f'{path} has the {what} {value!r} twice.')
    return ClassTable(names, colours)


def class_table_text(names: Sequence[str], colours: Sequence[tuple]) -> str:
    """What :func:`read_class_table` reads."""
    names = [re.sub(r'^\\*#', r'\\\g<0>', name) for name in names]
    lines = [f'{name}:{",".join(map(str, colour))}::' for name, colour in zip(names, colours)]
    return '# label:color_rgb:parts:actions\n' + '\n'.join(lines) + '\n'
