"""Forecasts as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.estimate import Forecast, StepForecast

_PARTS = ("parameters", "gradients", "optimiser", "teacher", "state", "activations")
_HEAD = (
    "step",
    "classes",
    "total M",
    "trainable M",
    "deployed M",
    "infer GMAC",
    "forward GMAC",
    "iteration GFLOP",
)
_WORK = ("student", "teacher", "loss", "backward", "optimiser")


def steps_table(forecast: Forecast) -> str:
    """Return what each traced step of one variant costs, with the peak by part and the work by part."""
    head = [*_HEAD, *(f"of it {part}" for part in _WORK), "peak MiB", *(f"of it {part}" for part in _PARTS)]
    head += ["state MiB", "checkpoint MiB"]
    columns = [head, *(_step_row(step) for step in forecast.steps)]
    return f"{_title(forecast)}\n{_aligned([*zip(*columns, strict=True)])}"


def comparison_table(forecasts: Sequence[Forecast]) -> str:
    """Return one line for each variant: its last step, and the highest peak of all its steps."""
    head = ("variant", *_HEAD[2:], "peak MiB", "state MiB", "checkpoint MiB")
    return _aligned([head, *(_line(forecast) for forecast in forecasts)])


def _title(forecast: Forecast) -> str:
    return (
        f"{forecast.variant} on {forecast.protocol}, {forecast.model}, {forecast.precision}: estimated for "
        f"{forecast.device}, batch {forecast.batch_size} of {forecast.image_size} x {forecast.image_size}"
    )


def _line(forecast: Forecast) -> tuple[str, ...]:
    last = forecast.steps[-1]
    stored = (_mebi(forecast.peak_bytes), _mebi(last.state_bytes), _mebi(last.checkpoint_bytes))
    return (forecast.variant, *_counts(last), *stored)


def _step_row(step: StepForecast) -> list[str]:
    work, parts = step.compute.train_flops_by_part, step.peak_bytes.parts
    return [
        str(step.index),
        str(step.classes),
        *_counts(step),
        *(_giga(work.get(part, 0)) for part in _WORK),
        _mebi(step.peak_bytes.live_tensors or 0),
        *(_mebi(parts.get(part, 0)) for part in _PARTS),
        _mebi(step.state_bytes),
        _mebi(step.checkpoint_bytes),
    ]


def _counts(step: StepForecast) -> tuple[str, ...]:
    p, c = step.parameters, step.compute
    millions = (f"{n / 1e6:.3f}" for n in (p.total, p.trainable, p.deployed))
    return (*millions, *(_giga(n or 0) for n in (c.inference_macs, c.forward_macs, c.train_flops)))


def _giga(number: int) -> str:
    return f"{number / 1e9:.2f}"


def _mebi(size: int) -> str:
    return f"{size / 2**20:.1f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells in columns, the first one left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
