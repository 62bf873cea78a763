"""Records in little memory: steps packed, matrices as the bytes of their numbers, once what many share."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.record import Record, StepRecord

SHARED = (
    "protocol",
    "protocol_digest",
    "dataset",
    "scenario",
    "setting",
    "joint_protocol",
    "joint_digest",
    "classes",
    "step_sizes",
    "pretrained",
    "model",
    "method",
    "variant",
    "source_digest",
    "commit",
)
"""What many records have the same of: texts and tuples."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A confusion matrix as a sequence of its rows. ``kind``: numpy's name of the numbers in ``content``."""

    content: bytes
    width: int
    kind: str

    def __len__(self) -> int:
        return len(self.__array__())

    def __getitem__(self, row: int) -> npt.NDArray[Any]:
        return self.__array__()[row]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        rows = np.frombuffer(self.content, self.kind).reshape(-1, self.width)
        return rows if dtype is None else rows.astype(dtype)


class Steps(Sequence[StepRecord]):
    """The steps of a record, unpacked where one is looked at: most builds look at those of few records."""

    __slots__ = ("_count", "_packed", "_steps")

    def __init__(self, steps: Sequence[StepRecord]) -> None:
        self._steps: tuple[StepRecord, ...] | None = tuple(steps)
        self._packed, self._count = pickle.dumps(self._steps, pickle.HIGHEST_PROTOCOL), len(steps)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        if self._steps is None:
            self._steps = pickle.loads(self._packed)
        return self._steps[place]

    def __iter__(self) -> Iterator[StepRecord]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self[:] == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> tuple[bytes, int]:
        return self._packed, self._count

    def __setstate__(self, state: tuple[bytes, int]) -> None:
        (self._packed, self._count), self._steps = state, None


def compact(record: Record) -> Record:
    """Return a record of the same content, which takes a third of the memory and of the time to unpickle."""
    steps: Any = Steps([replace(step, confusion=_matrix(step.confusion)) for step in record.steps])
    shared = {name: _shared(getattr(record, name)) for name in SHARED}
    environment = _kept.setdefault(repr(record.environment), record.environment)
    return replace(record, steps=steps, environment=environment, **shared)


_kept: dict[Any, Any] = {}


def _shared(value: Any) -> Any:
    return _kept.setdefault(value, value)


def _matrix(rows: tuple[tuple[int, ...], ...]) -> Any:
    values = np.array(rows, dtype=np.int64)
    kind = "<u4" if values.max(initial=0) < 2**32 else "<i8"
    return Matrix(values.astype(kind).tobytes(), values.shape[1], kind)
