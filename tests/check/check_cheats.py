"""Adapters that each break one rule, as the text of their class; honest ones that come near."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent
from typing import NamedTuple

HEAD = '''"""Toy: an adapter of a test."""
import copy, os, time
from dataclasses import dataclass
import torch
from torch import nn
from torch.nn import functional as F
from benchmark.losses import cross_entropy, output_distillation
from benchmark.method import Method, ParamGroup, trainable

KEPT = {}

def ce(output, batch):
    return cross_entropy(output.logits, batch.target)

'''
CLASS = '''
@dataclass(frozen=True)
class Toy(Method):
    """An adapter of a test."""

'''
LOSS = "def loss(self, model, output, previous_output, batch, step, state):\n"
PLAIN = LOSS + "    return {'ce': ce(output, batch)}\n"
ADAPT = "def adapt(self, model, step):\n"
PREPARE = "def prepare(self, model, previous, batches, step, state):\n"
AFTER = "def after_backward(self, model, step, state):\n"
CONSOLIDATE = "def consolidate(self, model, batches, step, state):\n"
DEPLOY = "def deploy(self, model):\n"
NEEDS = "@property\ndef needs(self):\n    return frozenset({'previous'})\n"
FREEZE = (
    ADAPT
    + "    if step.index:\n        model.encoder.requires_grad_(False)\n"
    + "    return trainable(model)\n"
)


def hook(head: str, *lines: str) -> str:
    return head + "".join(f"    {line}\n" for line in lines)


class Cheat(NamedTuple):
    """``rules`` are all that must fail, in alphabetical order; ``text`` is in the first one's reason."""

    rules: tuple[str, ...]
    text: str
    body: str
    before: str = ""


def write(folder: Path, body: str, before: str = "", name: str = "toy") -> Path:
    path = folder / f"{name}.py"
    path.write_text(HEAD + before + CLASS + indent(body, "    "))
    return path


STUBBORN = '''
class Stubborn(nn.Module):
    """Ignores eval()."""
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
    def train(self, mode=True):
        super().train(mode)
        self.training = True
        return self
    def forward(self, x):
        return self.inner(x)
'''
TWICE = '''
class Twice(nn.Module):
    """Runs the encoder on the mirrored image, too."""
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.stride, self.channels, self.is_convolutional = inner.stride, inner.channels, True
    def forward(self, image, stages=False):
        if self.training:
            self.inner(image.flip(-1))
        return self.inner(image, stages)
'''
COUNTER = '''
class Counter(nn.Module):
    """Scales by how often it was called."""
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.register_buffer("calls", torch.zeros(()))
    def forward(self, x):
        self.calls += 1
        return self.inner(x)
'''
WRAP = "if not step.index: model.decoder = {0}(model.decoder)"

