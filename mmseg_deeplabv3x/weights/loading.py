"""From a state dict of any source to one that a model loads, and what became of every key."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mmseg.models.backbones.resnet import Bottleneck, ResNet
from torch import Tensor

from . import efficientnet_lite, mmseg, resnet, smp, tensorflow, torchvision
from .resnet import INSIDE
from .source import UNKNOWN, Drop, Source

SOURCES: tuple[Source, ...] = tuple(
    source
    for module in (resnet, mmseg, torchvision, smp, tensorflow, efficientnet_lite)
    for source in module.SOURCES
)
# The network that the model's backbone wraps, of any kind: the keys are the model's own.
ITSELF = Source("the backbone's own network", {})
NOT_IN_MODEL = Drop('not in the model')
_BACKBONE = 'backbone.'
_CLASSIFIERS = ('.conv_seg.weight', '.conv_seg.bias')
# (units of each block, whether they are bottlenecks) -> depth
_DEPTHS = {
    (units, unit is Bottleneck): depth for depth, (unit, units) in ResNet.arch_settings.items()
}


@dataclass(frozen=True)
class Report:
    """What became of the tensors of a file; BN's counts of batches, which many lack, aside."""

    source: Source  # as told from their keys
    tensors: dict[str, Tensor]  # by our keys; of a model's state dict, where one was given
    theirs: dict[str, str]  # our key -> the source's
    dropped: dict[str, str]  # the source's key -> why it is left out
    missing: tuple[str, ...] = ()  # keys of the model that the file has not
    total: int | None = None  # tensors of the model, where one was given

    def __str__(self) -> str:
        of = '' if self.total is None else f' of {self.total}'
        parts = [f'{self.source.name}, {len(_counted(self.tensors))}{of} tensors']
        if self.missing:
            parts.append(f'not in the file: {_short(self.missing)}')
        for reason in dict.fromkeys(self.dropped.values()):
            keys = [key for key, why in self.dropped.items() if why == reason]
            parts.append(f'dropped, {reason}: {_short(keys)}')
        return '; '.join(parts)


def convert(state: Mapping[str, Tensor]) -> Report:
    """Rename a state dict to our keys, ``backbone. ...`` and so on, without a model.

    If no source is recognised, it is a ValueError.
    """
    report = _rename(state)
    if not any(key.startswith(_BACKBONE) for key in report.tensors) or not _is_recognised(report):
        raise ValueError(
            f'no backbone is recognised in the keys {_short(state)}. Weights of timm, or of '
            'another network that AtrousBackbone holds, load as they are; the sources that are '
            f'known: {", ".join(source.name for source in SOURCES)}.'
        )
    return report


def fit(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], new_classifier: bool = False
) -> Report:
    """Choose, from a state dict of any source, what a model of the state dict ``own`` loads.

    Classifiers of another number of classes are dropped with ``new_classifier``, else refused.

    Raises:
        ValueError: If a shape does not fit, or a part of the backbone is not in the file.
    """
    alone = not any(key.startswith(_BACKBONE) for key in own)
    prefixed = {_BACKBONE * alone + key: key for key in own}
    # without what mmseg's wrapper of timm puts into a key
    ours = {new.replace('backbone.timm_model.', _BACKBONE, 1): k for new, k in prefixed.items()}
    model = {new: own[key] for new, key in ours.items()}

    report = _rename(state, model)
    theirs, tensors, dropped = report.theirs, {}, dict(report.dropped)
    for key, tensor in report.tensors.items():
        if key not in model:
            dropped[theirs[key]] = NOT_IN_MODEL.reason
        elif tensor.shape == model[key].shape:
            tensors[key] = tensor
        elif not key.endswith(_CLASSIFIERS) or (
            len(tensor) == len(model[key]) and not new_classifier
        ):
            _refuse_unknown(report, state, own)
            raise ValueError(
                f'{theirs[key]} is {tuple(tensor.shape)} in the file and '
                f'{tuple(model[key].shape)} in the model. {_holds(report)}'
            )
        elif new_classifier:
            dropped[theirs[key]] = 'another number of classes, starts anew'
        else:
            raise ValueError(
                f'The checkpoint has {len(tensor)} classes in {theirs[key]}, but the model '
                f'has {len(model[key])}: set num_classes to {len(tensor)}, or new_classifier=True '
                'to train a new classifier on the other weights.'
            )
    missing = [new for new in _counted(model) if new not in tensors]
    bare = [ours[new] for new in missing if new.startswith(_BACKBONE)]
    if bare:
        _refuse_unknown(report, state, own)
        raise ValueError(f'The file lacks a part of the backbone: {_short(bare)}. {_holds(report)}')
    return Report(
        report.source,
        {ours[new]: tensor for new, tensor in tensors.items()},
        {ours[new]: theirs[new] for new in tensors},
        dropped,
        tuple(ours[new] for new in missing),
        len(_counted(model)),
    )


