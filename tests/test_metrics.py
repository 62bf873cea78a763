"""Metrics against values worked out by hand and against a second implementation from raw labels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from benchmark.metrics import (
    BOARDS,
    Convention,
    forget_score,
    forgetting,
    iou_by_output,
    mean,
    netscore,
    netscore_inputs,
    overlap,
    score,
)
from benchmark.record import Compute, Parameters

# Two classes and background in the base, one class later: rows 0..3, learning order.
BASE = [[50, 0, 10], [5, 15, 0], [0, 10, 10], [7, 7, 6]]
LATER = [[40, 5, 5, 10], [10, 10, 0, 0], [0, 0, 0, 20], [0, 0, 0, 20]]
CLASSES = [(1, 2), (3,)]


def test_iou_by_hand_ignores_rows_not_seen_yet() -> None:
    # background: 50 right, 60 labelled, 55 predicted in the rows seen. Row 3 is left out altogether.
    assert iou_by_output(BASE) == (50 / 65, 15 / 30, 10 / 30)


def test_iou_by_hand_with_future_classes_as_background() -> None:
    # background gains 20 labelled pixels, 7 of them right; the others are false positives of 1 and 2.
    future = Convention(future="background")
    assert iou_by_output(BASE, future) == (57 / (80 + 62 - 57), 15 / (20 + 32 - 15), 10 / (20 + 26 - 10))


def test_a_class_without_pixels_counts_only_when_predicted() -> None:
    assert iou_by_output([[3, 0, 1], [0, 0, 0], [0, 0, 0]]) == (3 / 4, None, 0.0)


def test_scores_by_hand() -> None:
    scores = score([BASE, LATER], CLASSES, background=True)
    final = (40 / (60 + 50 - 40), 10 / (20 + 15 - 10), 0 / 25, 20 / (20 + 50 - 20))
    assert scores.final.iou == pytest.approx(final)
    assert scores.final.old == pytest.approx(sum(final[:3]) / 3)
    assert scores.final.new == pytest.approx(final[3])
    assert scores.final.all == pytest.approx(sum(final) / 4)
    assert scores.steps[0].new is None
    assert scores.steps[0].old == scores.steps[0].all
    lost = (50 / 65 - 40 / 70, 15 / 30 - 10 / 25, 10 / 30 - 0)
    assert scores.forgetting == pytest.approx(sum(lost) / 3)
    assert scores.average == pytest.approx(((50 / 65 + 1 / 2 + 1 / 3) / 3 + sum(final) / 4) / 2)


def test_background_is_out_where_the_convention_or_the_dataset_says_so() -> None:
    out = score([BASE, LATER], CLASSES, background=True, convention=Convention(background=False))
    assert out == score([BASE, LATER], CLASSES, background=False)
    assert out.final.old == pytest.approx((10 / 25 + 0) / 2)
    assert out.final.all == pytest.approx((10 / 25 + 0 + 20 / 50) / 3)
    assert out.forgetting == pytest.approx((15 / 30 - 10 / 25 + 10 / 30) / 2)


def test_forgetting_takes_the_best_earlier_step_since_the_class_was_learnt() -> None:
    iou = [(0.5, 0.2), (0.7, 0.1, 0.9), (0.6, 0.4, 0.3, 0.8)]
    # row 1: 0.2 earlier, 0.4 at last (a gain); row 2: 0.9 to 0.3; row 3 is learnt last; row 0 not asked for.
    assert forgetting(iou, [(1,), (2,), (3,)]) == pytest.approx((0.2 - 0.4 + 0.9 - 0.3) / 2)
    assert forgetting(iou, [(0, 1), (2,), (3,)]) == pytest.approx((0.7 - 0.6 - 0.2 + 0.6) / 3)


def test_what_is_not_defined_is_none() -> None:
    joint = score([[[5, 0], [0, 5]]], [(1,)], background=True)
    assert joint.forgetting is None
    assert joint.final.new is None
    assert joint.final.all == 1
    assert forgetting([(None, 0.5), (0.5, None, 0.5)], [(0, 1), (2,)]) is None
    assert score([], [(1,)], background=True).average is None
    assert mean([None, None]) is None
    assert mean([None, 0.25, 0.75]) == 0.5
    assert forget_score(0.5, None) is None
    assert forget_score(0.5, 0.7) == pytest.approx(-0.2)


def test_a_matrix_with_fewer_rows_than_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"row for each output.*\(1, 2\)"):
        overlap([[1, 2]])


def _brute_iou(labels: np.ndarray, predictions: np.ndarray, seen: int, convention: Convention) -> list:
    """IoU by sets of pixels, from the label maps themselves."""
    result: list[float | None] = []
    for c in range(seen + 1):
        truth, guess = set(), set()
        for position, (label, prediction) in enumerate(zip(labels, predictions, strict=True)):
            if label == 255 or (label > seen and convention.future == "ignored"):
                continue
            if (0 if label > seen else label) == c:
                truth.add(position)
            if prediction == c:
                guess.add(position)
        result.append(len(truth & guess) / len(truth | guess) if truth | guess else None)
    return result


def _confusion(labels: np.ndarray, predictions: np.ndarray, rows: int, seen: int) -> np.ndarray:
    matrix = np.zeros((rows, seen + 1), dtype=np.int64)
    for label, prediction in zip(labels, predictions, strict=True):
        if label != 255:
            matrix[label, prediction] += 1
    return matrix


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize(
    "convention", [Convention(b, f) for b in (True, False) for f in ("ignored", "background")]
)
def test_scores_equal_a_second_implementation_from_raw_labels(
    background: bool, convention: Convention
) -> None:
    random = np.random.default_rng(5)
    steps = ((1, 2, 3), (4, 5), (6,))
    labels = random.choice([0, 1, 2, 3, 4, 6, 255] if background else [1, 2, 3, 4, 6, 255], 400)
    matrices, iou = [], []
    for t in range(3):
        seen = steps[t][-1]
        predictions = np.where(random.random(400) < 0.5, labels, random.integers(0, seen + 1, 400))
        predictions = np.where(predictions > seen, 0, predictions)
        matrices.append(_confusion(labels, predictions, 7, seen))
        iou.append(_brute_iou(labels, predictions, seen, convention))
    scores = score(matrices, steps, background, convention)
    assert [list(step.iou) for step in scores.steps] == iou
    index0 = [0] if background and convention.background else []
    for t, step in enumerate(scores.steps):
        old = [iou[t][c] for c in [*index0, 1, 2, 3]]
        new = [iou[t][c] for c in range(4, steps[t][-1] + 1)]
        for got, group in ((step.old, old), (step.new, new), (step.all, old + new)):
            known = [value for value in group if value is not None]
            assert got == (pytest.approx(sum(known) / len(known)) if known else None)
    losses = []
    for c in [*index0, 1, 2, 3, 4, 5]:
        course = [iou[t][c] for t in range(3) if c < len(iou[t])]
        earlier = [value for value in course[:-1] if value is not None]
        if earlier and course[-1] is not None:
            losses.append(max(earlier) - course[-1])
    assert scores.forgetting == pytest.approx(sum(losses) / len(losses))


def test_overlap_adds_up_over_images() -> None:
    images = np.random.default_rng(1).integers(0, 9, (5, 4, 3))
    for future in ("ignored", "background"):
        whole, parts = overlap(images.sum(axis=0), future), overlap(images, future)
        assert (parts.intersection.sum(axis=0) == whole.intersection).all()
        assert (parts.union.sum(axis=0) == whole.union).all()


def test_netscore_by_hand() -> None:
    assert netscore(100, 1, 1) == pytest.approx(80)
    assert netscore(100, 10, 100) == pytest.approx(80 - 10 - 20)
    assert netscore(50, 7, 3, alpha=1, beta=1, gamma=2) == pytest.approx(20 * math.log10(50 / (7 * 9)))
    assert netscore(50, 1e300, 1e300) is not None  # the product alone would overflow
    for inputs in [
        (0, 1, 1),
        (None, 1, 1),
        (50, None, 1),
        (50, 1, None),
        (50, 0, 1),
        (50, 1, 0),
        (math.nan, 1, 1),
    ]:
        assert netscore(*inputs) is None


# The CLoRA paper's printed scores (VOC 15-5, 15-1). Of the readings of its parameters and compute, these
# give all four within 0.02: trainable parameters, and giga-MACs of one forward pass of the model trained:
# 397.1 for MiB, 402.3 with CLoRA's factors not yet merged. With 397.1 for CLoRA too, it is 0.05 off.
PAPER = [
    (70.91, 305.17, 397.1, 23.19),
    (70.39, 3.217, 402.3, 42.79),
    (61.95, 305.17, 397.1, 20.85),
    (70.13, 3.217, 402.3, 42.73),
]


@pytest.mark.parametrize(("miou", "params", "macs", "printed"), PAPER)
def test_netscore_reproduces_the_scores_printed_in_the_clora_paper(
    miou: float, params: float, macs: float, printed: float
) -> None:
    assert netscore(miou, params, macs) == pytest.approx(printed, abs=0.02)


def test_the_boards_take_their_inputs_from_the_right_counts() -> None:
    parameters = Parameters(total=308_320_000, trainable=3_217_000, deployed=305_170_000)
    compute = Compute(
        inference_macs=397_100_000_000, forward_macs=402_300_000_000, train_flops=12_000_000_000_000
    )
    assert netscore_inputs("deploy", parameters, compute, 6) == (305.17, 397.1)
    assert netscore_inputs("clora", parameters, compute, 6) == (3.217, 402.3)
    assert netscore_inputs("train", parameters, compute, 6) == (3.217, 1000.0)
    for board in BOARDS:
        assert netscore_inputs(board, parameters, Compute(), 6).macs_billions is None


def test_a_metric_that_orders_runs_never_prefers_a_worse_one() -> None:
    for better, worse in itertools.pairwise([(70, 3, 400), (69, 3, 400), (69, 4, 400), (69, 4, 500)]):
        assert netscore(*better) > netscore(*worse)
