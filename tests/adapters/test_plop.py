import copy
import math

import pytest
import torch
from toys import a_batch, cnn, first_step, grown, labels, later_step, method, pixels, terms_of, vit

from benchmark.method import Batch, Output, State


def entropies(logits: torch.Tensor) -> torch.Tensor:
    p = logits.softmax(1)
    return -(p * p.log()).sum(1) / math.log(logits.shape[1])


def test_thresholds_are_the_medians_of_each_class_over_background() -> None:
    found = method("plop")
    model, previous = grown(cnn(), found)
    batches = [a_batch((0, 3), seed=seed) for seed in range(4)]
    state: State = {}
    with torch.no_grad():
        found.prepare(model, previous, batches, later_step(), state)
        logits = torch.cat([previous(batch.image).logits for batch in batches])
    background = torch.cat([batch.target for batch in batches]) == 0
    for name in range(3):
        values = entropies(logits)[background & (logits.argmax(1) == name)]
        wanted = values.sort().values[len(values) // 2].item() if len(values) else 0.0
        assert state["plop.thresholds"][name].item() == pytest.approx(wanted, rel=2e-3)
    assert set(state) == {"plop.thresholds"}


def test_step_0_needs_no_threshold() -> None:
    state: State = {}
    method("plop").prepare(cnn(), None, [a_batch()], first_step(), state)
    assert not state


def loss(spec: str, target: list[int]) -> tuple[dict[str, torch.Tensor], Output, Output]:
    """Three pixels: the teacher is sure of class 1 at the first, unsure of it at the second."""
    old = pixels([0.0, 9.0], [0.0, 0.1], [9.0, 0.0])
    logits = pixels([1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 3.0])
    maps = [pixels([1.0], [2.0], [3.0]), pixels([0.0], [0.0], [1.0])]
    student = Output(logits, pixels([1.0], [1.0], [1.0]), (maps[0], maps[0]))
    before = Output(old, student.features, (maps[1], maps[0]))
    batch = Batch(torch.zeros(1, 3, 1, 3), labels(*target))
    state = {"plop.thresholds": torch.tensor([0.5, 0.5])}
    terms = dict(method(spec).loss(cnn(), student, before, batch, later_step(old=1), state))
    return terms, student, before


def test_pseudo_labels_by_hand() -> None:
    terms, student, _ = loss("plop", [0, 0, 2])
    log_p = student.logits.log_softmax(1)[0, :, 0]
    # Pixel 0 is class 1, pixel 1 nothing, pixel 2 its label; half of the background was kept.
    by_hand = -(log_p[1, 0] + log_p[2, 2]) / 3 / 2
    assert terms["pseudo_label_cross_entropy"].item() == pytest.approx(by_hand.item())


def test_an_image_without_background_counts_in_full() -> None:
    terms, student, _ = loss("plop", [2, 2, 255])
    log_p = student.logits.log_softmax(1)[0, :, 0]
    assert terms["pseudo_label_cross_entropy"].item() == pytest.approx(
        -(log_p[2, 0] + log_p[2, 1]).item() / 3
    )


def pod(new: torch.Tensor, old: torch.Tensor) -> float:
    """One row of pixels, which only scale 1 cuts: the mean over the width, and each pixel."""
    change = new[0, :, 0].square() - old[0, :, 0].square()
    return torch.cat([change.mean(1), change.flatten()]).norm().item()


def test_local_pod_by_hand() -> None:
    terms, student, before = loss("plop:stages=2,logits=3", [0, 0, 2])
    merged = torch.stack([student.logits[:, 0] + student.logits[:, 2], student.logits[:, 1]], 1)
    total = 2 * pod(student.stages[0], before.stages[0]) + 0 + 3 * pod(merged, before.logits)
    # Three outputs, one new class, three maps.
    assert terms["local_pod"].item() == pytest.approx(math.sqrt(3) * total / 3, rel=1e-5)


@pytest.mark.parametrize("make", [cnn, vit])
def test_every_stage_and_the_logits_are_held(make: type) -> None:
    found = method("plop")
    assert found.needs == {"previous", "stages"}
    model, previous = grown(make(), found)
    model.eval()
    state = {"plop.thresholds": torch.full((3,), 0.9)}
    still = terms_of(found, model, previous, a_batch(), later_step(), state)["local_pod"].item()
    # The encoder has not moved; the new class's logits are added to the background's, which shows.
    silent = copy.deepcopy(model)
    silent.classifier.blocks[-1].weight.data.zero_()
    silent.classifier.blocks[-1].bias.data.zero_()
    silent.classifier.blocks[0].load_state_dict(previous.classifier.blocks[0].state_dict())
    assert terms_of(found, silent, previous, a_batch(), later_step(), state)["local_pod"].item() < 1e-5
    for parameter in model.encoder.parameters():
        parameter.data.mul_(1.1)
    moved = terms_of(found, model, previous, a_batch(), later_step(), state)["local_pod"]
    assert moved.item() > still
    moved.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_new_classes_start_from_the_background_unless_told_not_to() -> None:
    for spec, alike in (("plop", True), ("plop:from_background=false", False)):
        model, _ = grown(cnn(), method(spec))
        new, old = model.classifier.blocks[-1].weight, model.classifier.blocks[0].weight[:1]
        assert torch.equal(new, old) == alike
