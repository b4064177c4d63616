"""The console script ``deeplabv3x``: the commands that need no checkout, as subcommands."""

import sys
from importlib import import_module

from .shipped_configs import shipped

COMMANDS = {
    'train': ('train:train', 'train a segmentor'),
    'test': ('test:test', 'evaluate a segmentor'),
    'infer': ('infer:infer', 'segment your own images, folders and videos'),
    'export': ('export:export_model', 'write a model for ONNX Runtime, OpenVINO or torch.export'),
    'report': ('report:main', 'write a page about a training'),
    'config': ('config:main', 'write one of our configs as a single file to start from'),
    'new-config': ('new_config.py:main', 'write a config for your own images and masks'),
    'show': ('show.py:main', 'print the network of a config, stride by stride'),
    'show-data': ('show_data.py:main', 'draw what the network gets, augmented'),
    'fit': ('fit.py:main', 'measure which settings fit into the memory'),
    'check-data': ('check_data:main', 'check the images and masks of a config'),
    'prepare-data': ('prepare_data:prepare_data', 'make a published dataset ready'),
    'make-shapes': ('make_shapes.py:main', 'draw a small dataset to try everything on'),
    'convert-weights': ('convert_weights:main', 'bring published weights under our keys'),
    'pack-voc': ('pack_voc:main', "pack predictions for PASCAL VOC's server"),
}


def main() -> None:
    """Call the command that ``sys.argv`` names, with the rest of it."""
    name, *rest = sys.argv[1:] or ['--help']
    if name in ('-h', '--help'):
        print('usage: deeplabv3x COMMAND ...  (deeplabv3x COMMAND --help lists its options)')
        for command, (_, text) in COMMANDS.items():
            print(f'  {command:<16} {text}')
        return
    if name not in COMMANDS:
        sys.exit(f'deeplabv3x: there is no command {name!r}; there are {", ".join(COMMANDS)}')
    module, function = COMMANDS[name][0].split(':')
    sys.argv = [f'deeplabv3x {name}', *rest]  # what argparse calls the program
    if module.endswith('.py'):  # of tools/, which has neighbours there
        sys.path.insert(0, str(shipped('tools')))
        found = import_module(module.removesuffix('.py'))
    else:
        found = import_module(f'.{module}', __package__)
    sys.exit(getattr(found, function)())
