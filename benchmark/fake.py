"""Tensors that have a shape and no values, in the place of a model's own, and what torch needs for them.

Built on the meta device and exchanged for fake tensors, a model goes through every hook of a method and
the training loop as a real one would, and costs nothing.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.measure.memory import LiveTensorTracker


def imagine(model: nn.Module, device: torch.device) -> None:
    """Exchange all tensors of ``model`` for fake ones on ``device``, in place. Inside a FakeTensorMode."""
    known: dict[int, Tensor] = {}
    for module in model.modules():
        both: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for slots in both:
            for name, value in slots.items():
                if value is not None:
                    slots[name] = known.setdefault(id(value), _fake(value, device))


def _fake(value: Tensor, device: torch.device) -> Tensor:
    fake = torch.empty(value.shape, dtype=value.dtype, device=device)
    return nn.Parameter(fake, value.requires_grad) if isinstance(value, nn.Parameter) else fake


class _Mode(FakeTensorMode):
    """A fake tensor holds its mode; a deep copy of the tensor must not take one of the mode along.

    torch would, and then free the weak references to storages in it twice.
    """

    def __deepcopy__(self, memo: Any) -> _Mode:
        return self


@contextmanager
def fake_tensors() -> Iterator[None]:
    """Enter the mode in which all here runs; look-up tables made from arrays are taken in as they are."""
    apply, collecting = nn.Module._apply, gc.isenabled()
    nn.Module._apply = _replacing_apply  # type: ignore[method-assign]
    gc.disable()  # nothing here is large, and looking for circles takes a tenth of the time
    try:
        with warnings.catch_warnings(), _Mode(allow_non_fake_inputs=True):
            # torch's own deep copy asks whether a tensor has data, and is right about the answer
            warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
            yield
    finally:
        nn.Module._apply = apply  # type: ignore[method-assign]
        if collecting:
            gc.enable()


@torch.no_grad()
def _replacing_apply(self: nn.Module, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Stand in for ``Module._apply``, which swaps tensors in place and refuses to for fake ones."""
    for module in self.modules() if recurse else [self]:
        both: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for slots in both:
            for name, value in slots.items():
                if value is not None and (moved := fn(value)) is not value:
                    is_parameter = isinstance(value, nn.Parameter)
                    slots[name] = nn.Parameter(moved, value.requires_grad) if is_parameter else moved
    return self


class Granted(TorchDispatchMode):
    """Answers one question about values that the harness itself asks; a method that asks for values fails."""

    def __init__(self, question: Any, answer: object) -> None:
        super().__init__()
        self._question, self._answer = question, answer

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self._answer if func is self._question else func(*args, **(kwargs or {}))


def copies_are_equal() -> Granted:
    """Answer ``torch.equal``: a frozen parameter and its copy in the previous model have not parted."""
    return Granted(torch.ops.aten.equal.default, True)


def first_update() -> Granted:
    """Answer ``Tensor.item``: the optimiser's step count is 1."""
    return Granted(torch.ops.aten._local_scalar_dense.default, 1.0)


class FakeTensorTracker(LiveTensorTracker):
    """Follows fake tensors; what device one is on, which autograd keeps asking, it answers at once."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.prim.device.default:
            return args[0].fake_device
        return super().__torch_dispatch__(func, types, args, kwargs)
