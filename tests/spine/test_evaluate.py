"""Confusion matrices against counting by hand, pixel by pixel."""

from __future__ import annotations

import hashlib
import io
import time

import numpy as np
import pytest
import torch

from benchmark.data.evaluation import TestBatch as ScoredBatch
from benchmark.evaluate import ImageCounts, confusion_by_image, evaluate, pack_images, predict

ROWS, COLUMNS = 6, 4  # five classes, of which three are seen
TABLE = torch.full((256,), 255)
TABLE[:6] = torch.tensor([255, 2, 1, 3, 5, 4])  # label 0 is not scored; 4 and 5 are not seen yet


def brute_force(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(rows, columns), one pixel at a time."""
    counts = np.zeros((ROWS, COLUMNS), dtype=np.int64)
    for value, found in zip(label.flat, prediction.flat, strict=True):
        row = int(TABLE[int(value)])
        if row != 255:
            counts[row, found] += 1
    return counts


def a_batch(index: tuple[int, ...], size: tuple[int, int], seed: int) -> ScoredBatch:
    random = np.random.default_rng(seed)
    label = random.choice([0, 1, 2, 3, 4, 5, 17, 255], (len(index), *size)).astype(np.uint8)
    image = random.integers(0, 256, (len(index), 3, *size)).astype(np.uint8)
    return ScoredBatch(index, torch.from_numpy(image), torch.from_numpy(label))


def by_red(image: torch.Tensor) -> torch.Tensor:
    """Logits that choose the output from a pixel's red channel."""
    chosen = (image[:, 0].long() * COLUMNS) // 256
    return torch.nn.functional.one_hot(chosen, COLUMNS).permute(0, 3, 1, 2).float()


BATCHES = [a_batch((3, 0), (5, 7), 1), a_batch((2,), (4, 4), 2), a_batch((1, 4, 5), (5, 7), 3)]


def test_counts_are_those_of_every_pixel():
    scores = evaluate(by_red, BATCHES, TABLE, ROWS, COLUMNS)
    expected = np.zeros((ROWS, COLUMNS), dtype=np.int64)
    for batch in BATCHES:
        for place, index in enumerate(batch.index):
            one = brute_force(batch.label[place].numpy(), by_red(batch.image)[place].argmax(0).numpy())
            expected += one
            mine = scores.images.image == index
            dense = np.zeros_like(one)
            dense[scores.images.row[mine], scores.images.column[mine]] = scores.images.count[mine]
            np.testing.assert_array_equal(dense, one)
    np.testing.assert_array_equal(scores.matrix, expected)
    assert scores.matrix.dtype == np.int64 and scores.matrix[4].sum() and scores.matrix[5].sum()
    assert not scores.matrix[0].any()


def test_cells_by_image_are_sorted_hold_no_zero_and_sum_to_the_matrix():
    scores = evaluate(by_red, BATCHES, TABLE, ROWS, COLUMNS)
    image, row, column, count = scores.images
    keys = list(zip(image.tolist(), row.tolist(), column.tolist(), strict=True))
    assert keys == sorted(set(keys)) and (count > 0).all()
    summed = np.zeros_like(scores.matrix)
    np.add.at(summed, (row, column), count)
    np.testing.assert_array_equal(summed, scores.matrix)


def test_the_order_and_size_of_batches_change_nothing():
    one = evaluate(by_red, BATCHES, TABLE, ROWS, COLUMNS)
    singles = [
        ScoredBatch((index,), batch.image[place : place + 1], batch.label[place : place + 1])
        for batch in reversed(BATCHES)
        for place, index in enumerate(batch.index)
    ]
    other = evaluate(by_red, singles, TABLE, ROWS, COLUMNS)
    np.testing.assert_array_equal(one.matrix, other.matrix)
    for mine, theirs in zip(one.images, other.images, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_hand_made_image():
    label = torch.tensor([[[1, 1, 2], [255, 0, 4]]], dtype=torch.uint8)
    chosen = torch.tensor([[[2, 3, 1], [0, 1, 0]]])
    logits = torch.nn.functional.one_hot(chosen, COLUMNS).permute(0, 3, 1, 2).float()
    batch = ScoredBatch((0,), torch.zeros(1, 3, 2, 3, dtype=torch.uint8), label)
    scores = evaluate(lambda image: logits, [batch], TABLE, ROWS, COLUMNS)
    expected = np.zeros((ROWS, COLUMNS), dtype=np.int64)
    expected[2, 2] = expected[2, 3] = expected[1, 1] = expected[5, 0] = 1
    np.testing.assert_array_equal(scores.matrix, expected)


def test_nothing_to_score_is_a_matrix_of_zeros():
    scores = evaluate(by_red, [], TABLE, ROWS, COLUMNS)
    assert scores.matrix.shape == (ROWS, COLUMNS) and not scores.matrix.any()
    assert all(len(values) == 0 for values in scores.images)
    ignored = ScoredBatch(
        (0,), torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.full((1, 2, 2), 255, dtype=torch.uint8)
    )
    assert not evaluate(by_red, [ignored], TABLE, ROWS, COLUMNS).matrix.any()


def test_every_image_is_told():
    told: list[int] = []
    evaluate(by_red, BATCHES, TABLE, ROWS, COLUMNS, on_batch=told.append)
    assert told == [2, 1, 3]


@pytest.mark.parametrize("channels", [COLUMNS - 1, COLUMNS + 1])
def test_a_model_with_other_outputs_than_it_should_have_is_not_scored(channels):
    """One channel too many would count into the next row."""

    def wrong(image: torch.Tensor) -> torch.Tensor:
        return torch.rand(len(image), channels, *image.shape[2:])

    with pytest.raises(ValueError, match=f"{channels} channels, expected {COLUMNS}"):
        evaluate(wrong, BATCHES, TABLE, ROWS, COLUMNS)


def test_no_graph_is_kept_and_labels_keep_their_own_size():
    layer = torch.nn.Conv2d(3, COLUMNS, 1)
    seen = []

    def forward(image: torch.Tensor) -> torch.Tensor:
        logits = layer(image.float())[..., ::2, ::2]  # smaller than the label map
        seen.append(logits.requires_grad)
        return logits

    scores = evaluate(forward, BATCHES, TABLE, ROWS, COLUMNS)
    assert seen == [False] * 3
    wanted = sum(int((TABLE[batch.label.long()] != 255).sum()) for batch in BATCHES)
    assert scores.matrix.sum() == wanted


def test_logits_not_labels_are_enlarged():
    """Bilinear with corners not aligned, by hand: two columns become four."""
    logits = torch.tensor([[[[0.0, 4.0]], [[1.5, 1.5]]]])
    # output 0 becomes 0, 1, 3, 4
    assert predict(logits, (1, 4)).tolist() == [[[1, 1, 0, 0]]]
    assert predict(logits.half(), (1, 2)).tolist() == [[[1, 0]]]


def test_counting_is_exact_where_a_float_would_not_be():
    target = torch.zeros(1, 1, 2**24 + 1, dtype=torch.int64)
    assert confusion_by_image(target, target, 1, 1).item() == 2**24 + 1


def counts(seed: int, images: int = 4) -> ImageCounts:
    random = np.random.default_rng(seed)
    return ImageCounts(*(random.integers(1, 5, images).astype(np.int64) for _ in range(4)))


def test_the_file_holds_what_was_counted():
    steps = [counts(1), counts(2, 7)]
    packed = pack_images(steps, ("a", "bild-ü"))
    assert packed.digest == hashlib.sha256(packed.content).hexdigest()
    with np.load(io.BytesIO(packed.content), allow_pickle=False) as stored:
        assert stored["names"].tolist() == ["a", "bild-ü"]
        assert set(stored.files) == {"names", *(f"step{t}_{f}" for t in (0, 1) for f in ImageCounts._fields)}
        for number, step in enumerate(steps):
            for field, values in step._asdict().items():
                np.testing.assert_array_equal(stored[f"step{number}_{field}"], values)


def test_the_same_counts_are_the_same_bytes_at_any_time(monkeypatch):
    before = pack_images([counts(1)], ("a",))
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2_000_000_000))
    assert pack_images([counts(1)], ("a",)).content == before.content
    assert pack_images([counts(2)], ("a",)).content != before.content


@pytest.mark.parametrize(
    ("field", "value"), [("image", 2**16), ("row", 2**16), ("count", 2**32), ("image", -1)]
)
def test_a_number_that_does_not_fit_its_array_is_not_cut_short(field, value):
    with pytest.raises(ValueError, match=field):
        pack_images([counts(1)._replace(**{field: np.array([value] * 4)})], ("a",))
