"""What a source of weights is: a table from its modules to ours."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

# How images were normalised, as arguments of SegDataPreProcessor.
IMAGENET = 'mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True'
CENTRED = 'mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], bgr_to_rgb=True'


@dataclass(frozen=True)
class Drop:
    """Stands in a table for modules without a place in a DeepLabv3; a report names the reason."""

    reason: str


CLASSIFIER = Drop('classifier of images')
UNKNOWN = Drop('known to no rule')


@dataclass(frozen=True, eq=False)
class Source:
    """One project whose weights can be loaded.

    Our keys are those of a ``DeepLabV3``: they begin with ``backbone.``, ``decode_head.``,
    ``auxiliary_head.`` or ``neck.``.
    """

    name: str  # in a report
    # Pattern of a module (a key without its last part; a dot is a dot) -> our module, as in re.sub,
    # or why it is dropped. The first that matches counts.
    rules: Mapping[str, str | Drop]
    # What stands in a rule for UNIT, by the number that the pattern's group `unit` is: for units
    # that the source counts in another way.
    units: Sequence[str] = ()
    images: str = IMAGENET  # how they were normalised
    network: str | None = None  # the backbone, where the keys are of no AtrousResNet
    arguments: str = ''  # what else the AtrousResNet needs to compute the same
    value: Callable[[str, Tensor], Tensor] = lambda key, tensor: tensor  # into our layout
    last: Mapping[str, str | Drop] = field(default_factory=dict)  # last parts of keys -> ours
    average: str | None = None  # ends the key of a moving average, taken where there is one

    def rename(self, keys: Collection[str]) -> dict[str, str | Drop]:
        """Each of the source's keys -> ours, or why it is dropped."""
        return {key: self._rename(key, keys) for key in keys}

    def _rename(self, key: str, keys: Collection[str]) -> str | Drop:
        if self.average:
            if key + self.average in keys:
                return Drop('its moving average is taken')
            key = key.removesuffix(self.average)
        module, last = re.fullmatch('(.*?)[./]?([^./]*)', key).groups()
        last = self.last.get(last, last)
        if isinstance(last, Drop):
            return last
        for pattern, ours in self.rules.items():
            match = re.fullmatch(pattern.replace('.', r'\.'), module)
            if match and isinstance(ours, Drop):
                return ours
            if match and 'UNIT' in ours:
                if int(match['unit']) >= len(self.units):
                    return UNKNOWN
                ours = ours.replace('UNIT', self.units[int(match['unit'])])
            if match:
                return f'{match.expand(ours)}.{last}'
        return UNKNOWN


def by_stage(*repeats: int) -> list[str]:
    """Units of a network, so many in each stage, as timm names them: ``stage.unit``."""
    return [f'{stage}.{unit}' for stage, count in enumerate(repeats) for unit in range(count)]


def with_bn(convs: Mapping[str, str], conv: str = '', bn: str = '') -> dict[str, str]:
    """Rules of convolutions and of the BN beside each.

    ``convs`` has the pattern of what holds both -> our convolution and our BN, with a blank between
    them; ``conv`` and ``bn`` say where in it they are.
    """
    rules = {}
    for module, ours in convs.items():
        rules[module + conv], rules[module + bn] = ours.split()
    return rules
