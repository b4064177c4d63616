"""The embedded dataset, read from disk."""

import os.path as osp

from mmcv.transforms import LoadImageFromFile
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .file_backends import file_backend
from .how_to_get import missing_data
from .lists import checked_data_list
from .reading import is_local


@DATASETS.register_module()
class ShapesDataset(BaseSegDataset):
    """Drawn scenes in which scale and context decide; ``tools/make_shapes.py`` draws them.

    Args:
        data_root: A root made by ``python tools/make_shapes.py``.
        ann_file: List of image names; the train split by default.
        data_prefix: Folders of the images and of the masks.
        **kwargs: As in ``BaseSegDataset``.

    Raises:
        FileNotFoundError: If the root is not there.
    """

    METAINFO = dict(
        classes=('background', 'dot', 'raft', 'roof', 'ring', 'buoy', 'flag', 'bar', 'star'),
        palette=[
            [0, 0, 0], [230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200], [245, 130, 48],
            [145, 30, 180], [70, 240, 240], [240, 50, 230],
        ],
    )  # fmt: skip

    def __init__(
        self,
        data_root: str = 'data/shapes',
        ann_file: str = 'ImageSets/Segmentation/train.txt',
        data_prefix: dict = dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),  # noqa: B006
        **kwargs,
    ):
        super().__init__(data_root=data_root, ann_file=ann_file, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images of the split, once it is known that there are any."""
        folder = self.data_prefix['img_path']
        if is_local(folder, file_backend(self, LoadImageFromFile)) and not osp.isdir(folder):
            raise FileNotFoundError(f'{missing_data("ShapesDataset", folder, self.data_root)}.')
        return checked_data_list(self, super().load_data_list)
