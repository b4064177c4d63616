"""Weights of other projects load into our modules as they are."""

from __future__ import annotations

from mmengine.logging import print_log
from torch import Tensor

from ..weights import fit, unwrap


class PublishedWeightsMixin:
    """For a segmentor or a backbone: ``load_from`` and ``init_cfg`` take files of any known source.

    What is loaded into the module itself (a part of a larger one is left alone) is told from its
    keys, unwrapped and renamed; the log says what became of it. Own state dicts load as ever.

    Raises:
        ValueError: If a shape does not fit, or the backbone would stay as it was in part.
    """

    new_classifier = False

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        if not prefix:
            self._fit(state_dict)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _fit(self, state_dict: dict[str, Tensor]) -> None:
        own = self.state_dict()
        if state_dict.keys() == own.keys() and all(
            state_dict[key].shape == value.shape for key, value in own.items()
        ):
            return
        report = fit(unwrap(state_dict), own, self.new_classifier)
        state_dict.clear()
        state_dict.update(report.tensors)
        print_log(f'Weights: {report}.', 'current')
