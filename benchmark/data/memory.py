"""Decoded images kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUDGET_BYTES = 2**30


class Key(NamedTuple):
    """Which array of a dataset: its image or its label map, by id, its shorter side ``resize`` pixels."""

    kind: Literal["image", "label"]
    identity: str
    resize: int | None = None


class Cache(Protocol):
    """Arrays by key, as many as a budget allows."""

    budget_bytes: int
    used_bytes: int

    def get(self, key: Key, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return the array of ``key``, made now and kept if it still fits. It is not to be written to."""

    def share(self, processes: int) -> None:
        """Leave this process its part of what is not spent yet, where several keep arrays on their own."""


class ArrayCache:
    """Arrays in memory, until a budget of bytes is spent.

    Nothing is ever dropped for something newer: in a random order every image is as likely to be asked for
    next as any other, so what is there already is worth as much as what comes. A copy sent to another
    process starts empty.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._arrays: dict[Key, NDArray[np.uint8]] = {}

    def get(self, key: Key, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return the array of ``key``, made now and kept if it still fits. It is not to be written to."""
        found = self._arrays.get(key)
        if found is not None:
            return found
        array = make()
        if self.used_bytes + array.nbytes <= self.budget_bytes:
            self._arrays[key] = array
            self.used_bytes += array.nbytes
        return array

    def share(self, processes: int) -> None:
        """Leave this process its part of what is not spent yet, where several keep arrays on their own."""
        self.budget_bytes = self.used_bytes + max(0, self.budget_bytes - self.used_bytes) // processes

    def __getstate__(self) -> dict[str, Any]:
        return {"budget_bytes": self.budget_bytes, "used_bytes": 0, "_arrays": {}}
