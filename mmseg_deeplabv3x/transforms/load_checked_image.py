"""Load an image, or say what is wrong with which file."""

from importlib.util import find_spec

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.registry import TRANSFORMS

from ..datasets.reading import BadSampleError, read_image


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """``LoadImageFromFile`` whose every error names the file and what is wrong with it.

    For training and validation. Inference looks for stock names in the test pipeline: mmseg's
    ``MMSegInferencer`` refuses one without ``LoadImageFromFile``.

    Arguments are those of mmcv's ``LoadImageFromFile``, and so is the image. By default it has
    three channels of 8 bits: gray stands in all three, alpha is left out, and of 16 bits the upper
    8 are kept. ``color_type='unchanged'`` keeps what is in the file, and
    ``imdecode_backend='tifffile'`` all bands of a TIFF.

    Raises:
        ValueError: If ``file_client_args`` are given, or the package tifffile is needed and not
            installed; ``BadSampleError``, a ValueError, if the file is missing, empty, truncated,
            no image or absurdly large (more than 179 million pixels), unless ``ignore_empty``.
            ``FaultTolerantDataset`` can skip such a sample.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.file_client_args is not None:
            other = 'file_client_args, their old form, is for LoadImageFromFile'
            raise ValueError(f'LoadCheckedImage takes backend_args; {other}.')
        if self.imdecode_backend == 'tifffile' and not find_spec('tifffile'):
            raise ValueError("imdecode_backend='tifffile' needs tifffile: `pip install tifffile`.")

    def transform(self, results: dict) -> dict | None:
        """Add ``img``, by default uint8 (H, W, 3) in BGR, ``img_shape`` and ``ori_shape``, (H, W).

        None where ``ignore_empty`` passes over a bad file.
        """
        how = self.backend_args, self.color_type, self.imdecode_backend
        try:
            image = read_image(results['img_path'], *how)
        except BadSampleError:
            if self.ignore_empty:
                return None
            raise
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results
