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
    """Stands in a table for modules that have no place in a DeepLabv3.

    Attributes:
        reason: Why; a report names it.
    """

    reason: str


CLASSIFIER = Drop('classifier of images')
UNKNOWN = Drop('known to no rule')


@dataclass(frozen=True, eq=False)
class Source:
    """One project whose weights can be loaded.

    Our keys are those of a ``DeepLabV3``: they begin with ``backbone.``, ``decode_head.``,
    ``auxiliary_head.`` or ``neck.``.

    Attributes:
        name: What a report calls it.
        rules: Pattern of a module (a key without its last part) -> our module, as in ``re.sub``, or
            why it is dropped. The first that matches counts. A dot in a pattern is a dot.
        units: What stands in a rule for ``UNIT``, by the number that the pattern's group ``unit``
            is: for units that the source counts in another way. Default: none.
        images: How images were normalised. Default: as torchvision does.
        network: The backbone, where the keys are of no ``AtrousResNet``. Default: None.
        arguments: What else the ``AtrousResNet`` needs to compute the same. Default: nothing.
        value: Brings a tensor into our layout: (our key, tensor) -> tensor. Default: as it is.
        last: The source's last parts of keys -> ours, or why they are dropped. Default: as in
            PyTorch.
        average: What ends the key of a moving average, which is taken in place of the weight where
            there is one. Default: None.
    """

    name: str
    rules: Mapping[str, str | Drop]
    units: Sequence[str] = ()
    images: str = IMAGENET
    network: str | None = None
    arguments: str = ''
    value: Callable[[str, Tensor], Tensor] = lambda key, tensor: tensor
    last: Mapping[str, str | Drop] = field(default_factory=dict)
    average: str | None = None

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
            if match:
                return ours if isinstance(ours, Drop) else self._ours(match, ours, last)
        return UNKNOWN

    def _ours(self, match: re.Match, ours: str, last: str) -> str | Drop:
        if 'UNIT' in ours:
            unit = int(match['unit'])
            if unit >= len(self.units):
                return UNKNOWN
            ours = ours.replace('UNIT', self.units[unit])
        return f'{match.expand(ours)}.{last}'


def by_stage(*repeats: int) -> list[str]:
    """Units of a network as timm names them, ``stage.unit``, in their order.

    Args:
        *repeats: Units of each stage.
    """
    return [f'{stage}.{unit}' for stage, count in enumerate(repeats) for unit in range(count)]
