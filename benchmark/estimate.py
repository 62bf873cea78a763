"""What a run would cost, without the hardware, the data or the weights to run it.

Parameters and multiply-adds are exact. FLOPs are those of the operators torch chooses on ``device``; memory
is the peak of live tensors in an iteration, as :mod:`benchmark.measure.memory` would follow them on real
ones: what operators use inside themselves, and what an allocator keeps, come on top.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmark.errors import ProtocolError
from benchmark.finding import Variant
from benchmark.imagined import ImaginedRunner, Traced, imagined
from benchmark.measure.flops import FlopTracker
from benchmark.measure.params import count_parameters, tensor_bytes
from benchmark.measure.undisturbed import undisturbed
from benchmark.protocol import Protocol
from benchmark.record import Compute, Parameters, PeakBytes

CPU = torch.device("cpu")
ALL_STEPS = 6
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True)
class StepForecast:
    """Costs of one step, under the names of a record. ``classes``: outputs without background."""

    index: int
    classes: int
    parameters: Parameters
    compute: Compute
    peak_bytes: PeakBytes
    state_bytes: int
    checkpoint_bytes: int


class NetScoreInputs(NamedTuple):
    """p in millions of parameters and m in billions of multiply-adds of one board."""

    params_millions: float
    macs_billions: float


@dataclass(frozen=True)
class Forecast:
    """Costs of a variant on a protocol; ``steps`` holds those traced, the last one always."""

    protocol: str
    protocol_digest: str
    model: str
    variant: str
    precision: str
    device: str
    batch_size: int
    image_size: int
    steps: tuple[StepForecast, ...]

    @property
    def peak_bytes(self) -> int:
        """Peak of live tensors over the steps traced."""
        return max(_peak(step) for step in self.steps)

    @property
    def netscore_inputs(self) -> dict[str, NetScoreInputs]:
        """What each board puts into NetScore beside the mIoU, by board: those of the last step."""
        last = self.steps[-1]
        parameters, compute = last.parameters, last.compute
        iteration = (compute.train_flops or 0) / 2 / self.batch_size
        macs = {"deploy": compute.inference_macs, "clora": compute.forward_macs, "train": iteration}
        trained = dict.fromkeys(macs, parameters.trainable) | {"deploy": parameters.deployed}
        return {board: NetScoreInputs(trained[board] / 1e6, (macs[board] or 0) / 1e9) for board in macs}

    def to_json(self) -> dict[str, Any]:
        """Return plain values; ``basis`` says how they were got."""
        inputs = {board: value._asdict() for board, value in self.netscore_inputs.items()}
        return {"basis": "estimated", **asdict(self), "netscore_inputs": inputs}


def forecast(
    variant: Variant,
    protocol: Protocol,
    *,
    batch: int | None = None,
    precision: str | None = None,
    device: torch.device = CPU,
    steps: Collection[int] | None = None,
) -> Forecast:
    """Forecast the costs of ``variant`` on ``protocol``.

    ``batch`` and ``precision`` replace the preset's. ``steps`` None traces all of up to 6 steps, of more the
    first two and the last: between these, costs grow evenly with the classes. Raises ProtocolError for a
    batch below 1 or a device torch cannot run backward for, MethodError for a method that reads values.
    """
    changed = _changed(protocol, batch, precision)
    _check_device(device)
    traced = sorted(default_steps(len(protocol.steps)) if steps is None else {*steps})
    found = []
    with imagined(changed, variant, device) as (runner, carried):
        for step in range(traced[-1] + 1):
            trace = runner.trace(step, carried, iterate=step in traced)
            if step in traced:
                found.append(_step(step, runner, trace, tensor_bytes(carried.state)))
    preset = changed.model
    return Forecast(
        protocol=protocol.id,
        protocol_digest=protocol.digest,
        model=preset.name,
        variant=variant.text,
        precision=preset.precision,
        device=device.type,
        batch_size=preset.batch_size,
        image_size=preset.image_size,
        steps=tuple(found),
    )


def default_steps(count: int) -> set[int]:
    """Return the steps that a forecast traces if none are named."""
    return set(range(count)) if count <= ALL_STEPS else {0, 1, count - 1}


def largest_batch(
    variant: Variant,
    protocol: Protocol,
    limit_bytes: int,
    *,
    precision: str | None = None,
    device: torch.device = CPU,
) -> int | None:
    """Return the largest batch whose forecast peak stays within ``limit_bytes``; None where none does.

    It is looked for at the step with the highest peak. As the peak grows evenly with the batch, a few
    forecasts do: guesses by a straight line between one that fits and one that does not.
    """
    first = forecast(variant, protocol, batch=1, precision=precision, device=device)
    if first.peak_bytes > limit_bytes:
        return None
    worst = max(first.steps, key=_peak).index
    at = partial(forecast, variant, protocol, precision=precision, device=device, steps=[worst])
    fits, fits_bytes = 1, first.peak_bytes
    fails, fails_bytes = 2, at(batch=2).peak_bytes
    while fails_bytes <= limit_bytes:
        growth = max((fails_bytes - fits_bytes) / (fails - fits), 1)
        fits, fits_bytes = fails, fails_bytes
        fails = fits + max(1, round((limit_bytes - fits_bytes) / growth) + 1)
        fails_bytes = at(batch=fails).peak_bytes
    while fails - fits > 1:
        share = (limit_bytes - fits_bytes) / (fails_bytes - fits_bytes)
        guess = min(max(fits + 1, fits + int(share * (fails - fits))), fails - 1)
        peak = at(batch=guess).peak_bytes
        if peak <= limit_bytes:
            fits, fits_bytes = guess, peak
        else:
            fails, fails_bytes = guess, peak
    return fits


def parse_bytes(text: str) -> int:
    """Return the bytes of ``8GiB``, ``500 MB`` or ``1073741824``. Raises ProtocolError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    unit = match[2] or "B" if match else ""
    if match is None or unit not in _UNITS:
        raise ProtocolError(f"memory {text!r} is no size; expected a number and one of {', '.join(_UNITS)}")
    return int(float(match[1]) * _UNITS[unit])


