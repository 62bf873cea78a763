"""A method under watch: it stands in for the method in a toy run, passes every hook on and looks on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.check.bits import Tensors, copied, first_change, undeclared, watched
from benchmark.check.degenerate import try_degenerate
from benchmark.check.findings import Findings
from benchmark.check.reach import first_held, globals_of, tensors_in
from benchmark.check.toy import STEPS, Marks
from benchmark.encoder import Encoder
from benchmark.finding import chain
from benchmark.method import Batch, Method, Need, Output, ParamGroup, State, StepView
from benchmark.model import SegModel


class DeclinedError(Exception):
    """``adapt`` raised a ValueError: the method does not work on this network, and says so."""


class Watch(Method):
    """Passes hooks on to ``inner``, which can be exchanged, and notes each rule that one of them breaks.

    Without ``findings`` it spares itself copies and searches: of such a run only what it leaves counts.
    """

    def __init__(self, method: Method, findings: Findings | None, marks: Marks) -> None:
        self.inner = method
        self.findings = Findings() if findings is None else findings
        self.looks = findings is not None
        self.marks = marks
        self.name = method.name  # type: ignore[misc]
        self.on = getattr(method, "on", None)
        self._previous: SegModel | None = None
        self._declared: set[int] = set()
        self._fixed: Tensors = {}
        self._passes: Counter[int] = Counter()
        self._has_looked = False

    def resolved(self, step: StepView) -> Mapping[str, str]:
        """Pass on."""
        return self.inner.resolved(step)

    @property
    def needs(self) -> frozenset[Need]:
        """Pass on."""
        return self.inner.needs

    @property
    def own_base(self) -> bool:
        """Pass on."""
        return self.inner.own_base

    def adapt(self, model: SegModel, step: StepView) -> list[ParamGroup]:
        """Pass on, and note what is declared."""
        try:
            groups = self.inner.adapt(model, step)
        except ValueError as error:
            raise DeclinedError(str(error)) from error
        if isinstance(groups, list):
            self._declared = {id(p) for group in groups for p in getattr(group, "params", ())}
        return groups

    def prepare(
        self,
        model: SegModel,
        previous: SegModel | None,
        batches: Iterable[Batch],
        step: StepView,
        state: State,
    ) -> None:
        """Pass on; nothing may change but the state."""
        self._previous, self._has_looked = previous, False
        self._look_at_handed("prepare", step, {"batches": batches})
        with self._only_looks("prepare", model, step):
            self.inner.prepare(model, previous, batches, step, state)

    def begin_training(self, model: SegModel) -> None:
        """Note what training must leave alone."""
        self._fixed = copied(undeclared(model, self._declared))
        self._passes.clear()

    def carry_on(self, previous: SegModel | None) -> None:
        """Go on after a restore, with another copy of the previous model."""
        self._previous = previous
        self._passes.clear()

    def end_training(self, model: SegModel, step: StepView) -> None:
        """Compare what training must leave alone."""
        now = dict(model.state_dict())
        if name := first_change(self._fixed, {n: now[n] for n in self._fixed if n in now}):
            self.findings.fail(
                "declared parameters", f"step {step.index}: {name!r} changed, and is in no group"
            )

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> Mapping[str, Tensor]:
        """Pass on, once encoder passes are counted; nothing may change but the state."""
        self._check_passes(model, step)
        if not self._has_looked:
            self._has_looked = True
            self._look_at_handed("loss", step, {"batch": batch, "step": step})
        with self._only_looks("loss", model, step), self._no_pass("loss", step):
            return self.inner.loss(model, output, previous_output, batch, step, state)

    def after_backward(self, model: SegModel, step: StepView, state: State) -> None:
        """Pass on; nothing may change but the state."""
        with self._only_looks("after_backward", model, step), self._no_pass("after_backward", step):
            self.inner.after_backward(model, step, state)

    def consolidate(self, model: SegModel, batches: Iterable[Batch], step: StepView, state: State) -> None:
        """Show degenerate batches to a copy, then pass on; nothing may change but the state."""
        if step.index or self.own_base:
            try_degenerate(self.inner, model, self._previous, step, state, self.findings)
        self._look_at_handed("consolidate", step, {"batches": batches})
        with self._only_looks("consolidate", model, step):
            self.inner.consolidate(model, batches, step, state)
        self._look_for_images(model, step, state)

    def deploy(self, model: SegModel) -> SegModel:
        """Pass on; the training model must stay as it is."""
        with watched(model if self.looks else None) as changes:
            shipped = self.inner.deploy(model)
        for change in changes:
            self.findings.fail("shipped model", f"deploy: in the training model {change}")
        return shipped

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the passes of every encoder inside."""

        def count(module: nn.Module, inputs: object) -> None:
            if isinstance(module, Encoder):
                self._passes[id(module)] += 1

        handle = register_module_forward_pre_hook(count)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _only_looks(self, hook: str, model: SegModel, step: StepView) -> Iterator[None]:
        draw()
        where = f"{hook} at step {step.index}"
        student, teacher = (model, self._previous) if self.looks else (None, None)
        with watched(student) as changes, watched(teacher) as taught:
            yield
        for change in changes:
            self.findings.fail("hooks only look", f"{where}: {change}")
        for change in taught:
            self.findings.fail("previous model", f"{where}: in the previous model {change}")

    def _check_passes(self, model: SegModel, step: StepView) -> None:
        teaches = self._previous is not None and "previous" in self.needs
        student, teacher = self._most(model), self._most(self._previous)
        elsewhere = sum(self._passes.values()) - self._all(model) - self._all(self._previous)
        if (student, teacher, elsewhere) != (1, int(teaches), 0):
            self.findings.fail(
                "one pass",
                f"step {step.index}: an iteration ran the student's encoder {student} times, the previous "
                f"model's {teacher} times and others {elsewhere} times; expected 1, {int(teaches)} and 0",
            )
        self._passes.clear()

    def _of(self, model: nn.Module | None) -> list[int]:
        found = (self._passes[id(m)] for m in model.modules() if isinstance(m, Encoder)) if model else ()
        return list(found)

    def _most(self, model: nn.Module | None) -> int:
        return max(self._of(model), default=0)

    def _all(self, model: nn.Module | None) -> int:
        return sum(self._of(model))

    @contextmanager
    def _no_pass(self, hook: str, step: StepView) -> Iterator[None]:
        with ImageConvolutions() as convolutions:
            yield
        if convolutions.count and step.index:  # three channels may be the logits of step 0
            self.findings.fail("one pass", f"{hook} at step {step.index} ran a convolution on images")

    def _look_at_handed(self, hook: str, step: StepView, handed: Mapping[str, object]) -> None:
        others = {index for index in range(len(STEPS)) if index != step.index}
        if found := self._first_image(handed, others):
            where = f"{hook} at step {step.index}"
            self.findings.fail("hidden data", f"{where}: {found} of another step was handed over")

    def _look_for_images(self, model: SegModel, step: StepView, state: State) -> None:
        modules = {type(part).__module__ for part in chain(self.inner)}
        roots = {"state": state, "model": model, "method": self.inner, **globals_of(modules)}
        if found := self._first_image(roots, set(range(step.index + 1)), modules):
            self.findings.fail("no images kept", f"after step {step.index}: {found}")

    def _first_image(
        self, roots: Mapping[str, object], steps: set[int], code: AbstractSet[str] = frozenset()
    ) -> str | None:
        if not self.looks:
            return None
        names, rows = zip(*self.marks.of(steps), strict=True)
        for path, tensor in tensors_in(roots, code):
            held = first_held(tensor, rows)
            if held is not None:
                return f"{path} holds image {names[held]}"
        return None


class ImageConvolutions(TorchDispatchMode):
    """Counts convolutions over three channels, as only a network's first layer has them."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count and call."""
        if func is torch.ops.aten.convolution.default and args[0].shape[1] == 3:
            self.count += 1
        return func(*args, **(kwargs or {}))


def draw() -> None:
    """Draw from every global random stream: what is shown must not depend on it."""
    torch.rand(3), random.random(), np.random.rand(2)
