"""Counting parameters and operations again, from the adapter. The only rule that runs a method's code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmark.errors import MethodError
from benchmark.estimate import Forecast, StepForecast, default_steps, forecast
from benchmark.finding import Variant, find_method
from benchmark.protocol import Protocol
from benchmark.record import Record, StepRecord
from benchmark.validate.context import Context
from benchmark.validate.findings import Fault, note
from benchmark.validate.reading import Subject

FLOPS_TOLERANCE = 0.02
"""The operators torch chooses differ a little from version to version; parameters and MACs do not."""


@dataclass
class Recount:
    """The rule, with what it has counted. ``trusted``: submitted adapters may be run too."""

    trusted: bool
    counted: dict[tuple[str, str, str], Forecast] = field(default_factory=dict)

    def __call__(self, subject: Subject, context: Context) -> Iterator[Fault]:
        """Parameters, multiply-adds and bytes are what the adapter gives on tensors without values."""
        record, known = subject.record, context.protocol(subject.record)
        if known is None or known.digest != record.protocol_digest:
            return  # said by the rule on protocols
        spec = self._spec(record, context)
        if isinstance(spec, Fault):
            yield spec
            return
        try:
            variant = find_method(spec)
            counted = self._forecast(variant, record, known)
        except MethodError as error:
            yield Fault(f"its costs cannot be counted again: {error}")
            return
        if (variant.text, as_json(variant.params)) != (record.variant, as_json(record.params)):
            yield Fault(
                f"its hyper-parameters are {record.params}; those of {variant.text} are {variant.params}"
            )
        for step in counted.steps:
            if step.index < len(record.steps):
                yield from _differences(record.steps[step.index], step, record)

    def _spec(self, record: Record, context: Context) -> str | Fault:
        """Return what to run, or why nothing is."""
        _, colon, params = record.variant.partition(":")
        if context.is_of_project(record):
            return f"{record.method}{colon}{params}"
        if (submitted := context.adapters.get(record.method)) is None:
            return note(f"not recounted: the adapter of {record.method} here, if any, is another one")
        if not self.trusted:
            return note("not recounted: that would run the adapter that came along, which takes --trust-code")
        return f"{submitted}{colon}{params}"

    def _forecast(self, variant: Variant, record: Record, known: Protocol) -> Forecast:
        key = (variant.text, record.source_digest, known.digest)
        if key not in self.counted:
            steps = default_steps(len(known.steps))
            self.counted[key] = forecast(variant, known, steps=steps)
        return self.counted[key]


def as_json(params: dict[str, Any]) -> str:
    """Return hyper-parameters as a record holds them."""
    return json.dumps(params, sort_keys=True)


def _differences(recorded: StepRecord, counted: StepForecast, record: Record) -> Iterator[Fault]:
    exact = {
        "total parameters": (recorded.parameters.total, counted.parameters.total),
        "trainable parameters": (recorded.parameters.trainable, counted.parameters.trainable),
        "deployed parameters": (recorded.parameters.deployed, counted.parameters.deployed),
        "inference_macs": (recorded.compute.inference_macs, counted.compute.inference_macs),
        "forward_macs": (recorded.compute.forward_macs, counted.compute.forward_macs),
        "state_bytes": (recorded.state_bytes, counted.state_bytes),
        "checkpoint_bytes": (recorded.checkpoint_bytes, counted.checkpoint_bytes),
    }
    for what, (was, now) in exact.items():
        if was != now:
            yield Fault(f"step {recorded.index}: {what} are {was}; counted again {now}")
    was, now = recorded.compute.train_flops, counted.compute.train_flops
    if record.environment.device == "cpu" and was and now and abs(was - now) > FLOPS_TOLERANCE * now:
        yield Fault(f"step {recorded.index}: train_flops are {was}; counted again {now}")