def describe(report: Report) -> str | None:
    """The backbone that a file's tensors are of, as a config has it; None if that is unknown."""
    tensors = report.tensors
    units = Counter(re.findall(r'backbone\.layer(\d)\.\d+\.conv1\.weight', ' '.join(tensors)))
    bottlenecks = 'backbone.layer1.0.conv3.weight' in tensors
    depth = _DEPTHS.get((tuple(units[block] for block in '1234'), bottlenecks))
    if depth is None:
        return report.source.network if _is_recognised(report) else None
    arguments = f'depth={depth}'
    if 'backbone.stem.6.weight' in tensors:
        stem = tuple(len(tensors[f'backbone.stem.{layer}.weight']) for layer in (0, 3, 6))
        arguments += f', deep_stem={True if stem == (32, 32, 64) else stem}'
    if any('.downsample.2.' in key for key in tensors):
        arguments += ', avg_down=True'
    return f'AtrousResNet({arguments}{report.source.arguments})'


def _rename(state: Mapping[str, Tensor], model: Mapping[str, Tensor] | None = None) -> Report:
    """The tensors under our keys, by the rules of the source that leaves the fewest unknown.

    Of sources alike in that, the one of which the most tensors have the size of the model's.
    """
    names = {source: source.rename(state.keys()) for source in SOURCES}
    if model is not None:
        # timm's feature lists have _ where the whole network has a dot
        own = {key.removeprefix(_BACKBONE).replace('.', '_'): key for key in model}
        bare = {key: re.sub(f'^{INSIDE}', '', key).removeprefix('timm_model.') for key in state}
        names[ITSELF] = {k: own.get(b.replace('.', '_'), NOT_IN_MODEL) for k, b in bare.items()}

    def rank(source: Source) -> tuple[int, int]:
        unknown = fitting = 0
        for key, new in names[source].items():
            unknown += new in (UNKNOWN, NOT_IN_MODEL)
            fitting += new in (model or ()) and model[new].numel() == state[key].numel()
        return -unknown, fitting

    source = max(names, key=rank)
    report = Report(source, {}, {}, {})
    for key, new in names[source].items():
        if isinstance(new, Drop):
            report.dropped[key] = new.reason
        elif new in report.tensors:
            raise ValueError(
                f'{report.theirs[new]} and {key} are both {new}: give one network a file.'
            )
        else:
            report.tensors[new], report.theirs[new] = source.value(new, state[key]), key
    return report


def _counted(keys: Collection[str]) -> list[str]:
    return [key for key in keys if not key.endswith('.num_batches_tracked')]


def _is_recognised(report: Report) -> bool:
    """Whether the source, the best there is, knows half of a file's keys."""
    strange = sum(why in (UNKNOWN.reason, NOT_IN_MODEL.reason) for why in report.dropped.values())
    return 2 * strange <= len(report.tensors) + len(report.dropped)


def _refuse_unknown(report: Report, state: Mapping, own: Mapping) -> None:
    """Refuse a file of no known network as such: what little fits of it tells nothing."""
    if describe(report) is None and not _is_recognised(report):
        raise ValueError(
            f'The file is of no network that is known: it has {_short(state)}, and the model '
            f'needs {_short(_counted(own))}.'
        )


def _holds(report: Report) -> str:
    network = describe(report)
    return f'It is of {report.source.name}' + (f': {network}.' if network else '.')


def _short(keys: Collection[str]) -> str:
    """Name what stands before the last part of each key, with how many share it."""
    layers = Counter(re.split(r'[./](?=[^./]+$)', key)[0] for key in keys)
    names = list(layers)
    more = f' and {len(names) - 4} more' if len(names) > 4 else ''
    return f'{", ".join(names[:4])}{more} ({len(keys)} tensor{"s" * (len(keys) > 1)})'
