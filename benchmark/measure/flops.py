"""Compute, counted twice: multiply-adds of one inference by fvcore, FLOPs of a training iteration by torch.

A multiply-add is one MAC and two FLOPs. What counts is set out in :mod:`benchmark.measure.formulas`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from fvcore.nn.jit_analysis import JitModelAnalysis
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.measure.formulas import FVCORE_HANDLES, TORCH_FORMULAS, moves_data
from benchmark.measure.operators import suspects
from benchmark.measure.undisturbed import undisturbed

# A look at an attribute of a tensor subclass; marks for the profiler.
_SILENT = frozenset({"prim", "profiler"})
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


class MacCount(NamedTuple):
    """Multiply-adds of one forward pass, by operator, and what was left out.

    ``uncounted``: calls of operators that compute something but count as zero, most of them by definition
    (element-wise, normalisation, pooling). ``calls``: all operators that compute.
    """

    macs: int
    by_operator: dict[str, int]
    uncounted: dict[str, int]
    calls: int

    @property
    def uncounted_share(self) -> float:
        """Calls that counted as zero over all calls of operators that compute; 0 where there were none."""
        return sum(self.uncounted.values()) / self.calls if self.calls else 0.0

    @property
    def suspects(self) -> dict[str, int]:
        """Uncounted operators that may hide multiply-adds. Not empty: ``macs`` is a lower bound."""
        return suspects(self.uncounted)


class _Leaves(nn.Module):
    """Returns what a model returns as a flat tuple of tensors, which is all a trace can hold."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(leaf for leaf in tree_leaves(self.model(image)) if isinstance(leaf, Tensor))


def count_macs(model: nn.Module, image: Tensor) -> MacCount:
    """Count the multiply-adds of ``model(image)`` in eval mode, with fvcore.

    ``image`` (B, 3, H, W), or any one tensor the model takes; the count is of the whole batch. It must be
    real: neither meta nor fake tensors can be traced. What no output depends on is not counted.
    """
    counted: Counter[str] = Counter()
    handles = {name: _noting(name, handle, counted) for name, handle in FVCORE_HANDLES.items()}
    analysis = JitModelAnalysis(_Leaves(model), (image,)).set_op_handle(**handles)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    with undisturbed(model, image.device), _no_fast_path():
        by_operator = {name: int(macs) for name, macs in analysis.by_operator().items()}
    uncounted = {name: calls for name, calls in analysis.unsupported_ops().items() if not moves_data(name)}
    calls = counted.total() + sum(uncounted.values())
    return MacCount(sum(by_operator.values()), by_operator, uncounted, calls)


def _noting(name: str, handle: Callable[..., Any], calls: Counter[str]) -> Callable[..., Any]:
    def noted(inputs: Any, outputs: Any) -> Any:
        calls[name] += 1
        return handle(inputs, outputs)

    return noted


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Keep nn.MultiheadAttention from its fused inference kernel, which no counter knows."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


class FlopTracker(TorchDispatchMode):
    """Counts the FLOPs of all that runs inside it, with the formulas of torch's ``FlopCounterMode``.

    Put it around one real training iteration: teacher and student, backward, optimiser. Backward is
    counted operator by operator, so that frozen parts cost what they do cost and no more. Fused attention
    counts its recomputed scores, since they are computed: 2.5 forward passes in backward, 2 without.
    Runs on any device, on meta and on fake tensors; changes no result, keeps no tensor, sets no hook.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_part: Counter[str] = Counter()
        """FLOPs by the innermost :meth:`part` they ran in; key "" outside of any."""
        self.by_operator: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        """Calls of operators that compute something and count as zero, most of them by definition."""
        self.calls = 0
        """All operators that compute, counted or not."""
        self._part = ""

    @property
    def flops(self) -> int:
        """FLOPs so far, two a multiply-add."""
        return self.by_part.total()

    @property
    def uncounted_share(self) -> float:
        """Calls that counted as zero over all calls of operators that compute; 0 where there were none."""
        return self.uncounted.total() / self.calls if self.calls else 0.0

    @property
    def suspects(self) -> dict[str, int]:
        """Uncounted operators that may hide multiply-adds. Not empty: ``flops`` is a lower bound."""
        return suspects(self.uncounted)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Charge what runs inside to ``name``."""
        outer, self._part = self._part, name
        try:
            yield
        finally:
            self._part = outer

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.namespace in _SILENT:
            return func(*args, **kwargs)
        formula = TORCH_FORMULAS.get(func.overloadpacket)
        if formula is None and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE):
            # Inference mode hands over composite operators whole: take them apart as torch itself does.
            # Not by ``func.decompose``: it prefers decompositions in Python, which need not round alike.
            with self:
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        out = func(*args, **kwargs)
        self._charge(func, 0 if formula is None else formula(*args, **kwargs, out_val=out), formula is None)
        return out

    def _charge(self, func: Any, flops: int, unknown: bool) -> None:
        name = func._schema.name
        if unknown and (func.is_view or moves_data(name)):
            return
        self.calls += 1
        if unknown:
            self.uncounted[name] += 1
        else:
            self.by_part[self._part] += flops
            self.by_operator[name] += flops
