"""The field's protocols: class lists, aliases and counts of images against what was published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.family import JOINT
from benchmark.preset import ModelPreset
from benchmark.protocols import family_files, load_family, load_protocol

SHARED = Path(__file__).parents[3] / "shared"
SETTINGS = ("sequential", "disjoint", "overlapped")
SCENARIOS = {  # scenario: classes of the base, classes of a later step, number of steps
    "voc": {
        "19-1": (19, 1, 2), "15-5": (15, 5, 2), "15-1": (15, 1, 6), "10-10": (10, 10, 2),
        "10-5": (10, 5, 3), "10-1": (10, 1, 11), "5-3": (5, 3, 6),
    },
    "ade": {
        **{f"100-50{order}": (100, 50, 2) for order in ("", "b", "c")},
        **{f"100-10{order}": (100, 10, 6) for order in ("", "b", "c")},
        **{f"50-50{order}": (50, 50, 3) for order in ("", "b", "c")},
        "100-5": (100, 5, 11), "25-25": (25, 25, 6),
    },
    "cityscapes": {"14-5": (14, 5, 2), "14-1": (14, 1, 6), "10-1": (10, 1, 10), "7-3": (7, 3, 5)},
}  # fmt: skip
CLASSES = {"voc": 20, "ade": 150, "cityscapes": 19}


def shared(name: str) -> dict[str, Any]:
    if not (SHARED / name).is_file():
        pytest.skip(f"no {name} in {SHARED}")
    return json.loads((SHARED / name).read_text())


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_of_the_field_is_there(name: str) -> None:
    family = load_family(family_files()[name])
    assert set(family.scenarios) == set(SCENARIOS[name])
    assert family.settings == SETTINGS and {"test", "validation"} == set(family.splits)
    for scenario, (base, later, steps) in SCENARIOS[name].items():
        lists = family.scenarios[scenario]
        assert [len(step) for step in lists] == [base] + [later] * (steps - 1)
        order = [label for step in lists for label in step]
        assert sorted(order) == list(range(1, CLASSES[name] + 1))
        assert (order == sorted(order)) == (scenario[-1] not in "bc")


PUBLISHED = {
    "voc": {"15-1": "15-5s", "10-1": "10-10s", "10-5": "10-5-5", JOINT: "offline"},
    "ade": {"50-50": "50", "50-50b": "50b", "50-50c": "50c", JOINT: "offline"},
}


def published_name(family: str, scenario: str) -> str:
    return PUBLISHED.get(family, {}).get(scenario, scenario)


def test_class_lists_are_those_of_the_published_code() -> None:
    orders = shared("class_orders.json")
    compared = 0
    for name in ("voc", "ade"):
        for scenario, steps in load_family(family_files()[name]).scenarios.items():
            lists = orders[name].get(published_name(name, scenario))
            if lists is None:
                assert scenario in ("5-3", "25-25")
                continue
            assert [list(step) for step in steps] == [[c for c in step if c] for step in lists]
            compared += 1
    assert compared == 6 + 10


def test_expected_images_are_those_of_the_published_lists() -> None:
    counts = shared("expected_image_counts.json")
    compared = 0
    for name in SCENARIOS:
        family = load_family(family_files()[name])
        for scenario in (*family.scenarios, JOINT):
            for setting in SETTINGS:
                task = f"{name}/{published_name(name, scenario)}"
                kind = "overlap" if setting == "overlapped" and scenario != JOINT else "disjoint"
                lists = counts.get(f"{task}/{kind}/train")
                key = JOINT if scenario == JOINT else f"{scenario}-{setting}"
                found = family.expected_images.get(key)
                if lists is None:
                    assert found is None
                    continue
                assert found is not None
                assert {k: found[int(k)] for k in lists} == lists
                compared += 1
    assert compared == 13 + 3 + 12  # VOC's settings, its bound (seen in each), ADE20K's


def test_numbers_of_images_that_follow_from_each_other_agree() -> None:
    """Where no image may show a later class, each is in one step alone: sums agree."""
    for name, total in (("voc", 10582), ("ade", 20196)):
        expected = load_family(family_files()[name]).expected_images
        sums = {key: sum(images) for key, images in expected.items() if not key.endswith("overlapped")}
        assert set(sums.values()) == {total}
    voc = load_family(family_files()["voc"]).expected_images
    assert voc["10-1-disjoint"][6:] == voc["15-1-disjoint"][1:]
    assert sum(voc["15-1-disjoint"][1:]) == voc["15-5-disjoint"][1] == voc["15-5-overlapped"][1]
    assert voc["15-1-overlapped"][-1] == voc["15-1-disjoint"][-1]
    assert all(a >= b for a, b in zip(voc["15-1-overlapped"], voc["15-1-disjoint"], strict=True))


def test_only_what_is_scored_in_the_end_has_published_numbers() -> None:
    assert load_protocol("voc-15-1-overlapped").expected_images == (9568, 487, 299, 491, 500, 548)
    assert load_protocol("voc-15-1-overlapped", split="validation").expected_images is None
    assert load_protocol("voc-5-3-overlapped").expected_images is None
    assert load_protocol("voc-joint").expected_images == (10582,)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("voc-15-5s-overlapped", "voc-15-1-overlapped"),
        ("voc-10-10s-disjoint", "voc-10-1-disjoint"),
        ("ade-50b-disjoint", "ade-50-50b-disjoint"),
    ],
)
def test_names_of_the_published_code_are_understood(alias: str, name: str) -> None:
    assert load_protocol(alias) == load_protocol(name)


@pytest.mark.parametrize(("name", "epochs"), [("voc", 30), ("ade", 60), ("cityscapes", 50)])
def test_schedules_are_the_published_ones(name: str, epochs: int) -> None:
    protocol = load_protocol(f"{name}-joint")
    model: ModelPreset = protocol.model
    assert protocol.epochs == epochs and model.name == "deeplabv3-resnet101"
    assert (model.batch_size, model.image_size, model.learning_rate) == (24, 512, 0.01)
    assert (model.learning_rate_later, model.momentum, model.nesterov) == (0.001, 0.9, True)
    assert (protocol.augmentation.random_scale, protocol.augmentation.flip) == ((0.5, 2.0), 0.5)
    assert protocol.background == (name == "voc") and protocol.evaluation.crop == "whole"
