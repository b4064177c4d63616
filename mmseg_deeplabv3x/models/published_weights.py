"""Weights of other projects load into our modules as they are."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor

from ..weights import fit, read_weights, unwrap


# what mmengine calls a prefix is a pattern
@CheckpointLoader.register_scheme(r'hf://.+|.+\.(safetensors|npz|index)$', force=True)
def load_from_file(
    filename: str, map_location: str | torch.device | None = None
) -> dict[str, dict[str, Tensor]]:
    """Read, to the CPU, what ``torch.load`` does not know, wherever mmengine reads checkpoints."""
    return {'state_dict': read_weights(filename)}


@contextmanager
def naming_file(init_cfg: dict | list | None) -> Iterator[None]:
    """Put the file that an ``init_cfg`` names before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        file = init_cfg.get('checkpoint') if isinstance(init_cfg, dict) else None
        if not file or file in str(error):
            raise
        raise ValueError(f'{file}: {error}') from error


class PublishedWeightsMixin:
    """For a segmentor or a backbone: ``load_from`` and ``init_cfg`` take files of any known source.

    What is loaded into the module itself (not as a part of a larger one, which does this) is told
    from its keys, unwrapped and renamed; the log says what became of it. A whole state dict of
    its own loads as ever.

    Attributes:
        new_classifier: Whether classifiers of another number of classes start anew; else they are
            refused. Default: False.
    """

    new_classifier = False

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says; a file that does not fit is a ``ValueError``."""
        with naming_file(self.init_cfg):
            super().init_weights()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        if not prefix:
            self.fit_weights(state_dict)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def fit_weights(self, state_dict: dict[str, Tensor]) -> None:
        """Bring a state dict, or checkpoint, of any source under our keys, or raise ValueError."""
        own = self.state_dict()
        if state_dict.keys() == own.keys() and all(
            state_dict[key].shape == value.shape for key, value in own.items()
        ):
            return
        report = fit(unwrap(state_dict), own, self.new_classifier)
        state_dict.clear()
        state_dict.update(report.tensors)
        print_log(f'Weights: {report}.', 'current')
