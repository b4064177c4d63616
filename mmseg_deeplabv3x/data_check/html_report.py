"""A report as one HTML file, with small pictures of what is wrong."""

import base64
import html
import io
from contextlib import suppress

import numpy as np
from PIL import Image
from prettytable import PrettyTable

from ..datasets.class_index import id_table
from ..datasets.reading import RGB_MASK, BadSampleError, read_image, read_mask
from .file_locations import OUTSIDE
from .problem import Problem
from .report import Report, tables
from .splits import Split

PICTURES = 200  # problems that get pictures, some 10 KB each
SIDE = 160  # of a picture, at most, in pixels
NO_CLASS = (255, 0, 255)  # magenta: no colour of a photo or of VOC's palette
VOID = (224, 224, 192)
_PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 15px sans-serif; margin: 2em; }} table {{ margin-bottom: 2em; }}</style>
<h1>{title}</h1>
{body}
</html>
"""


def page(report: Report, title: str) -> str:
    """HTML that needs no other file; ids that are no class are magenta in pictures of masks."""
    splits = {split.name: split for split in report.splits}
    problems = PrettyTable(['split', 'kind', 'problem', 'image, mask'])
    for i, problem in enumerate(report.problems):
        pictures = _pictures(problem, splits[problem.split]) if i < PICTURES else ''
        said = map(html.escape, (problem.split, problem.kind, problem.message))
        problems.add_row([*said, pictures])
    body = [problems.get_html_string(format=True, escape_data=False)] if report.problems else []
    body += [table.get_html_string(format=True) for table in tables(report)]
    return _PAGE.format(title=html.escape(title), body='\n'.join(body))


def _pictures(problem: Problem, split: Split) -> str:
    pictures = ''
    if problem.info is None or problem.kind == OUTSIDE:
        return pictures
    if split.load_image:
        with suppress(ValueError):  # missing, broken or no picture for OpenCV
            image = read_image(problem.info['img_path'], split.load_image.backend_args)
            pictures += _small(image[..., ::-1], Image.Resampling.BILINEAR, 'jpeg')
    if problem.info.get('seg_map_path') and split.load_mask:
        with suppress(BadSampleError):
            mask = _coloured_mask(problem.info, split)
            pictures += _small(mask, Image.Resampling.NEAREST, 'png')
    return pictures


def _coloured_mask(info: dict, split: Split) -> np.ndarray:
    path, backend_args = info['seg_map_path'], split.load_mask.backend_args
    wide = split.ignore_index > 255
    try:
        ids = read_mask(path, backend_args, wide=wide)
    except BadSampleError as error:
        if error.kind != RGB_MASK:
            raise
        return read_image(path, backend_args)[..., ::-1]  # that should be ids
    number, palette = 1 << (16 if wide else 8), split.metainfo.get('palette', [])
    colours = np.array([NO_CLASS] * number, np.uint8)
    colours[: len(palette)] = palette
    if 0 <= split.ignore_index < number:
        colours[split.ignore_index] = VOID
    return colours[id_table(info['reduce_zero_label'], info.get('label_map'), number)[ids]]


def _small(pixels: np.ndarray, resample: Image.Resampling, format: str) -> str:
    picture, buffer = Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((SIDE, SIDE), resample)
    picture.save(buffer, format)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="" src="data:image/{format};base64,{content}">'
