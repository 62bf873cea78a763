"""Decoded images on disk: used only where they are what decoding would give, and never needed."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_toys import PRESET, Pair, Toy
from numpy.typing import NDArray

from benchmark.data import disk
from benchmark.data.disk import DiskCache, open_cache
from benchmark.data.loader import train_batches
from benchmark.data.memory import ArrayCache, Key
from benchmark.protocol import Augmentation

ENOUGH = 10**6


def some(seed: int, shape: tuple[int, ...] = (3, 2)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


PAIRS = {name: Pair(some(seed, (3, 2, 3)), some(seed)) for seed, name in enumerate("abc")}


def toy() -> Toy:
    dataset = Toy(3, True, {"train": PAIRS})
    dataset.image_stamps = {}
    return dataset


def fill(dataset: Toy, folder: Path, budget: int = ENOUGH, resize: int | None = None) -> list[str]:
    """Ask for all images and label maps; return what had to be decoded."""
    cache = DiskCache(dataset, folder, budget)
    dataset.reads.clear()
    for name, pair in PAIRS.items():
        image = cache.get(Key("image", name, resize), lambda name=name: dataset.image(name))
        label = cache.get(Key("label", name, resize), lambda name=name: dataset.label(name))
        np.testing.assert_array_equal(image, pair.image)
        np.testing.assert_array_equal(label, pair.label)
        assert image.dtype == label.dtype == np.uint8
    return list(dataset.reads)


ALL = [f"{kind} {name}" for name in PAIRS for kind in ("image", "label")]


def test_what_was_decoded_once_is_not_decoded_again(tmp_path: Path) -> None:
    assert fill(toy(), tmp_path) == ALL
    assert fill(toy(), tmp_path) == []
    assert fill(toy(), tmp_path, budget=0) == []  # what is there is used, whatever the budget


def redecoded(dataset: Toy, patch: pytest.MonkeyPatch) -> None:
    dataset.version = 2  # type: ignore[misc]


def relabelled(dataset: Toy, patch: pytest.MonkeyPatch) -> None:
    dataset.stamps = dict.fromkeys(PAIRS, "changed")


def rephotographed(dataset: Toy, patch: pytest.MonkeyPatch) -> None:
    dataset.image_stamps = dict.fromkeys(PAIRS, "changed")


def another_library(dataset: Toy, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(disk, "_libraries", lambda: ("pillow 1.0",))


def another_format(dataset: Toy, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(disk, "_FORMAT", 0)


@pytest.mark.parametrize("change", [redecoded, relabelled, rephotographed, another_library, another_format])
def test_any_change_of_what_it_came_from_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Toy, pytest.MonkeyPatch], None]
) -> None:
    fill(toy(), tmp_path)
    before = sorted(tmp_path.rglob("*.bin"))
    changed = toy()
    change(changed, monkeypatch)
    assert fill(changed, tmp_path) == ALL
    assert fill(changed, tmp_path) == []
    assert sorted(tmp_path.rglob("*.bin")) == before


def test_other_data_and_other_sizes_have_entries_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(toy(), tmp_path)
    assert fill(toy(), tmp_path, resize=7) == ALL
    monkeypatch.setattr(Toy, "location", "another copy")
    assert fill(toy(), tmp_path) == ALL
    assert len(list(tmp_path.rglob("*.bin"))) == 3 * len(ALL)


def test_the_entry_of_another_image_is_not_taken(tmp_path: Path) -> None:
    dataset = toy()
    cache = DiskCache(dataset, tmp_path, ENOUGH)
    entries = {}
    for name in "ab":
        cache.get(Key("image", name), lambda name=name: dataset.image(name))
        (entries[name],) = set(tmp_path.rglob("*.bin")) - set(entries.values())
    entries["a"].write_bytes(entries["b"].read_bytes())
    assert "image a" in fill(toy(), tmp_path)


def test_no_flipped_bit_and_no_cut_changes_a_pixel(tmp_path: Path) -> None:
    dataset = toy()
    DiskCache(dataset, tmp_path, ENOUGH).get(Key("image", "a"), lambda: dataset.image("a"))
    (entry,) = tmp_path.rglob("*.bin")
    good = entry.read_bytes()
    broken = [good[:keep] for keep in range(len(good))] + [good + b"\0"]
    for place in range(len(good)):
        flipped = bytearray(good)
        flipped[place] ^= 1 << (place % 8)
        broken.append(bytes(flipped))
    for content in broken:
        entry.write_bytes(content)
        dataset.reads.clear()
        found = DiskCache(dataset, tmp_path, ENOUGH).get(Key("image", "a"), lambda: dataset.image("a"))
        np.testing.assert_array_equal(found, PAIRS["a"].image)
        assert dataset.reads == ["image a"] and entry.read_bytes() == good


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("budget", [0, 1, 61, 62, 63, 130, 250, 400])
def test_the_folder_never_holds_more_than_the_budget(tmp_path: Path, budget: int) -> None:
    (tmp_path / "someone else's").write_bytes(bytes(10))
    decoded = fill(toy(), tmp_path, budget)
    cache = DiskCache(toy(), tmp_path, budget)
    assert decoded == ALL and cache.used_bytes == bytes_below(tmp_path) <= max(budget, 10)
    again = fill(toy(), tmp_path, budget)
    assert len(ALL) - len(again) == len(list(tmp_path.rglob("*.bin")))
    assert (len(again) == 0) == (budget == 400)  # it takes 3 x (44 + 18 + 44 + 6) and the 10 there


def test_stale_entries_give_their_room_to_what_replaces_them(tmp_path: Path) -> None:
    fill(toy(), tmp_path, 336)
    changed = toy()
    relabelled(changed, pytest.MonkeyPatch())
    fill(changed, tmp_path, 336)
    assert fill(changed, tmp_path, 336) == []
    assert bytes_below(tmp_path) == 336


def test_processes_share_what_is_left_when_they_start(tmp_path: Path) -> None:
    cache = DiskCache(toy(), tmp_path, 100)
    (tmp_path / "written since").write_bytes(bytes(40))
    cache.share(3)
    assert (cache.used_bytes, cache.budget_bytes) == (40, 60)


def test_what_others_wrote_meanwhile_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = toy()
    cache, worker = DiskCache(dataset, tmp_path, 100), DiskCache(dataset, tmp_path, 100)
    worker.share(1)
    (tmp_path / "by another").write_bytes(bytes(90))
    monkeypatch.setattr(disk, "_LOOK_SECONDS", -1)
    cache.get(Key("image", "a"), lambda: dataset.image("a"))
    assert bytes_below(tmp_path) == 90
    worker.get(Key("image", "a"), lambda: dataset.image("a"))  # its share was set aside
    assert bytes_below(tmp_path) == 90 + 62


def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let every file written through a handle fail half way; return the list of attempts."""
    attempts: list[int] = []

    class Full(io.FileIO):
        def writelines(self, lines: Any) -> None:
            attempts.append(1)
            self.write(b"half")
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", lambda handle, mode: Full(handle, "wb"))
    return attempts


