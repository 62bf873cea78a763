"""Running a method on a toy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmark.check.apart import Loader
from benchmark.check.findings import Findings
from benchmark.check.runner import ToyRunner
from benchmark.check.toy import STEPS, Marks, Toy, ToyData
from benchmark.check.trace import StepTrace, Variation
from benchmark.check.watch import Watch
from benchmark.finding import Variant
from benchmark.runtime import start_runtime


@dataclass(frozen=True)
class Result:
    """What a run left, and what ended it early (None: nothing)."""

    runner: ToyRunner
    traces: list[StepTrace]
    error: Exception | None


def run_toy(spec: str, toy: Toy, variation: Variation, findings: Findings | None = None) -> Result:
    """Run a method on a toy, its source loaded anew, so that no run finds what another one left.

    ``findings`` takes what the run shows by itself; None where it is only compared with another run.
    """
    loader = Loader(spec)
    error: Exception | None = None
    with loader.apart():
        runner = _runner(loader, toy, variation, findings)
        try:
            with runner.watch.counting():
                carried = runner.start()
                for step in range(len(STEPS)):
                    runner.live(step, carried)
        except Exception as failure:
            error = failure
    return Result(runner, runner.traces, error)


def _runner(loader: Loader, toy: Toy, variation: Variation, findings: Findings | None) -> ToyRunner:
    data = ToyData(toy.setting, variation.decoys)
    original = toy.plan(ToyData(toy.setting, decoys=False)).train
    watch = Watch(loader.load(), findings, Marks(original, toy.preset))
    unused: Any = None
    return ToyRunner(
        toy.protocol(variation.decoys),
        Variant(watch, watch.name, {}, ""),
        toy.plan(data),
        start_runtime("cpu", toy.preset, seed=0),
        bases=unused,
        log=unused,
        toy=toy,
        data=data,
        variation=variation,
        again=loader.load,
    )
