"""Arrays from others: what they hold or a sentence, never another error and never more than they say."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import RecordError
from benchmark.plainarrays import UNREADABLE, plain_array
from benchmark.validate.images import read_images

LARGEST = 2**20


def packed(**arrays: object) -> zipfile.ZipFile:
    file = io.BytesIO()
    np.savez_compressed(file, **{name: np.asarray(value) for name, value in arrays.items()})
    return zipfile.ZipFile(file)


def characters(*codes: int) -> object:
    return np.array(codes, dtype="<u4").view("<U1")


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8"])
def test_numbers_come_back_as_they_were(kind: str) -> None:
    values = np.array([0, 1, 255], dtype=kind)
    found = plain_array(packed(x=values), "x", "u", LARGEST)
    assert (found.dtype, found.tolist()) == (values.dtype, [0, 1, 255])


def test_texts_come_back_as_they_were() -> None:
    names = ["a", "dog \U0001f415", "Ωμέγα", ""]
    assert plain_array(packed(x=names), "x", "U", LARGEST).tolist() == names
    assert plain_array(packed(x=np.array([], "<U3")), "x", "U", LARGEST).tolist() == []


@pytest.mark.parametrize("code", [0xD800, 0xDFFF, 0x110000, 0xFFFFFFFF])
def test_numbers_that_stand_for_no_character_are_no_text(code: int) -> None:
    with pytest.raises(ValueError, match="x holds numbers that stand for no character"):
        plain_array(packed(x=characters(0x61, code)), "x", "U", LARGEST)


@pytest.mark.parametrize("code", [0xD7FF, 0xE000, 0x10FFFF])
def test_the_characters_next_to_them_are(code: int) -> None:
    assert plain_array(packed(x=characters(code)), "x", "U", LARGEST).tolist() == [chr(code)]


@pytest.mark.parametrize(
    "value", [[[1, 2], [3, 4]], [-1, 2], [0.5], [True], [b"a"], 7, np.array([{}], dtype=object)]
)
def test_other_arrays_are_refused(value: object) -> None:
    for kind in ("u", "U"):
        with pytest.raises(UNREADABLE):
            plain_array(packed(x=value), "x", kind, LARGEST)  # type: ignore[arg-type]


def test_what_unpacks_to_more_than_allowed_is_not_unpacked() -> None:
    with pytest.raises(ValueError, match="expected 1000 or fewer"):
        plain_array(packed(x=np.zeros(5000, dtype="u1")), "x", "u", 1000)


def test_validate_says_in_a_sentence_that_names_are_none(tmp_path: Path) -> None:
    fields = {f"step0_{name}": np.zeros(1, dtype="u2") for name in ("image", "row", "column", "count")}
    np.savez(tmp_path / "x.npz", names=characters(0x110000), **fields)  # type: ignore[arg-type]
    with pytest.raises(RecordError, match="names holds numbers that stand for no character"):
        read_images(tmp_path / "x.npz", 1)
