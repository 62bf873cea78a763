"""What training one step costs, in the form it is recorded and stored beside a base."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from benchmark.measure.energy import EnergyMeter
from benchmark.measure.flops import FlopTracker
from benchmark.measure.iterations import IterationMeter
from benchmark.record import Compute, PeakBytes, Seconds


@dataclass(frozen=True)
class TrainCosts:
    """Costs of the iterations of one step; ``seconds`` knows no other phase yet (they are 0)."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    compute: Compute
    seconds: Seconds
    peak_bytes: PeakBytes
    losses: dict[str, tuple[float | None, ...]]
    energy_joules: float | None
    gpu_utilisation_percent: float | None
    energy_notes: tuple[str, ...] = ()


def train_costs(
    meter: IterationMeter,
    flops: FlopTracker,
    peak: PeakBytes,
    energy: EnergyMeter,
    losses: dict[str, tuple[float | None, ...]],
) -> TrainCosts:
    """Gather what the instruments of one step read."""
    return TrainCosts(
        compute=Compute(
            train_flops=flops.flops,
            train_flops_by_part=dict(flops.by_part),
            train_uncounted=dict(flops.uncounted),
        ),
        seconds=Seconds(
            prepare=0.0,
            instrumented=meter.instrumented,
            train=meter.train,
            data_wait=meter.data_wait,
            consolidate=0.0,
            evaluate=0.0,
            timed_iterations=meter.timed_iterations,
            instrumented_iterations=meter.instrumented_iterations,
        ),
        peak_bytes=peak,
        losses=losses,
        energy_joules=energy.joules,
        gpu_utilisation_percent=energy.utilisation_percent,
        energy_notes=energy.reading.remarks,
    )


def costs_from_json(content: dict[str, Any]) -> TrainCosts:
    """Read costs back; raises ValueError for what another version wrote."""
    try:
        return TypeAdapter(TrainCosts).validate_python(content)
    except ValidationError as error:
        raise ValueError(str(error)) from error


def costs_to_json(costs: TrainCosts) -> dict[str, Any]:
    """Return costs as plain values."""
    return asdict(costs)


def with_phases(seconds: Seconds, *, prepare: float, consolidate: float, evaluate: float) -> Seconds:
    """Return ``seconds`` with the phases around the iterations filled in."""
    return replace(seconds, prepare=prepare, consolidate=consolidate, evaluate=evaluate)
