"""Measuring iterations: instruments on the first ones, the clock on the others."""

from __future__ import annotations

import pytest
import torch

from benchmark.measure.flops import FlopTracker
from benchmark.measure.iterations import IterationMeter
from benchmark.measure.timing import PhaseClock

CPU = torch.device("cpu")


class Instrument:
    """Notes the iterations it stood around."""

    def __init__(self) -> None:
        self.around: list[int] = []
        self.now = -1
        self.inside = False

    def __enter__(self) -> None:
        self.inside = True
        self.around.append(self.now)

    def __exit__(self, *error: object) -> None:
        self.inside = False


@pytest.mark.parametrize("iterations", [0, 1, 3, 4, 10])
def test_instruments_ride_on_the_first_iterations_and_the_clock_on_the_others(iterations):
    time = iter(range(10_000))
    flops, tensors, energy = Instrument(), Instrument(), Instrument()
    meter = IterationMeter(CPU, flops, tensors, energy)
    meter._clock = PhaseClock(CPU, now=lambda: float(next(time)))
    with meter.phase():
        for number in range(iterations):
            flops.now = tensors.now = energy.now = number
            with meter.iteration(), meter.waiting():
                pass
    assert flops.around == [0][:iterations] and tensors.around == [1][: max(iterations - 1, 0)]
    assert energy.around == ([3] if iterations > 3 else []) and not energy.inside
    assert meter.instrumented_iterations == min(iterations, 3)
    assert meter.timed_iterations == max(iterations - 3, 0)
    # The clock ticks at each reading: two a wait, of which one tick is waiting, and one at each edge.
    assert meter.data_wait == max(iterations - 3, 0)
    assert meter.train == (max(iterations - 3, 0) + 1 if iterations > 3 else 0)
    assert meter.instrumented == 2 * min(iterations, 3) + 1


def test_parts_are_charged_in_the_counted_iteration_alone():
    flops = FlopTracker()
    meter = IterationMeter(CPU, flops)
    left, right = torch.zeros(2, 3), torch.zeros(3, 5)
    with meter.phase():
        for _ in range(5):
            with meter.iteration(), meter.part("student"):
                left @ right
    assert dict(flops.by_part) == {"student": 2 * 2 * 3 * 5}


def test_an_error_ends_the_phase_and_is_handed_on():
    energy = Instrument()
    meter = IterationMeter(CPU, energy=energy)
    with pytest.raises(RuntimeError, match="mine"), meter.phase():
        for number in range(10):
            with meter.iteration():
                if number == 5:
                    raise RuntimeError("mine")
    assert energy.around and not energy.inside
