"""Weights of other projects load into our modules as they are."""

import torch
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor

from ..weights import fit, read_weights, unwrap


@CheckpointLoader.register_scheme(r'.+\.(safetensors|npz|index)$', force=True)  # patterns, in fact
def load_from_file(
    filename: str, map_location: str | torch.device | None = None
) -> dict[str, dict[str, Tensor]]:
    """Read files of kinds that ``torch.load`` does not know, wherever mmengine reads a checkpoint.

    Args:
        filename: As of :func:`read_weights`.
        map_location: Has no effect: the tensors are on the CPU.

    Returns:
        A checkpoint.
    """
    return {'state_dict': read_weights(filename)}


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
        """Initialise as ``init_cfg`` says.

        Raises:
            ValueError: If the file that it names has a tensor of another shape, or lacks a part
                of the backbone.
        """
        try:
            super().init_weights()
        except ValueError as error:
            if isinstance(self.init_cfg, dict) and 'checkpoint' in self.init_cfg:
                raise ValueError(f'{self.init_cfg["checkpoint"]}: {error}') from error
            raise

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
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
