"""The scenes of ``shapes``: the same everywhere, not solved by colour, and full of old classes."""

from __future__ import annotations

import hashlib
import math
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.data.dataset import open_dataset
from benchmark.data.scenario import plan_steps
from benchmark.data.scenes import FORMS, HUES, render
from benchmark.protocols import load_family, load_protocol, protocols_folder


class Scenes(NamedTuple):
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@cache
def scenes(split: str) -> Scenes:
    chosen = open_dataset("shapes", None).split(split)
    indices = range(len(chosen))
    return Scenes(np.stack([chosen.image(i) for i in indices]), np.stack([chosen.label(i) for i in indices]))


@pytest.mark.parametrize(("split", "count"), [("train", 480), ("validation", 120), ("test", 160)])
def test_each_split_has_its_scenes(split: str, count: int) -> None:
    images, labels = scenes(split)
    assert images.shape == (count, 64, 64, 3) and images.dtype == np.uint8
    assert labels.shape == (count, 64, 64) and labels.dtype == np.uint8
    assert set(np.unique(labels)) == set(range(9))


def test_no_scene_comes_twice() -> None:
    hashes = {image.tobytes() for split in ("train", "validation", "test") for image in scenes(split).images}
    assert len(hashes) == 760


def test_scenes_are_those_that_were_published() -> None:
    """Other scenes give other scores: a change of them needs a new version in ``protocols/shapes.toml``."""
    content = hashlib.sha256()
    for split in ("train", "validation", "test"):
        content.update(scenes(split).labels[:40].tobytes())
        content.update(scenes(split).images[:40].tobytes())
    assert content.hexdigest() == "1ab22db059936385bbc9996995d45553d2f3b57cedda4ca9b4e5c06660369a1d"


def test_a_scene_depends_on_its_seed_alone() -> None:
    np.random.seed(3)
    first = render((0, 7))
    np.random.seed(4)
    second = render((0, 7))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.label, second.label)


AREAS = {
    "disc": math.pi * 0.85**2,
    "ring": math.pi * 0.75,
    "square": 1.5**2,
    "triangle": 1.8**2 / math.sqrt(3),
    "star": 4 * 1.25**4 / 6,
    "cross": 2 * 2 * 0.6 - 0.6**2,
    # Two discs of radius 1 and 3/4, centres 1/2 apart: the first less what both cover.
    "crescent": math.pi
    - math.acos(1 / 2 * (1 + 1 / 4 - 9 / 16) / (1 / 2))
    - 9 / 16 * math.acos((1 / 4 + 9 / 16 - 1) / (2 * 1 / 2 * 3 / 4))
    + 0.5 * math.sqrt((-0.5 + 1.75) * (0.5 + 0.25) * (0.5 - 0.25) * (0.5 + 1.75)),
    "bar": 2.3 * 0.72,
}


def test_forms_have_the_area_of_their_geometry() -> None:
    at = (np.arange(1200) + 0.5) / 300 - 2
    x, y = np.meshgrid(at, at)
    found = {name: form(x, y).sum() / 300**2 for name, form in FORMS.items()}
    assert found == pytest.approx(AREAS, abs=0.01)


def test_edges_of_label_maps_are_edges_of_images() -> None:
    images, labels = scenes("validation")
    jump = np.abs(np.diff(images.astype(int), axis=2)).sum(axis=3)
    edge = np.diff(labels.astype(int), axis=2) != 0
    assert jump[edge].mean() > 4 * jump[~edge].mean()


# Colour narrows a class down to two and decides nothing: what knows nothing else is wrong most of the time.


