"""From masks of any usual kind to masks of class ids: what they hold, and what it means."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..datasets.lists import first_few
from ..datasets.parallel import map_files
from ..datasets.reading import RGB_MASK, BadSampleError, read_image, read_mask
from ..datasets.voc_masks import (
    VOID,
    VOID_COLOUR,
    WIDE_VOID,
    ids_of_colours,
    save_mask,
    voc_colours,
    void_of,
)  # fmt: skip
from .class_table import ClassTable
from .output import Output

_GRAYS = 14  # at least, between the ids: smoothing by four times four samples makes 15


class Classes(NamedTuple):
    """What the masks of a dataset mean."""

    names: list[str]
    palette: list[tuple[int, int, int]]
    table: np.ndarray  # the class of each raw id, uint16 (65536,), void where pixels do not count
    said: list[str]  # what was decided, in sentences


def read_ids(path: Path, table: ClassTable | None) -> np.ndarray:
    """Read a mask's raw ids: palette indices, gray values, or the lines of a table of colours.

    Where ``table`` has colours, masks in colour and palette masks are read by colour.
    """
    kind, mode = _kind(path)
    colours = table.colours if table else None
    if kind == 'JPEG':
        raise ValueError(
            f'{path} is a JPEG, whose values near outlines are not those that were drawn: export '
            'the masks as PNG.'
        )
    if mode != 'P' or not colours:
        try:
            return read_mask(path, wide=True)
        except BadSampleError as error:
            if error.kind != RGB_MASK:
                raise
    pixels = read_image(path)[..., ::-1]
    if colours:
        known = {VOID_COLOUR: void_of(len(colours))}
        known.update((colour, i) for i, colour in enumerate(colours))
        remedy = 'add to it the line "void {} {} {}", or a class, as "background", in place of void'
        return ids_of_colours(pixels, known, path, 'the table of classes', remedy)
    if (pixels == pixels[..., :1]).all():
        return pixels[..., 0]
    found = np.unique(pixels.reshape(-1, 3), axis=0).tolist()
    raise ValueError(
        f'{path} is painted in colours, {first_few(map(str, found), 5)}: give --classes FILE with '
        'a line "name r g b" for each.'
    )


def count_ids(masks: Sequence[Path], table: ClassTable | None) -> list[dict[int, int]]:
    """Pixels of each raw id that a mask holds, read as by :func:`read_ids`."""

    def count(path):
        found = np.bincount(read_ids(path, table).ravel())
        present = np.flatnonzero(found)
        return dict(zip(present.tolist(), found[present].tolist()))

    return map_files(count, masks, 'Reading masks')


def find_classes(
    counts: Sequence[Mapping[int, int]], table: ClassTable | None, masks: Sequence[Path]
) -> Classes:
    """Decide which class each raw id of the masks is; ``counts`` as by :func:`count_ids`.

    65535 is no label, and so is 255 where no id and no number of names is above it; beside 0 alone
    each is a class. The palette of the first mask is taken where the table has no colours. Grays
    along smoothed edges are refused, unless there are as many names.
    """
    pixels = Counter()
    for count in counts:
        pixels.update(count)
    used = sorted(pixels)
    names = list(table.names) if table else None
    is_few = names is None or len(names) <= 2
    is_binary = is_few and used == [0, WIDE_VOID]
    used = [i for i in used if i != WIDE_VOID or is_binary]
    is_wide = max(used, default=0) > VOID or names and len(names) > VOID
    labels = used if is_wide else [i for i in used if i != VOID]
    said = []
    if is_binary or is_few and used == [0, VOID]:
        labels, high = used, used[1]
        told = f'The masks hold 0 and {high}: {high} is taken for a class, not for "no label".'
        said.append(told)
    if not labels:
        raise ValueError('The masks hold no class: all pixels are 255 or 65535, "no label".')
    if names is None:
        smoothed = _smoothed(counts, table, masks)
        if smoothed:
            raise ValueError(f'{smoothed}; or, if they are ids, name all by --classes.')
        names = [f'class {i}' for i in labels]
        if len(labels) == 2 and labels[0] == 0:
            names = ['background', 'foreground']
        said.append(f'No --classes: the ids {first_few(map(str, labels), 8)} are the classes.')
    elif (len(names) == 1 or max(labels) == len(names)) and 0 in labels:
        names.insert(0, 'background')
        said.append(
            f'Id 0 has no name in --classes ({len(names) - 1} names): it is "background". To leave '
            'it out of training and scores, put a line "ignore" before the names.'
        )
    elif max(labels) == len(names):
        labels = list(range(1, len(names) + 1))
        said.append('The ids begin at 1: the first name is id 1.')
    elif max(labels) < len(names) and labels != [0, VOID]:
        labels = list(range(len(names)))
    elif len(used) == len(names):
        labels = list(used)
    if len(labels) != len(names):
        no_label = WIDE_VOID if is_wide else VOID
        smoothed = _smoothed(counts, table, masks)
        raise ValueError(
            f'--classes has {len(names)} names, and the masks hold {len(labels)} ids, '
            f'{first_few(map(str, labels), 8)}: expected ids 0 to {len(names) - 1}, with '
            f'{no_label} where there is no label, or as many names as ids.'
            + (f' {smoothed}.' if smoothed else '')
        )
    said += _no_label(pixels, labels, table)
    return _classes(names, labels, table, masks[0], said)


def _smoothed(
    counts: Sequence[Mapping[int, int]], table: ClassTable | None, masks: Sequence[Path]
) -> str | None:
    """Say what is wrong with the mask of the most ids, if its outlines were smoothed; else None.

    Then a few ids have most of the pixels, and the many others hardly an area: of their pixels
    fewer than one in ten has its own id to the right and below, as most in a region of an id have.
    """
    count, path = max(zip(counts, masks), key=lambda pair: len(pair[0]))
    total = sum(count.values())
    common = sorted(i for i in count if 50 * count[i] > total)
    others = total - sum(count[i] for i in common)
    if len(count) < len(common) + _GRAYS or 2 * others > total:
        return None
    ids = read_ids(path, table)
    corner = ids[:-1, :-1]
    inside = (corner == ids[1:, :-1]) & (corner == ids[:-1, 1:]) & ~np.isin(corner, common)
    if inside.sum() >= others / 10:
        return None
    return (
        f'{path} holds {len(count)} ids, all but {", ".join(map(str, common))} along edges alone, '
        'as smoothing makes them: save masks without anti-aliasing, and resize them by nearest '
        'neighbour'
    )


def _no_label(
    pixels: Mapping[int, int], labels: Sequence[int], table: ClassTable | None
) -> list[str]:
    """Say which of the pixels' ids are "no label" without a name that says so."""
    void = [i for i in (VOID, WIDE_VOID) if i in pixels and i not in labels]
    if not void:
        return []
    ids = ' and '.join(map(str, void))
    share = f'{100 * sum(pixels[i] for i in void) / sum(pixels.values()):.3g} % of the pixels'
    if table:
        return [f'No label ({ids}): {share}.']
    # where the ids count on, 255 does not become a class by one more name
    by_name = void == [VOID] and max(labels) > len(labels) + 1
    how = 'give all names by --classes' if by_name else 'give it another id in the masks'
    taken = f'{ids} {"is" if len(void) == 1 else "are"} taken for "no label", {share}'
    return [f'{taken}: to make it a class, {how}.']


