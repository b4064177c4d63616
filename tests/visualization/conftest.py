"""A full disk, as far as a process can make one: its files cannot grow."""

from __future__ import annotations

import resource

import pytest


@pytest.fixture
def limit_files():
    """``limit_files(n)``: no file of this process can grow beyond n bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
