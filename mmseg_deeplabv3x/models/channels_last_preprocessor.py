"""Normalisation for a network in channels_last, on a CPU."""

import torch
from mmseg.models import SegDataPreProcessor
from torch import Tensor


class ChannelsLastPreProcessor(SegDataPreProcessor):
    """A ``SegDataPreProcessor`` that prepares images for prediction in less than half the time.

    The same numbers, bit by bit. The channels are put side by side while they still are bytes, and
    the batch is normalised in place. Whatever else there is to do (training, padding, other than
    three channels, a GPU) is left to ``SegDataPreProcessor``.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """From images (3, H, W) in uint8 to one batch, (N, 3, H, W) in channels_last."""
        images = data['inputs']
        if training or self.test_cfg or not self._serves(images):
            return super().forward(data, training)
        data = self.cast_data(data)
        height, width = images[0].shape[1:]
        pixels = torch.empty(len(images), height, width, 3, dtype=torch.uint8)
        order = (2, 1, 0) if self.channel_conversion else (0, 1, 2)
        for image, place in zip(images, pixels):
            for channel, plane in zip(order, image):
                place[..., channel] = plane
        inputs = pixels.to(torch.promote_types(torch.float32, self.mean.dtype))
        # whole rows: operations on the three numbers of a pixel would not go by vectors
        rows = inputs.flatten(2)
        for operation, numbers in ((rows.sub_, self.mean), (rows.div_, self.std)):
            operation(numbers.flatten().repeat(width))
        return dict(inputs=inputs.permute(0, 3, 1, 2), data_samples=data.get('data_samples'))

    def _serves(self, images: list[Tensor]) -> bool:
        if not (self._enable_normalize and self.mean.numel() == self.std.numel() == 3):
            return False
        kinds = {(x.dtype, x.device.type, *x.shape) for x in images}
        return self.device.type == 'cpu' and kinds == {
            (torch.uint8, 'cpu', 3, *images[0].shape[1:])
        }
