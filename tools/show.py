"""Print the network of a config, stride by stride: ``python tools/show.py CONFIG``."""

import argparse
from collections.abc import Sequence

from common.network_description import describe_network, training_memory
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_deeplabv3x.cli.arguments import add_cfg_options, at_least_1, config_file, examples
from mmseg_deeplabv3x.cli.config_errors import check_spelling
from mmseg_deeplabv3x.cli.messages import install_messages
from mmseg_deeplabv3x.cli.user_errors import exit_on_user_error
from mmseg_deeplabv3x.models import DeepLabV3
from mmseg_deeplabv3x.transforms.kinds import builds_one_of


def main(argv: Sequence[str] | None = None) -> None:
    """Print parameters, multiply-adds, memory, and stride and rate of every unit.

    Args:
        argv: The arguments. Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        description='Print the parameters of a network, its multiply-adds, the memory that a '
        'training step needs, and stride and rate of every unit.',
        **examples(
            'configs/deeplabv3x_r101_os8_voc.py',
            'deeplabv3x_r101_os8_voc --size 1025 2049 --cfg-options model.output_stride=8',
        ),
    )
    parser.add_argument('config', type=config_file, help='config file, or the name of one of ours')
    parser.add_argument(
        '--size',
        type=at_least_1,
        nargs=2,
        metavar=('H', 'W'),
        help="of the images that the cost is of (default: the preprocessor's, else 512 512)",
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    install_messages()
    with exit_on_user_error(parser.prog):
        cfg = Config.fromfile(args.config)
        check_spelling(args.cfg_options, cfg)
        cfg.merge_from_dict(args.cfg_options)
        model = cfg['model']
        default = 16 if builds_one_of(model, DeepLabV3, MODELS) else None
        stride = model.get('output_stride', default)
        stride = stride if isinstance(stride, dict) else {'train': stride, 'test': stride}
        modes = {}
        for use, name in (('train', 'training'), ('test', 'evaluation')):
            modes.setdefault(stride[use], []).append(name)
        modes = {number: ' and '.join(names) for number, names in modes.items()}
        size = args.size or (model.get('data_preprocessor') or {}).get('size') or (512, 512)
        lines = [args.config, *describe_network(model, modes, tuple(size))]
        batch = (cfg.get('train_dataloader') or {}).get('batch_size')
        if batch and cfg.get('optim_wrapper'):
            step = f'a training step of {batch} images of {size[0]}x{size[1]}'
            try:
                memory = training_memory(cfg, batch, tuple(size)) / 2**30
            except ValueError as error:  # BN of one image
                lines.append(f'{step} fails: {error}')
            else:
                lines.append(
                    f'{memory:.2f} GiB of tensors in {step}, in float32: weights, gradients, '
                    'optimizer, and what is kept for the gradient.\nBeside them a program needs '
                    'room for itself and its libraries: tools/fit.py measures it.'
                )
        print('\n'.join(lines))


if __name__ == '__main__':
    main()
