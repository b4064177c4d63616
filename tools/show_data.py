"""Draw what the network gets, augmented, on one sheet: ``python tools/show_data.py CONFIG``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_deeplabv3x.cli.arguments import add_cfg_options, config_file, examples, seed
from mmseg_deeplabv3x.cli.config_errors import check_spelling
from mmseg_deeplabv3x.cli.messages import install_messages
from mmseg_deeplabv3x.cli.user_errors import exit_on_user_error
from mmseg_deeplabv3x.files import written_aside
from mmseg_deeplabv3x.visualization import LegendVisualizer

GAP = 8


def main(argv: Sequence[str] | None = None) -> None:
    """Write the sheet.

    Args:
        argv: The arguments. Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        description='Draw images and labels as the network gets them in training: augmented, '
        'cropped, padded, and back from normalised values.',
        **examples('configs/my.py', 'configs/my.py --number 12 --seed 1 -o sheet.png'),
    )
    parser.add_argument('config', type=config_file, help='config file, or the name of one of ours')
    parser.add_argument('-o', '--out', type=Path, metavar='FILE.png', help='default: NAME_data.png')
    parser.add_argument('--number', type=int, default=8, help='of images (default: 8)')
    parser.add_argument('--seed', type=seed, default=0, help='of choice and augmentation')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    out = args.out or Path(f'{Path(args.config).stem}_data.png')
    if out.suffix != '.png' or args.number < 1:
        parser.error(f'-o takes a .png file and --number at least 1, but got {out}, {args.number}')
    install_messages()
    with exit_on_user_error(parser.prog):
        cfg = Config.fromfile(args.config)
        check_spelling(args.cfg_options, cfg)
        cfg.merge_from_dict(args.cfg_options)
        pictures = draw(cfg, args.number, args.seed)
    with written_aside(out) as aside:
        sheet(pictures).save(aside, 'PNG')
    print(f'Written: {out}, {len(pictures)} images of training')


def draw(cfg: Config, number: int, seed: int) -> list[np.ndarray]:
    """Pictures of some of a config's training images, each beside its labels, RGB."""
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    dataset = DATASETS.build(cfg['train_dataloader'].dataset)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    visualizer = LegendVisualizer('show_data', alpha=0.5)
    visualizer.dataset_meta = dict(dataset.metainfo)
    set_random_seed(seed)
    chosen = np.random.permutation(len(dataset))[:number]
    samples = [dataset[int(i)] for i in chosen]
    batch = preprocessor(pseudo_collate(samples), training=True)
    pictures = []
    for image, sample in zip(batch['inputs'], batch['data_samples']):
        visualizer.add_datasample('', _rgb(image.cpu(), preprocessor), sample, draw_pred=False)
        pictures.append(visualizer.get_image())
    return pictures


def _rgb(image: torch.Tensor, preprocessor) -> np.ndarray:
    """A normalised image, (3, H, W), as it was before: (H, W, 3), 0 to 255."""
    if preprocessor._enable_normalize:
        image = image * preprocessor.std.cpu() + preprocessor.mean.cpu()
    if not preprocessor.channel_conversion:
        image = image.flip(0)
    return image.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


def sheet(pictures: Sequence[np.ndarray]) -> Image.Image:
    """Pictures in about as many columns as rows, each at its own size."""
    columns = max(1, round(len(pictures) ** 0.5 / 1.4))
    height, width = np.max([picture.shape[:2] for picture in pictures], axis=0) + GAP
    rows = -(-len(pictures) // columns)
    canvas = Image.new('RGB', (int(columns * width), int(rows * height)), 'white')
    for i, picture in enumerate(pictures):
        place = int(i % columns * width), int(i // columns * height)
        canvas.paste(Image.fromarray(picture), place)
    return canvas


if __name__ == '__main__':
    main()
