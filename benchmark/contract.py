"""What a method must not do, checked while it runs. One error type names method, hook, step and rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import MethodError
from benchmark.finding import chain
from benchmark.method import Method, Output, ParamGroup, State, StepView


@dataclass(frozen=True)
class Contract:
    """The checks of one method in one step; every failure is a MethodError."""

    method: Method
    step: StepView
    _names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", tuple(part.name for part in chain(self.method)))

    def broken(self, hook: str, rule: str) -> MethodError:
        """Return the error for a broken rule, to be raised."""
        return MethodError(
            f"method {self.method.name!r} broke its contract in {hook} at step {self.step.index}: {rule}"
        )

    def groups(self, model: nn.Module, groups: list[ParamGroup]) -> None:
        """Groups must be exactly the parameters that require a gradient, each in one group."""
        if not isinstance(groups, list) or not all(isinstance(group, ParamGroup) for group in groups):
            raise self.broken("adapt", f"returned {type(groups).__name__}, expected a list of ParamGroup")
        wanted = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
        given = [id(p) for group in groups for p in group.params]
        if len(given) != len(set(given)):
            raise self.broken("adapt", "a parameter stands in two groups")
        missing = [name for key, name in wanted.items() if key not in set(given)]
        if missing:
            raise self.broken(
                "adapt", f"{len(missing)} trainable parameters are in no group, {missing[0]!r} first"
            )
        if set(given) - wanted.keys():
            raise self.broken("adapt", "a group holds a parameter that is frozen or not the model's")
        if not given:
            raise self.broken("adapt", "nothing is trainable")

    def outputs(self, output: Output, expected: int) -> None:
        """The classifier must have one channel for background and each seen class."""
        if output.logits.shape[1] != expected:
            raise self.broken("adapt", f"the model has {output.logits.shape[1]} outputs, expected {expected}")

    def terms(self, terms: Mapping[str, Tensor]) -> None:
        """Loss terms must be finite scalars by name, at least one of them with a gradient."""
        if not isinstance(terms, Mapping) or not terms:
            raise self.broken("loss", f"expected a mapping of named terms, got {type(terms).__name__}")
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.ndim or not term.is_floating_point():
                raise self.broken("loss", f"term {name!r} is not a scalar tensor")
            if not math.isfinite(term.item()):
                raise self.broken("loss", f"term {name!r} is {term.item()} in the first iteration")
        if not any(term.requires_grad for term in terms.values()):
            raise self.broken("loss", "no term has a gradient")

    def state(self, hook: str, state: State) -> None:
        """State must be tensors under keys that start with the method's name and a dot."""
        for key, value in state.items():
            if not isinstance(value, Tensor):
                raise self.broken(hook, f"state {key!r} is {type(value).__name__}, expected a tensor")
            if value.requires_grad:
                raise self.broken(hook, f"state {key!r} holds a graph; expected a detached tensor")
            if not key.startswith(tuple(f"{name}." for name in self._names)):
                raise self.broken(hook, f"state key {key!r} does not start with {self.method.name + '.'!r}")

    def deployed(self, model: Any, expected: int) -> None:
        """What is shipped must be a model with the same outputs that can be put in eval mode."""
        if not isinstance(model, nn.Module):
            raise self.broken("deploy", f"returned {type(model).__name__}, expected a model")
        if model.outputs != expected:
            raise self.broken("deploy", f"the shipped model has {model.outputs} outputs, expected {expected}")
        left = [name for name, module in model.eval().named_modules() if module.training]
        if left:
            raise self.broken("deploy", f"module {left[0]!r} stays in train mode at evaluation")

    def apart(self, shipped: nn.Module, model: nn.Module) -> None:
        """A shipped copy must not move when the training model does."""
        theirs = {p.data_ptr() for p in shipped.parameters()}
        for name, mine in model.named_parameters():
            if shipped is not model and mine.requires_grad and mine.data_ptr() in theirs:
                raise self.broken(
                    "deploy", f"the shipped copy shares {name!r}, which is trained; expected a copy"
                )

    def shipped(self, logits: Tensor, expected: int) -> None:
        """What is shipped must give as many channels (B, C, H, W) as it says it has outputs."""
        if logits.shape[1] != expected:
            raise self.broken(
                "deploy", f"the shipped model gives {logits.shape[1]} channels, expected {expected}"
            )

    def unchanged(self, hook: str, what: str, before: Tensor, after: Tensor) -> None:
        """A fingerprint taken before a hook must be what it is after it."""
        # NaN equals NaN here: a model that diverged was not changed by the hook.
        same = before.shape == after.shape and torch.allclose(before, after, rtol=0, atol=0, equal_nan=True)
        if not same:
            raise self.broken(hook, f"{what} was changed")


def fingerprint(model: nn.Module) -> Tensor:
    """Return (tensors, 2) float64: plain and position-weighted sums of all parameters and buffers."""
    rows = [_sums(value.detach()) for value in model.state_dict().values()]
    return torch.stack(rows).cpu()


def _sums(value: Tensor) -> Tensor:
    flat = value.flatten().double()
    weights = torch.linspace(1.0, 2.0, flat.numel(), device=flat.device, dtype=torch.float64)
    return torch.stack([flat.sum(), flat @ weights])


class ForwardGuard:
    """Refuses a forward pass of the watched modules while a method computes its loss."""

    def __init__(self, contract: Contract, *modules: nn.Module | None) -> None:
        self._contract = contract
        self._closed = False
        self._handles = [m.register_forward_pre_hook(self._refuse) for m in modules if m is not None]

    def _refuse(self, module: nn.Module, inputs: object) -> None:
        if self._closed:
            raise self._contract.broken("loss", "it ran a forward pass; both outputs are handed over")

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Refuse forward passes inside."""
        self._closed = True
        try:
            yield
        finally:
            self._closed = False

    def release(self) -> None:
        """Take the hooks off again, so that copies of the model carry none."""
        for handle in self._handles:
            handle.remove()
