"""A report as one HTML file, with small pictures of what is wrong."""

import base64
import html
import io

import numpy as np
from PIL import Image

from ..datasets.class_index import id_table
from ..datasets.reading import RGB_MASK, BadSampleError, read_image, read_mask
from .file_locations import OUTSIDE
from .full_check import Report
from .problem import Problem
from .report import class_counts
from .splits import Split

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
    splits = {split.name: split for split in report.splits}
    rows = []
    for i, problem in enumerate(report.problems):
        pictures = _pictures(problem, splits[problem.split]) if i < PICTURES else ''
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


def _pictures(problem: Problem, split: Split) -> str:
    if problem.info is None or problem.kind == OUTSIDE:
        return ''
    mask = problem.info.get('seg_map_path') and split.load_mask
    return (_image(problem.info, split) if split.load_image else '') + (
        _mask(problem.info, split) if mask else ''
    )


def _image(info: dict, split: Split) -> str:
    try:
        image = Image.fromarray(
            read_image(info['img_path'], split.load_image.backend_args)[..., ::-1]
        )
    except ValueError:  # missing, broken or no picture for OpenCV
        return ''
    return _small(image, Image.Resampling.BILINEAR, 'jpeg')


def _mask(info: dict, split: Split) -> str:
    path, backend_args = info['seg_map_path'], split.load_mask.backend_args
    try:
        colours = _colours(read_mask(path, backend_args), info, split)
    except BadSampleError as error:
        if error.kind != RGB_MASK:  # missing or broken, too
            return ''
        colours = read_image(path, backend_args)[..., ::-1]  # that should be ids
    return _small(Image.fromarray(colours), Image.Resampling.NEAREST, 'png')


def _colours(ids: np.ndarray, info: dict, split: Split) -> np.ndarray:
    colours, palette = np.array([NO_CLASS] * 256, np.uint8), split.metainfo.get('palette', [])
    colours[: len(palette)] = palette
    if 0 <= split.ignore_index < 256:
        colours[split.ignore_index] = VOID
    return colours[id_table(info['reduce_zero_label'], info.get('label_map'))[ids]]


def _small(picture: Image.Image, resample: Image.Resampling, format: str) -> str:
    picture.thumbnail((SIDE, SIDE), resample)
    buffer = io.BytesIO()
    picture.save(buffer, format)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="" src="data:image/{format};base64,{content}">'
