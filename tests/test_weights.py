"""Pretrained weights: what is loaded is what the file holds, and what is absent is never made up."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from toy_models import CNN, SAM, VIT, built, images

from benchmark import weights
from benchmark.errors import DataError, ProtocolError
from benchmark.model import build_model
from benchmark.preset import ModelPreset

BODY_ARGS = {
    "toy-cnn": {"output_stride": 8},
    "toy-vit": {"img_size": 32, "dynamic_img_size": True},
    "toy-sam": {"img_size": 32},
}


def saved(preset: ModelPreset, folder: Path, **arguments: Any) -> tuple[ModelPreset, nn.Module]:
    """Save a timm model as a file; return the preset that names it, and the model."""
    torch.manual_seed(3)
    source = timm.create_model(
        preset.encoder, **(BODY_ARGS[preset.name] | preset.encoder_args | arguments)
    ).eval()
    for parameter in source.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return named(preset, folder, source.state_dict()), source


def named(preset: ModelPreset, folder: Path, state: dict[str, torch.Tensor]) -> ModelPreset:
    path = folder / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(preset, pretrained=str(path), sha256=digest)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the hub's client at a cache without files, and at a hub that is not there."""
    monkeypatch.setattr(weights.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(weights.constants, "ENDPOINT", "http://localhost:9")
    return tmp_path / "hub"


@pytest.mark.parametrize("preset", [CNN, VIT, SAM], ids=lambda preset: preset.name)
@pytest.mark.parametrize("classes", [0, 7], ids=["without head", "with head"])
def test_a_file_gives_the_encoder_it_holds(preset: ModelPreset, classes: int, tmp_path: Path) -> None:
    preset, source = saved(preset, tmp_path, num_classes=classes)
    encoder = build_model(preset, 3).eval().encoder
    kept, state = encoder.body.state_dict(), source.state_dict()
    assert kept
    assert all(torch.equal(value, state[key]) for key, value in kept.items())
    torch.testing.assert_close(encoder(images()).features, _features(source))


def _features(source: nn.Module) -> torch.Tensor:
    features = source.forward_features(images())
    return features if features.ndim == 4 else features[:, 1:].transpose(1, 2).reshape(2, -1, 4, 4)


def test_weights_are_left_alone_when_not_asked_for(tmp_path: Path) -> None:
    preset, source = saved(CNN, tmp_path)
    weight = build_model(preset, 3, load_weights=False).encoder.body.conv1[0].weight
    assert not torch.equal(weight, source.conv1[0].weight)


@pytest.mark.parametrize("preset", [VIT, SAM], ids=lambda preset: preset.name)
def test_position_embeddings_of_another_size_are_resampled(preset: ModelPreset, tmp_path: Path) -> None:
    """The model built for 32 pixels sees an image of 32 pixels as the one built for 64 does."""
    preset, source = saved(preset, tmp_path, img_size=64)
    model = build_model(preset, 3).eval()
    bound = {key: value.shape for key, value in model.encoder.body.state_dict().items() if "pos" in key}
    assert bound == {
        key: value.shape
        for key, value in built(replace(preset, pretrained="random")).encoder.body.state_dict().items()
        if "pos" in key
    }
    torch.testing.assert_close(model.encoder(images()).features, _features(source))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    preset, source = saved(CNN, tmp_path)
    state = {key: value for key, value in source.state_dict().items() if key != "layer2.0.conv1.weight"}
    with pytest.raises(DataError, match=r"do not fit resnet10t: .*Missing.*layer2\.0\.conv1\.weight"):
        build_model(named(preset, tmp_path, state), 3)


def test_weights_of_another_shape_or_encoder_are_refused(tmp_path: Path) -> None:
    preset, _ = saved(CNN, tmp_path)
    with pytest.raises(DataError, match="size mismatch"):
        build_model(replace(preset, encoder_args=CNN.encoder_args | {"channels": [8, 16, 24, 40]}), 3)
    with pytest.raises(DataError, match="do not fit vit_tiny_patch16_224"):
        build_model(replace(VIT, pretrained=preset.pretrained, sha256=preset.sha256), 3)


def test_a_file_must_be_there_whole_and_the_one_that_is_named(tmp_path: Path) -> None:
    preset, _ = saved(CNN, tmp_path)
    with pytest.raises(ProtocolError, match="need their digest in 'sha256'"):
        build_model(replace(preset, sha256=None), 3)
    with pytest.raises(DataError, match=f"has SHA-256 {preset.sha256}, expected {'0' * 64}"):
        build_model(replace(preset, sha256="0" * 64), 3)
    with pytest.raises(DataError, match=r"absent\.safetensors does not exist"):
        build_model(replace(preset, pretrained=str(tmp_path / "absent.safetensors")), 3)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(Path(preset.pretrained).read_bytes()[:1000])
    digest = hashlib.sha256(broken.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="is not a safetensors file"):
        build_model(replace(preset, pretrained=str(broken), sha256=digest), 3)


def test_an_unknown_tag_lists_those_there_are() -> None:
    preset = replace(CNN, encoder="resnet18", encoder_args={}, pretrained="tv_in2k")
    with pytest.raises(ProtocolError, match=r"did you mean 'tv_in1k'.*random.*local \.safetensors file"):
        build_model(preset, 3, load_weights=False)


@pytest.mark.parametrize("offline", [True, False], ids=["offline", "no network"])
def test_weights_that_cannot_be_had_are_one_quick_sentence(
    offline: bool, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights.constants, "HF_HUB_OFFLINE", offline)
    preset = replace(CNN, encoder="resnet18", encoder_args={}, pretrained="tv_in1k")
    with pytest.raises(DataError) as caught:
        build_model(preset, 3)
    message = str(caught.value)
    assert "\n" not in message
    assert str(empty_cache) in message
    for part in ("'toy-cnn'", "'tv_in1k' of resnet18", "local .safetensors file"):
        assert part in message


def test_what_the_hub_refuses_is_told(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> nn.Module:
        raise ConnectionError("404 Client\nError")

    monkeypatch.setattr(weights.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weights, "_answers", lambda address: True)
    monkeypatch.setattr(weights.timm, "create_model", refuse)
    preset = replace(CNN, encoder="resnet18", encoder_args={}, pretrained="tv_in1k")
    with pytest.raises(DataError, match=r"are not to be had \(404 Client Error\); fetch them"):
        weights.load_body(preset, {}, timm.models.resnet18())


def test_cached_weights_need_no_network(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset, source = saved(replace(CNN, encoder="resnet18", encoder_args={}), tmp_path, num_classes=1000)
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda name, file, **_: preset.pretrained)
    monkeypatch.setattr(weights, "_answers", lambda address: pytest.fail("asked the network"))
    body = build_model(replace(preset, pretrained="tv_in1k", sha256=None), 3).encoder.body
    assert torch.equal(body.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert load_file(preset.pretrained)["fc.weight"].shape == (1000, 512)
    assert not any(key.startswith("fc") for key in body.state_dict())
