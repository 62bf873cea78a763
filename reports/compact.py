"""Records in little memory: steps packed, matrices as the bytes of their numbers, once what many share."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
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


Packed = tuple[bytes, int, str]
"""The parts of a :class:`Matrix`."""


class Steps(Sequence[StepRecord]):
    """The steps of a record, unpacked where one is looked at: most builds look at those of few records.

    Their confusion matrices lie beside them, as what looks at many records looks at these alone.
    """

    __slots__ = ("_matrices", "_packed", "_steps")

    def __init__(self, steps: Sequence[StepRecord]) -> None:
        self._matrices = tuple(_packed(step.confusion) for step in steps)
        bare = tuple(replace(step, confusion=()) for step in steps)
        self._packed = pickle.dumps(bare, pickle.HIGHEST_PROTOCOL)
        self._steps: tuple[StepRecord, ...] | None = self._whole(bare)

    @property
    def confusions(self) -> tuple[Matrix, ...]:
        """The matrix after each step."""
        return tuple(Matrix(*parts) for parts in self._matrices)

    def _whole(self, bare: Sequence[StepRecord]) -> tuple[StepRecord, ...]:
        whole: Any = zip(bare, self.confusions, strict=True)
        return tuple(replace(step, confusion=matrix) for step, matrix in whole)

    def __len__(self) -> int:
        return len(self._matrices)

    def __getitem__(self, place: Any) -> Any:
        if self._steps is None:
            self._steps = self._whole(pickle.loads(self._packed))
        return self._steps[place]

    def __iter__(self) -> Iterator[StepRecord]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self[:] == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> tuple[bytes, tuple[Packed, ...]]:
        return self._packed, self._matrices

    def __setstate__(self, state: tuple[bytes, tuple[Packed, ...]]) -> None:
        (self._packed, self._matrices), self._steps = state, None


def compact(record: Record) -> Record:
    """Return a record of the same content, which takes a third of the memory and of the time to unpickle."""
    steps: Any = Steps(record.steps)
    shared = {name: _shared(getattr(record, name)) for name in SHARED}
    environment = _kept.setdefault(repr(record.environment), record.environment)
    return replace(record, steps=steps, environment=environment, **shared)


def confusions(record: Record) -> Sequence[npt.ArrayLike]:
    """Return the confusion matrix after each step, a compact record's without unpacking its steps."""
    return record.steps.confusions if isinstance(record.steps, Steps) else [s.confusion for s in record.steps]


_kept: dict[Any, Any] = {}


def _shared(value: Any) -> Any:
    return _kept.setdefault(value, value)


def _packed(rows: Sequence[Sequence[int]]) -> Packed:
    width = len(rows[0])
    values = np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * width)
    kind = "<u4" if values.max(initial=0) < 2**32 else "<i8"
    return values.astype(kind).tobytes(), width, kind