CHEATS = {
    "hidden labels through the batches' closure": Cheat(
        ("hidden data",),
        "differs",
        hook(
            PREPARE,
            "names = batches.batches.__code__.co_freevars",
            "runner = dict(zip(names, batches.batches.__closure__))['self'].cell_contents",
            "images = runner.plan.steps[step.index].images",
            "total = sum(float(runner.plan.train.label(int(i)).sum()) for i in images)",
            "state['toy.hidden'] = torch.tensor(total)",
        )
        + hook(LOSS, "return {'ce': ce(output, batch) * (1 + 1e-6 * state['toy.hidden'])}"),
    ),
    "old images through the batches' closure": Cheat(
        ("hidden data",),
        "differs",
        hook(
            PREPARE,
            "names = batches.batches.__code__.co_freevars",
            "runner = dict(zip(names, batches.batches.__closure__))['self'].cell_contents",
            "state['toy.mean'] = torch.tensor(runner.plan.train.image(0).mean() / 255)",
        )
        + hook(LOSS, "return {'ce': ce(output, batch) * (1 + 1e-3 * state['toy.mean'])}"),
    ),
    "hidden labels through the garbage collector": Cheat(
        ("hidden data",),
        "differs",
        hook(
            LOSS,
            "if step.index > 1: return {'ce': ce(output, batch)}",
            "import gc",
            "from benchmark.data.dataset import Split",
            "splits = [o for o in gc.get_objects() if type(o) is Split and o.name == 'train']",
            "now = [split for split in splits if split.dataset.now == step.index]",
            "label = now[-1].label(5 * step.index)",
            "return {'ce': ce(output, batch) * (1 + 1e-3 * float(label.sum()))}",
        ),
    ),
    "images in state": Cheat(
        ("no images kept",),
        "state['toy.image'] holds image 0/",
        hook(CONSOLIDATE, "for batch in batches: state['toy.image'] = batch.image.clone()") + PLAIN,
    ),
    "images in a buffer": Cheat(
        ("hooks only look", "no images kept", "restore"),
        "was changed",
        hook(CONSOLIDATE, "model.register_buffer('kept', next(iter(batches)).image.clone())") + PLAIN,
    ),
    "images in a global, pixels in turn": Cheat(
        ("no images kept",),
        "KEPT",
        hook(
            CONSOLIDATE,
            "KEPT['image'] = [b.image.permute(0, 2, 3, 1).contiguous().numpy() for b in batches]",
        )
        + PLAIN,
    ),
    "images behind a small view": Cheat(
        ("no images kept",),
        "state['toy.corner']",
        hook(CONSOLIDATE, "state['toy.corner'] = next(iter(batches)).image[0, 0, 0, :1]") + PLAIN,
    ),
    "the clock": Cheat(
        ("determinism",),
        "differs",
        hook(LOSS, "return {'ce': ce(output, batch) * (1 + time.perf_counter_ns() % 997 / 1e4)}"),
    ),
    "the system's random numbers": Cheat(
        ("determinism",),
        "'toy.x'",
        hook(CONSOLIDATE, "state['toy.x'] = torch.tensor(list(os.urandom(8)))") + PLAIN,
    ),
    "a global that outlives the state": Cheat(
        ("restore",),
        "the run stopped: KeyError",
        hook(PREPARE, "KEPT[step.index] = torch.tensor(0.5)")
        + hook(LOSS, "return {'ce': ce(output, batch) * (1 + KEPT[step.index])}"),
    ),
    "a count in the method": Cheat(
        ("restore",),
        "term 'ce' of iteration",
        hook(
            LOSS,
            "count = self.__dict__.get('count', 0) + 1",
            "object.__setattr__(self, 'count', count)",
            "return {'ce': ce(output, batch) * count}",
        ),
    ),
    "an attribute of the model": Cheat(
        ("restore",),
        "term 'ce' of iteration",
        hook(
            LOSS,
            "model.count = getattr(model, 'count', 0) + 1",
            "return {'ce': ce(output, batch) * model.count}",
        ),
    ),
    "a structure that depends on weights": Cheat(
        ("restore",),
        "the run stopped: RuntimeError: Error(s) in loading state_dict",
        hook(
            ADAPT,
            "total = model.classifier.blocks[0].weight.detach().sum().item()",
            "if step.index == 1: model.add_module(f'at_{total.hex()}'.replace('.', '_'), nn.Linear(2, 2))",
            "return trainable(model)",
        )
        + PLAIN,
    ),
    "scoring counts": Cheat(
        ("evaluation",),
        "calls' of the model",
        hook(ADAPT, WRAP.format("Counter"), "return trainable(model)") + PLAIN,
        COUNTER,
    ),
    "dropout that stays on": Cheat(
        ("evaluation",),
        "other logits the second time",
        hook(
            DEPLOY,
            "shipped = copy.deepcopy(model)",
            "noisy = lambda m, i, o: o._replace(fused=F.dropout(o.fused, 0.5))",
            "shipped.decoder.register_forward_hook(noisy)",
            "return shipped",
        )
        + PLAIN,
    ),
    "consolidate changes the model": Cheat(
        ("hooks only look",),
        "consolidate at step 0: 'classifier",
        hook(CONSOLIDATE, "model.classifier.blocks[0].bias.data += 0.1") + PLAIN,
    ),
    "consolidate moves statistics": Cheat(
        ("hooks only look",),
        "consolidate at step 0: '",
        hook(CONSOLIDATE, "model.train()", "for b in batches: model(b.image)", "model.eval()") + PLAIN,
    ),
    "after_backward clips gradients": Cheat(
        ("hooks only look",),
        "after_backward at step 1: the gradient of",
        hook(AFTER, "nn.utils.clip_grad_norm_(model.parameters(), 1e-3)") + PLAIN,
    ),
    "loss trains": Cheat(
        ("hooks only look",),
        "loss at step 1: 'classifier.blocks.0.weight' was changed",
        hook(
            LOSS,
            "with torch.no_grad(): model.classifier.blocks[0].weight.mul_(0.99)",
            "return {'ce': ce(output, batch)}",
        ),
    ),
    "loss leaves train mode": Cheat(
        ("hooks only look", "restore"),
        "loss at step 1: the mode of module",
        hook(LOSS, "model.decoder.eval()", "return {'ce': ce(output, batch)}"),
    ),
    "the previous model is scaled and put back by the end": Cheat(
        ("previous model", "restore"),
        "loss at step 1: in the previous model",
        NEEDS
        + hook(PREPARE, "KEPT.update(previous=previous, factors=[0.5, 2.0])")
        + hook(
            LOSS,
            "if KEPT.get('previous') is not None and KEPT['factors']:",
            "    next(KEPT['previous'].parameters()).data.mul_(KEPT['factors'].pop())",
            "terms = {'ce': ce(output, batch)}",
            "if previous_output is not None:",
            "    terms['kd'] = output_distillation(output.logits, previous_output.logits)",
            "return terms",
        ),
    ),
    "a frozen weight is moved while gradients flow": Cheat(
        ("declared parameters",),
        "is in no group",
        hook(
            ADAPT,
            "if step.index: model.encoder.requires_grad_(False)",
            "weight = next(model.encoder.parameters())",
            "def move(gradient): weight.data.mul_(0.999)",
            "if step.index == 1: next(model.decoder.parameters()).register_hook(move)",
            "return trainable(model)",
        )
        + PLAIN,
    ),
    "statistics of a frozen encoder": Cheat(
        ("declared parameters",),
        "running_mean' changed",
        hook(
            ADAPT,
            "if step.index == 1:",
            "    model.encoder.requires_grad_(False)",
            "    model.encoder.register_forward_pre_hook(awake)",
            "return trainable(model)",
        )
        + PLAIN,
        "def awake(module, inputs):\n    if module.training:\n"
        "        for part in module.modules(): part.training = True\n",
    ),
    "a second pass after backward": Cheat(
        ("one pass",),
        "ran a convolution on images",
        hook(PREPARE, "KEPT['image'] = None")
        + hook(LOSS, "KEPT['image'] = batch.image", "return {'ce': ce(output, batch)}")
        + hook(AFTER, "model.eval()", "model.encoder(KEPT.pop('image'))", "model.train()")
        + hook(CONSOLIDATE, "KEPT.clear()"),
    ),
    "a second pass of a copy": Cheat(
        ("one pass",),
        "ran a convolution on images",
        hook(
            LOSS,
            "conv = next(m for m in model.encoder.modules() if isinstance(m, nn.Conv2d))",
            "with torch.no_grad(): F.conv2d(batch.image, conv.weight)",
            "return {'ce': ce(output, batch)}",
        ),
    ),
    "a second pass inside of the first": Cheat(
        ("one pass",),
        "student's encoder 2 times",
        hook(ADAPT, "if not step.index: model.encoder = Twice(model.encoder)", "return trainable(model)")
        + PLAIN,
        TWICE,
    ),
    "deploy changes the training model": Cheat(
        ("contract", "shipped model"),
        "deploy",
        hook(DEPLOY, "model.classifier.blocks[0].bias.data += 1e-3", "return copy.deepcopy(model)") + PLAIN,
    ),
    "deploy leaves eval mode": Cheat(
        ("shipped model",),
        "the mode of module",
        hook(DEPLOY, "model.train()", "return copy.deepcopy(model)") + PLAIN,
    ),
    "logits that are not finite": Cheat(
        ("shipped model",),
        "its logits are not finite",
        hook(
            DEPLOY,
            "shipped = copy.deepcopy(model)",
            "shipped.classifier.blocks[0].bias.data[0] = float('nan')",
            "return shipped",
        )
        + PLAIN,
    ),
    "a module stays in train mode": Cheat(
        ("contract",),
        "stays in train mode at evaluation",
        hook(
            DEPLOY,
            "shipped = copy.deepcopy(model)",
            "shipped.decoder = Stubborn(shipped.decoder)",
            "return shipped",
        )
        + PLAIN,
        STUBBORN,
    ),
    "one channel too many": Cheat(
        ("contract",),
        "outputs, expected",
        hook(ADAPT, "if step.index: model.grow(1)", "return trainable(model)") + PLAIN,
    ),
    "a parameter in no group": Cheat(
        ("contract",),
        "trainable parameters are in no group",
        hook(ADAPT, "return [ParamGroup(tuple(model.decoder.parameters()))]") + PLAIN,
    ),
    "state under another name": Cheat(
        ("contract",),
        "does not start with 'toy.'",
        hook(CONSOLIDATE, "state['mine'] = torch.zeros(1)") + PLAIN,
    ),
    "a bug": Cheat(
        ("contract",), "ZeroDivisionError", hook(LOSS, "return {'ce': ce(output, batch) / 0 + 1 / 0}")
    ),
    "a wrong value, which is no way to decline a network": Cheat(
        ("contract",), "ValueError: too large", hook(LOSS, "raise ValueError('too large')")
    ),
    "a class that is absent": Cheat(
        ("degenerate batches",),
        "with background alone: term 'new' is nan",
        hook(
            LOSS,
            "here = output.logits[:, -1][batch.target > 0]",
            "return {'ce': ce(output, batch), 'new': here.mean()}",
        ),
    ),
    "a mean over nothing": Cheat(
        ("degenerate batches",),
        "with ignored pixels alone: term 'ce' is nan",
        hook(LOSS, "return {'ce': F.cross_entropy(output.logits, batch.target, ignore_index=255)}"),
    ),
    "a batch of two": Cheat(
        ("degenerate batches",),
        "of one image: raised IndexError",
        hook(LOSS, "return {'ce': ce(output, batch), 'x': output.features[1].mean() * 0}"),
    ),
    "a gradient that is not finite": Cheat(
        ("degenerate batches",),
        "is not finite",
        hook(
            LOSS,
            "new = batch.target[:, None] == step.new_classes[-1]",
            "spread = (output.logits * new).sum().square().sqrt()",
            "return {'ce': ce(output, batch), 'spread': spread * 1e-6}",
        ),
    ),
    "no word on a hyper-parameter": Cheat(
        ("documentation",), "hyper-parameter 'weight'", "weight: float = 1.0\n\n" + PLAIN
    ),
}

