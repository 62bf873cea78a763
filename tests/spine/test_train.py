"""The loop against one written by hand, its schedule, its log, and going on from the middle."""

from __future__ import annotations

import copy
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from spine_toys import MODEL, write_method
from torch import nn
from torch.optim import SGD

from benchmark.contract import Contract
from benchmark.data.loader import RawBatch
from benchmark.finding import find_method
from benchmark.losses import cross_entropy
from benchmark.measure.flops import FlopTracker
from benchmark.measure.iterations import IterationMeter
from benchmark.measure.memory import LiveTensorTracker
from benchmark.method import Method, ParamGroup, StepView, trainable
from benchmark.model import SegModel, build_model
from benchmark.preset import ModelPreset
from benchmark.protocols import load_preset
from benchmark.runtime import start_runtime
from benchmark.train import Lesson, TrainState, make_train_state, train

ITERATIONS = 6
CPU = torch.device("cpu")
FIRST = StepView(0, (), (1, 2), ITERATIONS, "overlapped")
LATER = StepView(1, (1, 2), (3,), ITERATIONS, "overlapped")
TWO_TERMS = """
    def loss(self, model, output, previous_output, batch, step, state):
        return {"ce": ce(output, batch), "square": 0.1 * output.features.square().mean()}
"""
DRAWING = """
    def loss(self, model, output, previous_output, batch, step, state):
        import random, numpy
        noise = torch.rand(()) + random.random() + numpy.random.rand()
        state["toy.sum"] = state.get("toy.sum", torch.zeros(())) + noise
        carried = 0.01 * state["toy.sum"] * output.logits.mean()
        return {"ce": ce(output, batch) * (1 + noise), "carried": carried}
"""


@pytest.fixture
def preset() -> ModelPreset:
    return load_preset(MODEL)


class Collect:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def add(self, iteration: int, terms: Any) -> None:
        assert not any(term.requires_grad for term in terms.values())
        self.rows.append((iteration, {name: term.item() for name, term in terms.items()}))


def raw_batch(iteration: int) -> RawBatch:
    """Batch number ``iteration``: noise whose labels are 0 (not visible), 1 to 3 and 255."""
    noise = np.random.default_rng(iteration)
    image = noise.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    label = noise.choice([0, 1, 2, 3, 255], (4, 32, 32)).astype(np.uint8)
    return RawBatch(torch.from_numpy(image), torch.from_numpy(label))


def batches(start: int) -> Iterator[RawBatch]:
    return (raw_batch(iteration) for iteration in range(start, ITERATIONS))


def table(classes: int) -> torch.Tensor:
    values = torch.zeros(256, dtype=torch.int64)
    values[1 : classes + 1] = torch.arange(1, classes + 1)
    values[255] = 255
    return values


def a_method(folder: Path, loss: str | None = None, body: str = "") -> Method:
    path = write_method(folder, body) if loss is None else write_method(folder, body, loss=loss)
    return find_method(str(path)).method


def a_lesson(preset: ModelPreset, method: Method | None, view: StepView = FIRST) -> Lesson:
    contract = Contract(method or find_method("fine_tune").method, view)
    visible = table(len(view.seen_classes))
    return Lesson(method, contract, view, start_runtime("cpu", preset, 0), visible, batches)


def a_model(preset: ModelPreset, seed: int = 0, outputs: int = 3) -> SegModel:
    torch.manual_seed(seed)
    return build_model(preset, outputs)


def plain_meter() -> IterationMeter:
    return IterationMeter(CPU)


def run(lesson: Lesson, progress: TrainState, previous: SegModel | None = None, meter: Any = None) -> Collect:
    log, meter = Collect(), meter or plain_meter()
    with meter.phase():
        train(lesson, progress, previous, meter, log)
    return log


