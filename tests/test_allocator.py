"""Freed memory that is kept for the next tensor, seen from how often the system hands out pages."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from benchmark.allocator import keep_freed_memory

FAULTS = """
import resource, sys, torch
from benchmark.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    if not keep_freed_memory():
        sys.exit("refused")
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use(rounds):
    for _ in range(rounds):
        tensors = [torch.ones(2**24) for _ in range(2)]  # 64 MiB each
        del tensors
use(15)  # until the heap is as large as it needs to be
before = faults()
use(5)
print(faults() - before)
"""


def has_mallopt() -> bool:
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


@pytest.mark.skipif(not has_mallopt(), reason="the C library has no mallopt")
def test_large_tensors_are_given_the_memory_that_others_left() -> None:
    def faults(kind: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, kind], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert faults("keep") < faults("hand back") / 10


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_other_c_libraries_are_left_alone(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: object) -> object:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert keep_freed_memory() is False
