"""Against PyTorch's own choice of convolution."""

import pytest
import torch
from torch.nn import functional as F

from mmseg_deeplabv3x.ops import onednn_conv2d


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    'kernel,options',
    [
        (1, {}),
        (1, dict(stride=2)),
        (3, dict(padding=1)),
        (3, dict(padding=(2, 4), dilation=(2, 4))),
        (3, dict(stride=(2, 1), groups=2)),
    ],
)
@pytest.mark.parametrize('bias', [True, False])
def test_equals_conv2d(kernel, options, bias, dtype, memory_format):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 9, 11, dtype=dtype).to(memory_format=memory_format)
    weight = torch.randn(6, 4 // options.get('groups', 1), kernel, kernel, dtype=dtype)
    offset = torch.randn(6, dtype=dtype) if bias else None
    ours = onednn_conv2d(x, weight, offset, **options)
    torch.testing.assert_close(ours, F.conv2d(x, weight, offset, **options))


def test_the_view_of_a_map_is_convolved():
    torch.manual_seed(0)
    x = torch.randn(2, 9, 11, 4)[:, 2:7, 3:].permute(0, 3, 1, 2)
    weight = torch.randn(4, 6, 1, 1).transpose(0, 1)
    torch.testing.assert_close(onednn_conv2d(x, weight), F.conv2d(x, weight))
