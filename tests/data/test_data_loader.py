"""Training batches are a function of (seed, step, iteration), whoever prepares them and from wherever."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from data_toys import PRESET, Pair, Toy, coded

from benchmark.data import loader
from benchmark.data.loader import RawBatch, iterations_per_epoch
from benchmark.errors import DataError
from benchmark.protocol import Augmentation

STILL = Augmentation(random_scale=(1.0, 1.0), flip=0.0)
VARIED = Augmentation(random_scale=(0.5, 2.0), flip=0.5)
SIDE = PRESET.image_size


def numbered(count: int) -> Toy:
    """Images of one value each, their number, with a label map of the same value, and a corner of another."""
    pairs = {}
    for number in range(count):
        label = np.full((SIDE, SIDE), number, dtype=np.uint8)
        label[:3, :5] = 200
        pairs[f"image {number}"] = Pair(coded(label), label)
    return Toy(250, True, {"train": pairs})


def batches(count: int, **changes: Any) -> Iterator[RawBatch]:
    options: dict[str, Any] = {
        "preset": PRESET, "augmentation": STILL, "iterations": 6, "seed": 1, "step": 2,
    }  # fmt: skip
    return loader.train_batches(numbered(count).split("train"), range(count), **options | changes)


def shown(found: Iterable[RawBatch]) -> list[list[int]]:
    return [batch.label[:, -1, -1].tolist() for batch in found]


def joined(found: Iterable[list[int]]) -> list[int]:
    return [number for batch in found for number in batch]


def equal(left: Iterable[RawBatch], right: Iterable[RawBatch]) -> bool:
    pairs = list(zip(left, right, strict=True))
    return all(torch.equal(a.image, b.image) and torch.equal(a.label, b.label) for a, b in pairs) and bool(
        pairs
    )


@pytest.mark.parametrize(
    ("images", "batch", "expected"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (8, 4, 2), (9, 2, 5)]
)
def test_an_epoch_has_as_many_batches_as_it_takes(images: int, batch: int, expected: int) -> None:
    assert iterations_per_epoch(images, batch) == expected


def test_batches_are_whole_and_of_the_presets_size() -> None:
    for batch in batches(5):
        assert batch.image.shape == (4, 3, SIDE, SIDE) and batch.image.dtype == torch.uint8
        assert batch.label.shape == (4, SIDE, SIDE) and batch.label.dtype == torch.uint8


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 11])
def test_an_epoch_shows_every_image_and_wraps_around(count: int) -> None:
    per_epoch = iterations_per_epoch(count, 4)
    found = shown(batches(count, iterations=3 * per_epoch))
    for epoch in range(3):
        order = joined(found[epoch * per_epoch : (epoch + 1) * per_epoch])
        assert sorted(order[:count]) == list(range(count))
        assert order == [order[place % count] for place in range(4 * per_epoch)]


def test_epochs_steps_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(joined(shown(batches(40, iterations=20, seed=seed, step=step))[first : first + 10]))
        for seed in (0, 1)
        for step in (0, 1)
        for first in (0, 10)
    }
    assert len(orders) == 8


def test_what_is_shown_twice_in_an_epoch_is_shown_differently() -> None:
    batch = next(batches(1, augmentation=VARIED))
    assert len({image.numpy().tobytes() for image in batch.image}) == 4


def test_an_image_is_shown_differently_in_each_epoch() -> None:
    found = [batch.image[0].numpy().tobytes() for batch in batches(1, augmentation=VARIED, seed=5)]
    assert len(set(found)) > 3  # of 6; what shows no edge looks alike


def test_only_the_images_of_the_step_are_shown_and_read() -> None:
    dataset = numbered(9)
    found = loader.train_batches(
        dataset.split("train"),
        np.array([2, 5, 7]),
        preset=PRESET,
        augmentation=STILL,
        iterations=4,
        seed=0,
        step=0,
    )
    assert set(joined(shown(found))) == {2, 5, 7}
    assert {read.split()[-1] for read in dataset.reads} == {"2", "5", "7"}


@pytest.mark.parametrize("start", [1, 4, 5, 6])
def test_a_later_start_equals_skipping(start: int) -> None:
    whole = list(batches(5, augmentation=VARIED))
    late = list(batches(5, augmentation=VARIED, start=start))
    assert len(late) == len(whole) - start
    assert not late or equal(late, whole[start:])


def test_a_batch_does_not_depend_on_how_many_are_to_come() -> None:
    assert equal(list(batches(5, augmentation=VARIED, iterations=9))[:6], batches(5, augmentation=VARIED))


@pytest.mark.parametrize("start", [0, 3])
def test_workers_change_no_byte(start: int) -> None:
    alone = batches(5, augmentation=VARIED, start=start)
    assert equal(alone, batches(5, augmentation=VARIED, start=start, workers=2))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_that_is_kept_is_not_written_to_by_those_to_come(workers: int) -> None:
    kept, copies = [], []
    for batch in batches(5, augmentation=VARIED, iterations=20, workers=workers):
        kept.append(batch)
        copies.append(RawBatch(batch.image.clone(), batch.label.clone()))
    assert len(kept) == 20 and equal(kept, copies)


def scramble(number: int) -> None:
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


@pytest.mark.parametrize("workers", [0, 2])
def test_global_random_state_is_neither_read_nor_moved(workers: int) -> None:
    scramble(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]
    first = list(batches(5, augmentation=VARIED, workers=workers))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # type: ignore[index]
    assert random.getstate() == before[2]
    scramble(2)
    assert equal(first, batches(5, augmentation=VARIED, workers=workers))


def test_an_error_in_a_worker_is_the_same_one_sentence() -> None:
    class Broken(Toy):
        def image(self, identity: str) -> np.ndarray:
            raise DataError(f"{identity} is broken")

    split = Broken(250, True, numbered(3).pairs).split("train")
    for workers in (0, 1):
        found = loader.train_batches(
            split, [1], preset=PRESET, augmentation=STILL, iterations=2, seed=0, step=0, workers=workers
        )
        with pytest.raises(DataError) as caught:
            next(found)
        assert str(caught.value) == "image 1 is broken"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_for_a_gpu_are_the_same_in_page_locked_memory(workers: int) -> None:
    found = [loader.pinned(batch) for batch in batches(5, augmentation=VARIED, workers=workers)]
    assert all(tensor.is_pinned() for batch in found for tensor in batch)
    assert equal(found, batches(5, augmentation=VARIED))


def test_too_little_shared_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensor: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(DataError) as caught:
        next(batches(5, workers=2))
    assert str(caught.value) == (
        "loader processes cannot share 0 MiB of batches: unable to allocate shared memory(shm): No space "
        "left on device (28); use fewer (--workers) or allow for more shared memory "
        "(--shm-size of a container)"
    )


def test_padding_has_the_presets_mean_colour() -> None:
    small = Toy(1, True, {"train": {"a": Pair(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), np.uint8))}})
    batch = next(
        loader.train_batches(
            small.split("train"), [0], preset=PRESET, augmentation=STILL, iterations=1, seed=0, step=0
        )
    )
    outside = batch.label[0] == 255
    assert outside.sum() == SIDE * SIDE - 4
    assert (batch.image[0].permute(1, 2, 0)[outside] == torch.tensor([124, 116, 104])).all()


def ordered(count: int, images: list[int], **changes: Any) -> Iterable[RawBatch]:
    options: dict[str, Any] = {"preset": PRESET, "augmentation": VARIED, "seed": 1, "step": 2}
    return loader.ordered_batches(numbered(count).split("train"), images, **options | changes)


def test_the_ordered_pass_shows_each_image_once_in_order() -> None:
    found = list(ordered(12, [3, 1, 4, 8, 5, 9, 2, 6, 11], augmentation=STILL))
    assert shown(found) == [[3, 1, 4, 8], [5, 9, 2, 6], [11]]


def test_the_ordered_pass_can_be_taken_again() -> None:
    again = ordered(6, [0, 1, 2, 3, 4])
    assert equal(again, again)
    assert not equal(again, ordered(6, [0, 1, 2, 3, 4], seed=2))
    assert not equal(again, ordered(6, [0, 1, 2, 3, 4], step=3))


def test_the_ordered_pass_has_random_numbers_of_its_own() -> None:
    order = shown(batches(4, iterations=1))[0]
    assert not equal(list(ordered(4, order)), list(batches(4, augmentation=VARIED, iterations=1)))


def test_images_are_resized_before_they_are_cropped() -> None:
    label = np.zeros((40, 80), np.uint8)
    label[:, 40:] = 1
    split = Toy(1, True, {"train": {"a": Pair(coded(label), label)}}).split("train")
    preset = replace(PRESET, resize=16)
    wide = loader.train_batches(split, [0], preset=preset, augmentation=STILL, iterations=5, seed=0, step=0)
    # 40 x 80 becomes 16 x 32: no padding, and each crop's share of ones tells its place.
    for batch in wide:
        ones = batch.label.float().mean(dim=(1, 2)) * 16
        assert torch.equal(ones, ones.round()) and (batch.label != 255).all()


def test_decoded_images_are_read_once_within_the_budget() -> None:
    def reads(budget: int) -> Counter[str]:
        dataset = numbered(4)
        dataset.cache.budget_bytes = budget
        list(
            loader.train_batches(
                dataset.split("train"),
                range(4),
                preset=PRESET,
                augmentation=VARIED,
                iterations=5,
                seed=0,
                step=0,
            )
        )
        assert dataset.cache.used_bytes <= budget
        return Counter(dataset.reads)

    assert set(reads(2**20).values()) == {1}
    assert set(reads(0).values()) == {5}
    two_samples = sorted(reads(2 * 4 * SIDE * SIDE).values())
    assert two_samples == [1, 1, 1, 1, 5, 5, 5, 5]


def test_worker_processes_share_the_budget() -> None:
    class Telling(Toy):
        """Images whose colour is the budget of the process that reads them."""

        def image(self, identity: str) -> np.ndarray:
            return np.full((SIDE, SIDE, 3), self.cache.budget_bytes, dtype=np.uint8)

    dataset = Telling(250, True, numbered(4).pairs)
    dataset.cache.budget_bytes = 200
    for workers, budget in ((0, 200), (1, 200), (2, 100)):
        found = loader.train_batches(
            dataset.split("train"),
            [0],
            preset=PRESET,
            augmentation=STILL,
            iterations=3,
            seed=0,
            step=0,
            workers=workers,
        )
        assert {int(batch.image.max()) for batch in found} == {budget}


def test_the_budget_does_not_change_what_is_shown() -> None:
    dataset = numbered(5)
    dataset.cache.budget_bytes = 0
    found = loader.train_batches(
        dataset.split("train"), range(5), preset=PRESET, augmentation=VARIED, iterations=6, seed=1, step=2
    )
    assert equal(found, batches(5, augmentation=VARIED))


def test_batches_do_not_share_memory_with_the_cache() -> None:
    dataset = numbered(4)
    options: dict[str, Any] = {
        "preset": PRESET, "augmentation": STILL, "iterations": 1, "seed": 0, "step": 0
    }  # fmt: skip
    for batch in loader.train_batches(dataset.split("train"), range(4), **options):
        batch.image.zero_()
        batch.label.zero_()
    assert sorted(shown(loader.train_batches(dataset.split("train"), range(4), **options))[0]) == [0, 1, 2, 3]
