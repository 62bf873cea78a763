"""The parts of the check, each on its own: they must see what they are there to see."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from check_cheats import PLAIN, hook, write
from click.testing import CliRunner
from torch import nn

from benchmark import base as base_module
from benchmark.check import check, rules
from benchmark.check.apart import Loader
from benchmark.check.bits import copied, first_change, same_bits, undeclared, watched
from benchmark.check.findings import Findings
from benchmark.check.reach import first_held, tensors_in
from benchmark.check.runs import run_toy
from benchmark.check.toy import CNN, IMAGES, MARKED_ROW, STEPS, TOYS, Marks, ToyData
from benchmark.check.trace import Variation
from benchmark.cli import main
from benchmark.data import loader
from benchmark.data.scenario import visible_table
from benchmark.protocol import SETTINGS


def test_bits_tell_zeros_apart_and_nan_is_nan() -> None:
    nan = torch.tensor([float("nan"), 0.0])
    assert same_bits(nan, nan.clone())
    assert not same_bits(torch.tensor(0.0), torch.tensor(-0.0))
    assert not same_bits(torch.tensor(0), torch.tensor(0.0))
    assert same_bits(torch.arange(6).view(2, 3).t(), torch.arange(6).view(2, 3).t().contiguous())


def test_a_tensor_that_is_gone_or_new_is_a_change() -> None:
    one = {"a": torch.zeros(2), "b": torch.ones(2)}
    assert first_change(one, copied(one)) is None
    assert first_change(one, {"a": one["a"]}) == "b"
    assert first_change({"a": one["a"]}, one) == "b"


def test_a_watched_model_shows_weights_statistics_gradients_and_modes() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with watched(model) as nothing:
        model.eval()(torch.zeros(1, 2))
        model.train()
    assert nothing == []
    with watched(model) as statistics:
        model(torch.randn(4, 2))
    assert statistics == ["'1.running_mean' was changed"]
    with watched(model) as gradient:
        model(torch.randn(4, 2)).square().sum().backward()
    assert "the gradient of '0.weight' was changed" in gradient
    with watched(model) as mode:
        model[1].eval()
    assert mode == ["the mode of module '1' was changed"]


def test_what_training_must_leave_alone_holds_the_statistics_of_frozen_layers_only() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    declared = {id(p) for p in model[1].parameters()}
    assert set(undeclared(model, declared)) == {
        *(f"0.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"))
    }


def test_tensors_are_found_in_containers_attributes_and_code() -> None:
    tensor, array = torch.zeros(1), np.ones(2, dtype=np.float32)

    class Holder:
        __slots__ = ("inner",)

    holder = Holder()
    holder.inner = {"x": [tensor, {"y": (array,)}]}
    assert {path for path, _ in tensors_in({"root": holder})} == {
        "root.inner['x'][0]",
        "root.inner['x'][1]['y'][0]",
    }

    def closure() -> Any:
        return tensor

    assert list(tensors_in({"root": closure})) == []
    assert [path for path, _ in tensors_in({"root": closure}, {__name__})] == ["root.__closure__"]
    circle: list[Any] = [tensor]
    circle.append(circle)
    assert len(list(tensors_in({"root": circle}))) == 1


def marks() -> Marks:
    return Marks(TOYS[0].plan(ToyData("overlapped", decoys=False)).train, CNN)


def test_an_image_is_known_decoded_normalised_flipped_and_behind_a_view() -> None:
    split = marks().split
    raw = torch.from_numpy(split.image(7))
    shown = (raw.permute(2, 0, 1).float() - torch.tensor(CNN.mean)[:, None, None] * 255) / (
        torch.tensor(CNN.std)[:, None, None] * 255
    )
    rows = [row for name, row in marks().of({1}) if name == split.ids[7]]
    others = [row for name, row in marks().of({0, 1, 2}) if name != split.ids[7]]
    forms = [raw, raw.float(), shown, shown.flip(-1), shown[None].repeat(2, 1, 1, 1), shown[:1, :1, :1]]
    for form in [*forms, shown.half(), shown.permute(1, 2, 0).contiguous(), raw.long()]:
        assert first_held(form, rows) in (0, 1) and first_held(form, others) is None
        assert first_held(form, [*others, *rows]) == len(others) + (first_held(form, rows) or 0)
    assert first_held(shown.mean((1, 2)), rows) is None
    assert raw[MARKED_ROW].flip(0).equal(raw[MARKED_ROW])


@pytest.mark.parametrize("setting", SETTINGS)
def test_decoys_change_what_is_hidden_and_nothing_else(setting: Any) -> None:
    honest, decoy = ToyData(setting, decoys=False), ToyData(setting, decoys=True)
    for step in range(len(STEPS)):
        honest.now = decoy.now = step
        table = visible_table(STEPS, step, setting)
        for index, name in enumerate(honest.ids("train")):
            mine = index // IMAGES == step
            assert np.array_equal(honest.image(name), decoy.image(name)) == mine
            assert not np.array_equal(honest.label(name), decoy.label(name))
            shown, instead = table[honest.label(name)], table[decoy.label(name)]
            assert not mine or np.array_equal(shown, instead)


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_step_shows_its_classes_and_hides_some(setting: Any) -> None:
    data = ToyData(setting, decoys=False)
    for step, new in enumerate(STEPS):
        names = data.ids("train")[IMAGES * step : IMAGES * (step + 1)]
        present = {int(value) for name in names for value in np.unique(data.label(name))}
        assert set(new) | {255} <= present
        beyond = {label for later in STEPS[step + 1 :] for label in later}
        assert bool(present & beyond) == (setting == "overlapped" and step < 2)


def test_a_method_is_loaded_anew_and_what_was_loaded_stays(tmp_path: Path) -> None:
    import methods.fine_tune as before

    path = write(tmp_path, PLAIN)
    for spec in ("fine_tune", str(path), "clora:on=fine_tune"):
        loader = Loader(spec)
        modules = dict(sys.modules)
        with loader.apart():
            one, other = loader.load(), loader.load()
            assert type(one) is not type(other)
        assert {name: module for name, module in sys.modules.items() if name in modules} == modules
    assert sys.modules["methods.fine_tune"] is before


def test_data_that_depend_on_a_global_stream_are_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def order(self: Any, epoch: int) -> Any:
        return self.images[torch.randperm(len(self.images)).numpy()]

    monkeypatch.setattr(loader._TrainBatches, "_order", order)
    findings = Findings()
    rules._check_shown(run_toy(str(write(tmp_path, PLAIN)), TOYS[0], Variation(), findings), findings)
    assert "is another one" in findings.broken["random numbers"][0]


def test_a_hyper_parameter_is_documented_where_it_is_declared_last(tmp_path: Path) -> None:
    body = 'weight: float = 1.0\n"""Weight. 1: by hand."""\n\n' + PLAIN
    assert check(str(write(tmp_path, body)), TOYS[:1]).passed
    bare = write(tmp_path, PLAIN, name="bare")
    bare.write_text(bare.read_text().replace('"""Toy: an adapter of a test."""', "", 1))
    broken = [v for v in check(str(bare), TOYS[:1]).verdicts if v.status == "FAIL"]
    assert [(v.rule, "no docstring" in v.reason) for v in broken] == [("documentation", True)]


def test_the_command_says_a_line_for_each_rule_and_how_it_ended(tmp_path: Path) -> None:
    good = write(tmp_path, PLAIN)
    bad = write(tmp_path, hook("def loss(self, *given):\n", "return {}"), name="bad")
    passed = CliRunner().invoke(main, ["check", str(good)])
    assert passed.exit_code == 0
    assert [line.split()[0] for line in passed.output.splitlines()[: len(rules.RULES)]] == [
        "pass" for _ in rules.RULES
    ]
    failed = CliRunner().invoke(main, ["check", str(bad)])
    assert failed.exit_code == 1
    assert "expected a mapping of named terms" in failed.output and "1 of 14 rules broken" in failed.output
    for wrong in (["check", "mibb"], ["check", "mib:weight=1"], ["check", str(tmp_path / "none.py")]):
        refused = CliRunner().invoke(main, wrong)
        assert refused.exit_code == 2 and refused.output.count("\n") == 1


def test_the_check_is_no_part_of_what_decides_a_trained_step_0(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "check").mkdir()
    (tmp_path / "base.py").write_text("")
    monkeypatch.setattr(base_module, "__file__", str(tmp_path / "base.py"))
    before = base_module._harness_digest()
    (tmp_path / "check" / "toy.py").write_text("X = 1\n")
    assert base_module._harness_digest() == before
    (tmp_path / "toy.py").write_text("X = 1\n")
    assert base_module._harness_digest() != before
