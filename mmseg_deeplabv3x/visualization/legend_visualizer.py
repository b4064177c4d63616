"""Draws image, ground truth and prediction side by side, over a legend of the classes."""

import os
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from mmengine.dist import master_only
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from PIL import Image, ImageDraw, ImageFont

from ..files import write_file

PAPER, INK, FAINT = (255, 255, 255), (40, 40, 40), (150, 150, 150)
VOID_COLOUR = (255, 255, 255)
MIN_PANEL_WIDTH = 240  # narrower, the captions would not fit over their panels

# Ships with matplotlib: the same letters on every machine.
FONT_FILE = os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')


@VISUALIZERS.register_module()
class LegendVisualizer(SegLocalVisualizer):
    """One picture per image: image | ground truth | prediction, and a legend below.

    The legend names the classes that the picture shows and no others. Pixels without a class (the
    label 255) are drawn white and named "void". Images narrower than 240 pixels are enlarged by a
    whole factor, so that the text stays readable and a pixel stays a pixel.

    It takes the place of ``SegLocalVisualizer``, with the arguments of that class, but draws no
    depth maps (``gt_depth_map``, ``pred_depth_map``). The stock
    ``SegVisualizationHook`` (``--show-dir``) calls it; where the pictures go is up to
    ``vis_backends``.

    Args:
        name: Name of the instance.
        alpha: How much of the class colour covers the image. The default, 0.6, lets the
            image shine through enough to judge an outline by.
        **kwargs: As for ``SegLocalVisualizer``.
    """

    def __init__(self, name: str = 'visualizer', *args, alpha: float = 0.6, **kwargs):
        super().__init__(name, *args, alpha=alpha, **kwargs)

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        with_labels: bool = True,
    ) -> None:
        """Draws one sample and hands the picture to the backends, a window or a file.

        Args:
            name: What the backends file the picture under.
            image: (H, W, 3), RGB, 0 to 255 of any number type.
            data_sample: Its ``gt_sem_seg`` and ``pred_sem_seg``, each (1, H, W) class ids, are
                drawn if they are there.
            draw_gt: Draw the ground truth.
            draw_pred: Draw the prediction.
            show: Also open a window.
            wait_time: Seconds before the window closes; 0 waits for a key.
            out_file: Write the picture to this file, ``x.png`` say, and not to the backends.
            step: What the backends number the picture with.
            with_labels: Draw the legend.

        Raises:
            ValueError: If ``dataset_meta`` has not one colour per class, a label map has another
                size than the image, or ``out_file`` no suffix of an image.
        """
        image = np.clip(image, 0, 255).astype(np.uint8)
        classes, palette = self._classes_and_palette()
        wanted = [('ground truth', 'gt_sem_seg')] * draw_gt
        wanted += [('prediction', 'pred_sem_seg')] * draw_pred
        panels, present = [('image', image)], set()
        for caption, field in wanted:
            if data_sample is not None and field in data_sample:
                labels = self._label_map(data_sample.get(field).data, len(classes))
                if labels.shape != image.shape[:2]:
                    raise ValueError(
                        f'{name}: the {caption} has {labels.shape} pixels and the image '
                        f'{image.shape[:2]} (height, width); both must have the same size.'
                    )
                panels.append((caption, self._overlay(image, labels, palette)))
                present.update(np.unique(labels).tolist())

        entries = [([*classes, 'void'][i], palette[i]) for i in sorted(present)]
        picture = _compose(panels, entries if with_labels else [])
        self.set_image(picture)
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        if out_file is not None:
            _write(picture, Path(out_file))
        else:
            self.add_image(name, picture, step)

    def _classes_and_palette(self) -> tuple[list, np.ndarray]:
        """Class names, and one RGB colour for each and for void, (num_classes + 1, 3)."""
        classes = self.dataset_meta.get('classes') or []
        palette = self.dataset_meta.get('palette') or []
        if not classes or len(classes) != len(palette):
            raise ValueError(
                f'dataset_meta has {len(classes)} classes and {len(palette)} palette colours; '
                'LegendVisualizer needs one colour for each class.'
            )
        return list(classes), np.array([*palette, VOID_COLOUR], dtype=np.uint8)

    @staticmethod
    def _label_map(data: torch.Tensor | np.ndarray, num_classes: int) -> np.ndarray:
        """(H, W) ids; whatever is no class becomes ``num_classes``, the id of void here."""
        labels = torch.as_tensor(data).cpu().numpy().astype(np.int64)
        labels = labels.reshape(labels.shape[-2:])
        return np.where((labels < 0) | (labels >= num_classes), num_classes, labels)

    def _overlay(self, image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
        # Over a grey image, so that what has colour is a class.
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return cv2.addWeighted(grey, 1 - self.alpha, palette[labels], self.alpha, 0)


def _compose(panels: list, entries: list) -> np.ndarray:
    """Captioned panels side by side, and the legend in as many rows as it needs."""
    height, width = panels[0][1].shape[:2]
    zoom = -(-MIN_PANEL_WIDTH // width)
    height, width = height * zoom, width * zoom
    text_size = max(12, round(width / 24))
    gap = text_size // 2
    font = ImageFont.truetype(FONT_FILE, text_size)
    line = round(1.6 * text_size)

    total = len(panels) * (width + gap) + gap
    positions, rows, total = _flow(entries, font, gap, total)
    canvas = Image.new('RGB', (total, gap + line + height + gap + rows * line), PAPER)
    pen = ImageDraw.Draw(canvas)
    for i, (caption, pixels) in enumerate(panels):
        x = gap + i * (width + gap)
        pen.text((x, gap + line // 2), caption, fill=INK, font=font, anchor='lm')
        panel = Image.fromarray(pixels).resize((width, height), Image.NEAREST)
        canvas.paste(panel, (x, gap + line))

    top = gap + line + height + gap
    for (name, colour), (x, row) in zip(entries, positions):
        y = top + row * line
        margin = (line - text_size) // 2
        box = (x, y + margin, x + text_size, y + margin + text_size)
        pen.rectangle(box, fill=tuple(colour.tolist()), outline=FAINT)
        pen.text((x + text_size + gap, y + line // 2), name, fill=INK, font=font, anchor='lm')
    return np.asarray(canvas)


def _flow(entries: list, font: ImageFont.FreeTypeFont, gap: int, total: int) -> tuple:
    """Sets the legend like words in a paragraph of ``total`` pixels.

    Returns (x, row) of each entry, the number of rows, and the width, which grows where a name
    alone is longer than a row.
    """
    positions, x, row = [], gap, 0
    for name, _ in entries:
        length = round(font.size + gap + font.getlength(name))
        total = max(total, length + 2 * gap)
        if x > gap and x + length + gap > total:
            x, row = gap, row + 1
        positions.append((x, row))
        x += length + 3 * gap
    return positions, row + 1 if entries else 0, total


def _write(picture: np.ndarray, path: Path) -> None:
    if not cv2.haveImageWriter(path.name):
        raise ValueError(f'out_file {path} must be an image file, such as x.png or x.jpg.')
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    write_file(path, encoded.tobytes())
