"""Adapters that cheat or are broken: each is refused for the right reason, by method, hook, step and rule."""

from __future__ import annotations

import re

import pytest
import torch
from contract_adapters import CHEATS, HELPERS, HONEST
from spine_toys import write_method
from torch import nn

from benchmark.contract import Contract, ForwardGuard, fingerprint
from benchmark.errors import MethodError
from benchmark.finding import find_method
from benchmark.method import Output, ParamGroup, StepView

VIEW = StepView(index=1, old_classes=(1, 2), new_classes=(3,), iterations=4, setting="overlapped")


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(shared_cache, monkeypatch):
    """One cache for all tests here: they share their step 0, which none of them spoils."""
    monkeypatch.setenv("CSSBENCH_CACHE", str(shared_cache))


@pytest.mark.parametrize("cheat", CHEATS)
def test_an_adapter_that_breaks_a_rule_is_refused_for_it(cheat, tmp_path, run_tiny):
    body, broken, step, rule = CHEATS[cheat]
    path = write_method(tmp_path, body, loss="")
    path.write_text(path.read_text().replace("@dataclass", f"{HELPERS}\n@dataclass", 1))
    record = run_tiny(path, "2-2-overlapped").record
    expected = f"method 'toy' broke its contract in {broken} at step {step}: "
    assert record.status == "error" and record.error.startswith(expected)
    assert rule in record.error
    assert len(record.steps) == step


@pytest.mark.parametrize("honest", HONEST)
def test_an_adapter_that_keeps_the_rules_is_left_alone(honest, tmp_path, run_tiny):
    record = run_tiny(write_method(tmp_path, HONEST[honest]), "2-2-overlapped").record
    assert (record.status, record.error) == ("ok", None)


@pytest.fixture
def contract(tmp_path) -> Contract:
    return Contract(find_method(str(write_method(tmp_path))).method, VIEW)


def broken(contract: Contract, text: str):
    start = "method 'toy' broke its contract in "
    return pytest.raises(MethodError, match=f"^{re.escape(start)}.* at step 1: .*{re.escape(text)}")


def test_state_may_bear_the_name_of_what_a_method_works_on_top_of(tmp_path):
    below = write_method(tmp_path, name="below")
    above = write_method(tmp_path, f"\n    on: str = {str(below)!r}\n", name="above")
    contract = Contract(find_method(str(above)).method, VIEW)
    contract.state("loss", {"above.x": torch.zeros(1), "below.x": torch.zeros(1)})
    with pytest.raises(MethodError, match=r"state key 'toy\.x'"):
        contract.state("loss", {"toy.x": torch.zeros(1)})


def test_terms_may_be_without_gradient_if_one_has_it(contract):
    weight = torch.ones((), requires_grad=True)
    contract.terms({"a": weight * 2, "b": torch.tensor(3.0), "c": weight.bfloat16()})


def test_channels_are_counted(contract):
    contract.outputs(Output(torch.zeros(1, 4, 2, 2), torch.zeros(1)), 4)
    with broken(contract, "the model has 4 outputs, expected 5"):
        contract.outputs(Output(torch.zeros(1, 4, 2, 2), torch.zeros(1)), 5)
    with broken(contract, "gives 4 channels, expected 3"):
        contract.shipped(torch.zeros(1, 4, 2, 2), 3)


def test_a_group_names_a_parameter_once_even_within_itself(contract):
    layer = nn.Linear(2, 2)
    with broken(contract, "stands in two groups"):
        contract.groups(layer, [ParamGroup((layer.weight, layer.bias, layer.weight))])
    contract.groups(layer, [ParamGroup((layer.weight,)), ParamGroup((layer.bias,))])


def a_model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


@pytest.mark.parametrize("place", range(4))
def test_the_smallest_change_of_any_weight_shows(contract, place):
    model = a_model()
    before = fingerprint(model)
    value = list(model.parameters())[place].data.view(-1)
    value[-1] = torch.nextafter(value[-1], torch.tensor(9.0))
    with broken(contract, "it was changed"):
        contract.unchanged("loss", "it", before, fingerprint(model))


def test_exchanged_rows_show(contract):
    model = a_model()
    before = fingerprint(model)
    model[0].weight.data = model[0].weight.data.flip(0)
    with broken(contract, "it was changed"):
        contract.unchanged("loss", "it", before, fingerprint(model))


def test_a_model_of_nan_that_nobody_touched_is_unchanged(contract):
    model = a_model()
    model[0].weight.data.fill_(float("nan"))
    model[2].weight.data.fill_(float("inf"))
    before = fingerprint(model)
    contract.unchanged("deploy", "it", before, fingerprint(model))
    model[1].bias.data += 1
    with broken(contract, "it was changed"):
        contract.unchanged("deploy", "it", before, fingerprint(model))


def test_the_guard_refuses_only_while_closed_and_leaves_nothing_behind(contract):
    student, teacher = nn.Linear(1, 1), nn.Linear(1, 1)
    guard = ForwardGuard(contract, student, None, teacher)
    student(torch.zeros(1))
    for module in (student, teacher):
        with broken(contract, "it ran a forward pass"), guard.closed():
            module(torch.zeros(1))
    teacher(torch.zeros(1))
    guard.release()
    with guard.closed():
        student(torch.zeros(1))
    assert not student._forward_pre_hooks and not teacher._forward_pre_hooks
