"""Memory that one tensor leaves and the next one takes."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let this process keep the memory of tensors on the CPU for the next ones.

    glibc gives blocks of more than 32 MiB, and the free end of its heap, back to the system, which
    has to clear every page anew for the next tensor (``docs/benchmarks.md``: 1 to 12 % of the time
    of a prediction). From here on the process stays as large as it has become.

    With another C library it does nothing.
    """
    if platform.libc_ver()[0] == 'glibc':
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)
