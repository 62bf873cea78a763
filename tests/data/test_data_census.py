"""What a step shows: images and pixels by class against counting pixel by pixel, by hand and on fixtures."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from data_toys import Toy, pair, toy_protocol
from layouts import make_ade, make_cityscapes, make_voc

from benchmark.data.census import Share, take_census
from benchmark.data.dataset import open_dataset
from benchmark.data.scenario import Plan, plan_steps
from benchmark.protocol import Protocol
from benchmark.protocols import load_protocol


def test_a_census_by_hand() -> None:
    train = {
        "a": pair([[0, 2], [2, 255]]),  # step 0
        "b": pair([[1, 2], [0, 0]]),  # steps 0 and 1
        "c": pair([[1, 3], [3, 3]]),  # steps 1 and 2
    }
    toy = Toy(3, True, {"train": train, "test": {"t": pair([[1]])}})
    protocol = toy_protocol(((2,), (1,), (3,)), "overlapped", True)
    first, second, third = take_census(protocol, plan_steps(protocol, toy))
    assert (first.images, second.images, third.images) == (2, 2, 1)
    assert first.classes == (Share("class 2", 1, 2, 3),)
    assert first.background == (Share("background", 0, 2, 4), Share("  of it later classes", 0, 1, 1))
    assert second.classes == (Share("class 1", 2, 2, 2),)
    assert second.background == (
        Share("background", 0, 2, 6),
        Share("  of it earlier classes", 0, 1, 1),
        Share("  of it later classes", 0, 1, 3),
    )
    assert third.background == (Share("background", 0, 1, 1), Share("  of it earlier classes", 0, 1, 1))


def test_sequential_shows_earlier_classes_too() -> None:
    toy = Toy(2, True, {"train": {"a": pair([[1, 1]]), "b": pair([[1, 2]])}, "test": {"t": pair([[1]])}})
    protocol = toy_protocol(((1,), (2,)), "sequential", True)
    census = take_census(protocol, plan_steps(protocol, toy))
    assert census[1].classes == (Share("class 1", 1, 1, 1), Share("class 2", 2, 1, 1))
    assert census[1].background[1] == Share("  of it earlier classes", 0, 0, 0)


def pixels_shown(protocol: Protocol, plan: Plan, step: int) -> dict[int, list[int]]:
    """Training target -> images and pixels, read off the very label maps that training is given."""
    shown: dict[int, list[int]] = {}
    for index in plan.steps[step].images:
        target = plan.steps[step].visible[plan.train.label(int(index))]
        for value in np.unique(target).tolist():
            row = shown.setdefault(value, [0, 0])
            row[0] += 1
            row[1] += int((target == value).sum())
    return shown


MAKERS = {"voc": make_voc, "ade": make_ade, "cityscapes": make_cityscapes}
# The fixtures hold images for every step of these; each data set and each setting comes up.
NAMES = [
    *(f"voc-{s}" for s in ("15-1-overlapped", "10-5-sequential", "5-3-disjoint", "joint")),
    *(f"ade-{s}" for s in ("100-10b-disjoint", "25-25-overlapped", "50-50c-sequential")),
    *(f"cityscapes-{s}" for s in ("14-1-disjoint", "7-3-sequential")),
]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in MAKERS.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_census_counts_what_training_sees(roots: dict[str, Path], name: str) -> None:
    protocol = load_protocol(name)
    plan = plan_steps(protocol, open_dataset(protocol.dataset, roots[protocol.dataset]))
    census = take_census(protocol, plan)
    assert sum(step.images for step in census) >= len(protocol.steps)
    for step, found in enumerate(census):
        shown = pixels_shown(protocol, plan, step)
        assert found.images == len(plan.steps[step].images)
        for share in (*found.classes, found.background[0]):
            assert [share.images, share.pixels] == shown.get(share.channel, [0, 0])
        assert {0, 255, *(share.channel for share in found.classes)} >= set(shown)
        names = {share.channel: share.name for share in found.classes}
        assert all(protocol.row_names[channel] == name for channel, name in names.items())


def test_validation_of_every_data_set_finds_images_for_every_step(roots: dict[str, Path]) -> None:
    for name in ("voc-15-1-overlapped", "ade-100-50-overlapped", "cityscapes-14-1-disjoint"):
        protocol = load_protocol(name, split="validation")
        plan = plan_steps(protocol, open_dataset(protocol.dataset, roots[protocol.dataset]))
        whole = load_protocol(name)
        tested = open_dataset(whole.dataset, roots[whole.dataset]).split(whole.splits.test)
        assert not set(tested.ids) & {*plan.train.ids, *plan.test.ids}


def test_a_class_that_its_step_does_not_show_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    toy = Toy(3, True, {"train": {"a": pair([[1]]), "b": pair([[2, 3]])}, "test": {"t": pair([[1]])}})
    with caplog.at_level(logging.WARNING):
        plan_steps(toy_protocol(((1, 2), (3,)), "disjoint", True), toy)
    assert caplog.messages == ["step 0 of toy has no image that shows class 2"]
