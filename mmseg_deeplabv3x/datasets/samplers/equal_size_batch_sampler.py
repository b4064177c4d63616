"""Batches of images that have the same size, for the evaluation of whole images."""

from collections.abc import Hashable, Iterator

from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import InfiniteSampler
from mmengine.logging import print_log
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from ..file_backends import file_backend
from ..parallel import map_files
from ..reading import BadSampleError, read_header


@DATA_SAMPLERS.register_module()
class EqualSizeBatchSampler(Sampler):
    """Puts images of one size into batches, each image exactly as often as its sampler gives it.

    In mmseg a batch of whole images must have one size: padding would change the predictions.
    Most datasets have many sizes, and so are evaluated one image at a time. This one takes the
    size of each image from its header, before the first batch (0.1 ms an image on a local disk).
    The pipeline must give equal images equal sizes, as those of an evaluation do, with or without
    ``Resize`` and test-time augmentation::

        test_dataloader = dict(batch_size=4, batch_sampler=dict(type='EqualSizeBatchSampler'))

    The order is the sampler's, by the last image of each batch. So what a sampler of several
    processes adds at its end, to give all of them as many images, stays at the end, where the
    evaluator drops it.

    Args:
        sampler: Of this process; with a ``dataset`` that tells an ``img_path``. A runner
            gives it.
        batch_size: The most images in a batch; ``batch_size`` of the loader. The last batch
            of each size may be smaller.

    Raises:
        ValueError: If ``batch_size`` is below 1, the sampler never ends or has no ``dataset``, or
            the dataset tells no ``img_path``.
    """

    def __init__(self, sampler: Sampler, batch_size: int):
        if batch_size < 1:
            raise ValueError(f'batch_size must be at least 1, but got {batch_size}.')
        if isinstance(sampler, InfiniteSampler):
            raise ValueError(
                f'EqualSizeBatchSampler is for evaluation, but {type(sampler).__name__} never '
                "ends: use sampler=dict(type='DefaultSampler', shuffle=False)."
            )
        if not hasattr(sampler, 'dataset'):
            raise ValueError(
                'EqualSizeBatchSampler reads the sizes of the images of sampler.dataset, and '
                f'{type(sampler).__name__} has none: use DefaultSampler.'
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self._sizes = {}

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches())

    def __len__(self) -> int:
        return len(self._batches())

    def _batches(self) -> list[list[int]]:
        indices = list(self.sampler)
        new = sorted(set(indices) - self._sizes.keys())
        if new:
            print_log(f'Reading the sizes of {len(new)} images ...', 'current')
            backend_args = file_backend(self.sampler.dataset, LoadImageFromFile)
            files = [(self._path(i), backend_args) for i in new]
            self._sizes.update(zip(new, map_files(_size, files, 'Sizes of images')))
        groups = {}
        for place, index in enumerate(indices):
            groups.setdefault(self._sizes[index], []).append((place, index))
        batches = [
            group[start : start + self.batch_size]
            for group in groups.values()
            for start in range(0, len(group), self.batch_size)
        ]
        batches.sort(key=lambda batch: batch[-1])
        return [[index for _, index in batch] for batch in batches]

    def _path(self, index: int) -> str:
        dataset = self.sampler.dataset
        if not hasattr(dataset, 'get_data_info') or 'img_path' not in dataset.get_data_info(index):
            raise ValueError(
                'EqualSizeBatchSampler reads the sizes of the images from their files, but '
                f'{type(dataset).__name__} tells no img_path of image {index}.'
            )
        return dataset.get_data_info(index)['img_path']


def _size(file: tuple[str, dict | None]) -> Hashable:
    """What two images that are loaded at the same size have in common.

    What Pillow cannot read is like no other file: alone in its batch, it is for the loader to read
    or to refuse.
    """
    try:
        return read_header(*file)
    except BadSampleError:
        return file[0]
