"""The config for a dataset of one's own, each choice with its reason.

Its text is ``configs/_base_/own_data.txt``.
"""

import copy
from pathlib import Path
from pprint import pformat

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmseg.registry import MODELS

from ..datasets.class_index import rare_classes
from ..datasets.voc_masks import VOID, void_of
from ..models import AtrousResNet, DeepLabV3
from ..transforms.kinds import builds_one_of
from ..weights import fit, read_weights
from .own_dataset import OwnDataset

BATCH = 8


def own_config(
    data: OwnDataset,
    base: Path,
    written_base: str,
    depth: int,
    weights: str | None = None,
    model: ConfigDict | None = None,
) -> str:
    """Write a config that trains.

    Args:
        data: As by :func:`make_own_dataset`.
        base: The folder ``configs/_base_``.
        written_base: The same, as the config is to name it.
        depth: Of the ResNet: 18, 34, 50 or 101.
        weights: To start from: of the backbone or, with ``model``, a checkpoint of all of it.
        model: The ``DeepLabV3`` in the checkpoint. Default: one on a ResNet.
    """
    text = (base / 'own_data.txt').read_text('utf-8')
    text, model_text, wide_text, rare_text = text.split('====\n')
    void = void_of(len(data.classes))
    trained = data.counts['train']
    iterations = int(np.clip(50 * trained // BATCH // 100 * 100, 1000, 30000))
    crop = max(33, min(513, 16 * ((min(data.size) - 1) // 16) + 1))
    parts = ['datasets/native_scale', 'schedules/poly_30k', 'runtime']
    values = dict(
        images=data.images,
        root=data.root,
        counts=', '.join(f'{split} {count}' for split, count in data.counts.items()),
        test='test' if 'test' in data.counts else 'val',
        number=len(data.classes),
        void=void,
        ignored='' if void == VOID else f', ignore_index={void}',
        padded='' if void == VOID else f', seg_pad_val={void}',
        classes=_python(tuple(data.classes)),
        palette=_python(data.palette),
        size='x'.join(map(str, data.size)),
        crop=crop,
        batch=BATCH,
        trained=trained,
        passes=round(iterations * BATCH / trained),
        iterations=iterations,
        interval=max(iterations // 8, 100),
        rate='0.05',
        reason='from scratch, at this batch',
    )
    if weights:
        values['rate'] = f'{0.007 * BATCH / 16:g}'
        values['reason'] = 'the paper has 0.007 with 16 images a batch: in proportion'
    if model is None:
        parts.insert(0, 'models/aspp')
        values['model'] = model_text.format(
            depth=depth,
            multi_grid=None if depth < 50 else (1, 2, 4),
            init_cfg=f'dict(checkpoint={weights!r})' if weights else None,
            channels=512 if depth < 50 else 2048,
            **values,
        )
    else:
        model = _with_classes(model, len(data.classes), void, crop, weights)
        values['model'] = (
            '# go on from a model of other classes: its classifier starts anew\n'
            f'load_from = {weights!r}\n{Config(dict(model=model)).pretty_text}'
        )
    values['bases'] = _python([f'{written_base}/{part}.py' for part in parts])
    if void != VOID:
        text += wide_text
    rare = rare_classes(data.classes, data.pixels)
    if rare:
        median = np.median(data.pixels[data.pixels > 0])
        factors = np.clip(median / np.maximum(data.pixels, 1), None, 10)
        text += rare_text
        values.update(rare=rare, weights=[float(f'{factor:.2g}') for factor in factors])
    return text.format(**values)


def check_model(model: ConfigDict, checkpoint: str) -> None:
    """Refuse, by a ValueError, a checkpoint's model that is no ``DeepLabV3``."""
    if not builds_one_of(model, DeepLabV3, MODELS):
        raise ValueError(f'{checkpoint} holds a {model["type"]}; --from takes a DeepLabV3.')


def check_weights(weights: str, depth: int, file: Path | None) -> None:
    """Refuse, by a ValueError, weights that do not fit the ResNet.

    ``file`` is where they are; None if they are yet to be downloaded.
    """
    name, torchvision = f'resnet{depth}', 'torchvision://'
    if weights.startswith(torchvision) and weights != torchvision + name:
        raise ValueError(
            f'--weights {weights} are not of {name}: expected {torchvision}{name}, or another '
            '--backbone.'
        )
    if file is None:
        return
    state = read_weights(file)
    with torch.device('meta'):  # shapes alone
        backbone = AtrousResNet(depth=depth)
    try:
        fit(state, backbone.state_dict())
    except ValueError as error:
        raise ValueError(f'--weights {weights} do not fit {name}: {error}') from error


def _with_classes(
    model: ConfigDict, number: int, void: int, crop: int, checkpoint: str
) -> ConfigDict:
    """A checkpoint's model, to be trained on other classes."""
    check_model(model, checkpoint)
    model = copy.deepcopy(model)
    for part in (model.decode_head, model.get('auxiliary_head')):
        for head in part if isinstance(part, list) else [part] if part else []:
            head.num_classes = number
            if void != head.get('ignore_index', VOID):
                head.ignore_index = void
            if head.get('out_channels') == 1:  # a threshold, for two classes
                for key in ('out_channels', 'threshold', 'loss_decode'):
                    head.pop(key, None)
            losses = head.get('loss_decode') or []
            for loss in losses if isinstance(losses, list) else [losses]:
                loss.pop('class_weight', None)
    model.data_preprocessor.pop('size_divisor', None)
    model.data_preprocessor.size = (crop, crop)
    if void != model.data_preprocessor.get('seg_pad_val', VOID):
        model.data_preprocessor.seg_pad_val = void
    model.backbone.pop('init_cfg', None)  # all comes from the checkpoint
    model.new_classifier = True
    return model


def _python(value: list | tuple) -> str:
    text = pformat(value, width=95, compact=True)
    lines = text[1:-1].split('\n ')
    return '\n    '.join([text[0], *lines]) + f',\n{text[-1]}' if len(lines) > 1 else text
