"""VOC, ADE20K, Cityscapes and one's own folder: what is read of a good copy."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import layouts
import numpy as np
import pytest
from layouts import (
    CITY_IDS,
    MAKERS,
    ODD,
    SHOWN,
    SIZES,
    all_of,
    label_of,
    make_cityscapes,
    make_folder,
    make_voc,
)
from PIL import Image

from benchmark.data.dataset import open_dataset
from benchmark.data.index import pixel_counts
from benchmark.errors import DataError


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A copy of each layout, not to be changed, below a path with spaces and letters beyond ASCII."""
    root = tmp_path_factory.mktemp("layouts") / ODD
    return {name: make(root / name.replace(":", " ")) for name, make in MAKERS.items()}


@pytest.mark.parametrize("name", MAKERS)
def test_every_split_shows_what_was_written(roots: dict[str, Path], name: str) -> None:
    dataset = open_dataset(name, roots[name])
    all_of(dataset)
    halves = {"ade": {"training": ("train", "held_out"), "validation": ("val",)}}
    halves["cityscapes"] = {"train": ("train", "held_out"), "val": ("val",)}
    kind = name.partition(":")[0]
    for written, images in SHOWN[kind].items():
        split = dataset.split(*halves.get(kind, {}).get(written, (written,)))
        counts = pixel_counts(split)
        found = sorted(tuple(np.flatnonzero(row[1:]) + 1) for row in counts)
        assert found == sorted(tuple(sorted(labels)) for labels in images)
        sizes = sorted(split.label(index).shape for index in range(len(split)))
        assert set(sizes) == set(SIZES)


@pytest.mark.parametrize("name", MAKERS)
def test_every_pixel_is_what_was_written(roots: dict[str, Path], name: str) -> None:
    dataset = open_dataset(name, roots[name])
    kind = name.partition(":")[0]
    base, border = {"ade": (0, 0), "cityscapes": (255, 255)}.get(kind, (0, 255))
    identity, written, number = {
        "voc": ("2008_000025", "augmented", 25),
        "ade": ("ADE_train_00000033", "training", 33),
        "cityscapes": ("frankfurt_000002_000019", "val", 2),
        "folder": ("train 4", "train", 4),
    }[kind]
    expected = label_of(SHOWN[kind][written][number - 1], SIZES[number % 2], base, border)
    np.testing.assert_array_equal(dataset.label(identity), expected)


# VOC.


def test_voc_has_the_classes_and_the_published_counts() -> None:
    from benchmark.data.datasets.voc import Voc

    assert Voc.class_names[0] == "aeroplane" and Voc.class_names[14] == "person"
    assert len(Voc.class_names) == 20 and list(Voc.class_names) == sorted(Voc.class_names)
    assert Voc.published_images["train"] + Voc.published_images["augmented"] == 10582


def test_voc_is_found_from_every_folder_above_it(roots: dict[str, Path]) -> None:
    root = roots["voc"]
    for start in (root, root / "VOCdevkit", root / "VOCdevkit" / "VOC2012"):
        assert open_dataset("voc", start).location == str(root / "VOCdevkit" / "VOC2012")


def test_augmented_is_what_sbd_has_beyond_the_official_splits_in_either_form(
    roots: dict[str, Path], tmp_path: Path
) -> None:
    png, mat = open_dataset("voc", roots["voc"]), open_dataset("voc", make_voc(tmp_path, "mat"))
    assert png.ids("augmented") == mat.ids("augmented")
    assert len(png.ids("augmented")) == len(SHOWN["voc"]["augmented"])
    joined = png.split("train", "augmented").ids
    assert not set(joined) & set(png.ids("val"))
    for identity in png.ids("augmented"):
        expected = png.label(identity)
        np.testing.assert_array_equal(mat.label(identity), np.where(expected == 255, 0, expected))


