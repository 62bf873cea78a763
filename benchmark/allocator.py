"""What the C library does with the memory that tensors give back."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT = 2**30


def keep_freed_memory() -> bool:
    """Have glibc keep what was freed, in blocks of up to 1 GiB, for later tensors; return whether it will.

    By itself it hands large blocks back to the system, which hands them out again page by page and filled
    with zeros: a training iteration on a CPU takes about a tenth longer for it. Other C libraries, and
    versions that refuse so much, are left as they are. Affects this process alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # Windows, macOS, musl
        return False
    taken = [mallopt(option, _KEPT) for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD)]
    return all(taken)
