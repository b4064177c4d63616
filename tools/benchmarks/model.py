"""Prediction of whole networks: mmseg's DeepLabV3, torchvision's and runtimes against ours."""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from common.markdown_table import markdown_table
from mmseg.structures import SegDataSample

from mmseg_deeplabv3x.inference.export import ExportableSegmentor, export
from mmseg_deeplabv3x.inference.exported_segmentor import Runtime
from mmseg_deeplabv3x.models.freed_memory import keep_freed_memory
from mmseg_deeplabv3x.ops import upsampled_argmax

from .baselines import gflop_of_all, mmseg_model, our_model, torchvision_model
from .interleaved import add_arguments as add_common
from .interleaved import compare, report
from .roofline import peak_gflops

PLAIN = "mmseg, the paper's head"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--depth', type=int, default=50, choices=[18, 50, 101])
    parser.add_argument('--output-stride', type=int, default=8, choices=[8, 16])
    parser.add_argument('--size', type=int, default=513, help='side of the images')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument(
        '--no-compile', action='store_true', help='leave torch.compile out, which takes a minute'
    )
    add_common(parser)


def run(args: argparse.Namespace) -> str:
    """Time from normalised images to classes of all pixels, in turns.

    mmseg's network with the paper's head and ours have the same layers and weights. On a CPU, ONNX
    Runtime and OpenVINO run a file that ``export`` made of ours, where they are installed.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table, of :func:`report`, and of each that has the weights of ours how long it
        took to prepare and how many pixels get mmseg's class.
    """
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(args.batch_size, 3, args.size, args.size, generator=generator)
    if torch.cuda.is_available():
        images = images.cuda()
    else:
        keep_freed_memory()  # as --fast does; here for all
    variants, seconds, classes = {}, {}, {}
    for name, build in _builders(args, images).items():
        start = time.perf_counter()
        variants[name] = build()
        classes[name] = variants[name]()
        seconds[name] = time.perf_counter() - start
    case = (
        f'ResNet-{args.depth}, output_stride {args.output_stride}, '
        f'{args.batch_size}x{args.size}x{args.size}'
    )
    counted = {n for n in variants if n == 'ours' or not n.startswith(('ours', 'ONNX', 'Open'))}
    result = compare(case, variants, args.rounds, memory=counted)
    gflop = gflop_of_all({name: variants[name] for name in counted})
    gflop.update(dict.fromkeys(variants.keys() - counted, gflop['ours']))
    same = {
        name: (found == classes[PLAIN]).double().mean().item()
        for name, found in classes.items()
        if name not in (PLAIN, 'mmseg, its own head', 'torchvision')
    }
    result.update(images=len(images), gflop=gflop, peak_gflops=peak_gflops())
    result.update(start_seconds=seconds, equal_pixels=same)
    rows = [[name, f'{seconds[name]:.1f}', f'{100 * share:.4f} %'] for name, share in same.items()]
    titles = ['variant', 'start and first call, s', f'pixels with the class of {PLAIN}']
    return f'{report([result], args)}\n\n{markdown_table(titles, rows)}'


def _builders(args, images) -> dict[str, Callable[[], Callable[[], torch.Tensor]]]:
    """By name, what builds a network and gives what predicts the images by it."""
    depth, output_stride = args.depth, args.output_stride
    reference = _as_if_trained(mmseg_model(depth, output_stride, own_head=False)).eval()

    def ours():
        # mmseg's variant of placing logits, so that the results can be compared
        model = our_model(depth, output_stride, align_corners=False)
        model.load_state_dict(reference.state_dict())
        return model.eval()

    def fast(**how):
        return lambda: _prediction(ours().speed_up(**how), images)

    def compiled(dtype=None):
        return lambda: _compiled(ours(), images, dtype)

    builders = {
        PLAIN: lambda: _prediction(reference, images),
        'mmseg, its own head': lambda: _prediction(
            mmseg_model(depth, output_stride, own_head=True).eval(), images
        ),
    }
    torchvisions = torchvision_model(depth) if output_stride == 8 else None
    if torchvisions:
        builders['torchvision'] = lambda: _prediction(torchvisions.eval(), images)
    runtimes = [] if images.is_cuda else ['onnxruntime', 'openvino']
    runtimes = [r for r in runtimes if find_spec(r) and find_spec('onnxscript')]
    titles = dict(onnxruntime='ONNX Runtime', openvino='OpenVINO')
    for runtime in runtimes:
        builders[titles[runtime]] = lambda runtime=runtime: _exported(ours(), images, runtime)
    builders['ours'] = lambda: _prediction(ours(), images)
    builders['ours, --fast --fast-runtime torch'] = fast()
    if 'openvino' in runtimes:
        builders['ours, --fast'] = fast(openvino=True)
    if not args.no_compile:
        builders['ours, torch.compile, freezing'] = compiled()
    builders['ours, --fast --fast-runtime torch --precision bf16'] = fast(precision='bf16')
    if 'openvino' in runtimes:
        builders['ours, --fast --precision bf16'] = fast(precision='bf16', openvino=True)
    if not args.no_compile:
        builders['ours, torch.compile, freezing, bf16'] = compiled(torch.bfloat16)
    return builders


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


def _exported(model, images, runtime):
    """A runtime on a file with the upsampling and argmax inside, for this size alone."""
    with TemporaryDirectory() as folder:
        file = Path(folder, 'model.onnx')
        export(ExportableSegmentor(model, 'classes'), file, 'onnx', images, False, {})
        network = Runtime(file, runtime)
    array = images.numpy()
    return lambda: torch.from_numpy(network(array))


def _compiled(model, images, dtype):
    """Inductor with the weights frozen, BN folded by it; classes as speed_up() takes them."""
    network = torch.compile(model._forward, options=dict(freezing=True))
    images = images.contiguous(memory_format=torch.channels_last)
    size = images.shape[2:]

    @torch.no_grad()
    def predict():
        autocast = torch.autocast(images.device.type, dtype) if dtype else nullcontext()
        with autocast:
            logits = network(images)
        return upsampled_argmax(logits, size, align_corners=False)

    return predict