@pytest.mark.parametrize("augmented", ["png", "mat"])
def test_an_official_label_wins_over_the_augmented_one(tmp_path: Path, augmented: str) -> None:
    folder = make_voc(tmp_path, augmented) / "VOCdevkit" / "VOC2012"  # type: ignore[arg-type]
    before = open_dataset("voc", tmp_path).label("2007_000001")
    if augmented == "png":
        Image.new("L", (before.shape[1], before.shape[0]), 7).save(
            folder / "SegmentationClassAug" / "2007_000001.png"
        )
    else:
        layouts._mat(
            tmp_path / "benchmark_RELEASE" / "dataset" / "cls" / "2007_000001.mat", np.full_like(before, 7)
        )
    np.testing.assert_array_equal(open_dataset("voc", tmp_path).label("2007_000001"), before)


def test_sbd_may_lie_in_a_folder_of_its_own(tmp_path: Path) -> None:
    make_voc(tmp_path, "mat")
    (tmp_path / "benchmark_RELEASE" / "dataset").rename(tmp_path / "sbd")
    devkit = open_dataset("voc", tmp_path / "VOCdevkit")
    assert len(devkit.ids("augmented")) == len(SHOWN["voc"]["augmented"])


def test_without_an_augmented_set_only_that_split_is_refused(tmp_path: Path) -> None:
    dataset = open_dataset("voc", make_voc(tmp_path, None))
    assert len(dataset.split("train")) == len(SHOWN["voc"]["train"])
    with pytest.raises(DataError, match=r"^no augmented training set for VOC 2012 at .*SegmentationClassAug"):
        dataset.split("train", "augmented")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"no MATLAB file", "cannot be read"),
        ({"other": 1}, "expected GTcls.Segmentation"),
        ({"GTcls": {"Segmentation": np.zeros((2, 2))}}, "holds 2 dimensions of float64"),
        ({"GTcls": {"Segmentation": np.full((2, 2), 21, np.uint8)}}, "has value 21 at row 0, column 0"),
    ],
)
def test_a_broken_file_of_sbd_is_named(tmp_path: Path, content: bytes | dict, expected: str) -> None:
    from scipy.io import savemat

    make_voc(tmp_path, "mat")
    path = tmp_path / "benchmark_RELEASE" / "dataset" / "cls" / "2008_000004.mat"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        savemat(path, content)
    with pytest.raises(DataError) as caught:
        open_dataset("voc", tmp_path).label("2008_000004")
    assert str(path) in str(caught.value) and expected in str(caught.value)


# ADE20K.


def test_ade_has_150_classes_in_the_order_of_the_release() -> None:
    from benchmark.data.datasets.ade import Ade

    names = Ade.class_names
    assert len(names) == len(set(names)) == 150
    # From the release's objectInfo150.txt, here and there.
    assert [names[index - 1] for index in (1, 14, 15, 51, 90, 104, 126, 139, 144, 150)] == [
        *("wall", "earth", "door", "refrigerator", "television", "ship", "pot", "ashcan", "monitor", "flag")
    ]


def test_every_tenth_training_image_of_ade_is_held_out(roots: dict[str, Path]) -> None:
    dataset = open_dataset("ade", roots["ade"])
    assert dataset.ids("held_out") == tuple(f"ADE_train_{number:08}" for number in (10, 20, 30, 40, 50))
    assert len(dataset.ids("train")) == 45
    assert open_dataset("ade", roots["ade"] / "ADEChallengeData2016").ids("val") == dataset.ids("val")


# Cityscapes.


def test_cityscapes_maps_ids_to_train_ids() -> None:
    from benchmark.data.datasets import cityscapes

    # The release's label table, name and id of those that are evaluated, in the order of train ids.
    assert tuple(cityscapes.CLASSES.values()) == CITY_IDS
    assert cityscapes.Cityscapes.class_names[-3:] == ("train", "motorcycle", "bicycle")


