"""What is different about a toy run, and what each of its steps left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from benchmark.check.bits import Tensors, copied, first_change
from benchmark.method import Batch


@dataclass(frozen=True)
class Variation:
    """What is different from the plain run, and must make no difference."""

    decoys: bool = False
    scored: bool = False
    restored: bool = False


@dataclass
class StepTrace:
    """What a step left: loss terms by iteration, model and state after it, batches shown by place."""

    terms: list[Mapping[str, Tensor]] = field(default_factory=list)
    shown: list[tuple[str, Batch]] = field(default_factory=list)
    model: Tensors = field(default_factory=dict)
    state: Tensors = field(default_factory=dict)

    def add(self, iteration: int, terms: Mapping[str, Tensor]) -> None:
        """Take the terms of one iteration."""
        self.terms.append(copied(terms))

    def difference(self, other: StepTrace) -> str | None:
        """Return where another trace of the same step first differs."""
        if len(self.terms) != len(other.terms):
            return f"number of iterations, {len(self.terms)} and {len(other.terms)}"
        for iteration, (mine, theirs) in enumerate(zip(self.terms, other.terms, strict=True)):
            if name := first_change(mine, theirs):
                return f"term {name!r} of iteration {iteration}"
        if name := first_change(self.model, other.model):
            return f"{name!r} of the model"
        if name := first_change(self.state, other.state):
            return f"state {name!r}"
        return None
