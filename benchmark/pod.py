"""Pooled output distillation: what a map looks like when its cells are averaged along each side (PLOP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from benchmark.pixelwise import at_least_float32, without_autocast


def local_pod(
    features: Tensor, previous_features: Tensor, scales: Sequence[int] = (1, 2, 4), square: bool = True
) -> Tensor:
    """Return the distance of pooled activations, over the whole map and over ever smaller cells of it.

    PLOP (Douillard et al., CVPR 2021), Local POD: features (B, D, h, w), squared first; at each scale s,
    s x s cells of h // s rows and w // s columns (rows and columns left over belong to no cell, as in the
    authors' code), each mean-pooled over its width and over its height; Euclidean norm of the difference
    of all of these, mean over images. A scale finer than the map has empty cells and adds nothing.

    Pooling is linear: the difference is pooled, over all cells of all scales at once, as a matrix
    product.
    """
    student, teacher = at_least_float32(features), at_least_float32(previous_features.detach())
    change = student.square() - teacher.square() if square else student - teacher
    height, width = change.shape[-2:]
    fitting = [scale for scale in scales if scale <= min(height, width)]
    rows, columns = _cells(height, fitting, change), _cells(width, fitting, change)
    with without_autocast(change.device):
        over_width = (change @ columns.means) * rows.inside
        over_height = (rows.means.t() @ change) * columns.inside.t()
    pooled = torch.cat([over_width.flatten(1), over_height.flatten(1)], 1)
    distances: Tensor = torch.linalg.vector_norm(pooled, dim=1)
    return distances.mean()


def merge_new_into_background(logits: Tensor, old_classes: int) -> Tensor:
    """Return logits (B, C_old, H, W) with the new classes' added to the background's.

    PLOP (Douillard et al., CVPR 2021): how the student's logits are compared with the previous model's in
    Local POD. ``old_classes`` counts the background.
    """
    values = at_least_float32(logits)
    return torch.cat(
        [values[:, :1] + values[:, old_classes:].sum(1, keepdim=True), values[:, 1:old_classes]], 1
    )


class _Cells(NamedTuple):
    """The cells of all scales along one side of a map, S in all.

    ``means`` (side, S): a row times it is the mean over each cell. ``inside`` (side, S): 1 at positions
    that lie in one of the cells of a scale, 0 in what is left over at the end.
    """

    means: Tensor
    inside: Tensor


def _cells(side: int, scales: Sequence[int], like: Tensor) -> _Cells:
    """Cut a side into s cells of side // s, for each s of ``scales``, none above it."""
    position = torch.arange(side, device=like.device).unsqueeze(1)
    means, inside = [like.new_zeros(side, 0)], [like.new_zeros(side, 0)]
    for scale in scales:
        length = side // scale
        of_cell = position // length == torch.arange(scale, device=like.device)
        means.append(of_cell.to(like.dtype) / length)
        inside.append((position < scale * length).to(like.dtype).expand(side, scale))
    return _Cells(torch.cat(means, 1), torch.cat(inside, 1))