def test_a_full_disk_costs_only_the_time_to_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = full_disk(monkeypatch)
    with caplog.at_level(logging.WARNING):
        assert fill(toy(), tmp_path) == ALL
    assert len(attempts) == 1 and len(caplog.records) == 1
    assert caplog.messages == [
        f"decoded images are no longer kept in {tmp_path}: [Errno 28] No space left on device"
    ]
    assert bytes_below(tmp_path) == 0


def test_a_folder_that_cannot_be_written_to_costs_only_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert fill(toy(), tmp_path / "file") == ALL
    assert len(caplog.records) == 1


def test_data_that_are_no_files_are_not_kept(tmp_path: Path) -> None:
    dataset = toy()
    dataset.image_stamps = None
    assert fill(dataset, tmp_path) == ALL and not list(tmp_path.iterdir())


def test_memory_or_disk_is_chosen_by_the_folder(tmp_path: Path) -> None:
    in_memory, on_disk = open_cache(toy(), 5, None), open_cache(toy(), 6, tmp_path)
    assert isinstance(in_memory, ArrayCache) and in_memory.budget_bytes == 5
    assert isinstance(on_disk, DiskCache) and on_disk.budget_bytes == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_disk_are_the_same_bytes(tmp_path: Path, workers: int) -> None:
    def batches(dataset: Toy) -> list[torch.Tensor]:
        found = train_batches(
            dataset.split("train"),
            range(3),
            preset=PRESET,
            augmentation=Augmentation(),
            iterations=6,
            seed=1,
            step=0,
            workers=workers,
        )
        return [tensor for batch in found for tensor in batch]

    expected = batches(toy())
    for _ in range(2):
        dataset = toy()
        dataset.cache = DiskCache(dataset, tmp_path, ENOUGH)
        found = batches(dataset)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert workers or dataset.reads == []