def pixels(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images, labels = scenes(split)
    return images[labels > 0], labels[labels > 0].astype(np.int64) - 1


def balanced_accuracy(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> float:
    return float(np.mean([(guess[truth == label] == label).mean() for label in range(8)]))


def test_the_colour_of_a_pixel_does_not_tell_its_class() -> None:
    """Most likely class by a histogram of 8 x 8 x 8 colours."""

    def code(colour: NDArray[np.uint8]) -> NDArray[np.int64]:
        return (colour.astype(np.int64) // 32) @ np.array([64, 8, 1])

    colour, label = pixels("train")
    counts = np.ones((512, 8))
    np.add.at(counts, (code(colour), label), 1)
    likely = (counts / counts.sum(axis=0)).argmax(axis=1)
    test_colour, truth = pixels("test")
    assert balanced_accuracy(label, likely[code(colour)]) > 0.45  # it did learn what there is to learn
    assert balanced_accuracy(truth, likely[code(test_colour)]) < 0.45


def regions(split: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean and spread of the colour of each class in each scene that has it."""
    images, labels = scenes(split)
    rows, truth = [], []
    for image, label in zip(images, labels, strict=True):
        for kind in np.unique(label[label > 0]):
            colour = image[label == kind].astype(float)
            rows.append([*colour.mean(axis=0), *colour.std(axis=0)])
            truth.append(int(kind) - 1)
    return np.array(rows), np.array(truth)


def test_the_mean_colour_and_contrast_of_a_region_do_not_tell_its_class() -> None:
    """Nearest class centroid, each feature in units of its spread."""
    rows, truth = regions("train")
    centroids = np.stack([rows[truth == kind].mean(axis=0) for kind in range(8)]) / rows.std(axis=0)
    test_rows, test_truth = regions("test")
    distance = ((test_rows / rows.std(axis=0))[:, None] - centroids) ** 2
    assert balanced_accuracy(test_truth, distance.sum(axis=2).argmin(axis=1)) < 0.45


def test_colour_alone_does_not_segment_the_scenes() -> None:
    """Most likely label of each pixel by its colour, background among them: objects stay below 20 % IoU."""

    def code(images: NDArray[np.uint8]) -> NDArray[np.int64]:
        return ((images.astype(np.int64) // 32) @ np.array([64, 8, 1])).ravel()

    counts = np.zeros((512, 9))
    np.add.at(counts, (code(scenes("train").images), scenes("train").labels.ravel()), 1)
    guess = counts.argmax(axis=1)[code(scenes("test").images)]
    truth = scenes("test").labels.ravel()
    iou = [((guess == k) & (truth == k)).sum() / ((guess == k) | (truth == k)).sum() for k in range(9)]
    assert iou[0] > 0.7  # it did learn what there is to learn
    assert np.mean(iou[1:]) < 0.2


def test_two_classes_share_each_range_of_hues() -> None:
    assert len(HUES) == len(FORMS)
    assert sorted(HUES) == [0, 0, 1, 1, 2, 2, 3, 3]


# What the protocols need of them.

SCENARIOS = list(load_family(protocols_folder() / "shapes.toml").scenarios)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_most_images_of_later_steps_hide_an_old_class(scenario: str) -> None:
    protocol = load_protocol(f"shapes-{scenario}-overlapped")
    plan = plan_steps(protocol, open_dataset("shapes", None))
    present = (
        np.stack([np.bincount(plan.train.label(i).ravel(), minlength=9) for i in range(len(plan.train))]) > 0
    )
    for step in range(1, len(protocol.steps)):
        old = [label for classes in protocol.steps[:step] for label in classes]
        assert present[plan.steps[step].images][:, old].any(axis=1).mean() > 0.6


@pytest.mark.parametrize("setting", ["sequential", "disjoint", "overlapped"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_step_has_images_to_learn_from(scenario: str, setting: str) -> None:
    plan = plan_steps(load_protocol(f"shapes-{scenario}-{setting}"), open_dataset("shapes", None))
    assert len(plan.train) == 600 and len(plan.test) == 160
    assert min(len(step.images) for step in plan.steps) >= 50


def test_no_class_is_rare() -> None:
    labels = scenes("test").labels
    shares = np.bincount(labels.ravel(), minlength=9)[1:] / (labels > 0).sum()
    assert shares.min() > 0.07 and shares.max() < 0.2
    assert (labels > 0).mean() > 0.2