def _changed(protocol: Protocol, batch: int | None, precision: str | None) -> Protocol:
    if batch is not None and batch < 1:
        raise ProtocolError(f"batch {batch}; expected at least 1")
    preset: Any = protocol.model
    changed = replace(preset, batch_size=batch or preset.batch_size, precision=precision or preset.precision)
    return replace(protocol, model=changed)


def _check_device(device: torch.device) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ProtocolError("a forecast with CUDA's own operators needs a CUDA device; use --device cpu")


def _peak(step: StepForecast) -> int:
    return step.peak_bytes.live_tensors or 0


def _step(index: int, runner: ImaginedRunner, traced: Traced, state_bytes: int) -> StepForecast:
    count = count_parameters(traced.model, [p for group in traced.groups for p in group.params])
    shipped, outputs = traced.shipped, traced.model.outputs
    return StepForecast(
        index=index,
        classes=outputs - 1,
        parameters=Parameters(count.total, count.trainable, count_parameters(shipped).total),
        compute=_compute(runner, traced),
        peak_bytes=_peak_bytes(traced),
        state_bytes=state_bytes,
        checkpoint_bytes=tensor_bytes(shipped.state_dict()),
    )


def _compute(runner: ImaginedRunner, traced: Traced) -> Compute:
    assert traced.iterated is not None
    image, flops = runner.one_image(), traced.iterated.flops
    inference = _forward(traced.shipped, image)
    forward = inference if traced.shipped is traced.model else _forward(traced.model, image)
    return Compute(
        inference_macs=inference.flops // 2,
        forward_macs=forward.flops // 2,
        train_flops=flops.flops,
        train_flops_by_part=dict(flops.by_part),
        train_uncounted=dict(flops.uncounted),
        uncounted=dict(inference.uncounted),
    )


def _forward(model: nn.Module, image: Tensor) -> FlopTracker:
    with undisturbed(model, image.device), FlopTracker() as tracker:
        model(image)
    return tracker


def _peak_bytes(traced: Traced) -> PeakBytes:
    assert traced.iterated is not None
    tensors = traced.iterated.tensors
    return PeakBytes(live_tensors=tensors.peak_bytes, parts=tensors.peak_parts)
