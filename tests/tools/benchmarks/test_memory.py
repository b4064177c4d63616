from __future__ import annotations

import pytest
import torch
from benchmarks.memory import peak_extra_memory

MIB = 2**18  # numbers of four bytes


def test_what_is_alive_at_the_same_time_counts():
    def one_after_the_other():
        for _ in range(3):
            torch.ones(MIB).add_(1)

    def together():
        return [torch.ones(MIB) for _ in range(3)]

    assert peak_extra_memory(one_after_the_other) == 2**20
    assert peak_extra_memory(together) == 3 * 2**20


def test_views_and_changes_in_place_are_free_as_are_tensors_from_before():
    before = torch.ones(MIB)
    assert peak_extra_memory(lambda: before[10:].view(-1).mul_(2)) == 0
    new = peak_extra_memory(lambda: torch.ones(MIB)[10:].mul_(2).view(2, -1))
    assert new == 2**20


@pytest.mark.parametrize('function,expected', [(torch.exp, 4), (torch.neg, 3)])
def test_what_the_backward_pass_keeps_counts(function, expected):
    """At its end: the output and two gradients; the gradient of exp needs the value between too."""
    x = torch.ones(MIB, requires_grad=True)
    ones = torch.ones(MIB)
    peak = peak_extra_memory(lambda: torch.autograd.grad(function(function(x)), x, ones))
    assert peak == expected * 2**20
