import copy
import math

import pytest
import torch
from toys import a_batch, cnn, first_step, grown, labels, later_step, method, pixels, terms_of

from benchmark.method import Batch, Output


def loss(
    spec: str, logits: torch.Tensor, previous: torch.Tensor | None, *target: int
) -> dict[str, torch.Tensor]:
    batch = Batch(torch.zeros(1, 3, 1, len(target)), labels(*target))
    teacher = None if previous is None else Output(previous, previous)
    step = later_step(old=1, new=1)
    return dict(method(spec).loss(cnn(), Output(logits, logits), teacher, batch, step, {}))


def test_terms_by_hand() -> None:
    # Student (1/6, 2/6, 3/6) over background, old, new; teacher (1/4, 3/4).
    logits = pixels([math.log(1), math.log(2), math.log(3)], [math.log(1), math.log(2), math.log(3)])
    teacher = pixels([math.log(1), math.log(3)], [math.log(1), math.log(3)])
    terms = loss("mib", logits, teacher, 0, 2)
    assert terms["unbiased_cross_entropy"].item() == pytest.approx((math.log(2) + math.log(2)) / 2)
    by_hand = -(0.25 * math.log(4 / 6) + 0.75 * math.log(2 / 6)) / 2
    assert terms["unbiased_distillation"].item() == pytest.approx(10 * by_hand)
    again = loss("mib:distillation=100", logits, teacher, 0, 2)
    assert again["unbiased_distillation"].item() == pytest.approx(100 * by_hand)


def test_without_distillation_no_teacher_is_asked_for() -> None:
    assert method("mib").needs == {"previous"}
    assert not method("mib:distillation=0").needs
    logits = pixels([0.0, 0.0, 0.0])
    assert set(loss("mib:distillation=0", logits, None, 0)) == {"unbiased_cross_entropy"}


def test_new_classes_share_the_background_of_the_old_model() -> None:
    found = method("mib")
    model, previous = grown(cnn().eval(), found, classes=2)
    image = a_batch().image
    new, old = model.eval()(image).logits.softmax(1), previous(image).logits.softmax(1)
    torch.testing.assert_close(new[:, 1:3], old[:, 1:])
    for channel in (0, 3, 4):
        torch.testing.assert_close(new[:, channel], old[:, 0] / 3)


def test_step_0_starts_as_it_is() -> None:
    model = cnn()
    before = copy.deepcopy(model.state_dict())
    method("mib").adapt(model, first_step())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_at_the_start_the_distillation_has_no_gradient() -> None:
    # The new classes' share of the background is what the unbiased loss puts back together.
    found = method("mib")
    model, previous = grown(cnn(), found)
    model.eval()
    terms_of(found, model, previous, a_batch(), later_step())["unbiased_distillation"].backward()
    assert max(p.grad.abs().max().item() for p in model.classifier.parameters()) < 1e-5
