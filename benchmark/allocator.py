"""What the C library does with the memory that tensors give back."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT = 2**30


def keep_freed_memory() -> bool:
    """Have glibc keep up to 1 GiB that was freed for the next allocation; return whether it will.

    By itself it hands large blocks back to the system, which hands them out again page by page and filled
    with zeros: a training iteration on a CPU takes about a tenth longer for it. Other C libraries are left as
    they are. Affects this process alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # Windows, macOS, musl
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _KEPT) and mallopt(_TRIM_THRESHOLD, _KEPT))
