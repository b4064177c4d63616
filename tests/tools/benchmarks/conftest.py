"""Shared by the tests of the benchmarks."""

import pytest
import torch


@pytest.fixture(autouse=True)
def threads():
    """Benchmarks take one thread; what was set before comes back."""
    number = torch.get_num_threads()
    yield
    torch.set_num_threads(number)
