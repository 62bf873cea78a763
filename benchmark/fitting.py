"""The largest batch that fits a memory, by forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from benchmark.errors import ProtocolError
from benchmark.estimate import CPU, Forecast, check_device, default_steps, with_preset
from benchmark.finding import Variant
from benchmark.imagined import Lived, imagined
from benchmark.protocol import Protocol

MOST = 65_536


@dataclass(frozen=True)
class Fit:
    """The largest ``batch`` whose peak, the highest of all steps, stays within ``limit_bytes``.

    ``step`` decides it: one image more and its peak is above. ``batch`` None: not even one image fits at
    ``step``, and ``peak_bytes`` is what one takes there.
    """

    limit_bytes: int
    batch: int | None
    peak_bytes: int
    step: int


def largest_batch(
    variant: Variant,
    protocol: Protocol,
    limit_bytes: int,
    *,
    precision: str | None = None,
    device: torch.device = CPU,
    known: Forecast | None = None,
) -> Fit:
    """Return the largest batch that fits ``limit_bytes`` at every step that a forecast traces.

    ``known``, a forecast of the same for any batch, spares guesses. Raises ProtocolError where more than
    65,536 images fit, and what a forecast does otherwise.
    """
    check_device(device)
    changed = with_preset(protocol, None, precision)
    found = Fit(limit_bytes, MOST, 0, 0)
    with imagined(changed, variant, device, default_steps(len(protocol.steps))) as lives:
        for lived in lives:
            found = _narrowed(found, lived, _first_guess(limit_bytes, lived, known))
            if found.batch is None:
                return found
    if found.batch == MOST:
        raise ProtocolError(f"memory of {limit_bytes} bytes holds {MOST} images and more; expected less")
    return found


def _first_guess(limit: int, lived: Lived, known: Forecast | None) -> int:
    step = next((step for step in known.steps if step.index == lived.index), None) if known else None
    if known is None or step is None:
        return lived.runner.protocol.model.batch_size
    return _guess(limit, known.batch_size, step.peak_bytes.live_tensors or 0, step.peak_bytes.parts)


def _guess(limit: int, batch: int, peak: int, parts: Mapping[str, int]) -> int:
    images = parts["activations"]
    return batch * (limit - peak + images) // images


def _narrowed(found: Fit, lived: Lived, guess: int) -> Fit:
    """Return ``found`` where its batch fits this step too, otherwise the largest that does.

    A guess takes what is no activation at the last peak as fixed and the rest to grow with the batch. It is
    very nearly right, so that a few iterations do: the one that fits and the one that does not among them.
    """
    limit, most = found.limit_bytes, found.batch or 0
    fits, fits_bytes, fails, fails_bytes = 0, 0, most + 1, 0
    while fails - fits > 1:
        guess = min(max(guess, fits + 1), fails - 1)
        peak = lived.peak(guess)
        if peak.peak_bytes <= limit:
            fits, fits_bytes = guess, peak.peak_bytes
        else:
            fails, fails_bytes = guess, peak.peak_bytes
        guess = _guess(limit, guess, peak.peak_bytes, peak.peak_parts)
    if fails == 1:
        return Fit(limit, None, fails_bytes, lived.index)
    if fits == most:
        return Fit(limit, fits, max(fits_bytes, found.peak_bytes), found.step)
    return Fit(limit, fits, fits_bytes, lived.index)
