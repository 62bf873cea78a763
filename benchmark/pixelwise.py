"""What loss terms share: precision, means over some of the pixels, labels at another size."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

IGNORE = 255


def at_least_float32(values: Tensor) -> Tensor:
    """Return ``values`` in float32, or as they are if they are float64."""
    return values if values.dtype == torch.float64 else values.float()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``values`` where ``mask``, of their shape, is not 0.

    0, with a graph, where it is 0 everywhere. A value outside the mask may be infinite: it is replaced,
    not multiplied by 0.
    """
    inside = mask != 0
    return torch.where(inside, values, 0.0).sum() / inside.sum().clamp(min=1)


def pixel_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean of ``values`` (B, H, W), over the pixels of ``mask`` (B, H, W) if there is one."""
    return values.mean() if mask is None else masked_mean(values, mask)


def nearest_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return labels or a mask (..., H, W) at ``size`` (h, w): row i is row floor(i H / h), columns likewise.

    In integers: ``interpolate`` finds the source row in floating point and is off by one for some sizes.
    A whole number of rows and columns apart, they are a strided view.
    """
    (height, width), (rows, columns) = labels.shape[-2:], size
    if height % rows == 0 and width % columns == 0:
        return labels[..., :: height // rows, :: width // columns]
    row = torch.arange(rows, device=labels.device) * height // rows
    column = torch.arange(columns, device=labels.device) * width // columns
    return labels[..., row, :][..., column]


def strongest(logits: Tensor) -> Tensor:
    """Return the channel (B, H, W) of the largest of ``logits`` (B, C, H, W), the first of equals.

    What ``argmax`` returns, four times as fast across channels on a CPU.
    """
    return logits.max(1).indices


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Keep matrix products out of half precision; devices such as meta have no autocast to turn off."""
    available = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if available else nullcontext()