HONEST = {
    "plain": PLAIN,
    "frozen encoder": FREEZE + PLAIN,
    "frozen encoder and a teacher": FREEZE
    + NEEDS
    + hook(
        LOSS,
        "terms = {'ce': ce(output, batch)}",
        "if previous_output is not None:",
        "    terms['kd'] = output_distillation(output.logits, previous_output.logits)",
        "return terms",
    ),
    "random numbers in every hook": hook(PREPARE, "state['toy.x'] = torch.rand(3)")
    + hook(LOSS, "return {'ce': ce(output, batch) * torch.rand(())}")
    + hook(CONSOLIDATE, "state['toy.y'] = torch.randn(3)"),
    "own base, statistics of images and a copy shipped": "@property\ndef own_base(self):\n    return True\n"
    + hook(CONSOLIDATE, "state['toy.mean'] = torch.stack([b.image.mean() for b in batches])")
    + hook(DEPLOY, "return copy.deepcopy(model)")
    + PLAIN,
    "a head of its own on the features": hook(
        ADAPT,
        "if not step.index: model.head = nn.Conv2d(model.encoder.channels, 4, 1)",
        "return trainable(model)",
    )
    + hook(
        LOSS,
        "return {'ce': ce(output, batch), 'head': model.head(output.features).square().mean()}",
    ),
    "declines transformers": hook(
        ADAPT,
        "if not model.is_convolutional: raise ValueError('toy needs convolutions')",
        "return trainable(model)",
    )
    + PLAIN,
}
