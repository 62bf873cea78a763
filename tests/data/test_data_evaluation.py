"""Test batches: each image once, grouped by size, at the model's size; label maps as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from data_toys import PRESET, Pair, Toy, coded

from benchmark.data import evaluation as batches
from benchmark.data.dataset import Split
from benchmark.data.loader import ordered_batches
from benchmark.protocol import Augmentation, Evaluation

WHOLE, CENTRE = Evaluation("whole"), Evaluation("centre")


def ramp(height: int, width: int, number: int = 0) -> Pair:
    """A label map that says where it is, and an image that says the same."""
    label = ((np.arange(height)[:, None] * 3 + np.arange(width)[None, :] * 2 + number) % 251).astype(np.uint8)
    return Pair(coded(label), label)


def split_of(*pairs: Pair) -> Split:
    return Toy(250, True, {"test": {str(index): pair for index, pair in enumerate(pairs)}}).split("test")


def test_every_image_comes_once_with_those_of_its_size() -> None:
    sizes = [(20, 30), (30, 20), (20, 30), (20, 30), (16, 16), (30, 20), (20, 30)]
    split = split_of(*(ramp(*size, number) for number, size in enumerate(sizes)))
    found = list(batches.test_batches(split, preset=PRESET, evaluation=WHOLE, batch=3))
    assert [batch.index for batch in found] == [(0, 2, 3), (1, 5), (4,), (6,)]
    for batch in found:
        assert batch.image.dtype == batch.label.dtype == torch.uint8
        for place, index in enumerate(batch.index):
            np.testing.assert_array_equal(batch.label[place], split.label(index))
            np.testing.assert_array_equal(batch.image[place].permute(1, 2, 0), split.image(index))


def test_images_wait_for_their_like_only_up_to_a_bound() -> None:
    split = split_of(*(ramp(8 + index % 40, 8 + index // 40) for index in range(80)))
    waiting = 0
    seen: list[int] = []
    dataset = split.dataset
    assert isinstance(dataset, Toy)
    for batch in batches.test_batches(split, preset=PRESET, evaluation=WHOLE, batch=2):
        read = sum(name.startswith("image") for name in dataset.reads)
        waiting = max(waiting, read - len(seen))
        seen.extend(batch.index)
    assert sorted(seen) == list(range(80))
    assert waiting <= 16


@pytest.mark.parametrize(
    ("size", "resized"), [((24, 60), (16, 40)), ((60, 24), (40, 16)), ((8, 9), (16, 18))]
)
def test_the_image_is_resized_and_the_label_map_is_not(
    size: tuple[int, int], resized: tuple[int, int]
) -> None:
    split = split_of(ramp(*size))
    (batch,) = batches.test_batches(split, preset=replace(PRESET, resize=16), evaluation=WHOLE, batch=4)
    assert batch.image.shape == (1, 3, *resized)
    np.testing.assert_array_equal(batch.label[0], split.label(0))


def test_what_training_keeps_in_memory_is_not_what_is_scored() -> None:
    split = split_of(ramp(32, 40))
    preset = replace(PRESET, resize=16)
    still = Augmentation(random_scale=(1.0, 1.0), flip=0.0)
    for _ in range(2):
        (seen,) = ordered_batches(split, [0], preset=preset, augmentation=still, seed=0, step=0)
        assert seen.label.shape == (1, 16, 16) and (seen.label != 255).all()  # of 16 x 20
        (batch,) = batches.test_batches(split, preset=PRESET, evaluation=WHOLE, batch=1)
        np.testing.assert_array_equal(batch.label[0], split.label(0))
        np.testing.assert_array_equal(batch.image[0].permute(1, 2, 0), split.image(0))


def test_equal_input_sizes_with_label_maps_of_other_sizes_stay_apart() -> None:
    split = split_of(ramp(24, 24), ramp(48, 48))
    found = list(batches.test_batches(split, preset=replace(PRESET, resize=16), evaluation=WHOLE, batch=4))
    assert [batch.index for batch in found] == [(0,), (1,)]


def test_the_centre_crop_is_the_middle_of_both() -> None:
    split = split_of(ramp(20, 31))
    (batch,) = batches.test_batches(split, preset=PRESET, evaluation=CENTRE, batch=4)
    np.testing.assert_array_equal(batch.label[0], split.label(0)[2:18, 7:23])
    np.testing.assert_array_equal(batch.image[0, 0], split.label(0)[2:18, 7:23])


def test_the_centre_crop_of_a_resized_image_shows_the_field_of_its_label_map() -> None:
    split = split_of(ramp(32, 80))
    (batch,) = batches.test_batches(split, preset=replace(PRESET, resize=16), evaluation=CENTRE, batch=4)
    assert batch.image.shape == (1, 3, 16, 16)  # columns 12 to 28 of 40, so 24 to 56 of 80
    np.testing.assert_array_equal(batch.label[0], split.label(0)[:, 24:56])
    wanted = split.label(0)[:, 24:56].reshape(16, 2, 16, 2).mean(axis=(1, 3))
    smooth = np.abs(np.diff(wanted, axis=1)).max(axis=1) < 10  # rows in which the ramp does not wrap
    assert smooth.any()
    assert np.abs(batch.image[0, 0].numpy() - wanted)[smooth][:, 2:-2].max() < 3


@pytest.mark.parametrize("crop", [WHOLE, CENTRE])
def test_an_image_smaller_than_the_crop_is_whole(crop: Evaluation) -> None:
    split = split_of(ramp(10, 12))
    (batch,) = batches.test_batches(split, preset=PRESET, evaluation=crop, batch=4)
    assert batch.image.shape == (1, 3, 10, 12)
    np.testing.assert_array_equal(batch.label[0], split.label(0))


def test_read_only_arrays_of_a_dataset_are_taken_as_they_are() -> None:
    fixed = ramp(8, 8)
    fixed.image.flags.writeable = fixed.label.flags.writeable = False
    split = split_of(fixed)
    (batch,) = batches.test_batches(split, preset=PRESET, evaluation=WHOLE, batch=1)
    np.testing.assert_array_equal(batch.label[0], fixed.label)
