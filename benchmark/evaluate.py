"""From a model and the test set to integer confusion matrices, one for all images and one for each."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.loader import TestBatch
from benchmark.data.lookup import look_up
from benchmark.pixelwise import strongest
from benchmark.protocol import IGNORE


class ImageCounts(NamedTuple):
    """Sparse confusion matrices by image: ``count`` pixels of ``image`` in cell (``row``, ``column``).

    Four int64 arrays of one length; cells that are zero are left out.
    """

    image: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    count: NDArray[np.int64]  # type: ignore[assignment]  # the method of tuples it hides is of no use here


@dataclass(frozen=True)
class Scores:
    """Confusion matrix (rows, outputs) of a test set, rows by label and columns by prediction."""

    matrix: NDArray[np.int64]
    images: ImageCounts


def predict(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the most probable output (B, H, W) of ``logits`` (B, C, h, w) brought to ``size`` (H, W)."""
    if logits.shape[-2:] != size:
        logits = F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)
    return strongest(logits)


def confusion_by_image(target: Tensor, prediction: Tensor, rows: int, columns: int) -> Tensor:
    """Count pixels (B, rows, columns) by label and prediction; labels of 255 are left out.

    ``target`` and ``prediction`` are (B, H, W) int64. Exact: integers throughout, and no step depends
    on the order of the pixels.
    """
    batch = target.shape[0]
    row = torch.where(target == IGNORE, rows, target)  # ignored pixels go to a row that is dropped
    image = torch.arange(batch, device=target.device).view(-1, 1, 1)
    cell = (image * (rows + 1) + row) * columns + prediction
    counts = torch.bincount(cell.flatten(), minlength=batch * (rows + 1) * columns)
    return counts.view(batch, rows + 1, columns)[:, :rows]


@torch.no_grad()
def evaluate(
    forward: Callable[[Tensor], Tensor],
    batches: Iterable[TestBatch],
    table: Tensor,
    rows: int,
    columns: int,
    on_batch: Callable[[int], object] = lambda images: None,
) -> Scores:
    """Score a test set.

    ``forward`` takes uint8 images (B, 3, h, w) and returns logits (B, columns, h', w'). ``table`` (256,)
    maps a dataset's label to its row, 255 to what is not scored. Labels keep their own resolution.
    ``on_batch`` is told how many images each batch had. Raises ValueError for another number of channels.
    """
    device = table.device
    total = torch.zeros(rows, columns, dtype=torch.int64, device=device)
    cells: list[NDArray[np.int64]] = []
    for batch in batches:
        target = look_up(table, batch.label)
        logits = forward(batch.image.to(device))
        if logits.shape[1] != columns:  # one too many would be counted in the next row
            raise ValueError(f"logits have {logits.shape[1]} channels, expected {columns}")
        prediction = predict(logits, (target.shape[-2], target.shape[-1]))
        counts = confusion_by_image(target, prediction, rows, columns)
        total += counts.sum(dim=0)
        cells.append(_sparse(counts.cpu().numpy(), batch.index))
        on_batch(len(batch.index))
    sparse = np.concatenate(cells, axis=1) if cells else np.zeros((4, 0), dtype=np.int64)
    order = np.lexsort(sparse[2::-1])
    return Scores(total.cpu().numpy(), ImageCounts(*sparse[:, order]))


def _sparse(counts: NDArray[np.int64], index: tuple[int, ...]) -> NDArray[np.int64]:
    image, row, column = np.nonzero(counts)
    return np.stack([np.asarray(index, dtype=np.int64)[image], row, column, counts[image, row, column]])


@dataclass(frozen=True)
class ImageFile:
    """The bytes of a run's ``.npz``, the same for the same counts, and their SHA-256."""

    content: bytes
    digest: str


def pack_images(steps: list[ImageCounts], names: tuple[str, ...]) -> ImageFile:
    """Pack the matrices by image of every step and the images' ids into one compressed ``.npz``.

    Arrays: ``names``, and for step t ``step<t>_image``, ``_row``, ``_column`` (uint16 or uint32) and
    ``_count``. Written member by member with a fixed date, since numpy's own writer stamps the clock.
    """
    arrays: dict[str, NDArray[np.generic]] = {"names": np.array(names)}
    for number, counts in enumerate(steps):
        for field, values in counts._asdict().items():
            kind = np.uint32 if field == "count" else np.uint16
            if values.size and not 0 <= values.min() <= values.max() <= np.iinfo(kind).max:
                raise ValueError(f"step{number}_{field} has a value that does not fit {kind.__name__}")
            arrays[f"step{number}_{field}"] = values.astype(kind)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)
    content = buffer.getvalue()
    return ImageFile(content, hashlib.sha256(content).hexdigest())
