"""Bits before and after: copies of all that must not change, and what of them did."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Tensors = dict[str, Tensor]


def copied(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return detached copies."""
    return {name: value.detach().clone() for name, value in tensors.items()}


def first_change(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor that is gone, new or has other bits; None if there is none."""
    for name in (*before, *(name for name in after if name not in before)):
        if name not in before or name not in after or not same_bits(before[name], after[name]):
            return name
    return None


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Compare bit by bit, so that NaN is NaN and 0.0 is not -0.0."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(_bytes(one), _bytes(other))


def _bytes(value: Tensor) -> Tensor:
    return value.detach().contiguous().reshape(-1).view(torch.uint8)


def modes(model: nn.Module) -> dict[str, bool]:
    """Return by module whether it is in train mode."""
    return {name: module.training for name, module in model.named_modules()}


def gradients(model: nn.Module) -> Tensors:
    """Return the gradients that are there."""
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@contextmanager
def watched(model: nn.Module | None) -> Iterator[list[str]]:
    """Yield a list that, after the block, says what of a model changed in it."""
    changes: list[str] = []
    if model is None:
        yield changes
        return
    weights, mode, grads = copied(model.state_dict()), modes(model), copied(gradients(model))
    yield changes
    if name := first_change(weights, model.state_dict()):
        changes.append(f"{name!r} was changed")
    if name := first_change(grads, gradients(model)):
        changes.append(f"the gradient of {name!r} was changed")
    if mode != (after := modes(model)):
        name = next((name for name in mode if after.get(name) != mode[name]), "a module")
        changes.append(f"the mode of module {name or 'the model'!r} was changed")


def undeclared(model: nn.Module, declared: set[int]) -> Tensors:
    """Return what training must leave alone: parameters not among ``declared`` (ids), and buffers of frozen
    modules, the statistics of their batch normalisation among them."""
    found: Tensors = {name: p for name, p in model.named_parameters() if id(p) not in declared}
    for prefix, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own and not any(id(p) in declared for p in own):
            found |= {
                f"{prefix}.{name}" if prefix else name: b for name, b in module.named_buffers(recurse=False)
            }
    return found


def through_bytes(content: Any) -> Any:
    """Write and read back, as a checkpoint would."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)
