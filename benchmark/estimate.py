"""What a run would cost, without the hardware, the data or the weights to run it.

Parameters and multiply-adds are exact. FLOPs are those of the operators torch chooses on ``device``; memory
is the peak of live tensors in an iteration, as :mod:`benchmark.measure.memory` would follow them on real
ones: what operators use inside themselves, and what an allocator keeps, come on top.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmark.errors import ProtocolError
from benchmark.finding import Variant
from benchmark.imagined import Iterated, Lived, imagined
from benchmark.measure.flops import FlopTracker
from benchmark.measure.params import count_parameters, tensor_bytes
from benchmark.measure.undisturbed import undisturbed
from benchmark.protocol import Protocol
from benchmark.record import Compute, Parameters, PeakBytes

CPU = torch.device("cpu")


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
    """Costs of a variant on a protocol; ``steps`` holds those traced."""

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

    ``batch`` and ``precision`` replace the preset's. ``steps`` None traces the first two and the last:
    between these, costs grow evenly with the classes. Raises ProtocolError for a batch below 1 or a device
    torch cannot run backward for, MethodError for a method that reads values.
    """
    changed = with_preset(protocol, batch, precision)
    check_device(device)
    traced = default_steps(len(protocol.steps)) if steps is None else {*steps}
    with imagined(changed, variant, device, traced) as lives:
        found = [_step(lived, lived.iterate()) for lived in lives]
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
    return {*range(count)} & {0, 1, count - 1}


def with_preset(protocol: Protocol, batch: int | None, precision: str | None) -> Protocol:
    """Return ``protocol`` with another batch or precision. Raises ProtocolError for a batch below 1."""
    if batch is not None and batch < 1:
        raise ProtocolError(f"batch {batch}; expected at least 1")
    preset: Any = protocol.model
    changed = replace(preset, batch_size=batch or preset.batch_size, precision=precision or preset.precision)
    return replace(protocol, model=changed)


def check_device(device: torch.device) -> None:
    """Raise ProtocolError for a device whose operators torch cannot choose here."""
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ProtocolError("a forecast with CUDA's own operators needs a CUDA device; use --device cpu")


def _peak(step: StepForecast) -> int:
    return step.peak_bytes.live_tensors or 0


def _step(lived: Lived, iterated: Iterated) -> StepForecast:
    model, tensors = lived.carried.model, iterated.tensors
    count = count_parameters(model, [p for group in lived.groups for p in group.params])
    return StepForecast(
        index=lived.index,
        classes=model.outputs - 1,
        parameters=Parameters(count.total, count.trainable, count_parameters(lived.shipped).total),
        compute=_compute(lived, iterated.flops),
        peak_bytes=PeakBytes(live_tensors=tensors.peak_bytes, parts=tensors.peak_parts),
        state_bytes=tensor_bytes(lived.carried.state),
        checkpoint_bytes=tensor_bytes(lived.shipped.state_dict()),
    )


def _compute(lived: Lived, flops: FlopTracker) -> Compute:
    inference = _forward(lived.shipped, lived.runner.one_image())
    # The student's part of an iteration is a forward pass of the training model, over its whole batch.
    images = lived.runner.protocol.model.batch_size
    return Compute(
        inference_macs=inference.flops // 2,
        forward_macs=flops.by_part["student"] // (2 * images),
        train_flops=flops.flops,
        train_flops_by_part=dict(flops.by_part),
        train_uncounted=dict(flops.uncounted),
        uncounted=dict(inference.uncounted),
    )


def _forward(model: nn.Module, image: Tensor) -> FlopTracker:
    with undisturbed(model, image.device), FlopTracker() as tracker:
        model(image)
    return tracker
