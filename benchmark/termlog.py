"""Loss terms by name: to a JSONL file while training, to TensorBoard if asked for, in short to the record."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor
from tqdm import tqdm

FLUSH_EVERY = 10
PARTS = 10


class DivergedError(Exception):
    """A loss term is no longer finite; the run is recorded as ``diverged``."""


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
        self._values: dict[str, list[float]] = {}

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
        names = list(self._pending[0][1])
        stacked = torch.stack([torch.stack([terms[n].float() for n in names]) for _, terms in self._pending])
        rows = stacked.tolist()
        for (iteration, _), row in zip(self._pending, rows, strict=True):
            self._write(iteration, dict(zip(names, row, strict=True)))
        self._pending.clear()
        self._bar.set_postfix(loss=f"{sum(rows[-1]):.3f}", refresh=False)

    def _write(self, iteration: int, values: dict[str, float]) -> None:
        line = {"step": self._step, "iteration": iteration}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps(line | finite) + "\n")
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)
            if self._board is not None:
                self._board.add_scalar(f"step{self._step}/{name}", value, iteration)
            if not math.isfinite(value):
                self._file.flush()
                raise DivergedError(f"loss term {name!r} is {value} at step {self._step}, iteration {iteration}")

    def summary(self) -> dict[str, tuple[float | None, ...]]:
        """Return the mean of each term over each tenth of the iterations (None: a tenth without any)."""
        self.flush()
        return {name: _parts(values) for name, values in self._values.items()}


def _parts(values: list[float]) -> tuple[float | None, ...]:
    edges = [len(values) * part // PARTS for part in range(PARTS + 1)]
    pieces = [values[start:end] for start, end in pairwise(edges)]
    return tuple(sum(piece) / len(piece) if piece else None for piece in pieces)


def open_board(folder: Path | None) -> Any:
    """Return a TensorBoard writer, or None where no folder is given (the extra ``tensorboard`` is needed)."""
    if folder is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
