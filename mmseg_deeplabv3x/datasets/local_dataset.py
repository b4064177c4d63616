"""What our own datasets have in common."""

import os.path as osp

from mmcv.transforms import LoadImageFromFile
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .file_backends import file_backend
from .how_to_get import missing_data
from .lists import checked_data_list
from .reading import is_local


class LocalDataset(BaseSegDataset):
    """A ``BaseSegDataset`` that says how to get its data, and refuses a bad list of images."""

    def load_data_list(self) -> list[dict]:
        """List the images of the split, once it is known that there are any."""
        for folder in self.data_prefix.values():
            if is_local(folder, file_backend(self, LoadImageFromFile)) and not osp.isdir(folder):
                message = missing_data(type(self).__name__, folder, self.data_root)
                raise FileNotFoundError(f'{message}.')
        return checked_data_list(self, super().load_data_list)


@DATASETS.register_module()
class CamVidDataset(LocalDataset):
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


@DATASETS.register_module()
class ShapesDataset(LocalDataset):
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
