"""Load an image, or say what is wrong with which file."""

from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ..datasets.reading import read_image


@TRANSFORMS.register_module()
class LoadCheckedImage(BaseTransform):
    """``LoadImageFromFile`` whose every error names the file and what is wrong with it.

    For training and validation. Inference looks for stock names in the test pipeline: mmseg's
    ``MMSegInferencer`` refuses one without ``LoadImageFromFile``.

    Args:
        backend_args: Arguments of mmengine's file backend; by default the path tells which.

    Raises:
        BadSampleError: If the file is missing, empty, truncated, no image or absurdly large
            (more than 179 million pixels). ``FaultTolerantDataset`` can skip such a sample.
    """

    def __init__(self, backend_args: dict | None = None):
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load the image.

        Args:
            results: With ``img_path``.

        Returns:
            The same, with ``img``, uint8 (H, W, 3) in BGR, and ``img_shape`` and ``ori_shape``,
            both (H, W).
        """
        image = read_image(results['img_path'], self.backend_args)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backend_args={self.backend_args})'
