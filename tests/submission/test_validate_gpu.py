"""What only a run on a GPU has: memory, energy, hardware. Records made up as one would leave them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import record_factory as factory

from benchmark.record import PeakBytes, Record
from benchmark.validate import costs, plausibility
from benchmark.validate.context import Context
from benchmark.validate.findings import Fault
from benchmark.validate.reading import Subject

Rule = Callable[[Subject, Context], Iterator[Fault]]
FACTOR = 1000.0


def run(seed: int = 0) -> Record:
    return factory.make("mib", factory.VOC_15_1, seed, environment=factory.H100)


def said(rule: Rule, record: Record, *others: Record) -> list[str]:
    subjects = [Subject(Path(f"{number}.json"), one) for number, one in enumerate((record, *others))]
    return [fault.sentence for fault in rule(subjects[0], Context(tuple(subjects)))]


def with_steps(record: Record, **changes: Any) -> Record:
    return replace(record, steps=tuple(replace(step, **changes) for step in record.steps))


def with_peaks(record: Record, **changes: Any) -> Record:
    peaks = {name: replace(peak, **changes) for name, peak in record.steps[0].peak_bytes.items()}
    return with_steps(record, peak_bytes=peaks)


@pytest.mark.parametrize("rule", [costs.memory, costs.environment, plausibility.speed])
def test_a_run_on_a_gpu_breaks_none_of_them(rule: Rule) -> None:
    others = [run(seed=seed) for seed in (1, 2)]
    assert said(rule, run(), *others) == []


def test_memory_is_the_gpus_own() -> None:
    assert "followed on a CPU alone" in said(costs.memory, with_peaks(run(), live_tensors=5))[0]
    assert "are allocated of 10 reserved" in said(costs.memory, with_peaks(run(), cuda_reserved=10))[0]
    small = with_peaks(run(), cuda_allocated=10)
    assert "the peak is 10 bytes" in said(costs.memory, small)[0]
    nothing = with_steps(run(), peak_bytes=dict.fromkeys(costs.PHASES, PeakBytes()))
    assert "the peak is None bytes" in said(costs.memory, nothing)[0]


def test_a_gpu_has_a_name() -> None:
    unnamed = replace(factory.H100, gpu=None)
    assert (
        "the device is 'cuda', the GPU None"
        in said(costs.environment, replace(run(), environment=unnamed))[0]
    )


def test_other_hardware_is_not_compared_with() -> None:
    def slower(record: Record) -> Record:
        slow = (replace(s, seconds=replace(s.seconds, train=s.seconds.train * FACTOR)) for s in record.steps)
        return replace(record, steps=tuple(slow))

    elsewhere = replace(run(seed=1), environment=factory.A100)
    assert said(plausibility.speed, slower(run()), elsewhere) == []
    assert "other runs on this hardware" in said(plausibility.speed, slower(run()), run(seed=1))[0]


def test_energy_and_utilisation_have_bounds() -> None:
    assert "W at 101.0 %" in said(plausibility.speed, with_steps(run(), gpu_utilisation_percent=101.0))[0]
    assert "drew" in said(plausibility.speed, with_steps(run(), energy_joules=1e12))[0]
