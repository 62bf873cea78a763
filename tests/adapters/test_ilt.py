import math

import pytest
import torch
from toys import (
    MODELS,
    a_batch,
    cnn,
    first_step,
    grown,
    labels,
    later_step,
    method,
    pixels,
    terms_of,
    with_gradient,
)

from benchmark.errors import MethodError
from benchmark.method import Batch, Output

ALL = "output+encoder+decoder+similarity"


def two_outputs() -> tuple[Output, Output]:
    """Two pixels; student and teacher differ everywhere."""
    logits = pixels([0.0, 0.0, 5.0], [0.0, math.log(3), 5.0])
    features, branch = pixels([1.0, 2.0], [3.0, 4.0]), pixels([1.0], [1.0])
    student = Output(logits, features, branches=(branch, branch))
    before = Output(
        pixels([0.0, math.log(3)], [0.0, 0.0]),
        pixels([1.0, 0.0], [0.0, 4.0]),
        branches=(pixels([0.0], [1.0]), pixels([1.0], [4.0])),
    )
    return student, before


def loss(spec: str, *target: int) -> dict[str, torch.Tensor]:
    student, before = two_outputs()
    batch = Batch(torch.zeros(1, 3, 1, 2), labels(*target))
    return dict(method(spec).loss(cnn(), student, before, batch, later_step(old=1), {}))


def test_terms_by_hand() -> None:
    terms = loss(f"ilt:scheme={ALL},decoder_weight=2,similarity_weight=3", 0, 2)
    first = -(0.25 * math.log(0.5) + 0.75 * math.log(0.5)) / 2
    second = -(0.5 * math.log(0.25) + 0.5 * math.log(0.75)) / 2
    assert terms["output_distillation"].item() == pytest.approx(100 * (first + second) / 2)
    assert terms["encoder_distillation"].item() == pytest.approx(100 * (0 + 4 + 9 + 0) / 4)
    assert terms["decoder_distillation"].item() == pytest.approx(2 * (0.5 + 4.5) / 2)
    assert terms["similarity_distillation"].item() == 0  # one image resembles itself


def test_masks_follow_the_visible_labels() -> None:
    spec = "ilt:scheme=output+encoder,output_mask=old_and_background,encoder_mask=old"
    terms = loss(spec, 0, 1)
    assert terms["output_distillation"].item() == pytest.approx(
        loss("ilt", 0, 1)["output_distillation"].item()
    )
    assert terms["encoder_distillation"].item() == pytest.approx(100 * 9 / 2)
    terms = loss(spec, 2, 0)
    second = -(0.5 * math.log(0.25) + 0.5 * math.log(0.75)) / 2
    assert terms["output_distillation"].item() == pytest.approx(100 * second)
    assert terms["encoder_distillation"].item() == 0
    assert loss(spec, 255, 255)["output_distillation"].item() == 0


@pytest.mark.parametrize("scheme", ["output", "encoder", "decoder", "similarity", "encoder+similarity", ALL])
def test_a_scheme_has_its_terms_and_no_others(scheme: str) -> None:
    found = method(f"ilt:scheme={scheme}")
    model, previous = grown(cnn(), found)
    terms = terms_of(found, model, previous, a_batch(), later_step())
    assert set(terms) == {"cross_entropy", *(f"{name}_distillation" for name in scheme.split("+"))}
    assert ("branches" in found.needs) == ("decoder" in scheme)
    for name in terms:
        assert terms[name].requires_grad


@pytest.mark.parametrize("scheme", ["", "outputs", "encoder+output", "output+output", "output,encoder"])
def test_a_scheme_that_does_not_exist_is_refused(scheme: str) -> None:
    with pytest.raises(MethodError, match="scheme"):
        method(f"ilt:scheme={scheme}")


@pytest.mark.parametrize("scheme", ["output+encoder", "similarity"])
def test_terms_on_a_frozen_encoder_are_refused(scheme: str) -> None:
    with pytest.raises(MethodError, match="frozen features cannot differ"):
        method(f"ilt:scheme={scheme},encoder=freeze")


@pytest.mark.parametrize("name", MODELS)
def test_a_frozen_encoder_is_trained_in_step_0_alone(name: str) -> None:
    found, model = method("ilt:scheme=output,encoder=freeze"), MODELS[name]()
    found.adapt(model, first_step())
    assert all(p.requires_grad for p in model.parameters())
    model, previous = grown(model, found)
    sum(terms_of(found, model, previous, a_batch((0, 1, 2, 3)), later_step()).values()).backward()
    assert with_gradient(model)
    assert not any(name.startswith("encoder.") for name in with_gradient(model))


def test_freezing_two_stages_leaves_the_other_two() -> None:
    found = method("ilt:encoder=freeze_first_two_stages")
    model, previous = grown(cnn(), found)
    sum(terms_of(found, model, previous, a_batch((0, 1, 2, 3)), later_step()).values()).backward()
    moved = {name.split(".")[2] for name in with_gradient(model) if name.startswith("encoder.")}
    assert moved == {"layer3", "layer4"}


def test_a_model_equal_to_its_teacher_feels_no_distillation() -> None:
    found = method(f"ilt:scheme={ALL}")
    model, previous = grown(cnn(), found)
    model.eval()
    terms = terms_of(found, model, previous, a_batch(), later_step())
    sum(term for name, term in terms.items() if name != "cross_entropy").backward()
    assert max(p.grad.abs().max().item() for p in model.parameters() if p.grad is not None) < 1e-4
