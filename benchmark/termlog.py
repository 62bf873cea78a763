"""Loss terms by name: to a JSONL file while training, to TensorBoard if asked for, in short to the record."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch
from torch import Tensor
from tqdm import tqdm

from benchmark.errors import ProtocolError

FLUSH_EVERY = 10
PARTS = 10


class DivergedError(Exception):
    """A loss term is no longer finite; the run is recorded as ``diverged``."""


class _Value(NamedTuple):
    """A term's value in the iteration that was the ``place``-th to be written."""

    place: int
    value: float


class TermLog:
    """Collects the terms of one step.

    Terms stay on the device and are read in one transfer every few iterations, so that logging never
    makes a GPU wait. Raises DivergedError at that point for a term that is not finite.
    """

    def __init__(self, step: int, bar: tqdm[Any], file: TextIO, board: Any = None) -> None:
        self._step = step
        self._bar = bar
        self._file = file
        self._board = board
        self._pending: list[tuple[int, Mapping[str, Tensor]]] = []
        self._written = 0
        self._values: dict[str, list[_Value]] = {}

    def add(self, iteration: int, terms: Mapping[str, Tensor]) -> None:
        """Take the terms of one iteration."""
        self._pending.append((iteration, terms))
        self._bar.update()
        if len(self._pending) >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Read what is pending, write it and check it."""
        if not self._pending:
            return
        # Flat, since a method may leave a term out where it does not apply.
        values = iter(torch.stack([t.float() for _, terms in self._pending for t in terms.values()]).tolist())
        pending, self._pending = self._pending, []
        for iteration, terms in pending:
            row = {name: next(values) for name in terms}
            self._write(iteration, row)
        self._bar.set_postfix(loss=f"{sum(row.values()):.3f}", refresh=False)

    def _write(self, iteration: int, values: dict[str, float]) -> None:
        line = {"step": self._step, "iteration": iteration}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps(line | finite) + "\n")
        for name, value in values.items():
            self._values.setdefault(name, []).append(_Value(self._written, value))
            if self._board is not None:
                self._board.add_scalar(f"step{self._step}/{name}", value, iteration)
            if not math.isfinite(value):
                self._file.flush()
                raise DivergedError(
                    f"loss term {name!r} is {value} at step {self._step}, iteration {iteration}"
                )
        self._written += 1

    def summary(self) -> dict[str, tuple[float | None, ...]]:
        """Return the mean of each term over each tenth of the iterations (None: a tenth without any)."""
        self.flush()
        return {name: _parts(values, self._written) for name, values in self._values.items()}


def _parts(values: list[_Value], iterations: int) -> tuple[float | None, ...]:
    edges = [iterations * part // PARTS for part in range(PARTS + 1)]
    pieces = [[v.value for v in values if start <= v.place < end] for start, end in pairwise(edges)]
    return tuple(sum(piece) / len(piece) if piece else None for piece in pieces)


def open_board(folder: Path | None) -> Any:
    """Return a TensorBoard writer, or None where no folder is given.

    Raises ProtocolError where TensorBoard is not installed.
    """
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ProtocolError(
            f"--tensorboard {folder} needs TensorBoard, which is not installed; "
            "pip install 'cssbench[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder))