def _classes(names, labels, table, mask, said) -> Classes:
    number = 1 + max(ClassTable(names).ids(-1))
    void = void_of(number)
    new_ids = ClassTable(names).ids(void)
    to_class = np.full(WIDE_VOID + 1, void, np.uint16)
    to_class[labels] = new_ids
    moved = [f'{old} -> {new}' for old, new in zip(labels, new_ids) if old != new != void]
    if moved:
        said.append(f'Ids are rewritten: {first_few(moved, 8)}.')
    if void == WIDE_VOID:
        said.append(
            f'{number} classes: the masks have 16 bits, and {void} is the label of the pixels that '
            'do not count (ignore_index), since 255 is a class.'
        )
    left_out = [name for name, new in zip(names, new_ids) if new == void]
    if left_out:
        said.append(f'{", ".join(left_out)}: no class, pixels that do not count ({void}).')
    colours = table.colours if table else None
    if not colours or len(colours) != len(names):
        colours = _palette(mask, labels) or voc_colours(len(names))
    kept = [(n, c) for n, c, new in zip(names, colours, new_ids) if new != void]
    if len(kept) < 2:
        raise ValueError(f'The masks hold one class alone, {", ".join(names)}: nothing to learn.')
    return Classes([name for name, _ in kept], [colour for _, colour in kept], to_class, said)


def put_masks(
    out: Output, masks: Mapping[str, Path], table: ClassTable | None, classes: Classes
) -> None:
    """Put masks, by name, into a dataset: as they are where they hold ids, else rewritten."""
    map_files(partial(_put_mask, out, table, classes), list(masks.items()), 'Placing masks')


def _put_mask(
    out: Output, table: ClassTable | None, classes: Classes, task: tuple[str, Path]
) -> None:
    name, path = task
    raw = read_ids(path, table)
    ids = classes.table[raw]
    as_it_is = [('PNG', 'L'), ('PNG', 'P')]
    if void_of(len(classes.names)) == WIDE_VOID:
        as_it_is = [('PNG', 'I;16'), ('PNG', 'I')]  # as Pillow calls 16 bits, today and before
    if _kind(path) in as_it_is and (ids == raw).all():
        out.place(path, name)
        return
    with out.writing(name) as new:
        save_mask(new, ids, classes.palette)


def _kind(path: Path) -> tuple[str | None, str | None]:
    """Format and mode of an image; None if it is none, which its reader says."""
    try:
        with Image.open(path) as image:
            return image.format, image.mode
    except Exception:  # decoders raise all sorts of errors
        return None, None


def _palette(mask: Path, labels: Sequence[int]) -> list[tuple[int, int, int]] | None:
    """Colours of a palette mask; None if it has none, or one colour for several classes."""
    with Image.open(mask) as image:
        flat = image.getpalette() if image.mode == 'P' else None
    colours = [tuple(flat[3 * i : 3 * i + 3]) for i in labels] if flat else []
    is_whole = all(len(colour) == 3 for colour in colours)
    return colours if is_whole and 0 < len(set(colours)) == len(labels) else None
