"""Shared by the tests of the benchmarks."""

import cv2
import pytest
import torch


@pytest.fixture(autouse=True)
def threads():
    """Benchmarks take one thread; what was set before comes back."""
    numbers = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(numbers[0])
    cv2.setNumThreads(numbers[1])