def test_every_id_of_cityscapes_decodes_and_no_other(tmp_path: Path) -> None:
    make_cityscapes(tmp_path)
    stem = "frankfurt_000002_000019"
    label = tmp_path / "gtFine" / "val" / "frankfurt" / f"{stem}_gtFine_labelIds.png"
    image = tmp_path / "leftImg8bit" / "val" / "frankfurt" / f"{stem}_leftImg8bit.png"
    Image.new("RGB", (35, 1)).save(image)
    Image.fromarray(np.array([[*range(34), 255]], np.uint8)).save(label)
    found = open_dataset("cityscapes", tmp_path).label(stem)[0].tolist()
    wanted = [CITY_IDS.index(number) + 1 if number in CITY_IDS else 255 for number in [*range(34), 255]]
    assert found == wanted
    Image.fromarray(np.array([[34] * 35], np.uint8)).save(label)
    with pytest.raises(DataError, match=r"has value 34 at row 0, column 0; expected 0 to 33 or 255$"):
        open_dataset("cityscapes", tmp_path).label(stem)


def test_train_ids_say_the_same_as_ids_and_ids_come_first(roots: dict[str, Path], tmp_path: Path) -> None:
    ids = open_dataset("cityscapes", roots["cityscapes"])
    train_ids = open_dataset("cityscapes", make_cityscapes(tmp_path, "labelTrainIds"))
    for identity in ids.ids("val"):
        np.testing.assert_array_equal(ids.label(identity), train_ids.label(identity))
    make_cityscapes(tmp_path, "labelIds")
    both = open_dataset("cityscapes", tmp_path / ".")
    assert all(path.stem.endswith("labelIds") for path in both.labels.values())  # type: ignore[attr-defined]


def test_cities_are_held_out_whole(roots: dict[str, Path]) -> None:
    dataset = open_dataset("cityscapes", roots["cityscapes"])
    assert {name.partition("_")[0] for name in dataset.ids("held_out")} == {"ulm", "zurich"}
    assert {name.partition("_")[0] for name in dataset.ids("train")} == {"aachen", "bremen"}
    assert {name.partition("_")[0] for name in dataset.ids("val")} == {"frankfurt", "munster"}


# One's own folder.


def test_the_first_line_of_the_class_list_tells_of_background(tmp_path: Path) -> None:
    make_folder(tmp_path, "with", background=True)
    make_folder(tmp_path, "without", background=False)
    with_it, without = open_dataset("folder:with", tmp_path), open_dataset("folder:without", tmp_path)
    assert (with_it.has_background, without.has_background) == (True, False)
    assert with_it.class_names == without.class_names == layouts.FOLDER_CLASSES
    assert open_dataset("folder", tmp_path / "with").ids("test") == with_it.ids("test")


def test_names_are_found_however_their_accents_are_spelt_and_with_dots(tmp_path: Path) -> None:
    folder = make_folder(tmp_path) / "cells"
    name = "Zelle é.v2"
    for kind, ending in (("images", "jpg"), ("masks", "png")):
        path = folder / kind / f"train 1.{ending}"
        path.rename(path.with_name(f"{unicodedata.normalize('NFD', name)}.{ending}"))
    lines = (folder / "splits" / "train.txt").read_text()
    (folder / "splits" / "train.txt").write_text(lines.replace("train 1\n", f"{name}.jpg\n"))
    assert open_dataset("folder", folder).label(name).shape == SIZES[1]


@pytest.mark.parametrize("place", ["/tmp", "..", "a/b", ""])
def test_a_folder_is_named_by_its_name_alone(tmp_path: Path, place: str) -> None:
    with pytest.raises(DataError, match="expected the name of a folder in the data's root"):
        open_dataset(f"folder:{place}", tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty; expected one name a line"),
        ("a\nb\na\n", "names 'a' more than once"),
        ("background\n", "names 0 classes; expected 1 to 253"),
        ("\n".join(map(str, range(254))), "names 254 classes; expected 1 to 253"),
        ("a\nbackground\n", "names 'background' below its first line"),
    ],
)
def test_a_class_list_that_is_wrong_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    make_folder(tmp_path)
    (tmp_path / "cells" / "classes.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        open_dataset("folder:cells", tmp_path)
    assert str(caught.value).startswith(f"class list {tmp_path / 'cells' / 'classes.txt'} ")
    assert expected in str(caught.value)
