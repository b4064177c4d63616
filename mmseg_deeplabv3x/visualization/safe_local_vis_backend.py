"""A log of losses and scores that no full disk turns against the training."""

import logging
import os
from contextlib import suppress

import cv2
import numpy as np
from mmengine.logging import print_log
from mmengine.visualization import LocalVisBackend
from mmseg.registry import VISBACKENDS

from ..files import write_file


@VISBACKENDS.register_module()
class SafeLocalVisBackend(LocalVisBackend):
    """mmengine's ``LocalVisBackend``; where scalars cannot be written, training goes on.

    Upstream, a disk that is full ends the training at the next line of ``scalars.json``. Here the
    line is left out, a warning says so once, and what was written of it is taken away again: each
    line of the file is whole. A picture whose name has folders goes into them.

    Args:
        **kwargs: As of mmengine's ``LocalVisBackend``.
    """

    _warned = False

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """As of ``LocalVisBackend``, and make the folders in the name."""
        path = os.path.join(self.experiment._img_save_dir, f'{name}_{step}.png')
        # not by cv2.imwrite, which crashes on a name that is no UTF-8
        content = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        write_file(path, content.tobytes())

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        size = os.path.getsize(file_path) if os.path.exists(file_path) else 0
        try:
            super()._dump(value_dict, file_path, file_format)
        except OSError as error:
            with suppress(OSError):
                os.truncate(file_path, size)
            if not self._warned:
                self._warned = True
                why = f'Losses and scores cannot be written: {error} ({file_path}).'
                print_log(
                    f'{why} Training goes on without those lines.', 'current', logging.WARNING
                )
