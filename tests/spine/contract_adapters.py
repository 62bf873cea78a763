"""Adapters for the contract's tests: those that break a rule, and what is near them and allowed."""

from __future__ import annotations


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
