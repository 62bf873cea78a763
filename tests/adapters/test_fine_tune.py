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

from benchmark.method import Batch, Output


def test_the_loss_is_the_mean_cross_entropy_of_labelled_pixels() -> None:
    logits = pixels([0.0, 0.0], [math.log(3), 0.0], [9.0, 0.0])
    batch = Batch(torch.zeros(1, 3, 1, 3), labels(0, 1, 255))
    output = Output(logits, logits)
    terms = method("fine_tune").loss(cnn(), output, None, batch, first_step(1), {})
    assert set(terms) == {"cross_entropy"}
    assert terms["cross_entropy"].item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_it_needs_no_teacher_and_shares_step_0() -> None:
    found = method("fine_tune")
    assert not found.needs
    assert not found.own_base


@pytest.mark.parametrize("name", MODELS)
def test_everything_is_trained(name: str) -> None:
    found = method("fine_tune")
    model, previous = grown(MODELS[name](), found)
    groups = found.adapt(model, later_step())
    assert {id(p) for group in groups for p in group.params} == {id(p) for p in model.parameters()}
    sum(terms_of(found, model, previous, a_batch((0, 1, 2, 3)), later_step()).values()).backward()
    untouched = {name for name, _ in model.named_parameters()} - with_gradient(model)
    # A key's bias shifts all scores of a query alike; the softmax takes it out again.
    assert not {name for name in untouched if "qkv.bias" not in name}
