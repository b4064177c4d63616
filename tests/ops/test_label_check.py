from __future__ import annotations

import pytest
import torch

from mmseg_deeplabv3x.ops import check_labels


@pytest.mark.parametrize('extremes', [[0, 0], [0, 20], [3, 7]])
def test_classes_pass(extremes):
    check_labels(torch.tensor(extremes), 21, 255)


@pytest.mark.parametrize('extremes,value', [([0, 21], 21), ([-1, 5], -1), ([0, 254], 254)])
def test_the_error_names_the_label(extremes, value):
    message = f'^labels must be classes, 0 to 20, or ignore_index=255, but got {value}.$'
    with pytest.raises(ValueError, match=message):
        check_labels(torch.tensor(extremes), 21, 255)
