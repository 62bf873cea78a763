"""What EWC, RW and SI share: a penalty on parameters, weighted by how much each mattered before.

In ``state``, by parameter name: what a method keeps from step to step, and, while a step lasts, the
``anchor`` (the parameter at its start) and the ``importance`` W; from ``loss`` to ``after_backward`` the
``pull``, which backward turns into the penalty's gradient in place.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from benchmark.losses import cross_entropy, quadratic_penalty
from benchmark.method import Batch, Method, Output, State, StepView
from benchmark.model import SegModel

Named = dict[str, Tensor]


class Gradients(NamedTuple):
    """Names, values and gradients of some of the trainable parameters; the penalty's share is taken out."""

    names: tuple[str, ...]
    values: list[Tensor]
    gradients: list[Tensor]


class ImportanceMethod(Method):
    """Cross entropy + ``penalty`` * sum of W (p - anchor)^2 over the parameters the old model had.

    ``key`` starts the keys in ``state``; ``kept`` names what outlives a step.
    """

    key: ClassVar[str]
    kept: ClassVar[tuple[str, ...]]
    penalty: float

    @property
    def own_base(self) -> bool:
        """True: the gradients of step 0 are read."""
        return True

    @abstractmethod
    def importance(self, state: State) -> Named:
        """Return W of every parameter that had gradients in an earlier step."""

    @abstractmethod
    def begin(self, values: Mapping[str, Tensor], state: State) -> None:
        """Get ready for a step with these trainable parameters."""

    def prepare(
        self,
        model: SegModel,
        previous: SegModel | None,
        batches: Iterable[Batch],
        step: StepView,
        state: State,
    ) -> None:
        """Take the importance from earlier steps and remember where the parameters stand."""
        values = trained(model)
        self.put(state, "importance", {n: w for n, w in self.importance(state).items() if n in values})
        self.put(state, "anchor", copies(values))
        self.begin(values, state)

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> dict[str, Tensor]:
        """Return the cross entropy and, once something has an importance, the penalty."""
        terms = {"cross_entropy": cross_entropy(output.logits, batch.target, step.ignore_index)}
        if importance := self.get(state, "importance"):
            values = dict(model.named_parameters())
            penalty = quadratic_penalty(
                [values[name] for name in importance],
                self.pick(state, "anchor", importance),
                list(importance.values()),
            )
            self.put(state, "pull", dict(zip(importance, penalty.gradients, strict=True)))
            terms["penalty"] = self.penalty * penalty.value
        return terms

    @torch.no_grad()
    def gradients(self, model: SegModel, state: State) -> Iterator[Gradients]:
        """Yield the gradients of the other terms: the penalty's share, kept by ``loss``, is taken out.

        Of one parameter at a time on a CPU, whose caches then hold what is made of it; elsewhere of all.
        """
        values, pulls = trained(model), self.get(state, "pull")
        for names in _handfuls(values):
            found = {name: _gradient(values[name]) for name in names}
            for name in names:
                if name in pulls:  # kept for nothing else: to write over it saves a tensor
                    found[name] = torch.sub(found[name], pulls[name], out=pulls[name])
            yield Gradients(tuple(names), [values[name] for name in names], list(found.values()))
        for name in pulls:
            del state[f"{self.key}.pull.{name}"]

    def consolidate(self, model: SegModel, batches: Iterable[Batch], step: StepView, state: State) -> None:
        """Forget what only the step needed."""
        for name in [name for name in state if name.startswith(f"{self.key}.")]:
            if name.split(".")[1] not in self.kept:
                del state[name]

    def get(self, state: State, kind: str) -> Named:
        """Return the tensors of one kind by parameter name."""
        start = f"{self.key}.{kind}."
        return {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}

    def put(self, state: State, kind: str, tensors: Named) -> None:
        """Keep tensors of one kind."""
        state.update({f"{self.key}.{kind}.{name}": value for name, value in tensors.items()})

    def pick(self, state: State, kind: str, names: Iterable[str]) -> list[Tensor]:
        """Return the tensors of one kind in the order of ``names``."""
        return [state[f"{self.key}.{kind}.{name}"] for name in names]


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _handfuls(values: Mapping[str, Tensor]) -> list[list[str]]:
    """Return names of parameters that are dealt with together."""
    one_by_one = all(value.device.type == "cpu" for value in values.values())
    return [[name] for name in values] if one_by_one else [list(values)]


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def copies(values: Mapping[str, Tensor]) -> Named:
    """Return detached copies."""
    return {name: value.detach().clone() for name, value in values.items()}


def filled(values: Mapping[str, Tensor], number: float) -> Named:
    """Return tensors of the same shapes that hold one number."""
    return {name: torch.full_like(value, number).detach() for name, value in values.items()}


def fisher_average(fisher: list[Tensor], gradients: list[Tensor], rate: float) -> None:
    """Update F := ``rate`` g^2 + (1 - ``rate``) F in place."""
    torch._foreach_mul_(fisher, 1 - rate)
    torch._foreach_addcmul_(fisher, gradients, gradients, rate)
