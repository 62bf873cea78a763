"""Peak memory by phase: CUDA's allocator, NVML, and on a CPU the bytes of live tensors.

On a CPU torch has no counter, so :class:`LiveTensorTracker` follows every storage from the operator
that made it to the moment it is freed. What operators allocate inside themselves is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.measure.nvml import process_bytes
from benchmark.record import PeakBytes

_MIXED = "activations"


class _Storage:
    """One storage: its size now, and what holds it as far as is known by now."""

    __slots__ = ("bytes", "part", "reference")

    def __init__(self, size: int, part: str) -> None:
        self.bytes = size
        self.part = part
        self.reference: weakref.ref[Any] | None = None


class LiveTensorTracker(TorchDispatchMode):
    """Follows the bytes of live tensors in what runs inside it, and names them at the peak.

    Parts: ``parameters`` (with the model's buffers), ``gradients`` (of its parameters), ``optimiser``,
    ``teacher``, ``state``, and ``activations``: all others, the batch, what autograd saved and
    temporaries. A storage counts once however many views it has; the first part that claims it names it.
    What is known by the end decides: a buffer the optimiser keeps is its own from its first byte.

    Live is what the given holders have at entry, and what an operator makes or reads inside. Only
    storages on ``device`` count (None: on any). Runs on fake and meta tensors. Changes no result.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        teacher: nn.Module | None = None,
        optimiser: torch.optim.Optimizer | None = None,
        state: Mapping[str, Tensor] | None = None,
        *,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        self._model, self._teacher, self._optimiser, self._state = model, teacher, optimiser, state
        self._device = device
        self._storages: dict[int, _Storage] = {}
        self._at_peak: list[tuple[_Storage, int]] = []
        self._rising = False
        self._hooks: list[Any] = []
        self.live_bytes = 0
        self.peak_bytes = 0

    @property
    def peak_parts(self) -> dict[str, int]:
        """Bytes at the moment of the peak by part; they sum to ``peak_bytes``. Parts of 0 are left out."""
        self._close_peak()
        parts: dict[str, int] = {}
        for storage, size in self._at_peak:
            parts[storage.part] = parts.get(storage.part, 0) + size
        return parts

    def __enter__(self) -> LiveTensorTracker:
        self._claim_all()
        parameters = self._model.parameters() if self._model is not None else ()
        self._hooks = [
            p.register_post_accumulate_grad_hook(self._claim_gradient) for p in parameters if p.requires_grad
        ]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for hook in self._hooks:
            hook.remove()
        self._claim_all()
        self._close_peak()
        for storage in self._storages.values():
            storage.reference = None  # follow nothing after the end
        self._storages.clear()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._see((args, kwargs), _MIXED)
        out = func(*args, **kwargs)
        self._see(out, _MIXED)
        return out

    def _see(self, tree: Any, part: str, claim: bool = False) -> None:
        if isinstance(tree, Tensor):
            self._follow(tree, part, claim)
        elif isinstance(tree, (tuple, list)):
            for branch in tree:
                self._see(branch, part, claim)
        elif isinstance(tree, dict):
            self._see([*tree.values()], part, claim)

    def _follow(self, tensor: Tensor, part: str, claim: bool) -> None:
        if tensor.layout is not torch.strided:
            return  # sparse and opaque tensors have no storage of their own
        if self._device is not None and tensor.device.type != self._device.type:
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        known = self._storages.get(key)
        if known is None:
            known = self._storages[key] = _Storage(0, part)
            known.reference = weakref.ref(storage, self._forget(key))
        elif claim and known.part == _MIXED:
            known.part = part
        if known.bytes != size:
            self._resize(known, size)

    def _forget(self, key: int) -> Callable[[Any], None]:
        owner = weakref.ref(self)

        def forget(_: Any) -> None:
            tracker = owner()
            if tracker is not None and (storage := tracker._storages.get(key)) is not None:
                tracker._resize(storage, 0)
                del tracker._storages[key]

        return forget

    def _resize(self, storage: _Storage, size: int) -> None:
        if size < storage.bytes:
            self._close_peak()
        self.live_bytes += size - storage.bytes
        storage.bytes = size
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes, self._rising = self.live_bytes, True

    def _close_peak(self) -> None:
        """Keep what is live at a new peak: once, before the first byte is freed after it."""
        if self._rising:
            self._at_peak = [(storage, storage.bytes) for storage in self._storages.values()]
            self._rising = False

    def _claim_gradient(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            self._see(parameter.grad, "gradients", claim=True)

    def _claim_all(self) -> None:
        for part, tensors in self._holdings():
            self._see(tensors, part, claim=True)

    def _holdings(self) -> Iterator[tuple[str, list[Any]]]:
        if self._model is not None:
            yield "parameters", [*self._model.parameters(), *self._model.buffers()]
            yield "gradients", [p.grad for p in self._model.parameters()]
        if self._teacher is not None:
            yield "teacher", [*self._teacher.parameters(), *self._teacher.buffers()]
        if self._optimiser is not None:
            yield "optimiser", list(self._optimiser.state.values())
        if self._state is not None:
            yield "state", list(self._state.values())


class PhaseMemory:
    """Peak bytes of the phases of one step, as :class:`benchmark.record.PeakBytes`.

    On CUDA the allocator's peaks are reset at the start of a phase and read at its end, which waits for
    nothing. On a CPU the peak of a phase is the highest of the stretches put inside :meth:`track`, and
    unknown where there is none.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._phase: str | None = None
        self.peaks: dict[str, PeakBytes] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what runs inside as ``name``; a name used again keeps the higher peaks."""
        if self._phase is not None:
            raise RuntimeError(f"phase {name!r} inside of phase {self._phase!r}; phases do not nest")
        self._phase = name
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        try:
            yield
        finally:
            self._phase = None
            self._keep(name, self._cuda_peaks() if self._device.type == "cuda" else PeakBytes())

    @contextmanager
    def track(
        self,
        model: nn.Module | None = None,
        teacher: nn.Module | None = None,
        optimiser: torch.optim.Optimizer | None = None,
        state: Mapping[str, Tensor] | None = None,
    ) -> Iterator[None]:
        """Follow live tensors inside, on a CPU; elsewhere do nothing. To be entered inside of a phase."""
        if self._phase is None:
            raise RuntimeError("tracking outside of a phase")
        if self._device.type != "cpu":
            yield
            return
        tracker = LiveTensorTracker(model, teacher, optimiser, state, device=self._device)
        with tracker:
            yield
        self._keep(self._phase, PeakBytes(live_tensors=tracker.peak_bytes, parts=tracker.peak_parts))

    def _cuda_peaks(self) -> PeakBytes:
        return PeakBytes(
            cuda_allocated=torch.cuda.max_memory_allocated(self._device),
            cuda_reserved=torch.cuda.max_memory_reserved(self._device),
            nvml_process=process_bytes(self._device),
        )

    def _keep(self, name: str, new: PeakBytes) -> None:
        old = self.peaks.get(name, PeakBytes())
        self.peaks[name] = PeakBytes(
            live_tensors=_higher(old.live_tensors, new.live_tensors),
            cuda_allocated=_higher(old.cuda_allocated, new.cuda_allocated),
            cuda_reserved=_higher(old.cuda_reserved, new.cuda_reserved),
            nvml_process=_higher(old.nvml_process, new.nvml_process),
            parts=old.parts if (old.live_tensors or 0) >= (new.live_tensors or 0) else new.parts,
        )


def _higher(*known: int | None) -> int | None:
    return max((n for n in known if n is not None), default=None)
