"""keep_freed_memory(): blocks that were freed are there for the next tensors."""

import platform
import subprocess
import sys

import pytest

from mmseg_deeplabv3x.models import freed_memory

# 64 MiB, which glibc gives back to the system each time, is 16384 pages of 4 KiB
FAULTS = """
import resource, runpy, sys, torch

keep_freed_memory = runpy.run_path(sys.argv[1])['keep_freed_memory']  # not all of the package

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = faults()
keep_freed_memory()
for _ in range(4):  # until all blocks are there that alignment asks for
    faults()
print(without, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='acts on glibc only')
def test_pages_are_cleared_once():
    argv = [sys.executable, '-c', FAULTS, freed_memory.__file__]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    without, kept = map(int, output.split())
    assert kept < without / 4


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
    monkeypatch.setattr(freed_memory.ctypes, 'CDLL', None)
    freed_memory.keep_freed_memory()