def same_bits(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize(
    ("power", "expected"), [(1.0, [0.05, 0.0375, 0.025, 0.0125]), (2.0, [0.05, 0.028125, 0.0125, 0.003125])]
)
def test_the_learning_rate_falls_by_the_poly_rule(preset, power, expected):
    view = replace(FIRST, iterations=4)
    layer = nn.Linear(1, 1)
    progress = make_train_state(layer, trainable(layer), replace(preset, poly_power=power), view, {})
    rates = []
    for _ in range(4):
        rates.append(progress.optimiser.param_groups[0]["lr"])
        progress.optimiser.step()
        progress.schedule.step()
    assert rates == pytest.approx(expected)
    assert progress.optimiser.param_groups[0]["lr"] == 0


def test_the_power_of_the_preset_by_hand(preset):
    layer = nn.Linear(1, 1)
    progress = make_train_state(layer, trainable(layer), preset, replace(FIRST, iterations=2), {})
    progress.optimiser.step()
    progress.schedule.step()
    assert progress.optimiser.param_groups[0]["lr"] == pytest.approx(0.05 * 0.5358867, rel=1e-6)  # 0.5 ** 0.9


def test_groups_keep_their_factor_and_their_weight_decay(preset):
    layer = nn.Linear(1, 1)
    groups = [ParamGroup((layer.weight,), 10.0, 0.0), ParamGroup((layer.bias,), weight_decay=None)]
    progress = make_train_state(layer, groups, replace(preset, weight_decay=0.25), LATER, {})
    first, second = progress.optimiser.param_groups
    assert (first["lr"], first["weight_decay"]) == (pytest.approx(0.2), 0.0)
    assert (second["lr"], second["weight_decay"]) == (pytest.approx(0.02), 0.25)


@pytest.mark.parametrize(("optimiser", "kind"), [("sgd", "SGD"), ("adamw", "AdamW")])
def test_the_preset_chooses_the_optimiser(preset, optimiser, kind):
    layer = nn.Linear(1, 1)
    changed = replace(preset, optimiser=optimiser, momentum=0.75, nesterov=True)
    made = make_train_state(layer, trainable(layer), changed, FIRST, {}).optimiser
    assert type(made).__name__ == kind
    if optimiser == "sgd":
        assert (made.defaults["momentum"], made.defaults["nesterov"]) == (0.75, True)


@pytest.mark.parametrize("kind", ["dense", "part of a larger tensor"])
def test_adamw_makes_the_update_of_the_plain_one(preset: ModelPreset, kind: str) -> None:
    """A fused update would walk over what lies in the gaps of a tensor that is part of a larger one."""
    whole = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    parameters = []
    for _ in range(2):
        values = whole.clone()
        parameters.append(torch.nn.Parameter(values if kind == "dense" else values[:, :2]))
    ours, plain = parameters
    model = cast(Any, torch.nn.ParameterList([ours]))
    adamw = replace(preset, optimiser="adamw", learning_rate=0.05, weight_decay=0.1)
    state = make_train_state(model, [ParamGroup((ours,))], adamw, FIRST, {})
    second = torch.optim.AdamW([plain], lr=0.05, weight_decay=0.1, fused=False)
    assert state.optimiser.defaults["fused"] is (kind == "dense")
    for seed in range(3):
        gradient = torch.randn(ours.shape, generator=torch.Generator().manual_seed(seed))
        ours.grad, plain.grad = gradient.clone(), gradient.clone()
        state.optimiser.step()
        second.step()
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_parameter_may_get_its_first_gradient_late(preset: ModelPreset, kind: str) -> None:
    first, late = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    model = cast(Any, torch.nn.ParameterList([first, late]))
    chosen = replace(preset, optimiser=kind)
    state = make_train_state(model, [ParamGroup((first, late))], chosen, FIRST, {})
    for iteration in range(3):
        first.grad = torch.ones(3)
        late.grad = torch.ones(3) if iteration else None
        state.optimiser.step()
        assert (late < 1).all() == (iteration > 0)


def by_hand(
    model: SegModel, preset: ModelPreset, loss: Callable[..., torch.Tensor], classes: int
) -> list[float]:
    """Train ``model`` as any script would; return the loss of every iteration."""
    optimiser = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
    mean = torch.tensor(preset.mean).view(1, 3, 1, 1) * 255
    std = torch.tensor(preset.std).view(1, 3, 1, 1) * 255
    model.train()
    losses = []
    for iteration in range(ITERATIONS):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * (1 - iteration / ITERATIONS) ** 0.9
        raw = raw_batch(iteration)
        target = raw.label.long()
        target[(target > classes) & (target != 255)] = 0
        optimiser.zero_grad()
        value = loss(model((raw.image.float() - mean) / std), target)
        value.backward()
        optimiser.step()
        losses.append(value.item())
    return losses


def test_the_shared_step_is_a_plain_loop_bit_for_bit(preset):
    ours, plain = a_model(preset), a_model(preset)
    log = run(a_lesson(preset, None), make_train_state(ours, trainable(ours), preset, FIRST, {}))
    losses = by_hand(plain, preset, lambda out, target: cross_entropy(out.logits, target), 2)
    assert same_bits(ours, plain) and not same_bits(ours, a_model(preset))
    assert log.rows == [(i, {"cross_entropy": value}) for i, value in enumerate(losses)]


def test_terms_are_summed_and_each_is_logged(preset, tmp_path):
    ours, plain = a_model(preset), a_model(preset)
    lesson = a_lesson(preset, a_method(tmp_path, TWO_TERMS))
    log = run(lesson, make_train_state(ours, trainable(ours), preset, FIRST, {}))
    losses = by_hand(
        plain,
        preset,
        lambda out, target: cross_entropy(out.logits, target) + 0.1 * out.features.square().mean(),
        2,
    )
    assert same_bits(ours, plain)
    assert [set(row) for _, row in log.rows] == [{"ce", "square"}] * ITERATIONS
    assert [sum(row.values()) for _, row in log.rows] == pytest.approx(losses)


def test_what_measures_changes_nothing(preset, tmp_path):
    method = a_method(tmp_path, TWO_TERMS)
    plain, measured = a_model(preset), a_model(preset)
    run(a_lesson(preset, method), make_train_state(plain, trainable(plain), preset, FIRST, {}))
    progress = make_train_state(measured, trainable(measured), preset, FIRST, {})
    flops, tensors = FlopTracker(), LiveTensorTracker(measured, optimiser=progress.optimiser)
    run(a_lesson(preset, method), progress, meter=IterationMeter(CPU, flops, tensors))
    assert same_bits(plain, measured)
    assert {"student", "backward"} <= flops.by_part.keys() and tensors.peak_bytes > 0
    stem = 2 * 4 * 64 * 16 * 16 * 3 * 7 * 7  # its image needs no gradient
    assert flops.by_part["backward"] == 2 * flops.by_part["student"] - stem


def test_frozen_batch_normalisation_stays_as_it_is(preset, tmp_path):
    model = a_model(preset)
    model.encoder.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    run(a_lesson(preset, None), make_train_state(model, trainable(model), preset, FIRST, {}))
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved and not any(key.startswith("encoder.") for key in moved)


def test_batch_normalisation_that_is_trained_moves(preset):
    model = a_model(preset)
    before = model.encoder.body.bn1.running_mean.clone()
    run(a_lesson(preset, None), make_train_state(model, trainable(model), preset, FIRST, {}))
    assert not torch.equal(model.encoder.body.bn1.running_mean, before)


SEEN = """
    def loss(self, model, output, previous_output, batch, step, state):
        SEEN.append((output, previous_output, batch))
        return {"ce": ce(output, batch)}
"""


def seeing(folder: Path, *needs: str) -> tuple[Method, list[Any]]:
    """A method that keeps what it is handed, and the list it keeps it in."""
    body = f"\n    @property\n    def needs(self):\n        return frozenset({set(needs) or '()'})\n"
    path = write_method(folder, body, loss=SEEN)
    path.write_text(path.read_text().replace("@dataclass", "SEEN = []\n\n@dataclass", 1))
    method = find_method(str(path)).method
    seen: list[Any] = method.loss.__func__.__globals__["SEEN"]
    seen.clear()
    return method, seen


def teacher_of(model: SegModel) -> SegModel:
    return copy.deepcopy(model).eval().requires_grad_(False)


@pytest.mark.parametrize("needs", [(), ("previous",), ("stages",), ("previous", "stages", "branches")])
def test_each_model_runs_once_an_iteration_and_only_if_it_is_needed(preset, tmp_path, needs):
    method, seen = seeing(tmp_path, *needs)
    model = a_model(preset)
    teacher = teacher_of(model)
    model.grow(1)
    calls = {"student": 0, "teacher": 0}

    def count(name: str) -> Callable[..., None]:
        def called(*_: object) -> None:
            calls[name] += 1

        return called

    model.encoder.register_forward_pre_hook(count("student"))
    teacher.encoder.register_forward_pre_hook(count("teacher"))
    lesson = a_lesson(preset, method, LATER)
    run(lesson, make_train_state(model, trainable(model), preset, LATER, {}), teacher)
    assert calls == {"student": ITERATIONS, "teacher": ITERATIONS if "previous" in needs else 0}
    for output, previous, batch in seen:
        assert output.logits.shape == (4, 4, 32, 32) and output.logits.requires_grad
        assert bool(output.stages) == ("stages" in needs)
        assert (previous is not None) == ("previous" in needs)
        if previous is not None:
            assert previous.logits.shape == (4, 3, 32, 32) and not previous.logits.requires_grad
            assert bool(previous.stages) == ("stages" in needs)
            assert torch.equal(previous.logits, teacher(batch.image).logits)


def test_a_method_is_shown_normalised_images_and_visible_labels_alone(preset, tmp_path):
    method, seen = seeing(tmp_path)
    model = a_model(preset)
    lesson = replace(a_lesson(preset, method), table=torch.tensor([0, 2, 1, *[0] * 252, 255]))
    run(lesson, make_train_state(model, trainable(model), preset, FIRST, {}))
    for iteration, (_, _, batch) in enumerate(seen):
        raw = raw_batch(iteration)
        for channel in range(3):
            by_hand = (raw.image[:, channel] / 255.0 - preset.mean[channel]) / preset.std[channel]
            torch.testing.assert_close(batch.image[:, channel], by_hand, atol=1e-5, rtol=0)
        shown = raw.label.long()
        expected = torch.where(shown == 1, 2, torch.where(shown == 2, 1, torch.where(shown == 255, 255, 0)))
        assert torch.equal(batch.target, expected)


def test_half_precision_reaches_no_loss(preset, tmp_path):
    method, seen = seeing(tmp_path, "previous", "stages", "branches")
    half = replace(preset, precision="bf16", decoder="aspp")
    model = a_model(half)
    teacher = teacher_of(model)
    inside: set[torch.dtype] = set()
    model.encoder.body.layer1.register_forward_hook(lambda m, i, o: inside.add(o.dtype))
    model.grow(1)
    run(a_lesson(half, method, LATER), make_train_state(model, trainable(model), half, LATER, {}), teacher)
    assert inside == {torch.bfloat16}
    for output, previous, _ in seen:
        for one in (output, previous):
            assert {t.dtype for t in (one.logits, one.features, *one.stages, *one.branches)} == {
                torch.float32
            }
            assert one.stages and one.branches


HOOKS = """
    def loss(self, model, output, previous_output, batch, step, state):
        assert all(p.grad is None for p in model.parameters())
        return {"ce": ce(output, batch)}

    def after_backward(self, model, step, state):
        weight = model.classifier.blocks[0].weight
        state["toy.grad"] = state.get("toy.grad", 0) + weight.grad.clone()
        state["toy.weight"] = weight.detach().clone()
"""


def test_gradients_are_read_after_backward_and_before_the_update(preset, tmp_path):
    model, plain = a_model(preset), a_model(preset)
    one = replace(FIRST, iterations=1)
    state: dict[str, torch.Tensor] = {}
    run(
        a_lesson(preset, a_method(tmp_path, HOOKS), one),
        make_train_state(model, trainable(model), preset, one, state),
    )
    before = plain.classifier.blocks[0].weight.detach()
    assert torch.equal(state["toy.weight"], before) and state["toy.grad"].abs().sum() > 0
    by_rule = before - 0.05 * 1.9 * (state["toy.grad"] + 1e-4 * before)  # Nesterov's first step
    torch.testing.assert_close(model.classifier.blocks[0].weight.detach(), by_rule)


@pytest.mark.parametrize("loss", [None, DRAWING], ids=["plain", "drawing"])
@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_step_that_is_stored_and_read_back_ends_with_the_same_bits(preset, tmp_path, optimiser, loss):
    preset = replace(preset, optimiser=optimiser)
    method = a_method(tmp_path, loss)
    lesson = a_lesson(preset, method)
    whole = a_model(preset)
    progress = make_train_state(whole, trainable(whole), preset, FIRST, {})
    lesson.runtime.reseed("train", 0)
    straight = run(lesson, progress)

    half = a_model(preset)
    stopped = make_train_state(half, trainable(half), preset, FIRST, {})
    lesson.runtime.reseed("train", 0)
    first = run(replace(lesson, view=replace(FIRST, iterations=3)), stopped)
    stored = io.BytesIO()
    torch.save(stopped.state_dict(), stored)

    other = a_model(preset, seed=9)
    resumed = make_train_state(other, trainable(other), preset, FIRST, {"toy.old": torch.ones(1)})
    random.random(), np.random.rand(), torch.rand(7)
    resumed.load_state_dict(torch.load(io.BytesIO(stored.getvalue()), weights_only=False))
    assert resumed.iteration == 3
    second = run(lesson, resumed)
    assert first.rows + second.rows == straight.rows
    assert same_bits(other, whole) and resumed.iteration == ITERATIONS
    assert resumed.state.keys() == progress.state.keys()
    assert all(torch.equal(resumed.state[key], progress.state[key]) for key in progress.state)
    assert resumed.optimiser.param_groups[0]["lr"] == progress.optimiser.param_groups[0]["lr"]


def test_each_purpose_and_step_has_a_random_stream_of_its_own(preset):
    runtime = start_runtime("cpu", preset, 3)

    def draws(purpose: str, step: int) -> tuple[float, float, float]:
        runtime.reseed(purpose, step)
        return random.random(), float(np.random.rand()), torch.rand(()).item()

    first = draws("train", 0)
    assert draws("train", 0) == first
    for other in (draws("train", 1), draws("adapt", 0)):
        assert not set(other) & set(first)
    runtime = start_runtime("cpu", preset, 4)
    assert not set(draws("train", 0)) & set(first)
