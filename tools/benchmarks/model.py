"""Prediction of whole networks: mmseg's DeepLabV3 and torchvision's against ours."""

import argparse

import torch
from mmseg.structures import SegDataSample

from .baselines import gflop_of_all, mmseg_model, our_model, torchvision_model
from .interleaved import add_arguments as add_common
from .interleaved import compare, report
from .roofline import peak_gflops


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--depth', type=int, default=50, choices=[50, 101])
    parser.add_argument('--output-stride', type=int, default=8, choices=[8, 16])
    parser.add_argument('--size', type=int, default=513, help='side of the images')
    parser.add_argument('--batch-size', type=int, default=1)
    add_common(parser)


def run(args: argparse.Namespace) -> str:
    """Time from normalised images to classes of all pixels, in turns.

    mmseg's network with the paper's head and ours have the same layers and weights.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table, of :func:`report`, and how many pixels get the same class.
    """
    torch.set_num_threads(args.threads)
    networks = models(args.depth, args.output_stride)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(args.batch_size, 3, args.size, args.size, generator=generator)
    images = images.to(next(networks['ours'].parameters()).device)
    variants = {name: _prediction(model, images) for name, model in networks.items()}
    case = (
        f'ResNet-{args.depth}, output_stride {args.output_stride}, '
        f'{args.batch_size}x{args.size}x{args.size}'
    )
    result = compare(case, variants, args.rounds)
    result.update(images=len(images), gflop=gflop_of_all(variants), peak_gflops=peak_gflops())
    table = report([result], args)
    plain = variants["mmseg, the paper's head"]()
    same = [
        f'{name}: {100 * (variant() == plain).double().mean():.4f} %'
        for name, variant in variants.items()
        if name.startswith('ours')
    ]
    return f"{table}\n\nPixels with the class of mmseg, the paper's head: {'; '.join(same)}"


def models(depth: int, output_stride: int) -> dict[str, torch.nn.Module]:
    """The networks in evaluation mode; ours have the weights of mmseg's with the paper's head."""
    reference = mmseg_model(depth, output_stride, own_head=False)
    found = {
        "mmseg, the paper's head": _as_if_trained(reference),
        'mmseg, its own head': mmseg_model(depth, output_stride, own_head=True),
        'torchvision': torchvision_model(depth) if output_stride == 8 else None,
    }
    for name in ('ours', 'ours, speed_up()'):
        # mmseg's variant of placing logits, so that the results can be compared
        found[name] = our_model(depth, output_stride, align_corners=False)
        found[name].load_state_dict(reference.state_dict())
    found['ours, speed_up()'].speed_up()
    return {name: model.eval() for name, model in found.items() if model is not None}


def _as_if_trained(model):
    """Random statistics: with fresh ones all pixels would get the same class."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.named_buffers():
        if name.endswith(('running_mean', 'running_var')):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=0.5, generator=generator)
    return model


def _prediction(model, images):
    size = images.shape[2:]
    samples = [SegDataSample(metainfo=dict(ori_shape=size, img_shape=size)) for _ in images]

    @torch.inference_mode()
    def predict():
        if not hasattr(model, 'predict'):  # torchvision's
            return model(images)['out'].argmax(1)
        found = model.predict(images, [sample.clone() for sample in samples])
        return torch.cat([sample.pred_sem_seg.data for sample in found])

    return predict
