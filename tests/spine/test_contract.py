"""Adapters that cheat or are broken: each is refused for the right reason, by method, hook, step and rule."""

from __future__ import annotations

import re

import pytest
import torch
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


def loss(*lines: str) -> str:
    body = "\n".join(f"        {line}" for line in lines)
    return f"\n    def loss(self, model, output, previous_output, batch, step, state):\n{body}\n"


def hook(name: str, arguments: str, *lines: str) -> str:
    body = "\n".join(f"        {line}" for line in lines)
    return f"\n    def {name}(self, {arguments}):\n{body}\n"


ADAPT = "model, step"
PREPARE = "model, previous, batches, step, state"
CONSOLIDATE = "model, batches, step, state"
NEEDS = '\n    @property\n    def needs(self):\n        return frozenset({"previous"})\n'
OWN = "\n    @property\n    def own_base(self):\n        return True\n"
PLAIN = loss("return {'cross_entropy': ce(output, batch)}")
LATER = "if not step.index: return trainable(model)"

CHEATS = {
    # name: (body of the class, hook, step, rule)
    "loss returns a tensor": (loss("return ce(output, batch)"), "loss", 1, "expected a mapping"),
    "loss returns nothing": (loss("pass"), "loss", 1, "expected a mapping of named terms, got NoneType"),
    "loss has no term": (loss("return {}"), "loss", 1, "expected a mapping"),
    "term is a number": (
        loss("return {'ce': ce(output, batch), 'x': 1.0}"),
        "loss",
        1,
        "term 'x' is not a scalar",
    ),
    "term is a vector": (
        loss("return {'ce': ce(output, batch)[None]}"),
        "loss",
        1,
        "term 'ce' is not a scalar",
    ),
    "term is an integer": (
        loss("return {'ce': ce(output, batch), 'x': torch.tensor(1)}"),
        "loss",
        1,
        "term 'x' is not a scalar",
    ),
    "term is NaN": (loss("return {'ce': ce(output, batch) * float('nan')}"), "loss", 1, "term 'ce' is nan"),
    "term is infinite": (
        loss("return {'ce': ce(output, batch) + float('inf')}"),
        "loss",
        1,
        "term 'ce' is inf",
    ),
    "NaN in step 0": (
        OWN + loss("return {'ce': ce(output, batch) * float('nan')}"),
        "loss",
        0,
        "term 'ce' is nan",
    ),
    "no gradient": (loss("return {'ce': ce(output, batch).detach()}"), "loss", 1, "no term has a gradient"),
    "second pass": (
        loss("again = model(batch.image)", "return {'ce': ce(again, batch)}"),
        "loss",
        1,
        "it ran a forward pass",
    ),
    "second pass in a copy of the model's parts": (
        loss("model.encoder(batch.image)", "return {'ce': ce(output, batch)}"),
        "loss",
        1,
        "it ran a forward pass",
    ),
    "second pass without gradient": (
        loss("with torch.no_grad(): model(batch.image)", "return {'ce': ce(output, batch)}"),
        "loss",
        1,
        "it ran a forward pass",
    ),
    "second pass of the teacher": (
        NEEDS
        + hook("prepare", PREPARE, "KEPT['previous'] = previous")
        + loss("KEPT['previous'](batch.image)", "return {'ce': ce(output, batch)}"),
        "loss",
        1,
        "it ran a forward pass",
    ),
    "groups are none": (
        hook("adapt", ADAPT, "pass") + PLAIN,
        "adapt",
        0,
        "returned NoneType, expected a list",
    ),
    "groups are parameters": (
        hook("adapt", ADAPT, "return list(model.parameters())") + PLAIN,
        "adapt",
        0,
        "expected a list of ParamGroup",
    ),
    "a parameter is missing": (
        hook("adapt", ADAPT, LATER, "return [ParamGroup(trainable(model)[0].params[1:])]") + PLAIN,
        "adapt",
        1,
        "1 trainable parameters are in no group, 'encoder.",
    ),
    "a parameter is frozen": (
        hook(
            "adapt",
            ADAPT,
            LATER,
            "groups = trainable(model)",
            "model.encoder.requires_grad_(False)",
            "return groups",
        )
        + PLAIN,
        "adapt",
        1,
        "a group holds a parameter that is frozen or not the model's",
    ),
    "a parameter is another's": (
        hook(
            "adapt",
            ADAPT,
            LATER,
            "own = nn.Parameter(torch.zeros(1))",
            "return [*trainable(model), ParamGroup((own,))]",
        )
        + PLAIN,
        "adapt",
        1,
        "a group holds a parameter that is frozen or not the model's",
    ),
    "a parameter is in two groups": (
        hook("adapt", ADAPT, LATER, "return trainable(model) * 2") + PLAIN,
        "adapt",
        1,
        "stands in two groups",
    ),
    "nothing is trained": (
        hook("adapt", ADAPT, "model.requires_grad_(False)", "return trainable(model)") + PLAIN,
        "adapt",
        0,
        "nothing is trainable",
    ),
    "classifier grown again": (
        hook("adapt", ADAPT, LATER, "model.grow(1)", "return trainable(model)") + PLAIN,
        "adapt",
        1,
        "the model has 6 outputs, expected 5",
    ),
    "classifier put back": (
        hook("adapt", ADAPT, LATER, "del model.classifier.blocks[-1]", "return trainable(model)") + PLAIN,
        "adapt",
        1,
        "the model has 3 outputs, expected 5",
    ),
    "previous changed in prepare": (
        NEEDS
        + hook("prepare", PREPARE, "if previous is not None:", "    next(previous.parameters()).data += 1e-3")
        + PLAIN,
        "prepare",
        1,
        "the previous model was changed",
    ),
    "previous trained on in prepare": (
        NEEDS
        + hook(
            "prepare",
            PREPARE,
            "if previous is not None:",
            "    for module in previous.modules(): module.training = True",
            "    for batch in batches: previous(batch.image)",
        )
        + PLAIN,
        "prepare",
        1,
        "the previous model was changed",
    ),
    "previous changed in loss": (
        NEEDS
        + hook("prepare", PREPARE, "KEPT['previous'] = previous")
        + loss(
            "with torch.no_grad():",
            "    next(KEPT['previous'].parameters()).mul_(0.5)",
            "return {'ce': ce(output, batch)}",
        ),
        "loss",
        1,
        "the previous model was changed",
    ),
    "state is a number": (
        hook("prepare", PREPARE, "state['toy.count'] = 3") + PLAIN,
        "prepare",
        0,
        "state 'toy.count' is int, expected a tensor",
    ),
    "state of loss is a list": (
        loss("state['toy.x'] = [output.logits]", "return {'ce': ce(output, batch)}"),
        "loss",
        1,
        "state 'toy.x' is list, expected a tensor",
    ),
    "state under another's name": (
        hook("consolidate", CONSOLIDATE, "state['mine.x'] = torch.zeros(1)") + PLAIN,
        "consolidate",
        0,
        "state key 'mine.x' does not start with 'toy.'",
    ),
    "state under a longer name": (
        hook("consolidate", CONSOLIDATE, "state['toyota.x'] = torch.zeros(1)") + PLAIN,
        "consolidate",
        0,
        "state key 'toyota.x' does not start with 'toy.'",
    ),
    "state holds a graph": (
        loss("term = ce(output, batch)", "state['toy.x'] = term", "return {'ce': term}"),
        "loss",
        1,
        "state 'toy.x' holds a graph",
    ),
    "state filled after backward": (
        hook("after_backward", "model, step, state", "state['toy.x'] = 1") + PLAIN,
        "consolidate",
        1,
        "state 'toy.x' is int",
    ),
    "deploy returns nothing": (
        hook("deploy", "model", "pass") + PLAIN,
        "deploy",
        0,
        "returned NoneType, expected a model",
    ),
    "deploy grows": (
        hook("deploy", "model", "copied = copy.deepcopy(model)", "copied.grow(1)", "return copied") + PLAIN,
        "deploy",
        0,
        "the shipped model has 4 outputs, expected 3",
    ),
    "deploy lies about its outputs": (
        hook(
            "deploy",
            "model",
            "copied = copy.deepcopy(model)",
            "copied.classifier = Liar(copied.classifier)",
            "return copied",
        )
        + PLAIN,
        "deploy",
        0,
        "the shipped model gives 4 channels, expected 3",
    ),
    "deploy changes the training model": (
        hook("deploy", "model", "with torch.no_grad(): next(model.parameters()).mul_(0.999)", "return model")
        + PLAIN,
        "deploy",
        0,
        "the training model was changed",
    ),
    "deploy changes a buffer": (
        hook("deploy", "model", "next(model.buffers()).add_(1)", "return copy.deepcopy(model)") + PLAIN,
        "deploy",
        0,
        "the training model was changed",
    ),
    "deploy swaps two weights": (
        hook(
            "deploy",
            "model",
            "first = next(model.parameters()).data.view(-1)",
            "first[0], first[1] = first[1].item(), first[0].item()",
            "return model",
        )
        + PLAIN,
        "deploy",
        0,
        "the training model was changed",
    ),
    "deploy takes parts away": (
        hook(
            "deploy",
            "model",
            "copied = copy.deepcopy(model)",
            "model.decoder = nn.Identity()",
            "return copied",
        )
        + PLAIN,
        "deploy",
        0,
        "the training model was changed",
    ),
    "deploy shares what is trained": (
        hook(
            "deploy",
            "model",
            "copied = copy.copy(model)",
            "copied._modules = dict(model._modules)",
            "return copied",
        )
        + PLAIN,
        "deploy",
        0,
        "which is trained; expected a copy",
    ),
    "a module stays in train mode": (
        hook(
            "deploy",
            "model",
            "copied = copy.deepcopy(model)",
            "copied.decoder = Stubborn(copied.decoder)",
            "return copied",
        )
        + PLAIN,
        "deploy",
        0,
        "module 'decoder' stays in train mode at evaluation",
    ),
}
HELPERS = '''
import copy
KEPT = {}

class Liar(nn.Module):
    """Gives a channel more than it says."""

    def __init__(self, classifier):
        super().__init__()
        self.classifier = classifier

    @property
    def outputs(self):
        return self.classifier.outputs

    def forward(self, features):
        scores = self.classifier(features)
        return torch.cat([scores, scores[:, :1]], dim=1)

class Stubborn(nn.Module):
    """Ignores eval()."""

    def __init__(self, decoder):
        super().__init__()
        self.inner = decoder

    def train(self, mode=True):
        super().train(mode)
        self.training = True
        return self

    def forward(self, features):
        return self.inner(features)
'''


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


HONEST = {
    "two groups": hook(
        "adapt",
        ADAPT,
        "new = tuple(model.classifier.parameters())",
        "rest = tuple(p for p in model.parameters() if not any(p is n for n in new))",
        "return [ParamGroup(new, 10.0), ParamGroup(rest, weight_decay=0.0)]",
    ),
    "a frozen encoder": hook(
        "adapt", ADAPT, LATER, "model.encoder.requires_grad_(False)", "return trainable(model)"
    ),
    "a copy is shipped": hook("deploy", "model", "import copy", "return copy.deepcopy(model)"),
    "eval mode without gradient": hook(
        "prepare", PREPARE, "assert not model.training and not torch.is_grad_enabled()"
    ),
    "state of tensors": hook(
        "consolidate", CONSOLIDATE, "state['toy.sum'] = sum(b.image.sum() for b in batches)"
    ),
    "the teacher is heard": NEEDS
    + hook(
        "prepare",
        PREPARE,
        "assert (previous is None) == (step.index == 0)",
        "if previous is not None: [previous(b.image) for b in batches]",
    ),
    "the model is shown the data": hook("consolidate", CONSOLIDATE, "[model(b.image) for b in batches]"),
}


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
