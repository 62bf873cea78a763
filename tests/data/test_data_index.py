"""Counts by image and class, and when a stored index may be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_toys import Pair, Toy, pair

from benchmark.data.dataset import Split
from benchmark.data.index import default_cache, pixel_counts
from benchmark.errors import DataError

LABELS = {"a": pair([[0, 1, 1], [2, 255, 1]]), "b": pair([[3, 3]]), "c": pair([[255, 255], [0, 0]])}
COUNTS = [[1, 3, 1, 0], [0, 0, 0, 2], [2, 0, 0, 0]]


def toy(pairs: dict[str, Pair] = LABELS) -> Toy:
    return Toy(3, True, {"train": pairs})


def counted(dataset: Toy) -> list[list[int]]:
    """Count anew: no reads afterwards means that the stored index was used."""
    dataset.reads.clear()
    return pixel_counts(dataset.split("train")).tolist()


def test_counts_are_those_of_the_label_maps() -> None:
    assert counted(toy()) == COUNTS


def test_a_stored_index_is_used_without_reading_a_label_map() -> None:
    counted(toy())
    again = toy()
    assert counted(again) == COUNTS
    assert again.reads == []


def restamped(dataset: Toy) -> None:
    dataset.stamps["b"] = "changed"


def renamed(dataset: Toy) -> None:
    dataset.pairs = {"train": {"a": LABELS["a"], "z": LABELS["b"], "c": LABELS["c"]}}


def reordered(dataset: Toy) -> None:
    dataset.pairs = {"train": dict(reversed(LABELS.items()))}


def shortened(dataset: Toy) -> None:
    dataset.pairs = {"train": {"a": LABELS["a"]}}


def widened(dataset: Toy) -> None:
    dataset.class_names = (*dataset.class_names, "class 4")


def redecoded(dataset: Toy) -> None:
    dataset.version = 2  # type: ignore[misc]


@pytest.mark.parametrize("change", [restamped, renamed, reordered, shortened, widened, redecoded])
def test_any_change_of_what_it_came_from_makes_it_stale(change: object) -> None:
    counted(toy())
    changed = toy()
    change(changed)  # type: ignore[operator]
    rows = counted(changed)
    assert sorted(changed.reads) == sorted(f"label {identity}" for identity in changed.ids("train"))
    expected = {"a": COUNTS[0], "b": COUNTS[1], "z": COUNTS[1], "c": COUNTS[2]}
    width = len(changed.class_names) + 1
    assert rows == [[*expected[name], 0][:width] for name in changed.ids("train")]


def stored_file(cache: Path) -> Path:
    return next((cache / "index").iterdir())


@pytest.mark.parametrize("keep", [0, 1, 32, 0.5, -1])
def test_a_truncated_index_is_counted_again(cache: Path, keep: float) -> None:
    counted(toy())
    content = stored_file(cache).read_bytes()
    stored_file(cache).write_bytes(content[: int(len(content) * keep) if 0 < keep < 1 else int(keep)])
    broken = toy()
    assert counted(broken) == COUNTS and len(broken.reads) == 3
    mended = toy()
    assert counted(mended) == COUNTS and mended.reads == []


def test_no_flipped_bit_changes_a_count(cache: Path) -> None:
    counted(toy())
    content = stored_file(cache).read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        stored_file(cache).write_bytes(flipped)
        assert counted(toy()) == COUNTS, f"byte {place}"


def test_two_places_do_not_share_an_index(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(toy())

    monkeypatch.setattr(Toy, "location", "elsewhere")
    counted(toy())
    assert len(list((cache / "index").iterdir())) == 2


def test_a_cache_that_cannot_be_written_costs_only_time(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("a file where the folder should be")
    assert counted(toy()) == COUNTS
    assert "the index of label maps is not kept" in caplog.text


def test_nothing_half_written_is_left(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert counted(toy()) == COUNTS
    assert list((cache / "index").iterdir()) == []


@pytest.mark.parametrize("value", [4, 254])
def test_a_label_beyond_the_classes_is_refused(value: int) -> None:
    with pytest.raises(
        DataError, match=f"label map of 'b' in memory has value {value}; expected 0 to 3 or 255"
    ):
        counted(toy({"a": LABELS["a"], "b": pair([[1, value]])}))


def test_an_empty_split_has_no_rows() -> None:
    assert pixel_counts(Split(toy(), "none", ())).shape == (0, 4)


def test_counts_hold_more_than_sixteen_bits() -> None:
    label = np.ones((300, 300), np.uint8)
    big = Pair(np.zeros((300, 300, 3), np.uint8), label)
    assert counted(toy({"big": big}))[0] == [0, 90000, 0, 0]


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert default_cache() == tmp_path / "cache"
    monkeypatch.delenv("CSSBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "xdg" / "cssbench"
