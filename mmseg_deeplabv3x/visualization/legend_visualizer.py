"""Draws image, ground truth and prediction side by side, over a legend of the classes."""

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

WHITE, INK, FAINT = (255, 255, 255), (40, 40, 40), (150, 150, 150)
MIN_PANEL_WIDTH = 240  # narrower, the captions would not fit over their panels

# Ships with matplotlib: the same letters on every machine.
FONT_FILE = f'{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf'


@VISUALIZERS.register_module()
class LegendVisualizer(SegLocalVisualizer):
    """One picture per image: image | ground truth | prediction, and a legend below.

    The legend names the classes that the picture shows and no others. Pixels without a class (the
    label 255) are drawn white and named "void". Images narrower than 240 pixels are enlarged by a
    whole factor, so that the text stays readable and a pixel stays a pixel.

    It takes the place of ``SegLocalVisualizer``, but draws no depth maps. The stock
    ``SegVisualizationHook`` (``--show-dir``) calls it; where pictures go is up to ``vis_backends``.

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
        """Draw one sample and hand the picture to the backends, a window or a file.

        Arguments are those of ``SegLocalVisualizer``. ``image`` is (H, W, 3), RGB, 0 to 255 of any
        number type; ``gt_sem_seg`` and ``pred_sem_seg`` of the sample, each (1, H, W) class ids,
        are drawn if they are there; ``with_labels`` draws the legend; with ``out_file`` the picture
        goes there, and not to the backends.

        Raises:
            ValueError: If ``dataset_meta`` has not one colour per class, a label map has another
                size than the image, or ``out_file`` no suffix of an image.
        """
        image = np.clip(image, 0, 255).astype(np.uint8)
        classes = list(self.dataset_meta.get('classes') or [])
        palette = self.dataset_meta.get('palette') or []
        if not classes or len(classes) != len(palette):
            raise ValueError(
                f'dataset_meta has {len(classes)} classes and {len(palette)} palette colours; '
                'LegendVisualizer needs one colour for each class.'
            )
        palette = np.array([*palette, WHITE], np.uint8)
        wanted = [('ground truth', 'gt_sem_seg')] * draw_gt
        wanted += [('prediction', 'pred_sem_seg')] * draw_pred
        panels, present = [('image', image)], set()
        for caption, field in wanted:
            if data_sample is not None and field in data_sample:
                labels = torch.as_tensor(data_sample.get(field).data).cpu().numpy().astype(int)
                labels = labels.reshape(labels.shape[-2:])
                labels[(labels < 0) | (labels > len(classes))] = len(classes)  # void
                if labels.shape != image.shape[:2]:
                    raise ValueError(
                        f'{name}: the {caption} has {labels.shape} pixels and the image '
                        f'{image.shape[:2]} (height, width); both must have the same size.'
                    )
                # over a grey image, so that what has colour is a class
                grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
                alpha = self.alpha
                panel = cv2.addWeighted(grey, 1 - alpha, palette[labels], alpha, 0)
                panels.append((caption, panel))
                present.update(np.unique(labels).tolist())

        entries = [([*classes, 'void'][i], palette[i]) for i in sorted(present)]
        picture = _compose(panels, entries if with_labels else [])
        self.set_image(picture)
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        if out_file is None:
            self.add_image(name, picture, step)
        # the suffix alone: OpenCV crashes on a name that is no UTF-8
        elif cv2.haveImageWriter(f'x{Path(out_file).suffix}'):
            content = cv2.imencode(Path(out_file).suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            write_file(out_file, content[1].tobytes())
        else:
            raise ValueError(f'out_file {out_file} must be an image file, such as x.png or x.jpg.')


def _compose(panels: list, entries: list) -> np.ndarray:
    """Captioned panels side by side, and the legend in as many rows as it needs."""
    height, width = panels[0][1].shape[:2]
    zoom = -(-MIN_PANEL_WIDTH // width)
    height, width = height * zoom, width * zoom
    text_size = max(12, round(width / 24))
    gap, line = text_size // 2, round(1.6 * text_size)
    font = ImageFont.truetype(FONT_FILE, text_size)

    positions, rows, total = _flow(entries, font, gap, len(panels) * (width + gap) + gap)
    canvas = Image.new('RGB', (total, gap + line + height + gap + rows * line), WHITE)
    pen = ImageDraw.Draw(canvas)
    for i, (caption, pixels) in enumerate(panels):
        x = gap + i * (width + gap)
        pen.text((x, gap + line // 2), caption, fill=INK, font=font, anchor='lm')
        panel = Image.fromarray(pixels).resize((width, height), Image.NEAREST)
        canvas.paste(panel, (x, gap + line))

    top = gap + line + height + gap
    for (name, colour), (x, row) in zip(entries, positions):
        y = top + row * line + (line - text_size) // 2
        box = (x, y, x + text_size, y + text_size)
        pen.rectangle(box, fill=tuple(colour.tolist()), outline=FAINT)
        middle = top + row * line + line // 2
        pen.text((x + text_size + gap, middle), name, fill=INK, font=font, anchor='lm')
    return np.asarray(canvas)


def _flow(entries: list, font: ImageFont.FreeTypeFont, gap: int, total: int) -> tuple:
    """Set the legend like words in a paragraph of ``total`` pixels.

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
