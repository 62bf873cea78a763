"""Batches with next to nothing in them: every loss is finite and has a gradient on them, too."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch

from benchmark.check.findings import Findings
from benchmark.check.toy import SIZE
from benchmark.method import Batch, Method, Output, State, StepView
from benchmark.model import SegModel

RULE = "degenerate batches"


class Case(NamedTuple):
    """A name and a batch."""

    name: str
    batch: Batch


def cases(step: StepView) -> Iterator[Case]:
    """Yield degenerate batches of a step."""
    image = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(2, SIZE, SIZE, dtype=torch.long)
    new = step.new_classes[-1]
    yield Case("with background alone", Batch(image, target))
    yield Case("with ignored pixels alone", Batch(image, target + step.ignore_index))
    yield Case("with one class alone", Batch(image, target + new))
    mixed = target.clone()
    mixed[:, : SIZE // 2] = new
    yield Case("of one image", Batch(image[:1], mixed[:1]))


def try_degenerate(
    method: Method,
    model: SegModel,
    previous: SegModel | None,
    step: StepView,
    state: State,
    findings: Findings,
) -> None:
    """Show each case to copies of model and state; the random streams stay where they are."""
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        for case in cases(step):
            student = copy.deepcopy(model).train()
            scratch = {name: value.clone() for name, value in state.items()}
            try:
                reason = _broken(method, student, previous, case.batch, step, scratch)
            except Exception as error:
                reason = f"raised {type(error).__name__}: {error}"
            if reason:
                findings.fail(RULE, f"loss at step {step.index}, on a batch {case.name}: {reason}")
    findings.keep(RULE)


def _broken(
    method: Method,
    student: SegModel,
    previous: SegModel | None,
    batch: Batch,
    step: StepView,
    state: State,
) -> str | None:
    terms = method.loss(student, *_outputs(method, student, previous, batch), batch, step, state)
    for name, term in terms.items():
        if not bool(torch.isfinite(term)):
            return f"term {name!r} is {term.item()}"
    total = sum(terms.values(), torch.zeros(()))
    if not total.requires_grad:
        return "no term has a gradient"
    total.backward()
    grads = {name: p.grad for name, p in student.named_parameters() if p.grad is not None}
    wrong = next((name for name, grad in grads.items() if not bool(grad.isfinite().all())), None)
    return f"the gradient of {wrong!r} is not finite" if wrong else None


def _outputs(
    method: Method, student: SegModel, previous: SegModel | None, batch: Batch
) -> tuple[Output, Output | None]:
    needs = method.needs - {"previous"}
    before: Output | None = None
    if previous is not None and "previous" in method.needs:
        with torch.no_grad():
            before = previous(batch.image, needs)
    output: Output = student(batch.image, needs)
    return output, before
