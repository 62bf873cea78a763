"""Forecasts as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.comparing import Comparison
from benchmark.estimate import Forecast, StepForecast
from benchmark.fitting import Fit
from benchmark.measure.operators import suspects

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
    "train GMAC",
)
_BOARDS = {
    "deploy": "deployed M, infer GMAC",
    "clora": "trainable M, forward GMAC",
    "train": "trainable M, train GMAC: those of a whole iteration, by image",
}
_WORK = ("student", "teacher", "loss", "backward", "optimiser")


def report(found: Comparison, in_full: bool) -> str:
    """Return what the command prints: each method by step where ``in_full``, and several side by side."""
    forecasts = [estimate.forecast for estimate in found.estimates]
    blocks = [steps_table(forecast) for forecast in forecasts] if in_full else []
    if forecasts and (len(forecasts) > 1 or not in_full):
        title = _title(forecasts[0], f"{len(forecasts)} methods")
        blocks.append(f"{title}\n{comparison_table(forecasts)}")
    fits = [fit_line(e.forecast.variant, e.forecast.model, e.fit) for e in found.estimates if e.fit]
    refused = [f"left out: {refusal.reason}" for refusal in found.refused]
    return "\n\n".join(["\n\n".join(blocks), *filter(None, ["\n".join(fits), "\n".join(refused)])])


def steps_table(forecast: Forecast) -> str:
    """Return what each traced step of one variant costs, with the peak by part and the work by part."""
    head = [
        *_HEAD[:-1],
        *(f"of it {part}" for part in _WORK),
        _HEAD[-1],
        "peak MiB",
        *(f"of it {part}" for part in _PARTS),
    ]
    head += ["state MiB", "checkpoint MiB"]
    columns = [head, *(_step_row(step, forecast.batch_size) for step in forecast.steps)]
    lines = [
        _title(forecast, forecast.variant),
        _aligned([*zip(*columns, strict=True)]),
        *_remarks([forecast]),
    ]
    return "\n".join(lines)


def comparison_table(forecasts: Sequence[Forecast]) -> str:
    """Return one line for each variant: its last step, its peak there and the highest of all traced."""
    head = ("variant", *_HEAD[2:], "peak MiB", "last step MiB", "state MiB", "checkpoint MiB")
    return "\n".join([_aligned([head, *(_line(forecast) for forecast in forecasts)]), *_remarks(forecasts)])


def fit_line(variant: str, model: str, fit: Fit) -> str:
    """Return one sentence: the largest batch that fits, or that none does and what one image takes."""
    limit, peak = _size(fit.limit_bytes), _size(fit.peak_bytes)
    if fit.batch is None:
        return f"{variant}: no batch fits {limit}: one image on {model} takes {peak} at step {fit.step}"
    return f"{variant}: the largest batch that fits {limit} is {fit.batch}, with a peak of {peak}"


def _title(forecast: Forecast, what: str) -> str:
    return (
        f"{what} on {forecast.protocol}, {forecast.model}, {forecast.precision}: estimated for "
        f"{forecast.device}, batch {forecast.batch_size} of {forecast.image_size} x {forecast.image_size}"
    )


def _line(forecast: Forecast) -> tuple[str, ...]:
    last = forecast.steps[-1]
    peaks = (_mebi(forecast.peak_bytes), _mebi(last.peak_bytes.live_tensors or 0))
    stored = (_mebi(last.state_bytes), _mebi(last.checkpoint_bytes))
    return (forecast.variant, *_counts(last), _train_giga(last, forecast.batch_size), *peaks, *stored)


def _remarks(forecasts: Sequence[Forecast]) -> list[str]:
    """Say what the columns mean for NetScore, and which figures are lower bounds."""
    uncounted: dict[str, int] = {}
    for forecast in forecasts:
        for step in forecast.steps:
            uncounted |= suspects(step.compute.train_uncounted)
    names = ", ".join(sorted(uncounted))
    doubt = f"operators of unknown cost, counted as zero: {names}; the counts of work are lower bounds"
    boards = [f"  {board:<8}{inputs}" for board, inputs in _BOARDS.items()]
    return ["NetScore's p and m, of the last step:", *boards, *([doubt] if uncounted else [])]


def _train_giga(step: StepForecast, batch_size: int) -> str:
    return _giga((step.compute.train_flops or 0) // (2 * batch_size))


def _step_row(step: StepForecast, batch_size: int) -> list[str]:
    work, parts = step.compute.train_flops_by_part, step.peak_bytes.parts
    return [
        str(step.index),
        str(step.classes),
        *_counts(step),
        *(_giga(work.get(part, 0)) for part in _WORK),
        _train_giga(step, batch_size),
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


def _size(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{_mebi(size)} MiB"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells in columns, the first one left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
