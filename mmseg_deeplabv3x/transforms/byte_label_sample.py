"""A data sample that is small on its way between processes."""

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample


class ByteLabelSample(SegDataSample):
    """A ``SegDataSample`` whose labels are bytes while they are pickled.

    mmseg packs labels as int64, the type that losses want: of the 2.9 MB that a crop of 513x513
    takes in the memory shared with a loader's worker, 2.1 are zeros. Pickled, ids from 0 to 255
    take an eighth; the process that unpickles them has int64 again. Others travel as they are.
    """

    def __getstate__(self) -> dict:
        """The attributes, with labels in bytes where they fit."""
        state = self.__dict__.copy()
        labels = state.get('_gt_sem_seg')
        if labels is not None and _are_bytes(labels.data):
            state['_gt_sem_seg'] = _Narrow(labels)
        return state

    def __setstate__(self, state: dict) -> None:
        """Take the attributes, with labels in int64 again."""
        labels = state.get('_gt_sem_seg')
        if isinstance(labels, _Narrow):
            state = dict(state, _gt_sem_seg=labels.widened())
        self.__dict__.update(state)


class _Narrow:
    def __init__(self, labels: PixelData):
        self.metainfo = labels.metainfo
        self.data = labels.data.to(torch.uint8)

    def widened(self) -> PixelData:
        return PixelData(metainfo=self.metainfo, data=self.data.long())


def _are_bytes(labels):
    if labels.dtype != torch.int64 or labels.device.type != 'cpu' or not labels.numel():
        return False
    lowest, highest = labels.aminmax()
    return lowest >= 0 and highest <= 255
