"""Numbers of parameters, and bytes of what is stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


class ParameterCount(NamedTuple):
    """Single numbers in the parameters of a model; ``trainable`` are those that an optimiser moves."""

    total: int
    trainable: int


def count_parameters(model: nn.Module, trained: Iterable[Tensor] | None = None) -> ParameterCount:
    """Count the parameters of ``model``; a tensor used in several places counts once, buffers never.

    ``trained``: the tensors given to the optimiser (a tensor named twice counts once); None means those
    that require a gradient. What is trained outside the model counts in ``trainable`` alone.
    """
    parameters = list(model.parameters())  # torch yields a shared parameter once
    moved = [p for p in parameters if p.requires_grad] if trained is None else list(trained)
    return ParameterCount(_numbers(parameters), _numbers(moved))


def _numbers(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() for t in {id(t): t for t in tensors}.values())


def tensor_bytes(tree: Any) -> int:
    """Return the bytes of the distinct tensors in a nest of lists, tuples and dicts, as stored in a file.

    A view counts with its own elements, not with the storage behind it.
    """
    tensors = {id(leaf): leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}
    return sum(t.numel() * t.element_size() for t in tensors.values())
