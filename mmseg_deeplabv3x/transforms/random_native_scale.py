"""The paper's random scale."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.datasets.transforms import Resize
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomNativeScale(BaseTransform):
    """Multiply the image's own size by a random factor.

    In training the paper scales each image by 0.5 to 2.0 (section 4.1). mmseg's pipelines first
    fit every image into one fixed size, which magnifies a 500x375 PASCAL VOC image 1.37 times.
    Images are resized bilinearly, masks by nearest neighbour; both sides by the same factor,
    rounded to whole pixels. Required and added keys are those of mmseg's ``Resize``.

    Args:
        ratio_range: Smallest and largest factor, both reached. Default: the paper's.
        step: Distance of the factors that are drawn from. The default 0.25 is that of the authors'
            released TensorFlow code; the paper does not say. None draws from all the range.
        keep_ratio: True, as it always is.
        **stock: None; see below.

    Raises:
        ValueError: If the range is not ``0 < low <= high``, or the step is not positive or does not
            divide the range; or if an argument of ``RandomResize`` asks for another scale.
    """

    def __init__(
        self,
        ratio_range: tuple[float, float] = (0.5, 2.0),
        step: float | None = 0.25,
        keep_ratio: bool = True,
        **stock,
    ):
        refuse_stock(self, stock if keep_ratio else dict(keep_ratio=keep_ratio, **stock))
        if not are_numbers(ratio_range, 2) or not 0 < ratio_range[0] <= ratio_range[1] < np.inf:
            expected = 'two factors with 0 < low <= high'
            raise ValueError(f'ratio_range must be {expected}, got {ratio_range!r}.')
        low, high = ratio_range
        if step is not None and not (are_numbers([step], 1) and step > 0):
            raise ValueError(f'step must be positive, or None for any factor, got {step!r}.')
        if step is not None and not np.isclose((high - low) / step, round((high - low) / step)):
            raise ValueError(f'step must divide the range from {low} to {high}, got {step}.')
        self.ratio_range = (low, high)
        self.step = step
        self.resize = Resize(scale_factor=1.0)

    @cache_randomness
    def _random_ratio(self) -> float:
        low, high = self.ratio_range
        if self.step is None:
            return float(np.random.uniform(low, high))
        return low + self.step * np.random.randint(round((high - low) / self.step) + 1)

    def transform(self, results: dict) -> dict:
        """Resize the image and its label maps, as mmseg's ``Resize`` does."""
        ratio = self._random_ratio()
        self.resize.scale_factor = (ratio, ratio)
        return self.resize(results)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(ratio_range={self.ratio_range}, step={self.step})'


def refuse_stock(transform: BaseTransform, arguments: dict) -> None:
    """Name, by a ValueError, the stock transform that takes what ours cannot do."""
    for name, value in arguments.items():
        other = 'RandomFlip' if name in ('prob', 'direction', 'swap_seg_labels') else 'RandomResize'
        refused = f'{type(transform).__name__} does not take {name}={value!r}'
        raise ValueError(f'{refused}: if it is needed, use {other}.')


def are_numbers(values, count: int) -> bool:
    """Whether an argument is a list of so many numbers."""
    return (
        isinstance(values, (list, tuple))
        and len(values) == count
        and all(isinstance(value, (int, float)) for value in values)
    )
