"""What holds for every method and for every pair of methods that can stand on one another."""

from __future__ import annotations

import copy

import pytest
import torch
from toys import a_batch, cnn, first_step, later_step, method, outputs_of, vit

from benchmark.contract import Contract, ForwardGuard
from benchmark.finding import find_method, method_files
from benchmark.method import State, StepView
from benchmark.model import SegModel

BELOW = ["fine_tune", "ilt", "mib", "sdr", "plop"]
PAIRS = [f"{top}:on={on}" for top in ("clora", "frozen") for on in BELOW]
PAIRS += [f"sdr:on={on}" for on in ("plop", "fine_tune")] + ["clora:on=sdr,base=lora"]
NAMES = [name for name in sorted(method_files()) if name != "template"]
STEPS = [first_step(), later_step(), later_step(old=3, index=2)]


class Counter:
    """Counts the calls of an encoder."""

    def __init__(self, *models: SegModel | None) -> None:
        self.calls = 0
        for model in models:
            if model is not None:
                model.encoder.register_forward_pre_hook(self._count)

    def _count(self, module: torch.nn.Module, inputs: object) -> None:
        self.calls += 1


def labels_of(step: StepView) -> tuple[int, ...]:
    return (0, *step.new_classes)


def live(spec: str, make: object, updates: int = 1) -> list[dict[str, torch.Tensor]]:
    """Live through three steps as the harness does, checking the contract; return all terms."""
    found, model, state, previous = method(spec), make(), {}, None  # type: ignore[operator]
    history = []
    for step in STEPS:
        if step.index:
            model.grow(1)
        contract = Contract(found, step)
        contract.groups(model, found.adapt(model, step))
        batches = [a_batch(labels_of(step), seed=seed) for seed in range(2)]
        with torch.no_grad():
            found.prepare(model.eval(), previous, batches, step, state)
        contract.state("prepare", state)
        model.train()
        if step.index or found.own_base:
            history += [iterate(spec, model, previous, step, state, contract) for _ in range(updates)]
        with torch.no_grad():
            found.consolidate(model.eval(), batches, step, state)
        contract.state("consolidate", state)
        before = copy.deepcopy(model.state_dict())
        shipped = found.deploy(model)
        contract.deployed(shipped, model.outputs)
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
        previous = copy.deepcopy(shipped).eval().requires_grad_(False)
    return history


def iterate(
    spec: str, model: SegModel, previous: SegModel | None, step: StepView, state: State, contract: Contract
) -> dict[str, torch.Tensor]:
    found, batch = method(spec), a_batch(labels_of(step), seed=9)
    student, teacher = Counter(model), Counter(previous)
    guard = ForwardGuard(contract, model.encoder, previous and previous.encoder)
    output, before = outputs_of(found, model, previous, batch.image)
    with guard.closed():
        terms = found.loss(model, output, before, batch, step, state)
    guard.release()
    contract.terms(terms)
    contract.state("loss", state)
    sum(terms.values()).backward()
    found.after_backward(model, step, state)
    assert student.calls == 1
    assert teacher.calls == (1 if previous is not None and "previous" in found.needs else 0)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01).step()
    model.zero_grad()
    return {name: term.detach() for name, term in terms.items()}


@pytest.mark.parametrize(
    ("spec", "make"), [(name, cnn) for name in NAMES] + [(spec, vit) for spec in NAMES + PAIRS]
)
def test_three_steps_keep_the_contract_with_one_pass_of_each_model(spec: str, make: object) -> None:
    for terms in live(spec, make):
        assert all(torch.isfinite(term) for term in terms.values())


@pytest.mark.parametrize("spec", NAMES)
def test_the_same_seed_gives_the_same_bits(spec: str) -> None:
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        runs.append(live(spec, vit, updates=2))
    for first, second in zip(*runs, strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("spec", PAIRS)
def test_a_composition_needs_what_its_parts_need(spec: str) -> None:
    found = find_method(spec)
    below = method("sdr" if "on=sdr" in spec else found.params["on"])
    assert below.needs <= found.method.needs
    assert found.method.needs - below.needs <= {"previous"}


@pytest.mark.parametrize("on", BELOW)
@pytest.mark.parametrize("top", ["clora", "frozen"])
def test_terms_are_those_of_the_method_below(top: str, on: str) -> None:
    found, below = method(f"{top}:on={on}"), method(on)
    model = vit()
    found.adapt(model, first_step())
    previous = copy.deepcopy(model).eval().requires_grad_(False)
    model.grow(1)
    found.adapt(model, later_step())
    batch, step = a_batch((0, 3)), later_step()
    thresholds = {"plop.thresholds": torch.full((3,), 0.9)}
    output, before = outputs_of(found, model, previous, batch.image)
    assert output is not None
    terms = found.loss(model, output, before, batch, step, dict(thresholds))
    expected = below.loss(model, output, before, batch, step, dict(thresholds))
    assert terms.keys() == expected.keys()
    assert all(torch.equal(terms[name], expected[name]) for name in expected)


HARD = {
    "only background": (0,),
    "only ignored": (),
    "one class": (3,),
}


@pytest.mark.parametrize(
    ("setting", "kind"), [("overlapped", kind) for kind in HARD] + [("sequential", "only background")]
)
@pytest.mark.parametrize("spec", [*NAMES, "sdr:on=plop"])
def test_hard_batches_give_finite_losses_and_gradients(spec: str, setting: str, kind: str) -> None:
    found, model, state = method(spec), vit(), {}
    steps = [first_step(setting=setting), later_step(setting=setting)]
    found.adapt(model, steps[0])
    with torch.no_grad():
        found.prepare(model.eval(), None, [a_batch((0, 1, 2))], steps[0], state)
        found.consolidate(model, [a_batch((0, 1, 2))], steps[0], state)
    previous = copy.deepcopy(found.deploy(model)).eval().requires_grad_(False)
    model.grow(1)
    found.adapt(model, steps[1])
    batch = a_batch(HARD[kind], size=1)
    with torch.no_grad():
        found.prepare(model.eval(), previous, [batch], steps[1], state)
    output, before = outputs_of(found, model.train(), previous, batch.image)
    assert output is not None
    total = sum(found.loss(model, output, before, batch, steps[1], state).values())
    assert torch.isfinite(total)
    total.backward()
    found.after_backward(model, steps[1], state)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
