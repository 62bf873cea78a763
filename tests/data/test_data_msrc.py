"""MSRC-v2 in its release's layout: what is read, and one sentence for each way in which a copy can be bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data.dataset import open_dataset
from benchmark.data.scenario import plan_steps
from benchmark.errors import DataError
from benchmark.protocols import load_protocol

# The release's colour table, typed from its documentation, in its order (1 to 23, void first).
RELEASE = """void 0 0 0,building 128 0 0,grass 0 128 0,tree 128 128 0,cow 0 0 128,horse 128 0 128,
sheep 0 128 128,sky 128 128 128,mountain 64 0 0,aeroplane 192 0 0,water 64 128 0,face 192 128 0,
car 64 0 128,bicycle 192 0 128,
flower 64 128 128,sign 192 128 128,bird 0 64 0,book 128 64 0,chair 0 192 0,road 128 64 128,cat 0 192 128,
dog 128 192 128,body 64 64 0,boat 192 64 0"""
TABLE = {line.split()[0]: tuple(map(int, line.split()[1:])) for line in RELEASE.split(",")}


def colours(rows: list[list[str]]) -> np.ndarray:
    return np.array([[TABLE[name] for name in row] for row in rows], dtype=np.uint8)


def build(root: Path, image: str = ".bmp", label: str = ".bmp") -> Path:
    """A release of six images of 3 x 2 pixels, two in each split."""
    folder = root / "MSRC_ObjCategImageDatabase_v2"
    (folder / "Images").mkdir(parents=True)
    (folder / "GroundTruth").mkdir()
    ground = Image.fromarray(colours([["cow", "grass", "void"], ["grass", "horse", "mountain"]]))
    for number, split in enumerate(("Train", "Train", "Validation", "Validation", "Test", "Test")):
        stem = f"{number + 1}_1_s"
        Image.new("RGB", (3, 2), (10 * number, 20, 30)).save(folder / "Images" / f"{stem}{image}")
        ground.save(folder / "GroundTruth" / f"{stem}_GT{label}")
        with (folder / f"{split}.txt").open("a") as file:
            file.write(f"{stem}.bmp\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build(tmp_path / "data ä")


@pytest.mark.parametrize(
    ("image", "label"), [(".bmp", ".bmp"), (".png", ".png"), (".jpg", ".png"), (".JPG", ".bmp")]
)
def test_images_are_found_by_stem_whatever_their_ending(tmp_path: Path, image: str, label: str) -> None:
    dataset = open_dataset("msrc", build(tmp_path, image, label))
    assert [dataset.ids(split) for split in dataset.splits] == [
        ("1_1_s", "2_1_s"),
        ("3_1_s", "4_1_s"),
        ("5_1_s", "6_1_s"),
    ]
    assert np.abs(dataset.image("4_1_s").astype(int) - [30, 20, 30]).max() <= 3  # JPEG rounds
    assert dataset.label("4_1_s").tolist() == [[4, 2, 255], [2, 255, 255]]


def test_the_root_may_be_the_folder_or_the_one_above(folder: Path) -> None:
    assert (
        open_dataset("msrc", folder).location == open_dataset("msrc", folder.parent).location == str(folder)
    )


def test_every_colour_of_the_release_decodes_to_its_class(folder: Path) -> None:
    names = list(TABLE)
    Image.fromarray(colours([names[:12], names[12:]])).save(folder / "GroundTruth" / "1_1_s_GT.bmp")
    Image.new("RGB", (12, 2)).save(folder / "Images" / "1_1_s.bmp")
    dataset = open_dataset("msrc", folder)
    decoded = dict(zip(names, dataset.label("1_1_s").ravel().tolist(), strict=True))
    assert [name for name in names if decoded[name] == 255] == ["void", "horse", "mountain"]
    kept = [name for name in names if decoded[name] != 255]
    assert [decoded[name] for name in kept] == list(range(1, 22))
    assert dataset.class_names == tuple(kept) == load_protocol("msrc-joint").classes
    assert not dataset.has_background


def test_a_palette_label_map_decodes_by_its_colours(tmp_path: Path) -> None:
    folder = build(tmp_path, label=".png")
    path = folder / "GroundTruth" / "1_1_s_GT.png"
    Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=8).save(path)
    assert open_dataset("msrc", folder).label("1_1_s").tolist() == [[4, 2, 255], [2, 255, 255]]


def test_blank_lines_and_other_line_ends_in_a_list_do_no_harm(folder: Path) -> None:
    (folder / "Train.txt").write_bytes(b"\xef\xbb\xbf1_1_s.bmp\r\n\r\n  2_1_s.bmp  \r\n")
    assert open_dataset("msrc", folder).ids("train") == ("1_1_s", "2_1_s")


def test_files_that_are_no_images_are_passed_over(folder: Path) -> None:
    (folder / "Images" / "Thumbs.db").write_bytes(b"x")
    assert open_dataset("msrc", folder).ids("train") == ("1_1_s", "2_1_s")


# Bad copies. Each breaks a good one, then says what reading all of it must answer.


def no_list(folder: Path) -> str:
    (folder / "Test.txt").unlink()
    return f"split list {folder / 'Test.txt'} is missing; expected one image name a line"


def empty_list(folder: Path) -> str:
    (folder / "Validation.txt").write_text("\n")
    return f"split list {folder / 'Validation.txt'} is empty; expected one image name a line"


def binary_list(folder: Path) -> str:
    (folder / "Train.txt").write_bytes(b"\xff\xfe\x00")
    return f"split list {folder / 'Train.txt'} cannot be read: 'utf-8' codec can't decode"


def listed_twice(folder: Path) -> str:
    with (folder / "Train.txt").open("a") as file:
        file.write("1_1_s.jpg\n")
    return f"split list {folder / 'Train.txt'} names image '1_1_s' more than once; expected it once"


def in_two_lists(folder: Path) -> str:
    with (folder / "Validation.txt").open("a") as file:
        file.write("2_1_s.bmp\n")
    return f"image '2_1_s' is more than once in train+validation of {folder}"


def trained_on_and_scored(folder: Path) -> str:
    with (folder / "Test.txt").open("a") as file:
        file.write("2_1_s.bmp\n")
    return f"image '2_1_s' is in both train+validation and test of {folder}"


def no_such_image(folder: Path) -> str:
    (folder / "Images" / "3_1_s.bmp").unlink()
    return f"split list {folder / 'Validation.txt'} names image '3_1_s', which is not in {folder / 'Images'}"


def no_label(folder: Path) -> str:
    (folder / "GroundTruth" / "3_1_s_GT.bmp").unlink()
    return (
        f"image {folder / 'Images' / '3_1_s.bmp'} has no label map; expected 3_1_s_GT.bmp/.png/.jpg/.jpeg "
        f"in {folder / 'GroundTruth'}"
    )


def two_endings(folder: Path) -> str:
    Image.new("RGB", (3, 2)).save(folder / "Images" / "3_1_s.png")
    return f"{folder / 'Images'} has both 3_1_s.bmp and 3_1_s.png; expected one of them"


def unknown_colour(folder: Path) -> str:
    path = folder / "GroundTruth" / "3_1_s_GT.bmp"
    image = Image.open(path)
    image.putpixel((2, 1), (1, 128, 0))
    image.save(path)
    return (
        f"label map {path} has the unknown colour (1, 128, 0) at row 1, column 2; "
        "expected one of the 24 colours of MSRC-v2"
    )


def other_size(folder: Path) -> str:
    path = folder / "Images" / "3_1_s.bmp"
    Image.new("RGB", (4, 2)).save(path)
    label = folder / "GroundTruth" / "3_1_s_GT.bmp"
    return f"label map {label} has 3 x 2 pixels; expected 4 x 2, as {path} has"


def truncated_label(folder: Path) -> str:
    path = folder / "GroundTruth" / "3_1_s_GT.bmp"
    path.write_bytes(path.read_bytes()[:-10])
    return f"image {path} cannot be read: image file is truncated"


def truncated_image(folder: Path) -> str:
    path = folder / "Images" / "3_1_s.bmp"
    path.write_bytes(path.read_bytes()[:-10])
    return f"image {path} cannot be read: image file is truncated"


def no_image_at_all(folder: Path) -> str:
    path = folder / "Images" / "3_1_s.bmp"
    path.write_bytes(b"<html>not found</html>")
    return f"{path} is not an image file"


@pytest.mark.parametrize(
    "break_it",
    [
        no_list,
        empty_list,
        binary_list,
        listed_twice,
        in_two_lists,
        trained_on_and_scored,
        no_such_image,
        no_label,
        two_endings,
        unknown_colour,
        other_size,
        truncated_label,
        truncated_image,
        no_image_at_all,
    ],
)
def test_a_bad_copy_is_refused_in_one_sentence(folder: Path, break_it: Callable[[Path], str]) -> None:
    expected = break_it(folder)
    with pytest.raises(DataError) as caught:
        read_all(folder)
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def read_all(folder: Path) -> None:
    """Do what a run does: plan the steps, then decode every image."""
    dataset = open_dataset("msrc", folder)
    protocol = load_protocol("msrc-joint")
    plan = plan_steps(protocol, dataset)
    for split in (plan.train, plan.test):
        for index in range(len(split)):
            split.image(index)


def test_a_good_copy_is_not_refused(folder: Path) -> None:
    read_all(folder)


def test_no_folder_and_a_wrong_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"^MSRC-v2 needs the folder of its data; got none, expected --data-root$"
    ):
        open_dataset("msrc", None)
    with pytest.raises(DataError) as caught:
        open_dataset("msrc", tmp_path / "nowhere")
    inside = tmp_path / "nowhere" / "MSRC_ObjCategImageDatabase_v2"
    expected = f"no MSRC-v2 at {tmp_path / 'nowhere'}; expected Images and GroundTruth in it or in {inside}"
    assert str(caught.value) == expected


def test_the_real_copy_is_whole(msrc_root: Path) -> None:
    dataset = open_dataset("msrc", msrc_root)
    assert [len(dataset.ids(split)) for split in ("train", "validation", "test")] == [276, 59, 256]
    assert len(set(dataset.split("train", "validation", "test").ids)) == 591
    plan = plan_steps(load_protocol("msrc-16-5-overlapped"), dataset)
    assert (len(plan.train), len(plan.test)) == (335, 256)
    labels = np.concatenate([plan.test.label(index).ravel() for index in range(len(plan.test))])
    assert set(np.unique(labels)) == {*range(1, 22), 255}
    assert plan.train.image(0).shape[:2] == plan.train.label(0).shape
