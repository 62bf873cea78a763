"""The presets that ship: each can be built, and is what its description and the papers say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.model import SegModel, build_model
from benchmark.preset import ModelPreset
from benchmark.protocols import load_preset, preset_files

VOC_OUTPUTS = 21
RANK = 32
NAMES = sorted(preset_files())


def skeleton(preset: ModelPreset) -> SegModel:
    with torch.device("meta"):
        return build_model(preset, VOC_OUTPUTS, load_weights=False)


def size(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def lora_size(model: SegModel) -> int:
    """Numbers in A (rank x D) and B (D x rank) on the query and the value of every block."""
    blocks = model.encoder.body.blocks
    return sum(2 * 2 * RANK * block.attn.proj.in_features for block in blocks)


def test_the_presets_people_are_promised_are_there() -> None:
    promised = {"deeplabv3-resnet101", "deeplabv3-resnet18", "vit-base", "vit-large", "vit-tiny"}
    assert promised | {"cnn-small-cpu", "vit-small-cpu"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_preset_can_be_built_and_run(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    model = skeleton(preset).eval()
    with torch.device("meta"), torch.no_grad():
        output = model(torch.empty(1, 3, preset.image_size, preset.image_size))
        other = model(torch.empty(1, 3, 75, 100))
    assert output.logits.shape == (1, VOC_OUTPUTS, preset.image_size, preset.image_size)
    assert other.logits.shape == (1, VOC_OUTPUTS, 75, 100)
    assert output.features.shape[1] == model.encoder.channels


def test_vit_large_is_the_network_of_the_clora_paper() -> None:
    preset = load_preset("vit-large")
    model = skeleton(preset)
    assert size(model) == 305_170_965
    assert size(model.encoder.body.neck) > 0  # SAM's neck counts to the encoder, which is frozen
    assert size(model.decoder) == 256 * 256 + 256
    assert size(model.classifier) == 256 * VOC_OUTPUTS + VOC_OUTPUTS
    assert lora_size(model) == 3_145_728
    assert lora_size(model) + size(model.decoder, model.classifier) == 3_216_917
    assert (preset.batch_size, preset.rate(0, 16), preset.rate(1, 5), preset.rate(1, 1)) == (
        6,
        0.04,
        0.005,
        0.001,
    )


def test_deeplab_is_the_network_of_the_field() -> None:
    preset = load_preset("deeplabv3-resnet101")
    model = skeleton(preset)
    aspp = 2048 * 256 * (1 + 3 * 9 + 1) + 5 * 256 * 256 + 6 * 2 * 256
    assert size(model.encoder) == 42_500_160  # ResNet-101 without its 2048 x 1000 + 1000 classification layer
    assert size(model.decoder) == aspp
    assert [branch[0].dilation[0] for branch in model.decoder.branches] == [1, 6, 12, 18]
    assert (preset.batch_size, preset.image_size, preset.rate(0, 16), preset.rate(1, 1)) == (
        24,
        512,
        0.01,
        0.001,
    )


def test_clora_trains_less_than_a_twentieth_of_the_small_transformer() -> None:
    model = skeleton(load_preset("vit-small-cpu"))
    assert model.encoder.channels == 384
    assert lora_size(model) + size(model.decoder, model.classifier) < 0.05 * size(model)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-cpu")])
def test_cpu_presets_ask_for_random_weights_and_start_differently(name: str) -> None:
    preset = load_preset(name)
    assert preset.pretrained == "random"
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(torch.cat([p.flatten() for p in build_model(preset, 5).parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
