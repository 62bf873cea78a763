"""Tiny but real networks, and what the harness would hand to a method."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from benchmark.finding import find_method
from benchmark.method import Batch, Method, Output, State, StepView
from benchmark.model import SegModel, build_model
from benchmark.preset import ModelPreset

SIZE = 32


def method(spec: str) -> Method:
    """Find a method as the command line does."""
    return find_method(spec).method


@cache
def _built(outputs: int, preset: str) -> SegModel:
    values = {"name": "toy", "description": "", "pretrained": "random", "image_size": SIZE, "batch_size": 2}
    values |= {"learning_rate": 0.1, "learning_rate_later": 0.1, "decoder_channels": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(ModelPreset(**(values | json.loads(preset))), outputs)


def _model(outputs: int, **changes: Any) -> SegModel:
    """Build a network once, always the same, and copy it."""
    return copy.deepcopy(_built(outputs, json.dumps(changes)))


def cnn(outputs: int = 3) -> SegModel:
    """A ResNet-18 of a few channels with ASPP, at output stride 8, so that it dilates."""
    args = {"channels": [8, 12, 16, 24], "zero_init_last": False}
    return _model(outputs, encoder="resnet18", encoder_args=args, decoder="aspp", output_stride=8)


def vit(outputs: int = 3) -> SegModel:
    """A plain ViT of four small blocks."""
    args = {"depth": 4, "embed_dim": 24, "num_heads": 2, "patch_size": 8}
    return _model(outputs, encoder="vit_tiny_patch16_224", encoder_args=args, decoder="conv")


def sam(outputs: int = 3) -> SegModel:
    """SAM's ViT, small: relative positions, window attention, neck."""
    args = {"depth": 4, "embed_dim": 24, "num_heads": 2, "patch_size": 8, "neck_chans": 16}
    args |= {"global_attn_indexes": [1, 3], "window_size": 2}  # type: ignore[dict-item]
    return _model(outputs, encoder="samvit_base_patch16", encoder_args=args, decoder="conv")


MODELS = {"cnn": cnn, "vit": vit, "sam": sam}


def first_step(classes: int = 2, **changes: Any) -> StepView:
    """Step 0 of a protocol that starts with ``classes`` classes."""
    new = tuple(range(1, classes + 1))
    values: dict[str, Any] = {"index": 0, "old_classes": (), "new_classes": new}
    return StepView(**({"iterations": 4, "setting": "overlapped"} | values | changes))


def later_step(old: int = 2, new: int = 1, **changes: Any) -> StepView:
    """A step with ``old`` old and ``new`` new classes."""
    seen = tuple(range(1, old + new + 1))
    values: dict[str, Any] = {"index": 1, "old_classes": seen[:old], "new_classes": seen[old:]}
    return StepView(**({"iterations": 4, "setting": "overlapped"} | values | changes))


def a_batch(classes: tuple[int, ...] = (0, 3), size: int = 2, seed: int = 0) -> Batch:
    """Random images; labels are patches of ``classes`` and of ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(size, 3, SIZE, SIZE, generator=generator)
    palette = torch.tensor([*classes, 255])
    coarse = palette[torch.randint(0, len(palette), (size, 8, 8), generator=generator)]
    return Batch(image, coarse.repeat_interleave(SIZE // 8, 1).repeat_interleave(SIZE // 8, 2))


def grown(model: SegModel, found: Method, classes: int = 1) -> tuple[SegModel, SegModel]:
    """Take a model from step 0 into step 1; return it and the previous model."""
    found.adapt(model, first_step())
    previous = copy.deepcopy(found.deploy(model)).eval().requires_grad_(False)
    model.grow(classes)
    found.adapt(model, later_step(new=classes))
    return model.train(), previous


def outputs_of(
    found: Method, model: SegModel, previous: SegModel | None, image: Tensor
) -> list[Output | None]:
    """Run student and, if needed, teacher as the harness does."""
    needs = found.needs - {"previous"}
    with torch.no_grad():
        teach = previous is not None and "previous" in found.needs
        before = previous(image, needs) if previous is not None and teach else None
    return [model(image, needs), before]


def terms_of(
    found: Method,
    model: SegModel,
    previous: SegModel | None,
    batch: Batch,
    step: StepView,
    state: State | None = None,
) -> Mapping[str, Tensor]:
    """Call ``loss`` once on freshly computed outputs."""
    output, before = outputs_of(found, model, previous, batch.image)
    assert output is not None
    return found.loss(model, output, before, batch, step, {} if state is None else state)


def pixels(*rows: list[float]) -> Tensor:
    """Return logits or features (1, C, 1, N) of N pixels given one after the other."""
    return torch.tensor(rows).t()[None, :, None, :].clone().requires_grad_()


def labels(*values: int) -> Tensor:
    """Return labels (1, 1, N)."""
    return torch.tensor(values)[None, None, :]


def with_gradient(model: SegModel) -> set[str]:
    """Return the names of parameters that received a gradient that is not 0 everywhere."""
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
