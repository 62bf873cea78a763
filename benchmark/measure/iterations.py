"""Measuring training iterations: counters ride on the first real ones, the clock runs over the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch

from benchmark.measure.energy import EnergyMeter
from benchmark.measure.flops import FlopTracker
from benchmark.measure.timing import PhaseClock

INSTRUMENTED = 3
_NOTHING = nullcontext()


class IterationMeter:
    """Times iterations after the first three, which carry what would disturb a clock.

    The first counts FLOPs, the second follows tensors (the optimiser's state exists by then), the third
    warms up. ``flops`` and ``tensors`` are the context managers for them (None: not counted).
    """

    def __init__(
        self,
        device: torch.device,
        flops: FlopTracker | None = None,
        tensors: AbstractContextManager[Any] | None = None,
        energy: EnergyMeter | None = None,
    ) -> None:
        self._clock = PhaseClock(device)
        self._instruments = [flops or _NOTHING, tensors or _NOTHING, _NOTHING]
        self._flops = flops
        self._energy = energy
        self._open = ExitStack()
        self._count = 0

    @property
    def instrumented_iterations(self) -> int:
        """How many iterations are kept apart."""
        return min(self._count, INSTRUMENTED)

    @property
    def timed_iterations(self) -> int:
        """How many iterations ``train`` and ``data_wait`` speak of."""
        return self._count - self.instrumented_iterations

    @property
    def instrumented(self) -> float:
        """Seconds of the iterations kept apart, waiting for data included."""
        return self._clock.seconds.get("instrumented", 0.0) + self._clock.waited.get("instrumented", 0.0)

    @property
    def train(self) -> float:
        """Seconds of the timed iterations, without the wait for data."""
        return self._clock.seconds.get("train", 0.0)

    @property
    def data_wait(self) -> float:
        """Seconds of the timed iterations spent waiting for a batch."""
        return self._clock.waited.get("train", 0.0)

    @contextmanager
    def phase(self) -> Iterator[None]:
        """Enclose all iterations of a step; the device is waited for at its edges."""
        with self._open:
            self._open.enter_context(self._clock.phase("instrumented"))
            yield

    def iteration(self) -> AbstractContextManager[Any]:
        """Enclose one iteration."""
        number = self._count
        if number == INSTRUMENTED:
            self._open.close()
            self._open.enter_context(self._clock.phase("train"))
            if self._energy:
                self._open.enter_context(self._energy)
        self._count += 1
        return self._instruments[number] if number < INSTRUMENTED else _NOTHING

    def part(self, name: str) -> AbstractContextManager[Any]:
        """Name a part of an iteration, to which the counted one charges its FLOPs."""
        return self._flops.part(name) if self._flops and self._count == 1 else _NOTHING

    def waiting(self) -> AbstractContextManager[None]:
        """Enclose the wait for a batch; it counts as data wait, not as training."""
        return self._clock.waiting()
