"""Bad copies of VOC, ADE20K, Cityscapes and one's own folder: one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import MAKERS, ODD, all_of, make_ade, make_folder
from PIL import Image

from benchmark.data.dataset import open_dataset
from benchmark.errors import DataError

# Each breaks a good copy, then says what reading all of it must answer.

Breaker = Callable[[Path], str]
VOC_PATH = "VOCdevkit/VOC2012/"


def _gone(path: str, expected: str) -> Breaker:
    def harm(root: Path) -> str:
        (root / path).unlink()
        return expected.format(root=root)

    return harm


def _image(path: str, mode: str, expected: str, size: tuple[int, int] | None = None) -> Breaker:
    """Put another file in the place of an image or label map."""

    def harm(root: Path) -> str:
        before = Image.open(root / path).size
        Image.new(mode, size or before).save(root / path, format="PNG")
        return expected.format(path=root / path)

    return harm


def _content(path: str, change: Callable[[bytes], bytes], expected: str) -> Breaker:
    def harm(root: Path) -> str:
        (root / path).write_bytes(change((root / path).read_bytes()))
        return expected.format(path=root / path)

    return harm


def _append(path: str, line: str, expected: str) -> Breaker:
    def harm(root: Path) -> str:
        with (root / path).open("a", encoding="utf-8") as file:
            file.write(line)
        return expected.format(path=root / path, root=root)

    return harm


VOC_MASK = VOC_PATH + "SegmentationClass/2009_000002.png"
COLOURS = "label map {path} holds colours (mode %s) in place of indices; expected a PNG with a palette or"
BROKEN: dict[str, tuple[str, Breaker]] = {
    "colours": ("voc", _image(VOC_MASK, "RGB", COLOURS % "RGB")),
    "colours and alpha": ("folder:cells", _image("cells/masks/test 2.png", "RGBA", COLOURS % "RGBA")),
    "16 bits": ("voc", _image(VOC_MASK, "I;16", "label map {path} holds 16 bits a pixel")),
    "1 bit": ("voc", _image(VOC_MASK, "1", "label map {path} holds 1 bit a pixel")),
    "alpha": ("voc", _image(VOC_MASK, "LA", "label map {path} holds an alpha channel")),
    "another size": ("voc", _image(VOC_MASK, "L", "label map {path} has 3 x 5 pixels; expected", (3, 5))),
    "truncated": ("voc", _content(VOC_MASK, lambda b: b[: len(b) // 2], "label map {path} cannot be read: ")),
    "no image at all": ("voc", _content(VOC_MASK, lambda b: b"<html>", "{path} is not an image file")),
    "truncated photograph": (
        "ade",
        _content(
            "ADEChallengeData2016/images/validation/ADE_val_00000003.jpg",
            lambda b: b[: len(b) // 2],
            "image {path} cannot be read: ",
        ),
    ),
    "no list": (
        "voc",
        _gone(
            VOC_PATH + "ImageSets/Segmentation/val.txt",
            "split list {root}/VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt is missing",
        ),
    ),
    "no image": (
        "voc",
        _gone(
            VOC_PATH + "JPEGImages/2007_000003.jpg", "train.txt names image '2007_000003', which is not in"
        ),
    ),
    "no image of the augmented": (
        "voc",
        _gone(VOC_PATH + "JPEGImages/2008_000003.jpg", "Aug names image '2008_000003', which is not in"),
    ),
    "no label of ade": (
        "ade",
        _gone(
            "ADEChallengeData2016/annotations/training/ADE_train_00000007.png",
            "has no label map; expected ADE_train_00000007.png in",
        ),
    ),
    "no image of ade": (
        "ade",
        _gone(
            "ADEChallengeData2016/images/validation/ADE_val_00000007.jpg",
            "ADE_val_00000007.png has no image; expected 'ADE_val_00000007' in",
        ),
    ),
    "no label of cityscapes": (
        "cityscapes",
        _gone(
            "gtFine/val/munster/munster_000003_000019_gtFine_labelIds.png",
            "has no label map; expected munster_000003_000019_gtFine_labelIds.png in",
        ),
    ),
    "no mask": (
        "folder:cells",
        _gone("cells/masks/test 2.png", "test 2.jpg has no label map; expected test 2.png in"),
    ),
    "listed twice": (
        "folder:cells",
        _append("cells/splits/train.txt", "train 2.jpg\n", "{path} names image 'train 2' more than once"),
    ),
    "unknown name": (
        "folder:cells",
        _append("cells/splits/test.txt", "gone\n", "{path} names image 'gone', which is not in"),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_copy_is_one_sentence(tmp_path: Path, case: str) -> None:
    name, harm = BROKEN[case]
    root = MAKERS[name](tmp_path / ODD)
    expected = harm(root)
    with pytest.raises(DataError) as caught:
        all_of(open_dataset(name, root))
    assert expected in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value", "known"), [("voc", 21, "0 to 20"), ("ade", 151, "0 to 150")])
def test_a_value_beyond_the_classes_is_named_with_its_place(
    tmp_path: Path, name: str, value: int, known: str
) -> None:
    dataset = open_dataset(name, MAKERS[name](tmp_path))
    identity = dataset.ids("val")[0]
    path = dataset.labels[identity]  # type: ignore[attr-defined]
    label = np.array(Image.open(path))
    label[5, 6] = value
    Image.fromarray(label).save(path)
    with pytest.raises(DataError) as caught:
        dataset.label(identity)
    assert str(caught.value) == (
        f"label map {path} has value {value} at row 5, column 6; expected {known} or 255"
    )


def test_greyscale_of_4_bits_is_refused_since_readers_scale_it(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    make_folder(tmp_path)
    path = tmp_path / "cells" / "masks" / "test 1.png"
    head = struct.pack(">IIBBBBB", 2, 1, 4, 0, 0, 0, 0)  # 2 x 1, 4 bits, greyscale
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\x12")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(DataError, match=r"holds 4 bits a pixel \(mode L;4\) in place of indices"):
        open_dataset("folder:cells", tmp_path).label("test 1")


def test_a_palette_of_few_colours_keeps_its_indices(tmp_path: Path) -> None:
    make_folder(tmp_path)
    image = Image.new("P", (24, 32), 3)
    image.putpalette([0, 0, 0, 9, 9, 9, 8, 8, 8, 7, 7, 7])
    image.save(tmp_path / "cells" / "masks" / "train 2.png", bits=2)
    Image.new("RGB", (24, 32)).save(tmp_path / "cells" / "images" / "train 2.jpg")
    assert set(np.unique(open_dataset("folder:cells", tmp_path).label("train 2"))) == {3}


def test_a_mask_with_losses_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path)
    path = tmp_path / "cells" / "masks" / "test 1.png"
    Image.new("L", (32, 24)).save(path, format="JPEG")
    with pytest.raises(DataError, match="is a JPEG file; expected PNG, which loses nothing"):
        open_dataset("folder:cells", tmp_path).label("test 1")


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_images_of_other_modes_are_read_in_colour(tmp_path: Path, mode: str) -> None:
    make_folder(tmp_path)
    jpeg = mode in ("L", "CMYK")
    path = tmp_path / "cells" / "images" / "test 1.jpg"
    path.unlink()
    Image.new("RGB", (24, 32), (204, 204, 204)).convert(mode).save(path if jpeg else path.with_suffix(".png"))
    found = open_dataset("folder:cells", tmp_path).image("test 1")
    assert found.shape == (32, 24, 3) and np.abs(found.astype(int) - 204).max() <= 4


def test_an_image_too_large_to_decode_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path)
    dataset = open_dataset("folder:cells", tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for read in (dataset.image, dataset.label):
        with pytest.raises(DataError, match=r"cannot be read: Image size \(768 pixels\) exceeds limit"):
            read("test 1")


def test_16_bit_images_are_refused(tmp_path: Path) -> None:
    make_folder(tmp_path)
    path = tmp_path / "cells" / "images" / "test 1.jpg"
    Image.new("I;16", (24, 32)).save(path, format="PNG")
    with pytest.raises(DataError, match=r"has mode I;16; expected 8 bits a channel$"):
        open_dataset("folder:cells", tmp_path).image("test 1")


@pytest.mark.parametrize("name", MAKERS)
def test_no_folder_and_an_empty_one_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"got none, expected --data-root$"):
        open_dataset(name, None)
    with pytest.raises(DataError, match=r"^no .* at .*; expected "):
        open_dataset(name, tmp_path)


def test_a_split_without_an_image_is_refused(tmp_path: Path) -> None:
    make_ade(tmp_path)
    for path in tmp_path.rglob("ADE_val_*"):
        path.unlink()
    with pytest.raises(DataError, match=r"^split val of .* has no image; expected at least one$"):
        open_dataset("ade", tmp_path).split("val")
