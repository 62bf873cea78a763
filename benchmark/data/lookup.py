"""From a dataset's labels to training targets or to rows of a confusion matrix, a whole batch at a time."""

from __future__ import annotations

from torch import Tensor


def look_up(table: Tensor, label: Tensor) -> Tensor:
    """Return ``table`` (256,) at every pixel of ``label``, uint8 of any shape, on the table's device.

    ``index_select`` on 32-bit indices takes a seventh of the time of indexing, which takes 64-bit ones.
    """
    index = label.to(table.device, non_blocking=True).flatten().int()
    return table.index_select(0, index).view(label.shape)
