"""Energy, power and utilisation of the GPU that torch uses, from NVML."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmark.measure.nvml import Gpu, NvmlUnavailableError, opened
from benchmark.measure.others import note_of_others


@dataclass(frozen=True)
class EnergyReading:
    """What was read in ``seconds`` of metering; None is unknown, and ``reasons`` says why by field.

    ``joules`` by the GPU's own counter, never from samples of power; ``watts`` and
    ``utilisation_percent`` (share of time in which any kernel ran) are means of ``samples``. ``notes``
    are sentences on what else may be in these numbers, as other processes on the same GPU.
    """

    seconds: float
    joules: float | None
    watts: float | None
    utilisation_percent: float | None
    samples: int
    reasons: dict[str, str]
    notes: tuple[str, ...]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the numbers has to know, in sentences: why some are unknown, and ``notes``."""
        if not self.seconds:
            return ("energy unknown: too few iterations to meter any",)
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.reasons.items():
            by_reason.setdefault(reason, []).append(name)
        unknown = (f"{', '.join(names)} unknown: {reason}" for reason, names in by_reason.items())
        return (*unknown, *self.notes)


_SAMPLED: dict[str, Callable[[Gpu], float]] = {
    "watts": lambda gpu: gpu.nvml.nvmlDeviceGetPowerUsage(gpu.handle) / 1000,
    "utilisation_percent": lambda gpu: float(gpu.nvml.nvmlDeviceGetUtilizationRates(gpu.handle).gpu),
}


@dataclass
class _Totals:
    seconds: float = 0.0
    joules: float = 0.0
    samples: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _SAMPLED})
    reasons: dict[str, str] = field(default_factory=dict)
    notes: set[str] = field(default_factory=set)


class EnergyMeter:
    """Context manager around work on ``device``; entered again, it adds up.

    Energy is the difference of two counter readings. A thread samples power and utilisation every
    ``interval_seconds``, which costs the run two driver calls each time. Each edge waits for the GPU once.
    The counter moves about every 0.1 s: stretches far longer than that are worth metering.
    """

    def __init__(self, device: torch.device, interval_seconds: float = 0.5) -> None:
        self._device = device
        self._interval = interval_seconds
        self._totals = _Totals()
        self._session = ExitStack()
        self._gpu: Gpu | None = None
        self._began: float | None = None
        self._first: int | None = None

    def __enter__(self) -> EnergyMeter:
        self.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Begin a stretch of metering."""
        if self._began is not None:
            raise RuntimeError("the energy meter was started twice")
        self._gpu = self._opened()
        if self._gpu is not None:
            torch.cuda.synchronize(self._device)
            self._sampler = _Sampler(self._gpu, self._interval, self._totals)
            self._first = self._counter(self._gpu)
            self._sampler.start()
        self._began = time.perf_counter()

    def stop(self) -> None:
        """End the stretch and add it to what was read before."""
        if self._began is None:
            raise RuntimeError("the energy meter was stopped before it was started")
        if self._gpu is not None:
            torch.cuda.synchronize(self._device)
            last = self._counter(self._gpu)
            self._add(self._first, last)
            self._sampler.finish()
            self._note_others(self._gpu)
        self._totals.seconds += time.perf_counter() - self._began
        self._session.close()
        self._gpu = self._began = None

    @property
    def joules(self) -> float | None:
        """Energy of the whole GPU by its own counter; None where unknown."""
        return self.reading.joules

    @property
    def utilisation_percent(self) -> float | None:
        """Mean share of time in which any kernel ran; None where unknown."""
        return self.reading.utilisation_percent

    @property
    def reading(self) -> EnergyReading:
        """What was read so far, in the blocks that have ended."""
        t = self._totals
        means = {name: None if name in t.reasons else _mean(values) for name, values in t.samples.items()}
        return EnergyReading(
            seconds=t.seconds,
            joules=t.joules if t.seconds and "joules" not in t.reasons else None,
            watts=means["watts"],
            utilisation_percent=means["utilisation_percent"],
            samples=max(map(len, t.samples.values())),
            reasons=dict(t.reasons),
            notes=tuple(sorted(t.notes)),
        )

    def _opened(self) -> Gpu | None:
        self._session = ExitStack()
        try:
            gpu = self._session.enter_context(opened(self._device))
            if gpu.split:
                raise NvmlUnavailableError("the GPU is split by MIG: its counters cover all instances")
            return gpu
        except NvmlUnavailableError as error:
            self._session.close()
            self._totals.reasons.update(dict.fromkeys(("joules", *_SAMPLED), str(error)))
            return None

    def _add(self, first: int | None, last: int | None) -> None:
        if first is not None and last is not None:
            self._totals.joules += (last - first) / 1000  # the counter is in millijoules
            if last < first:
                self._totals.reasons["joules"] = "the energy counter was reset while metering"

    def _counter(self, gpu: Gpu) -> int | None:
        try:
            return int(gpu.nvml.nvmlDeviceGetTotalEnergyConsumption(gpu.handle))
        except gpu.nvml.NVMLError as error:
            self._totals.reasons["joules"] = f"no energy counter: {error}"
            return None

    def _note_others(self, gpu: Gpu) -> None:
        try:
            running = set(gpu.processes())
        except gpu.nvml.NVMLError as error:
            self._totals.notes.add(f"other processes on the GPU are unknown: NVML: {error}")
            return
        if note := note_of_others(os.getpid(), running):
            self._totals.notes.add(note)


class _Sampler(threading.Thread):
    """Samples power and utilisation until finished; at least once, at the end of a short stretch."""

    def __init__(self, gpu: Gpu, interval_seconds: float, totals: _Totals) -> None:
        super().__init__(name="energy-sampler", daemon=True)
        self._gpu, self._interval, self._totals = gpu, interval_seconds, totals
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(self._interval):
            self._sample()

    def finish(self) -> None:
        self._end.set()
        self.join()
        if not any(self._totals.samples.values()):
            self._sample()

    def _sample(self) -> None:
        for name, read in _SAMPLED.items():
            if name not in self._totals.reasons:
                try:
                    self._totals.samples[name].append(read(self._gpu))
                except self._gpu.nvml.NVMLError as error:
                    self._totals.reasons[name] = f"NVML: {error}"


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
