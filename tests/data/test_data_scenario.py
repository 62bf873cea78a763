"""The settings table, cell by cell on hand-written label maps, and against a second implementation."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from data_toys import Pair, Toy, label_map, pair, toy_protocol
from numpy.typing import NDArray

from benchmark.data.scenario import evaluation_table, plan_steps, step_images, visible_table
from benchmark.errors import DataError, ProtocolError
from benchmark.protocol import Setting
from benchmark.protocols import load_protocol, protocol_ids

SETTINGS: tuple[Setting, ...] = get_args(Setting)
# Two base classes, then one class a step; learnt in an order that is not the dataset's.
STEPS = ((2, 4), (1,), (3,))
MAPS = {
    "only background": [[0, 0], [0, 0]],
    "base": [[0, 2], [4, 2]],
    "base and border": [[255, 2], [255, 2]],
    "base and new": [[0, 2], [1, 1]],
    "new alone": [[0, 1], [0, 0]],
    "new and border": [[255, 1], [255, 255]],
    "new and future": [[0, 1], [3, 0]],
    "base and future": [[4, 4], [3, 3]],
    "future alone": [[0, 3], [255, 3]],
    "all, no background": [[1, 2], [3, 4]],
    "only border": [[255, 255], [255, 255]],
}
IMAGES = {  # by setting, of each step
    "sequential": (
        ("base", "base and border"),
        ("base and new", "new alone", "new and border"),
        ("new and future", "base and future", "future alone", "all, no background"),
    ),
    "overlapped": (
        ("base", "base and border", "base and new", "base and future", "all, no background"),
        ("base and new", "new alone", "new and border", "new and future", "all, no background"),
        ("new and future", "base and future", "future alone", "all, no background"),
    ),
}
IMAGES["disjoint"] = IMAGES["sequential"]


def toy(background: bool) -> Toy:
    return Toy(
        4,
        background,
        {"train": {name: pair(rows) for name, rows in MAPS.items()}, "test": {"t": pair([[1]])}},
    )


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("setting", SETTINGS)
def test_each_step_trains_on_the_images_of_the_table(setting: Setting, background: bool) -> None:
    plan = plan_steps(toy_protocol(STEPS, setting, background), toy(background))
    chosen = tuple(tuple(plan.train.ids[index] for index in step.images) for step in plan.steps)
    assert chosen == IMAGES[setting]


FULL = label_map([[0, 1, 2, 3], [4, 255, 0, 1], [2, 3, 4, 255], [0, 0, 3, 4]])
VISIBLE: dict[
    Setting, tuple[list[list[int]], ...]
] = {  # channels: 1 and 2 for labels 2 and 4, 3 for 1, 4 for 3
    "sequential": (
        [[0, 0, 1, 0], [2, 255, 0, 0], [1, 0, 2, 255], [0, 0, 0, 2]],
        [[0, 3, 1, 0], [2, 255, 0, 3], [1, 0, 2, 255], [0, 0, 0, 2]],
        [[0, 3, 1, 4], [2, 255, 0, 3], [1, 4, 2, 255], [0, 0, 4, 2]],
    ),
    "disjoint": (
        [[0, 0, 1, 0], [2, 255, 0, 0], [1, 0, 2, 255], [0, 0, 0, 2]],
        [[0, 3, 0, 0], [0, 255, 0, 3], [0, 0, 0, 255], [0, 0, 0, 0]],
        [[0, 0, 0, 4], [0, 255, 0, 0], [0, 4, 0, 255], [0, 0, 4, 0]],
    ),
}
VISIBLE["overlapped"] = VISIBLE["disjoint"]


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("setting", SETTINGS)
def test_visible_labels_are_those_of_the_table(setting: Setting, step: int) -> None:
    table = visible_table(STEPS, step, setting)
    assert table.dtype == np.uint8 and table.shape == (256,)
    np.testing.assert_array_equal(table[FULL], VISIBLE[setting][step])


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_plan_shows_the_labels_of_the_table_with_and_without_background(
    setting: Setting, background: bool
) -> None:
    plan = plan_steps(toy_protocol(STEPS, setting, background), toy(background))
    for step, expected in zip(plan.steps, VISIBLE[setting], strict=True):
        np.testing.assert_array_equal(step.visible[FULL], expected)


def test_evaluation_scores_background_only_where_there_is_one() -> None:
    order = [label for step in STEPS for label in step]
    rows = [[0, 3, 1, 4], [2, 255, 0, 3], [1, 4, 2, 255], [0, 0, 4, 2]]
    np.testing.assert_array_equal(evaluation_table(order, has_background=True)[FULL], rows)
    unlabelled = np.where(label_map(rows) == 0, 255, rows)
    np.testing.assert_array_equal(evaluation_table(order, has_background=False)[FULL], unlabelled)


@pytest.mark.parametrize("background", [True, False])
def test_every_step_scores_all_classes_seen_or_not(background: bool) -> None:
    plan = plan_steps(toy_protocol(STEPS, "overlapped", background), toy(background))
    for step in plan.steps:
        np.testing.assert_array_equal(step.evaluation, evaluation_table((2, 4, 1, 3), background))


def test_a_class_no_step_learns_is_background_in_training_and_not_scored() -> None:
    assert visible_table(((1,), (3,)), 1, "sequential")[2] == 0
    assert evaluation_table((1, 3), has_background=True)[2] == 255


# A second implementation, pixel by pixel and image by image, of the same sentences.


def images_by_reading(
    labels: list[NDArray[np.uint8]], steps: list[list[int]], step: int, setting: str
) -> list[int]:
    new = set(steps[step])
    seen = set().union(*steps[: step + 1])
    chosen = []
    for index, label in enumerate(labels):
        classes = {int(value) for value in label.flat} - {0, 255}
        wanted = bool(classes & new) if setting == "overlapped" else bool(classes & new) and classes <= seen
        if wanted:
            chosen.append(index)
    return chosen


def target_by_reading(value: int, steps: list[list[int]], step: int, setting: str) -> int:
    if value == 255:
        return 255
    for index, classes in enumerate(steps[: step + 1]):
        if value in classes and (index == step or setting == "sequential"):
            return 1 + sum(len(earlier) for earlier in steps[:index]) + classes.index(value)
    return 0


def synthetic_labels(classes: int, seed: int) -> list[NDArray[np.uint8]]:
    """60 label maps of one to five classes each, with background and border pixels in some."""
    stream = np.random.default_rng(seed)
    labels = []
    for _ in range(60):
        present = stream.choice(
            np.arange(1, classes + 1), size=stream.integers(1, min(5, classes) + 1), replace=False
        )
        extra = [value for value in (0, 255) if stream.random() < 0.7]
        labels.append(stream.choice(np.array([*present, *extra], dtype=np.uint8), size=(6, 7)))
    return labels


@pytest.mark.parametrize("name", [name for name in protocol_ids() if not name.endswith("-joint")])
def test_published_scenarios_equal_a_second_reading_of_the_rules(name: str) -> None:
    protocol = load_protocol(name)
    steps = [list(step) for step in protocol.steps]
    labels = synthetic_labels(len(protocol.classes), seed=len(name))
    counts = np.stack([np.bincount(label.ravel(), minlength=256) for label in labels])
    present = counts[:, : len(protocol.classes) + 1] > 0
    for step in range(len(steps)):
        images = step_images(present, steps, step, protocol.setting)
        assert images.tolist() == images_by_reading(labels, steps, step, protocol.setting)
        table = visible_table(steps, step, protocol.setting)
        values = [0, *range(1, len(protocol.classes) + 1), 255]
        assert table[values].tolist() == [target_by_reading(v, steps, step, protocol.setting) for v in values]


def test_joint_sees_every_class_in_every_setting() -> None:
    steps = ((1, 2, 3, 4),)
    present = np.array([[1, 0, 0, 0, 0], [1, 1, 0, 0, 1], [0, 0, 0, 1, 0]], dtype=bool)
    for setting in SETTINGS:
        assert step_images(present, steps, 0, setting).tolist() == [1, 2]
        assert visible_table(steps, 0, setting)[[0, 1, 2, 3, 4, 255]].tolist() == [0, 1, 2, 3, 4, 255]


def plan_of(dataset: Toy, steps: tuple[tuple[int, ...], ...] = ((1,), (2,)), background: bool = True) -> None:
    plan_steps(toy_protocol(steps, "overlapped", background, classes=2), dataset)


def two_classes(train: dict[str, Pair], background: bool = True) -> Toy:
    return Toy(2, background, {"train": train, "test": {"t": pair([[1]])}})


def test_a_step_without_an_image_is_refused() -> None:
    with pytest.raises(DataError, match="step 1 of toy has no image in train of memory"):
        plan_of(two_classes({"a": pair([[1, 0]])}))


def test_an_image_that_is_trained_on_and_scored_is_refused() -> None:
    with pytest.raises(DataError, match="image 't' is in both train and test of memory"):
        plan_of(two_classes({"t": pair([[1, 2]])}))


def test_a_protocol_of_other_classes_is_refused() -> None:
    dataset = two_classes({"a": pair([[1, 2]])})
    dataset.class_names = ("class 2", "class 1")
    with pytest.raises(ProtocolError, match="expected the same list, differing: the same in another order"):
        plan_of(dataset)
    dataset.class_names = ("class 1", "class 2", "class 3")
    with pytest.raises(ProtocolError, match=r"2 classes and dataset data_toys has 3; .*differing: class 3"):
        plan_of(dataset)


def test_a_protocol_that_disagrees_about_background_is_refused() -> None:
    with pytest.raises(ProtocolError, match="background = true; expected false, as dataset data_toys has it"):
        plan_of(two_classes({"a": pair([[1, 2]])}, background=False))
