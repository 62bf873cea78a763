import copy
import math

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from toys import (
    MODELS,
    SIZE,
    a_batch,
    cnn,
    first_step,
    grown,
    later_step,
    method,
    terms_of,
    vit,
    with_gradient,
)

from benchmark.errors import MethodError
from benchmark.model import SegModel, build_model
from benchmark.preset import ModelPreset


def count(model: nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trained)


def train(model: SegModel, spec: str, previous: SegModel, updates: int = 3) -> None:
    found = method(spec)
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for seed in range(updates):
        optimiser.zero_grad()
        batch = a_batch((0, 3), seed=seed)
        sum(terms_of(found, model, previous, batch, later_step()).values()).backward()
        optimiser.step()


@pytest.mark.parametrize("name", MODELS)
def test_lora_is_the_identity_at_its_start(name: str) -> None:
    model, image = MODELS[name]().eval(), a_batch().image
    before = model(image).logits
    method("clora:base=lora,rank=4").adapt(model, first_step())
    torch.testing.assert_close(model(image).logits, before, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_only_lora_decoder_and_classifier_are_trained(name: str) -> None:
    found = method("clora:rank=4")
    model, previous = grown(MODELS[name](), found)
    before = copy.deepcopy(model.state_dict())
    train(model, "clora:rank=4", previous)
    moved = {key for key, value in model.named_parameters() if not torch.equal(before[key], value)}
    assert all("lora_" in key for key in moved if key.startswith("encoder."))
    assert any("lora_A" in key for key in moved)
    assert {key.split(".")[0] for key in moved} == {"encoder", "decoder", "classifier"}


@pytest.mark.parametrize("name", ["vit", "sam"])
def test_query_and_value_are_updated_and_the_key_is_not(name: str) -> None:
    model = MODELS[name]()
    attention = model.encoder.body.blocks[1].attn
    fused = attention.qkv.weight.detach().clone()
    found = method("clora:rank=4")
    model, previous = grown(model, found)
    train(model, "clora:rank=4", previous)
    change = (found.deploy(model).encoder.body.blocks[1].attn.qkv.weight - fused).chunk(3)
    assert change[0].abs().max() > 1e-6
    assert change[1].abs().max() == 0
    assert change[2].abs().max() > 1e-6
    assert torch.linalg.matrix_rank(change[0], atol=1e-6) <= 4


@pytest.mark.parametrize("name", MODELS)
def test_the_deployed_copy_says_the_same_with_no_parameter_more(name: str) -> None:
    found, plain = method("clora:rank=4"), MODELS[name]()
    plain.grow(1)
    model, previous = grown(MODELS[name](), found)
    train(model, "clora:rank=4", previous)
    model.eval()
    before = copy.deepcopy(model.state_dict())
    shipped, image = found.deploy(model), a_batch(size=4).image
    assert count(shipped) == count(plain)
    assert shipped.state_dict().keys() == plain.state_dict().keys()
    assert not any(isinstance(module, LoraLayer) for module in shipped.modules())
    assert (shipped(image).logits - model(image).logits).abs().max() < 1e-4
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not {p.data_ptr() for p in shipped.parameters()} & {p.data_ptr() for p in model.parameters()}


def test_before_lora_exists_the_model_itself_ships() -> None:
    model, found = vit(), method("clora")
    found.adapt(model, first_step())
    assert found.deploy(model) is model


@pytest.mark.parametrize(
    ("base", "weights", "expected"),
    [
        ("auto", "random", "full"),
        ("auto", "pretrained", "lora"),
        ("full", "pretrained", "full"),
        ("lora", "random", "lora"),
    ],
)
def test_how_step_0_is_trained(base: str, weights: str, expected: str) -> None:
    found, model = method(f"clora:base={base},rank=4"), vit()
    step = first_step(weights=weights)
    found.adapt(model, step)
    assert found.resolved(step)["base"] == expected
    assert all(p.requires_grad for p in model.parameters()) == (expected == "full")
    assert any(isinstance(module, LoraLayer) for module in model.modules()) == (expected == "lora")
    terms = terms_of(found, model, None, a_batch((0, 1, 2)), step)
    assert set(terms) == {"cross_entropy"}


def test_the_same_lora_is_kept_from_step_to_step() -> None:
    found = method("clora:rank=4")
    model, previous = grown(vit(), found)
    train(model, "clora:rank=4", previous)
    layers = [m for m in model.modules() if isinstance(m, LoraLayer)]
    before = copy.deepcopy(model.encoder.state_dict())
    model.grow(1)
    found.adapt(model, later_step(old=3, index=2))
    assert layers == [m for m in model.modules() if isinstance(m, LoraLayer)]
    assert all(torch.equal(before[key], value) for key, value in model.encoder.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_reinit_merges_and_starts_a_new_lora(name: str) -> None:
    found = method("clora:rank=4,reinit=true")
    model, previous = grown(MODELS[name](), found)
    train(model, "clora:rank=4,reinit=true", previous)
    model.eval()
    image = a_batch().image
    before, names = model.encoder(image).features, list(model.state_dict())
    learnt = [m.lora_B["default"].weight.abs().max() for m in model.modules() if isinstance(m, LoraLayer)]
    assert min(learnt) > 0
    found.adapt(model, later_step(index=2))
    torch.testing.assert_close(model.encoder(image).features, before, atol=1e-4, rtol=0)
    assert list(model.state_dict()) == names
    for layer in (m for m in model.modules() if isinstance(m, LoraLayer)):
        assert not layer.merged
        assert layer.lora_B["default"].weight.abs().max() == 0
        assert layer.lora_A["default"].weight.std().item() == pytest.approx(1 / 4, rel=0.5)


def test_adapting_again_rebuilds_what_a_checkpoint_fits() -> None:
    found = method("clora:rank=4,reinit=true")
    model, previous = grown(vit(), found)
    train(model, "clora:rank=4,reinit=true", previous)
    again, _ = grown(vit(), found)
    again.load_state_dict(model.state_dict())
    image = a_batch().image
    assert torch.equal(again.eval()(image).logits, model.eval()(image).logits)


def test_lora_on_convolutions_dilates_with_them_and_skips_groups() -> None:
    model = cnn()
    grouped = model.encoder.body.layer1[0].conv1
    model.encoder.body.layer1[0].conv1 = nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False)
    method("clora:base=lora,rank=4").adapt(model, first_step())
    layers = [m for m in model.encoder.modules() if isinstance(m, LoraLayer)]
    assert len(layers) == sum(isinstance(m, nn.Conv2d) for m in cnn().encoder.modules()) - 1
    for layer in layers:
        base, down = layer.get_base_layer(), layer.lora_A["default"]
        assert (down.dilation, down.stride, down.padding) == (base.dilation, base.stride, base.padding)
    assert max(layer.get_base_layer().dilation[0] for layer in layers) > 1
    assert grouped.groups == 1


def test_a_frozen_encoder_keeps_its_batch_statistics() -> None:
    found = method("clora:rank=4")
    model, previous = grown(cnn(), found)
    before = {key: value.clone() for key, value in model.encoder.named_buffers()}
    train(model, "clora:rank=4", previous)
    assert all(torch.equal(before[key], value) for key, value in model.encoder.named_buffers())


@pytest.mark.parametrize("rank", [8, 128])
def test_rank_decides_the_size(rank: int) -> None:
    found = method(f"clora:rank={rank}")
    model, _ = grown(vit(), found)
    encoder = sum(p.numel() for p in model.encoder.parameters() if p.requires_grad)
    assert encoder == 4 * 2 * rank * (24 + 24)


def test_the_paper_s_counts() -> None:
    preset = ModelPreset(
        "paper", "", "samvit_large_patch16", "random", "conv", image_size=512, batch_size=6,
        learning_rate=0.04, learning_rate_later=0.001, encoder_args={"img_size": 512},
    )  # fmt: skip
    with torch.device("meta"):
        model = build_model(preset, 21, load_weights=False)
        deployed = count(model)
        method("clora:base=lora").adapt(model, first_step(20))
    assert round(deployed / 1e6, 2) == 305.17
    assert round(count(model) / 1e6, 2) == 308.32
    assert round(count(model, trained=True) / 1e6, 3) == 3.217
    assert round(100 * count(model, trained=True) / deployed, 3) == 1.054


@pytest.mark.parametrize("spec", ["clora:on=clora", "clora:on=lwf", "clora:rank=0", "clora:base=half"])
def test_nonsense_is_refused(spec: str) -> None:
    with pytest.raises(MethodError):
        method(spec)


def test_the_frozen_encoder_stores_no_weight_gradients() -> None:
    found = method("clora:rank=4")
    model, previous = grown(vit(), found)
    sum(terms_of(found, model, previous, a_batch(), later_step()).values()).backward()
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    assert not any("lora_A" in key for key in with_gradient(model))  # B is zero
    assert math.prod(model(torch.zeros(1, 3, SIZE, SIZE)).logits.shape) == 4 * SIZE * SIZE


def test_attention_that_cannot_be_split_is_not_taken_for_a_convolutional_network() -> None:
    model = vit()
    for block in model.encoder.body.blocks:
        block.attn.q_proj, block.attn.qkv = block.attn.qkv, None
    with pytest.raises(ValueError, match="fused qkv"):
        method("clora:base=lora").adapt(model, first_step())
