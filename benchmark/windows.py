"""Large images shown to a model in overlapping windows, its logits averaged where they overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Windows:
    """A forward pass through windows of ``size`` pixels that start every ``stride`` pixels.

    ``forward`` takes images (B, 3, h, w) and returns logits (B, C, h', w'), which are brought to the window's
    size bilinearly. ``at_once`` windows are shown in one batch.
    """

    forward: Callable[[Tensor], Tensor]
    size: int
    stride: int
    at_once: int

    def __call__(self, image: Tensor) -> Tensor:
        """Return logits (B, C, H, W) of images (B, 3, H, W), shown whole where they fit a window."""
        height, width = image.shape[-2:]
        if max(height, width) <= self.size:
            return self.forward(image)
        return torch.cat([self._one(one) for one in image.split(1)])

    def _one(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        extent = min(height, self.size), min(width, self.size)
        total, times = None, torch.zeros(height, width, device=image.device)
        for places in self._places(height, width):
            seen = torch.cat([image[..., rows, columns] for rows, columns in places])
            logits = self.forward(seen).float()
            if logits.shape[-2:] != extent:
                logits = F.interpolate(logits, size=extent, mode="bilinear", align_corners=False)
            if total is None:
                total = logits.new_zeros(1, logits.shape[1], height, width)
            for (rows, columns), part in zip(places, logits, strict=True):
                total[0, :, rows, columns] += part
                times[rows, columns] += 1
        assert total is not None
        return total / times

    def _places(self, height: int, width: int) -> Iterator[list[tuple[slice, slice]]]:
        """Yield rows and columns of windows, ``at_once`` together, from left to right and top to bottom."""
        places = [
            (slice(top, top + self.size), slice(left, left + self.size))
            for top in starts(height, self.size, self.stride)
            for left in starts(width, self.size, self.stride)
        ]
        for first in range(0, len(places), self.at_once):
            yield places[first : first + self.at_once]


def starts(side: int, size: int, stride: int) -> list[int]:
    """Return where windows of ``size`` start along a side: every ``stride`` pixels, the last at its end."""
    last = max(0, side - size)
    return [*range(0, last, stride), last]
