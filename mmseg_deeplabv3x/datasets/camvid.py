"""CamVid, a small real benchmark."""

import os.path as osp

from mmcv.transforms import LoadImageFromFile
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .file_backends import file_backend
from .how_to_get import missing_data
from .lists import checked_data_list
from .reading import is_local


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """Road scenes at 480x360 in the 11 classes of the SegNet version, 255 = void.

    Brostow, Fauqueur, Cipolla: "Semantic object classes in video", Pattern Recognition Letters
    2009. 367 images to train on, 101 to evaluate on.

    Args:
        data_root: Folder with ``images/{train,val}/*.jpg`` and ``annotations/{train,val}/*.png``,
            single-channel ids in the order of ``METAINFO['classes']``.
        data_prefix: Folders of the images and of the masks; the train split by default.
        **kwargs: As in ``BaseSegDataset``.

    Raises:
        FileNotFoundError: If the images or the masks are not there.
    """

    METAINFO = dict(
        classes=(
            'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'signsymbol', 'fence', 'car',
            'pedestrian', 'bicyclist',
        ),
        palette=[
            [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222],
            [128, 128, 0], [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
            [0, 128, 192],
        ],
    )  # fmt: skip

    def __init__(
        self,
        data_root: str = 'data/camvid',
        data_prefix: dict = dict(img_path='images/train', seg_map_path='annotations/train'),  # noqa: B006
        **kwargs,
    ):
        super().__init__(data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images of the split, once it is known that there are any."""
        for folder in self.data_prefix.values():
            if is_local(folder, file_backend(self, LoadImageFromFile)) and not osp.isdir(folder):
                message = missing_data('CamVidDataset', folder, self.data_root)
                raise FileNotFoundError(f'{message}.')
        return checked_data_list(self, super().load_data_list)
