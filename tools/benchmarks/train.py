"""Training steps of whole networks: mmseg's DeepLabV3 and torchvision's against ours."""

import argparse

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from .baselines import gflop_of_all, mmseg_model, our_model, torchvision_model
from .interleaved import add_arguments as add_common
from .interleaved import compare, report
from .roofline import peak_gflops

CLASSES, IGNORED = 21, 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--depth', type=int, default=50, choices=[18, 50, 101])
    parser.add_argument('--output-stride', type=int, default=16, choices=[8, 16])
    parser.add_argument('--crop', type=int, default=321, help='side of the crops')
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--amp', action='store_true', help='autocast to bfloat16')
    parser.add_argument(
        '--compile', action='store_true', help='also ours with model.compile_backbone=True'
    )
    add_common(parser, rounds=3)


def run(args: argparse.Namespace) -> str:
    """Time forward, loss, backward and the optimizer's step, in turns.

    mmseg's network with the paper's head and ours have the same layers.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table, of :func:`report`.
    """
    torch.set_num_threads(args.threads)
    images, samples = batch(args.batch_size, args.crop)
    networks = {
        "mmseg, the paper's head": mmseg_model(args.depth, args.output_stride, own_head=False),
        'mmseg, its own heads': mmseg_model(args.depth, args.output_stride, own_head=True),
        'torchvision': torchvision_model(args.depth) if args.output_stride == 8 else None,
        'ours': our_model(args.depth, args.output_stride),
        'ours, channels_last': our_model(args.depth, args.output_stride, channels_last=True),
    }
    if args.compile:
        networks['ours, channels_last, compiled'] = our_model(
            args.depth, args.output_stride, channels_last=True, compile_backbone=True
        )
    variants = {
        name: _step(model.train(), images, samples, args.amp)
        for name, model in networks.items()
        if model is not None
    }
    case = (
        f'ResNet-{args.depth}, output_stride {args.output_stride}, '
        f'{args.batch_size}x{args.crop}x{args.crop}' + ', bfloat16 autocast' * args.amp
    )
    plain = {name for name in variants if 'compiled' not in name}
    on_gpu = torch.cuda.is_available()  # where memory is counted without following operations
    result = compare(case, variants, args.rounds, memory=on_gpu or plain)
    dtype = torch.bfloat16 if args.amp else torch.float32
    gflop = gflop_of_all({name: variants[name] for name in plain})
    gflop.update(dict.fromkeys(variants.keys() - plain, gflop['ours']))
    result.update(images=len(images), gflop=gflop, peak_gflops=peak_gflops(dtype))
    return report([result], args)


def batch(size: int, crop: int) -> tuple[torch.Tensor, list[SegDataSample]]:
    """Random images, (N, 3, H, W), and samples with labels of which 5 % are ignored."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, crop, crop, generator=generator)
    labels = torch.randint(CLASSES, (size, 1, crop, crop), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.05] = IGNORED
    if torch.cuda.is_available():
        images, labels = images.cuda(), labels.cuda()
    return images, [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]


def _step(model, images, samples, amp):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    labels = torch.cat([sample.gt_sem_seg.data for sample in samples])

    def step():
        with torch.autocast(images.device.type, torch.bfloat16, enabled=amp):
            if hasattr(model, 'loss'):
                losses = model.loss(images, samples)
                loss = sum(value for name, value in losses.items() if 'loss' in name)
            else:  # torchvision's
                loss = F.cross_entropy(model(images)['out'], labels, ignore_index=IGNORED)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step
