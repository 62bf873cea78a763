"""Python's collector of cycles, kept from work that makes many objects and no cycles worth looking for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 100_000
"""New objects after which the collector runs, instead of the hundreds at which it does by itself."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Have the collector look at new objects alone, and seldom: most that was made before lasts."""
    former = gc.get_threshold()
    gc.set_threshold(SELDOM, *former[1:])
    gc.freeze()
    try:
        yield
    finally:
        gc.freeze()  # what is thawed counts as old, what is left young would be gone through at once
        gc.unfreeze()
        gc.set_threshold(*former)


def made_to_last() -> None:
    """Within :func:`few_collections`: have the collector not look at what there is now, until the end."""
    gc.freeze()
