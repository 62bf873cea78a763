"""Wall time by phase, and the latency and throughput of inference."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmark.measure.undisturbed import undisturbed


class PhaseClock:
    """Adds up wall seconds by phase; waiting for data and pauses are apart.

    CUDA runs behind: at each edge of a phase and of a pause the clock waits once for the device, so that
    work is charged where it was asked for. It does not wait around :meth:`waiting`, which would stall a
    device that still has work: what the device does meanwhile shortens the phase, never the sum.
    """

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self._device = device
        self._now = now
        self._phase: str | None = None
        self._waited = 0.0
        self._paused = 0.0
        self._is_apart = False
        self.seconds: dict[str, float] = {}
        """Seconds by phase, without waiting and pauses."""
        self.waited: dict[str, float] = {}
        """Seconds of waiting for data by phase."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge what runs inside to ``name``; used again, a name adds up. An error charges nothing."""
        if self._phase is not None:
            raise RuntimeError(f"phase {name!r} inside of phase {self._phase!r}; phases do not nest")
        self._synchronise()
        self._phase, self._waited, self._paused = name, 0.0, 0.0
        began = self._now()
        try:
            yield
            self._synchronise()
            spent = self._now() - began - self._waited - self._paused
            self.seconds[name] = self.seconds.get(name, 0.0) + spent
            self.waited[name] = self.waited.get(name, 0.0) + self._waited
        finally:
            self._phase = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Charge what runs inside to waiting for data instead of to the phase it is in."""
        with self._apart():
            began = self._now()
            yield
            self._waited += self._now() - began

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep logging or a checkpoint off the clock."""
        with self._apart():
            self._synchronise()
            began = self._now()
            yield
            self._synchronise()
            self._paused += self._now() - began

    @contextmanager
    def _apart(self) -> Iterator[None]:
        if self._is_apart:
            raise RuntimeError("waiting and pauses do not nest")
        self._is_apart = True
        try:
            yield
        finally:
            self._is_apart = False

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def latency(
    model: nn.Module,
    image: Tensor,
    repeats: int = 20,
    warm_up: int = 3,
    now: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the median seconds of ``model(image)`` in eval mode, after ``warm_up`` passes off the clock.

    ``image`` (1, 3, H, W) for the latency of one image. Precision is what the caller's autocast says.
    """
    if repeats < 1:
        raise ValueError(f"latency needs at least 1 repeat, got {repeats}")
    clock = PhaseClock(image.device, now)
    seconds = []
    with undisturbed(model, image.device):
        for i in range(warm_up + repeats):
            with clock.phase(str(i)):
                model(image)
            seconds.append(clock.seconds[str(i)])
    return statistics.median(seconds[warm_up:])


def throughput(
    model: nn.Module,
    images: Tensor,
    repeats: int = 20,
    warm_up: int = 3,
    now: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the images a second of ``model(images)`` in eval mode, ``images`` (B, 3, H, W) a batch.

    The batch over the median of its passes, as :func:`latency` takes it.
    """
    return len(images) / latency(model, images, repeats, warm_up, now)
