"""What a process does with memory that it has freed."""

from __future__ import annotations

import ctypes


def keep_freed_memory() -> None:
    """Let glibc reuse the large buffers that every training step frees.

    Mapping fresh pages for each would cost a fifth of a step or more on a CPU. Without glibc this
    does nothing.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 2**30)
    mallopt(trim_threshold, 2**31 - 1)
