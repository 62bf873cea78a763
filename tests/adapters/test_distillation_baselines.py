"""LwF, LwF-MC and CIL on two pixels, by hand."""

import math

import pytest
import torch
from toys import a_batch, cnn, first_step, grown, labels, later_step, method, pixels, terms_of

from benchmark.method import Batch, Output

LOG3 = math.log(3)


def loss(spec: str, *target: int, teacher: bool = True) -> dict[str, torch.Tensor]:
    """Student (1/5, 1/5, 3/5) twice; teacher (1/4, 3/4) and (1/2, 1/2)."""
    logits = pixels([0.0, 0.0, LOG3], [0.0, 0.0, LOG3])
    old = pixels([0.0, LOG3], [0.0, 0.0])
    batch = Batch(torch.zeros(1, 3, 1, 2), labels(*target))
    before = Output(old, old) if teacher else None
    step = later_step(old=1) if teacher else first_step(2)
    return dict(method(spec).loss(cnn(), Output(logits, logits), before, batch, step, {}))


def test_lwf() -> None:
    terms = loss("lwf", 0, 2)
    assert terms["cross_entropy"].item() == pytest.approx((math.log(5) + math.log(5 / 3)) / 2)
    # Softmax over the two old outputs alone: (1/2, 1/2).
    assert terms["output_distillation"].item() == pytest.approx(100 * math.log(2) / 2)
    assert loss("lwf:distillation=1", 0, 2)["output_distillation"].item() == pytest.approx(math.log(2) / 2)


def test_lwf_mc() -> None:
    def bce(logit: float, wanted: float) -> float:
        p = 1 / (1 + math.exp(-logit))
        return -(wanted * math.log(p) + (1 - wanted) * math.log(1 - p))

    first = bce(0, 0.5) + bce(0, 0.75) + bce(LOG3, 0)
    second = bce(0, 0.5) + bce(0, 0.5) + bce(LOG3, 1)
    assert loss("lwf_mc", 0, 2)["sigmoid_distillation"].item() == pytest.approx((first + second) / 2)
    assert loss("lwf_mc", 255, 2)["sigmoid_distillation"].item() == pytest.approx(second)
    base = loss("lwf_mc", 0, 2, teacher=False)["sigmoid_distillation"].item()
    zero, two = bce(0, 1) + bce(0, 0) + bce(LOG3, 0), bce(0, 0) + bce(0, 0) + bce(LOG3, 1)
    assert base == pytest.approx((zero + two) / 2)
    assert method("lwf_mc").own_base


def test_cil() -> None:
    terms = loss("cil", 0, 2)
    assert terms["cross_entropy"].item() == pytest.approx(math.log(5 / 3))
    bits = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    # Softmax over all three outputs: the old ones have 1/5 each.
    assert terms["entropy_weighted_distillation"].item() == pytest.approx((1 + bits) * math.log(5))
    # Neither a background pixel nor an old label nor an ignored pixel has a new label.
    both = loss("cil", 1, 255)
    assert both["cross_entropy"].item() == 0
    assert both["entropy_weighted_distillation"].item() == pytest.approx((1 + bits + 2) / 2 * math.log(5))
    assert loss("cil", 2, 2)["entropy_weighted_distillation"].item() == 0


@pytest.mark.parametrize("name", ["lwf", "lwf_mc", "cil"])
def test_all_parameters_are_trained_with_a_teacher(name: str) -> None:
    found = method(name)
    assert found.needs == {"previous"}
    model, previous = grown(cnn(), found)
    trained = {id(p) for group in found.adapt(model, later_step()) for p in group.params}
    assert trained == {id(p) for p in model.parameters()}
    sum(terms_of(found, model, previous, a_batch(), later_step()).values()).backward()
    assert all(p.grad is None for p in previous.parameters())


def test_a_model_equal_to_its_teacher_feels_no_lwf() -> None:
    found = method("lwf")
    model, previous = grown(cnn(), found)
    model.eval()
    terms_of(found, model, previous, a_batch(), later_step())["output_distillation"].backward()
    assert max(p.grad.abs().max().item() for p in model.parameters()) < 1e-5
