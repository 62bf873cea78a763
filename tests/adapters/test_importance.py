"""EWC, RW and SI against a second implementation that loops over parameters one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from toys import a_batch, cnn, first_step, later_step, method, outputs_of, vit

from benchmark.method import State, StepView
from benchmark.model import SegModel
from methods import _importance

WEIGHT = {"ewc": 500.0, "rw": 100.0, "si": 500.0}
PERSISTENT = {"ewc": {"fisher"}, "rw": {"fisher", "score"}, "si": {"score"}}


def scaled(value: torch.Tensor) -> torch.Tensor:
    span = value.max() - value.min()
    return (value - value.min()) / span if span > 0 else torch.zeros_like(value)


class Reference:
    """The three methods' accounts, kept as dictionaries of lists of what happened."""

    def __init__(self, name: str, every: int) -> None:
        self.name, self.every = name, every
        self.fisher: dict[str, torch.Tensor] = {}
        self.score: dict[str, torch.Tensor] = {}

    def start(self, model: torch.nn.Module) -> None:
        self.begin = {n: p.detach().clone() for n, p in model.named_parameters()}
        if self.name == "ewc":
            self.weight = {n: scaled(f) for n, f in self.fisher.items()}
        elif self.name == "rw":
            self.weight = {n: scaled(self.fisher[n]) + scaled(s) for n, s in self.score.items()}
        else:
            self.weight = {n: scaled(s) for n, s in self.score.items()}
        for name, value in self.begin.items():
            self.fisher.setdefault(name, torch.ones_like(value))
        self.account = {n: torch.zeros_like(p) for n, p in self.begin.items()}
        self.before: dict[str, torch.Tensor] | None = None
        self.iteration = 0

    def penalty(self, model: torch.nn.Module) -> float:
        total = 0.0
        for name, value in model.named_parameters():
            if name in self.weight:
                total += (self.weight[name] * (value.detach() - self.begin[name]) ** 2).sum().item()
        return WEIGHT[self.name] * total

    def see(self, model: torch.nn.Module, gradients: dict[str, torch.Tensor]) -> None:
        values = {n: p.detach().clone() for n, p in model.named_parameters()}
        if self.name == "si" or self.iteration % self.every == 0:
            for name, value in values.items() if self.before is not None else ():
                step = gradients[name] * (self.before[name] - value)
                if self.name == "rw":
                    step = step / (0.5 * self.fisher[name] * (value - self.before[name]) ** 2 + 1e-8)
                self.account[name] += step
            self.before = values
        for name, gradient in gradients.items():
            self.fisher[name] = 0.9 * gradient**2 + 0.1 * self.fisher[name]
        self.iteration += 1

    def end(self, model: torch.nn.Module) -> None:
        for name, value in model.named_parameters():
            if self.name == "rw":
                new = self.account[name].clamp(min=0)
                self.score[name] = 0.5 * (new + self.score[name]) if name in self.score else new
            else:
                moved = (value.detach() - self.begin[name]) ** 2
                new = (self.account[name] / (moved + 1e-20)).clamp(min=0)
                self.score[name] = self.score.get(name, 0) + new


def run_step(spec: str, model: SegModel, step: StepView, state: State, reference: Reference) -> None:
    found = method(spec)
    found.adapt(model, step)
    found.prepare(model.eval(), None, [], step, state)
    reference.start(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    for seed in range(7):
        batch = a_batch((0, *step.new_classes), seed=seed)
        batch = batch._replace(image=batch.image.double())
        output, _ = outputs_of(found, model, None, batch.image)
        terms = found.loss(model, output, None, batch, step, state)
        assert set(terms) == ({"cross_entropy", "penalty"} if step.index else {"cross_entropy"})
        if step.index:
            assert terms["penalty"].item() == pytest.approx(reference.penalty(model), rel=1e-4, abs=1e-9)
        plain = torch.autograd.grad(terms["cross_entropy"], list(model.parameters()), retain_graph=True)
        gradients = {n: g for (n, _), g in zip(model.named_parameters(), plain, strict=True)}
        optimiser.zero_grad()
        sum(terms.values()).backward()
        found.after_backward(model, step, state)
        assert not any(".pull." in key for key in state)
        reference.see(model, gradients)
        optimiser.step()
    found.consolidate(model.eval(), [], step, state)
    reference.end(model)


@pytest.mark.parametrize("name", ["ewc", "rw", "si"])
@pytest.mark.parametrize("make", [cnn, vit])
@pytest.mark.parametrize("together", [False, True])
def test_three_steps_agree_with_the_reference(
    name: str, make: Callable[[], SegModel], together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if together:  # as on a GPU
        monkeypatch.setattr(_importance, "_handfuls", lambda values: [list(values)])
    # In double precision, so that what cancels does not hide a difference.
    model, reference = make().double(), Reference(name, every=3)
    state: State = {}
    spec = f"{name}:every=3" if name == "rw" else name
    for index, step in enumerate([first_step(), later_step(), later_step(old=3, index=2)]):
        if index:
            model.grow(1)
            model.double()
        run_step(spec, model, step, state, reference)
        assert {key.split(".")[1] for key in state} == PERSISTENT[name]
        for kind in PERSISTENT[name]:
            for parameter, value in getattr(reference, kind).items():
                torch.testing.assert_close(state[f"{name}.{kind}.{parameter}"], value, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", ["ewc", "rw", "si"])
def test_no_teacher_and_a_base_of_its_own(name: str) -> None:
    assert not method(name).needs
    assert method(name).own_base


@pytest.mark.parametrize("name", ["ewc", "rw", "si"])
def test_state_saved_in_mid_step_continues_the_same(name: str) -> None:
    ends = []
    for interrupted in (False, True):
        torch.manual_seed(0)
        model, found, step = cnn(), method(f"{name}:every=2" if name == "rw" else name), first_step()
        state: State = {}
        found.prepare(model, None, [], step, state)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
        for seed in range(6):
            if interrupted and seed == 3:
                state = {key: value.clone() for key, value in state.items()}
            optimiser.zero_grad()
            output, _ = outputs_of(found, model, None, a_batch((0, 1, 2), seed=seed).image)
            sum(
                found.loss(model, output, None, a_batch((0, 1, 2), seed=seed), step, state).values()
            ).backward()
            found.after_backward(model, step, state)
            optimiser.step()
        found.consolidate(model, [], step, state)
        ends.append(state)
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    assert not any(value.requires_grad for value in ends[0].values())
