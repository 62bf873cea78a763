"""Image and label map move together, and by what was drawn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from data_toys import coded
from torch import Tensor

from benchmark.data.transforms import Draw, Sample, augment, draw, resize_image, resize_label
from benchmark.protocol import Augmentation

FILL = torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None]
STILL = Augmentation(random_scale=(1.0, 1.0), flip=0.0)


def sample(height: int, width: int) -> Sample:
    """A sample whose image says in every channel what its label map says, no two neighbours alike."""
    label = (np.arange(height * width).reshape(height, width) * 7 % 201).astype(np.uint8)
    return Sample(torch.from_numpy(coded(label)).permute(2, 0, 1), torch.from_numpy(label))


def check_padding(out: Sample, outside: Tensor) -> None:
    assert (out.label[outside] == 255).all()
    assert (out.image.permute(1, 2, 0)[outside] == FILL.flatten()).all()


def test_a_crop_is_a_window_of_image_and_label_map() -> None:
    whole = sample(9, 12)
    out = augment(whole, STILL, 4, FILL, Draw(scale=0.5, top=0.5, left=0.999, flip=0.9))
    np.testing.assert_array_equal(out.label, whole.label[3:7, 8:12])  # 6 and 9 places; the 4th and the last
    np.testing.assert_array_equal(out.image, whole.image[:, 3:7, 8:12])


def test_every_place_of_the_crop_is_as_likely() -> None:
    whole = sample(6, 5)
    corners = Counter(int(augment(whole, STILL, 4, FILL, draw(seed)).label[0, 0]) for seed in range(1200))
    expected = {int(whole.label[top, left]) for top in range(3) for left in range(2)}
    assert set(corners) == expected
    assert all(150 < count < 250 for count in corners.values())


def test_a_small_image_is_whole_within_the_padding() -> None:
    whole = sample(3, 5)
    out = augment(whole, STILL, 8, FILL, Draw(scale=0, top=0.4, left=0.7, flip=0.9))
    rows, columns = slice(2, 5), slice(2, 7)  # floor(0.4 * 6) and floor(0.7 * 4)
    np.testing.assert_array_equal(out.label[rows, columns], whole.label)
    np.testing.assert_array_equal(out.image[:, rows, columns], whole.image)
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[rows, columns] = False
    check_padding(out, outside)


def test_one_side_is_cut_and_the_other_padded() -> None:
    whole = sample(3, 9)
    out = augment(whole, STILL, 4, FILL, Draw(scale=0, top=0.0, left=0.99, flip=0.9))
    np.testing.assert_array_equal(out.label[:3], whole.label[:, 5:])
    outside = torch.zeros(4, 4, dtype=torch.bool)
    outside[3] = True
    check_padding(out, outside)


def test_a_flip_mirrors_both_and_follows_its_probability() -> None:
    whole = sample(4, 4)
    half = Augmentation(random_scale=(1.0, 1.0), flip=0.5)
    for number, flipped in ((0.49, True), (0.51, False)):
        out = augment(whole, half, 4, FILL, Draw(scale=0, top=0, left=0, flip=number))
        expected = Sample(whole.image.flip(2), whole.label.flip(1)) if flipped else whole
        np.testing.assert_array_equal(out.image, expected.image)
        np.testing.assert_array_equal(out.label, expected.label)


@pytest.mark.parametrize(("number", "side"), [(0.0, 8), (0.5, 14), (1.0 - 1e-9, 20)])
def test_the_scale_is_uniform_in_its_range(number: float, side: int) -> None:
    """A 10 x 10 image of 7s: the size of what is not padding tells the scale."""
    sevens = Sample(torch.full((3, 10, 10), 7, dtype=torch.uint8), torch.full((10, 10), 7, dtype=torch.uint8))
    out = augment(sevens, Augmentation((0.8, 2.0), 0.0), 32, FILL, Draw(number, top=0, left=0, flip=0.9))
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[:side, :side] = True
    assert (out.label[inside] == 7).all() and (out.image[:, inside] == 7).all()
    check_padding(out, ~inside)


@pytest.mark.parametrize("seed", range(20))
def test_image_and_label_map_stay_aligned_under_scaling(seed: int) -> None:
    """Blocks of 12 pixels: away from their edges a scaled image still says what its scaled label map says."""
    blocks = np.kron(np.random.default_rng(seed).integers(0, 10, (5, 6)) * 20, np.ones((12, 12))).astype(
        np.uint8
    )
    whole = Sample(torch.from_numpy(coded(blocks)).permute(2, 0, 1), torch.from_numpy(blocks))
    out = augment(whole, Augmentation((0.75, 1.5), 0.5), 48, FILL, draw(seed))
    label = out.label.int()
    framed = torch.nn.functional.pad(label, (2, 2, 2, 2), value=255)
    window = framed.unfold(0, 5, 1).unfold(1, 5, 1).flatten(2)
    inner = (window == label[:, :, None]).all(dim=2) & (label != 255)
    assert inner.float().mean() > 0.2
    assert (out.image[:, inner].int() - label[inner]).abs().max() <= 2


def nearest_by_hand(label: np.ndarray, height: int, width: int) -> np.ndarray:
    """The source pixel in which the centre of each target pixel lies."""
    rows = [int((row + 0.5) * label.shape[0] / height) for row in range(height)]
    columns = [int((column + 0.5) * label.shape[1] / width) for column in range(width)]
    return label[np.ix_(rows, columns)]


@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 9), (14, 3), (7, 11), (10, 22)])
def test_label_maps_are_scaled_by_nearest_centre(height: int, width: int) -> None:
    label = sample(7, 11).label
    np.testing.assert_array_equal(
        resize_label(label, height, width), nearest_by_hand(label.numpy(), height, width)
    )


def test_images_are_scaled_with_antialiasing() -> None:
    stripes = torch.tensor([240, 240, 0, 0, 0, 0, 240, 240], dtype=torch.uint8).repeat(3, 32, 4)
    small = resize_image(stripes, 4, 4)
    assert (small.int() - 120).abs().max() < 60  # without it: 0, the colour in the middle of each eight


def test_numbers_depend_on_the_seed_alone() -> None:
    first = draw(5)
    torch.manual_seed(99)
    assert draw(5) == first != draw(6)
    assert all(0 <= number < 1 for number in first)
    assert len(set(first)) == 4
