"""The network: shapes, what is computed, growth, the start from the background, frozen norms, any size."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from toy_models import CNN, SAM, VIT, built, images

from benchmark.errors import ProtocolError
from benchmark.model import build_model, initialise_from_background
from benchmark.preset import ModelPreset

PRESETS = pytest.mark.parametrize("preset", [CNN, VIT, SAM], ids=lambda preset: preset.name)
ALL = frozenset({"stages", "branches"})


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("preset", "features", "stages", "branches"),
    [
        (CNN, (32, 4, 4), [(8, 8, 8), (16, 4, 4), (24, 4, 4), (32, 4, 4)], [(12, 4, 4)] * 4),
        (VIT, (24, 4, 4), [(24, 4, 4)] * 4, [(12, 4, 4)]),
        (SAM, (20, 4, 4), [(24, 4, 4)] * 4, [(12, 4, 4)]),
    ],
    ids=["cnn", "vit", "sam"],
)
def test_output_has_the_documented_shapes(
    preset: ModelPreset,
    features: tuple[int, ...],
    stages: list[tuple[int, ...]],
    branches: list[tuple[int, ...]],
) -> None:
    output = built(preset)(images(), ALL)
    assert output.logits.shape == (2, 4, 32, 32)
    assert output.features.shape == (2, *features)
    assert [stage.shape[1:] for stage in output.stages] == stages
    assert [branch.shape[1:] for branch in output.branches] == branches


@PRESETS
def test_stages_and_branches_come_only_when_needed_and_change_nothing_else(preset: ModelPreset) -> None:
    model = built(preset)
    plain, full = model(images()), model(images(), ALL)
    assert plain.stages == plain.branches == ()
    assert model(images(), frozenset({"previous"})).stages == ()
    torch.testing.assert_close(plain.logits, full.logits, rtol=0, atol=0)
    torch.testing.assert_close(plain.features, full.features, rtol=0, atol=0)


@PRESETS
@pytest.mark.parametrize("needs", [frozenset(), ALL], ids=["nothing", "all"])
def test_every_module_runs_at_most_once(preset: ModelPreset, needs: frozenset[str]) -> None:
    model = built(preset)
    calls: dict[str, int] = {}

    def counter(name: str) -> Callable[..., None]:
        return lambda *_: calls.update({name: calls.get(name, 0) + 1})

    for name, module in model.named_modules():
        if not list(module.children()) and list(module.parameters()):
            module.register_forward_hook(counter(name))
    model(images(), needs)
    assert len(calls) > 10
    assert set(calls.values()) == {1}


def test_features_are_what_the_transformer_itself_calls_its_output() -> None:
    model = built(VIT)
    tokens = model.encoder.body.forward_features(images())  # (B, 1 + 16, D), class token first
    features = model(images()).features
    for row in range(4):
        for column in range(4):
            assert torch.equal(features[:, :, row, column], tokens[:, 1 + 4 * row + column])


@PRESETS
def test_features_are_the_output_of_the_last_stage(preset: ModelPreset) -> None:
    model = built(preset)
    output = model(images(), ALL)
    last = output.stages[-1]
    if preset is VIT:
        last = model.encoder.body.norm(last.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    if preset is SAM:
        last = model.encoder.body.neck(last)
    torch.testing.assert_close(output.features, last)


def test_transformer_stages_are_four_even_runs_of_blocks() -> None:
    for depth, ends in ((8, (1, 3, 5, 7)), (5, (1, 2, 3, 4)), (3, (0, 1, 2))):
        preset = replace(VIT, encoder_args=VIT.encoder_args | {"depth": depth})
        assert build_model(preset, 2).encoder.ends == ends


@PRESETS
def test_stage_parameters_are_those_each_stage_adds(preset: ModelPreset) -> None:
    model = built(preset)
    groups = model.encoder.stage_parameters()
    assert [id(p) for group in groups for p in group] == [id(p) for p in model.encoder.parameters()]
    stages = model.encoder(images(), stages=True).stages
    for index, stage in enumerate(stages):
        model.zero_grad()
        stage.square().sum().backward(retain_graph=True)
        reached = {id(p) for p in model.parameters() if p.grad is not None}
        expected = {id(p) for group in groups[: index + 2] for p in group}
        behind = {id(p) for name in ("norm", "neck") for p in _parameters(model.encoder.body, name)}
        assert reached == expected - behind


def _parameters(module: nn.Module, name: str) -> list[nn.Parameter]:
    return list(getattr(module, name).parameters()) if hasattr(module, name) else []


@PRESETS
def test_every_parameter_is_used(preset: ModelPreset) -> None:
    model = built(preset).train()
    model(images(48, 40)).logits.square().sum().backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert unused == []


def test_aspp_doubles_its_rates_at_output_stride_8() -> None:
    for stride, rates in ((8, [1, 2, 4]), (16, [1, 1, 2])):
        model = build_model(replace(CNN, output_stride=stride), 2)
        assert [branch[0].dilation[0] for branch in model.decoder.branches] == rates


def test_aspp_against_its_formula() -> None:
    decoder = built(CNN).decoder
    features = torch.randn(2, 32, 5, 6)

    def unit(block: nn.Module, x: Tensor, rate: int) -> Tensor:
        weight, norm = block[0].weight, block[1]
        y = F.conv2d(x, weight, padding=rate if weight.shape[-1] == 3 else 0, dilation=rate)
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        return (y * scale[:, None, None] + shift[:, None, None]).clamp(min=0)

    pooled = unit(decoder.pooled, features.flatten(2).mean(-1)[..., None, None], 1).repeat(1, 1, 5, 6)
    parts = [unit(branch, features, rate) for branch, rate in zip(decoder.branches, (1, 2, 4), strict=True)]
    expected = unit(decoder.project, torch.cat([*parts, pooled], 1), 1)
    decoded = decoder(features)
    torch.testing.assert_close(decoded.fused, expected)
    for branch, part in zip(decoded.branches, [*parts, pooled], strict=True):
        torch.testing.assert_close(branch, part)


def test_random_weights_are_timms_own_from_the_global_stream() -> None:
    torch.manual_seed(7)
    expected = timm.create_model("resnet10t", num_classes=0, output_stride=8, **CNN.encoder_args)
    torch.manual_seed(7)
    body = build_model(CNN, 3).encoder.body
    assert all(torch.equal(value, body.state_dict()[key]) for key, value in expected.state_dict().items())


@PRESETS
def test_what_is_known_of_a_network_changes_nothing_of_the_next(
    preset: ModelPreset, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[str, object] = {}
    monkeypatch.setattr("benchmark.encoder._SETTLED", known)
    models = []
    for _ in range(2):  # looked at and built; built from what is known
        torch.manual_seed(7)
        models.append((build_model(preset, 3), torch.rand(())))
    (first, drawn), (second, drawn_later) = models
    assert drawn == drawn_later
    assert first.state_dict().keys() == second.state_dict().keys()
    assert all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())
    assert len(known) == 1
    build_model(replace(preset, image_size=2 * preset.image_size), 3)  # another network, looked at anew
    assert len(known) == 2
    with pytest.raises(ProtocolError, match=r"known-once.*timm cannot build"):
        build_model(replace(preset, name="known-once", encoder_args=preset.encoder_args | {"no_such": 1}), 3)


# --- growth -----------------------------------------------------------------------------------------------


@PRESETS
def test_growing_keeps_old_parameters_and_old_logits(preset: ModelPreset) -> None:
    model = built(preset)
    before, parameters = model(images()).logits, list(model.parameters())
    model.grow(3)
    model.grow(1)
    after = model(images()).logits
    assert model.outputs == after.shape[1] == 8
    assert [block.out_channels for block in model.classifier.blocks] == [4, 3, 1]
    assert {id(p) for p in parameters} <= {id(p) for p in model.parameters()}
    torch.testing.assert_close(after[:, :4], before)


def test_classifier_is_its_blocks_side_by_side() -> None:
    classifier = built(CNN).classifier
    classifier.grow(2)
    features = torch.randn(2, 12, 3, 5)
    expected = torch.cat([block(features) for block in classifier.blocks], dim=1)
    torch.testing.assert_close(classifier(features), expected)


def test_new_classes_are_drawn_from_the_global_stream() -> None:
    weights = []
    for seed in (5, 5, 6):
        model = built(CNN)
        torch.manual_seed(seed)
        model.grow(2)
        weights.append(model.classifier.blocks[-1].weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("training", [True, False])
def test_new_classes_take_over_mode_and_type(training: bool) -> None:
    model = built(CNN).double().train(training)
    model.grow(2)
    assert model.classifier.blocks[-1].training is training
    assert model(images().double()).logits.dtype == torch.float64


def test_a_grown_model_can_be_saved_loaded_and_copied() -> None:
    model = built(CNN)
    model.grow(3)
    other = built(CNN, seed=9)
    other.grow(3)
    assert not torch.equal(other(images()).logits, model(images()).logits)
    other.load_state_dict(model.state_dict())
    twin = copy.deepcopy(model)
    expected = model(images()).logits
    assert torch.equal(other(images()).logits, expected)
    assert torch.equal(twin(images()).logits, expected)
    twin.grow(1)
    assert (model.outputs, twin.outputs) == (7, 8)


def test_initialise_from_background_by_hand() -> None:
    model = built(CNN, outputs=2)
    model.grow(3)
    first, newest = model.classifier.blocks
    first.bias.data = torch.tensor([0.5, -1.0])
    weight = first.weight.detach().clone()
    initialise_from_background(model)
    assert torch.equal(first.weight, weight)
    assert all(torch.equal(row, weight[0]) for row in newest.weight)
    shared = 0.5 - math.log(4)  # background and three new classes
    torch.testing.assert_close(first.bias, torch.tensor([shared, -1.0]))
    torch.testing.assert_close(newest.bias, torch.full((3,), shared))
    assert first.bias.requires_grad
    assert newest.weight.requires_grad


@PRESETS
def test_new_classes_share_what_background_had(preset: ModelPreset) -> None:
    model = built(preset).double()
    model.grow(2)
    before = model(images().double()).logits.softmax(1)
    model.grow(3)
    initialise_from_background(model)
    after = model(images().double()).logits.softmax(1)
    torch.testing.assert_close(after[:, [0, 6, 7, 8]].sum(1), before[:, 0])
    torch.testing.assert_close(after[:, 1:6], before[:, 1:])
    torch.testing.assert_close(after[:, 6], after[:, 0])


def test_there_is_nothing_to_initialise_before_the_first_growth() -> None:
    with pytest.raises(ValueError, match="has not grown"):
        initialise_from_background(built(CNN))


# --- normalisation ----------------------------------------------------------------------------------------


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]


def test_frozen_batch_norm_stays_in_eval_mode() -> None:
    model = built(CNN)
    model.encoder.requires_grad_(False)
    model.train()
    assert not any(norm.training for norm in norms(model.encoder))
    assert all(norm.training for norm in norms(model.decoder))
    before = [norm.running_mean.clone() for norm in norms(model)]
    model(images())
    moved = [not torch.equal(a, b.running_mean) for a, b in zip(before, norms(model), strict=True)]
    encoder = len(norms(model.encoder))
    assert moved == [False] * encoder + [True] * (len(moved) - encoder)
    model.encoder.requires_grad_(True)
    assert all(norm.training for norm in norms(model.train()))
    assert not any(module.training for module in model.eval().modules())


def test_a_batch_of_one_trains_and_leaves_the_pooled_statistics_alone() -> None:
    model = built(CNN).train()
    pooled = model.decoder.pooled[1]
    before = (pooled.running_mean.clone(), pooled.running_var.clone())
    model(images(count=1)).logits.square().sum().backward()
    assert torch.equal(pooled.running_mean, before[0])
    assert torch.equal(pooled.running_var, before[1])
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model(images(count=2))
    assert not torch.equal(pooled.running_mean, before[0])


def test_pooled_norm_of_one_image_uses_the_running_statistics() -> None:
    pooled = built(CNN).train().decoder.pooled[1]
    x = torch.randn(1, 12, 1, 1)
    expected = (x[0, :, 0, 0] - pooled.running_mean) / torch.sqrt(pooled.running_var + pooled.eps)
    torch.testing.assert_close(pooled(x)[0, :, 0, 0], expected * pooled.weight + pooled.bias)
    two = torch.randn(2, 12, 1, 1)
    reference = nn.BatchNorm2d(12)
    reference.load_state_dict(pooled.state_dict())
    torch.testing.assert_close(pooled(two), reference(two))


# --- sizes ------------------------------------------------------------------------------------------------


@PRESETS
@pytest.mark.parametrize("size", [(32, 32), (40, 24), (37, 50), (9, 100), (5, 3)], ids=str)
def test_any_size_gives_logits_of_that_size(preset: ModelPreset, size: tuple[int, int]) -> None:
    height, width = size
    model = built(preset)
    output = model(images(height, width))
    assert output.logits.shape == (2, 4, height, width)
    assert output.features.shape[2:] == (math.ceil(height / 8), math.ceil(width / 8))
    padded = F.pad(images(height, width), (0, -width % 8, 0, -height % 8))
    expected = model(padded).logits[..., :height, :width]
    torch.testing.assert_close(output.logits, expected, rtol=0, atol=0)


@PRESETS
def test_logits_are_the_scores_enlarged_bilinearly(preset: ModelPreset) -> None:
    model = built(preset)
    output = model(images(), ALL)
    scores = model.classifier(model.decoder(output.features).fused)
    expected = F.interpolate(scores, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(output.logits, expected)


def test_position_embedding_follows_the_image() -> None:
    """A larger image is seen as by a model built for its size, with the embedding resampled to it."""
    model, larger = built(VIT), built(replace(VIT, image_size=64))
    state = model.encoder.body.state_dict()
    state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], [8, 8])
    larger.encoder.body.load_state_dict(state)
    torch.testing.assert_close(model(images(64, 64)).features, larger(images(64, 64)).features)


@PRESETS
def test_mixed_precision_gives_float32_logits(preset: ModelPreset) -> None:
    model = built(preset)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(images()).logits
    assert logits.dtype == torch.float32
    reference = model(images()).logits
    assert (logits - reference).norm() < 0.05 * reference.norm()


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "resnet10x"}, r"unknown encoder 'resnet10x'; did you mean 'resnet10t'\?"),
        ({"encoder": "resnet18.tv_in1k"}, "unknown encoder 'resnet18.tv_in1k'"),
        ({"encoder": "mobilenetv3_small_100", "encoder_args": {}}, "has output stride 32, expected 8"),
        ({"encoder": "vgg11", "encoder_args": {}}, r"timm cannot build vgg11 with .*output_stride.: 8"),
        ({"encoder_args": {"blocks": 3}}, "timm cannot build resnet10t with .*blocks"),
        (
            {"encoder": "vit_tiny_patch16_224", "encoder_args": {"depth": 1}},
            "has output stride 16, expected 8",
        ),
    ],
)
def test_encoders_that_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        build_model(replace(CNN, **change), 2)


def test_a_transformer_needs_whole_patches() -> None:
    with pytest.raises(ProtocolError, match="multiple of 8, got 30"):
        build_model(replace(VIT, image_size=30), 2)


@pytest.mark.parametrize(
    ("encoder", "convolutional", "size"),
    [
        ("convnext_atto", True, (50, 70)),
        ("efficientnet_lite0", True, (50, 70)),
        ("swin_tiny_patch4_window7_224", False, (64, 64)),
    ],
)
def test_other_families_of_encoders(encoder: str, convolutional: bool, size: tuple[int, int]) -> None:
    preset = replace(CNN, encoder=encoder, encoder_args={}, output_stride=None, image_size=64)
    with torch.device("meta"):
        model = build_model(preset, 3, load_weights=False)
        output = model(torch.empty(2, 3, *size), ALL)
    assert model.is_convolutional is convolutional
    assert output.logits.shape == (2, 3, *size)
    assert len(output.stages) == 4
