"""A report as one HTML file, with small pictures of what is wrong."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from PIL import Image

from ..datasets.class_index import id_table
from ..datasets.reading import FORMATS, IGNORED, check_is_file
from .file_locations import OUTSIDE
from .full_check import Report
from .problem import Problem
from .report import class_counts

PICTURES = 200  # problems that get pictures, some 10 KB each
SIDE = 160  # of a picture, at most, in pixels
NO_CLASS = (255, 0, 255)  # magenta: no colour of a photo or of VOC's palette
VOID = (224, 224, 192)
_PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; margin: 1em 0 2em; }}
th, td {{ border: 1px solid #ccc; padding: .3em .6em; text-align: left; vertical-align: top; }}
td.number {{ text-align: right; }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


def page(report: Report, title: str) -> str:
    """Write a page that needs no other file.

    Args:
        report: As by ``check_data``.
        title: Heading of the page.

    Returns:
        HTML. Ids that are no class are magenta in the pictures of masks.
    """
    palettes = {split.name: split.metainfo.get('palette', []) for split in report.splits}
    rows = []
    for i, problem in enumerate(report.problems):
        pictures = _pictures(problem, palettes[problem.split]) if i < PICTURES else ''
        rows.append([problem.split, problem.kind, problem.message, _Raw(pictures)])
    parts = [f'<p>Problems: {len(rows)}</p>']
    if rows:
        parts.append(_table(['split', 'kind', 'problem', 'image, mask'], rows))
    for split, pixels in zip(report.splits, report.pixels):
        if len(pixels):
            counts = class_counts(split.metainfo['classes'], pixels)
            parts.append(f'<h2>{html.escape(split.name)}: {len(split.infos)} images</h2>')
            parts.append(_table(list(counts[0]), [list(row.values()) for row in counts]))
    return _PAGE.format(title=html.escape(title), body='\n'.join(parts))


class _Raw(str):
    """Is HTML already."""


def _table(head: list, rows: list[list]) -> str:
    lines = [''.join(f'<th>{html.escape(title)}</th>' for title in head)]
    lines += [''.join(map(_cell, row)) for row in rows]
    return '<table>\n' + '\n'.join(f'<tr>{line}</tr>' for line in lines) + '\n</table>'


def _cell(value) -> str:
    if isinstance(value, (int, float)):
        return f'<td class="number">{value:,}</td>'
    return f'<td>{value if isinstance(value, _Raw) else html.escape(value)}</td>'


def _pictures(problem: Problem, palette: list) -> str:
    if problem.info is None or problem.kind == OUTSIDE:
        return ''
    return _image(problem.info) + _mask(problem.info, palette)


def _image(info: dict) -> str:
    try:
        with _open(info['img_path']) as image:
            image.draft('RGB', (SIDE, SIDE))
            return _small(image.convert('RGB'), Image.Resampling.BILINEAR, 'jpeg')
    except Exception:  # missing or broken, which is what the report says about it
        return ''


def _mask(info: dict, palette: list) -> str:
    try:
        with _open(info['seg_map_path']) as mask:
            picture = np.array(mask).astype(np.int64)
    except Exception:  # missing or broken, which is what the report says about it
        return ''
    if picture.ndim == 2:  # else it shows the colours that should be ids
        colours = np.array([NO_CLASS] * 256, np.uint8)
        colours[: len(palette)] = palette
        colours[IGNORED] = VOID
        table = id_table(info['reduce_zero_label'], info.get('label_map'))
        picture = np.where(picture[..., None] < 256, colours[table[picture % 256]], NO_CLASS)
    picture = Image.fromarray(np.uint8(picture)).convert('RGB')
    return _small(picture, Image.Resampling.NEAREST, 'png')


def _open(path: str) -> Image.Image:
    check_is_file(path)
    return Image.open(path, formats=FORMATS)


def _small(picture: Image.Image, resample: Image.Resampling, format: str) -> str:
    picture.thumbnail((SIDE, SIDE), resample)
    buffer = io.BytesIO()
    picture.save(buffer, format)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="" src="data:image/{format};base64,{content}">'
