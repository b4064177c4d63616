from __future__ import annotations

import pytest
import torch

from mmseg_deeplabv3x.ops.label_check import check_labels


@pytest.mark.parametrize('extremes', [[0, 0], [0, 20], [3, 7]])
def test_classes_pass(extremes):
    check_labels(torch.tensor(extremes), 21, 255)


@pytest.mark.parametrize('extremes,value', [([0, 21], 21), ([-1, 5], -1), ([0, 254], 254)])
def test_the_error_names_the_label(extremes, value):
    message = f'^labels must be classes, 0 to 20, or ignore_index=255, but got {value}.$'
    with pytest.raises(ValueError, match=message):
        check_labels(torch.tensor(extremes), 21, 255)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU: there the check is late')
def test_on_a_gpu_the_next_call_raises_and_the_one_after_passes():
    check_labels(torch.tensor([0, 37], device='cuda'), 21, 255)
    with pytest.raises(ValueError, match='but got 37'):
        check_labels(torch.tensor([0, 1], device='cuda'), 21, 255)
    check_labels(torch.tensor([0, 1], device='cuda'), 21, 255)
    check_labels(torch.tensor([0, 1], device='cuda'), 21, 255)
