"""What is shipped: the teacher made of it, the storage it shares, and the precision it is timed in."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from spine_toys import MODEL, protocol_name, write_method

from benchmark import shipping
from benchmark.contract import Contract
from benchmark.errors import MethodError
from benchmark.finding import find_method
from benchmark.method import StepView
from benchmark.model import SegModel, build_model
from benchmark.protocols import load_preset
from benchmark.recording import RunSpec
from benchmark.run import execute, resolve
from benchmark.shipping import freeze, share_frozen, ship

CPU = torch.device("cpu")
VIEW = StepView(0, (), (1, 2), 4, "overlapped")


@pytest.fixture
def model() -> SegModel:
    torch.manual_seed(0)
    return build_model(load_preset(MODEL), 3).train()


def test_the_teacher_is_a_frozen_copy_in_eval_mode(model):
    teacher = freeze(model, model, CPU)
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert model.training and all(p.requires_grad for p in model.parameters())
    image = torch.randn(2, 3, 32, 32)
    before = teacher(image).logits
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            value.add_(1)
    assert torch.equal(teacher(image).logits, before)


def test_a_shipped_copy_is_the_teacher_itself(model):
    shipped = copy.deepcopy(model)
    assert freeze(model, shipped, CPU) is shipped


def storage(model: SegModel) -> dict[str, int]:
    return {name: value.untyped_storage().data_ptr() for name, value in model.named_parameters()}


def test_what_is_frozen_and_equal_is_stored_once(model):
    teacher = freeze(model, model, CPU)
    image = torch.randn(2, 3, 32, 32)
    before = teacher(image).logits
    model.encoder.requires_grad_(False)
    with torch.no_grad():
        model.encoder.body.conv1.weight[0] += 1  # frozen, but no longer what the teacher has
    model.grow(1)
    share_frozen(teacher, model)
    mine, theirs = storage(model), storage(teacher)
    shared = {name for name in theirs if theirs[name] == mine[name]}
    assert shared == {name for name in theirs if name.startswith("encoder.")} - {"encoder.body.conv1.weight"}
    assert torch.equal(teacher(image).logits, before)


def test_shipping_leaves_modes_and_gradients_of_the_model(model, tmp_path):
    body = "\n    def deploy(self, model):\n        import copy\n        return copy.deepcopy(model)\n"
    method = find_method(str(write_method(tmp_path, body))).method
    shipped = ship(method, model, Contract(method, VIEW), 3)
    assert not shipped.training and model.training
    assert all(p.requires_grad for p in model.parameters())


def test_frozen_parts_may_be_shared_by_what_is_shipped(model, tmp_path):
    body = """
    def deploy(self, model):
        import copy
        shipped = copy.deepcopy(model)
        shipped.encoder = model.encoder
        return shipped
"""
    method = find_method(str(write_method(tmp_path, body))).method
    with pytest.raises(MethodError, match="shares 'encoder"):
        ship(method, model, Contract(method, VIEW), 3)
    model.encoder.requires_grad_(False)
    assert ship(method, model, Contract(method, VIEW), 3).encoder is model.encoder


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_latency_is_that_of_the_precision_it_is_scored_in(tiny_root, tmp_path, monkeypatch, precision):
    preset = tmp_path / "preset.toml"
    preset.write_text(Path(MODEL).read_text() + f'precision = "{precision}"\n')
    half: list[bool] = []

    def timed(shipped: SegModel, image: torch.Tensor) -> float:
        half.append(torch.is_autocast_enabled("cpu"))
        return 0.125

    monkeypatch.setattr(shipping, "latency", timed)
    spec = RunSpec(
        "fine_tune",
        protocol_name("2-2-overlapped"),
        str(preset),
        data_root=tiny_root,
        results=tmp_path / "results",
        device="cpu",
        quiet=True,
    )
    record = execute(resolve(spec)).record
    assert (record.status, record.environment.precision) == ("ok", precision)
    assert half == [precision == "bf16"] * 2
    assert [step.latency_seconds for step in record.steps] == [0.125] * 2
