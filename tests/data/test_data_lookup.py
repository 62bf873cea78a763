"""The look-up of a batch against a Python dictionary, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.data.lookup import look_up


@pytest.mark.parametrize("shape", [(2, 5, 7), (3, 4), (1, 1, 1), (0, 4, 4)])
@pytest.mark.parametrize("kind", [torch.int64, torch.uint8])
def test_every_pixel_gets_its_entry(shape: tuple[int, ...], kind: torch.dtype) -> None:
    random = np.random.default_rng(0)
    table = torch.from_numpy(random.integers(0, 256, 256)).to(kind)
    entries = dict(enumerate(table.tolist()))
    label = torch.from_numpy(random.integers(0, 256, shape).astype(np.uint8))
    found = look_up(table, label)
    assert found.dtype == kind and found.shape == shape
    assert found.flatten().tolist() == [entries[value] for value in label.flatten().tolist()]


def test_the_highest_labels_are_not_taken_for_negative_ones() -> None:
    table = torch.arange(256)
    assert look_up(table, torch.tensor([[127, 128, 255]], dtype=torch.uint8)).tolist() == [[127, 128, 255]]


def test_a_label_map_that_is_a_view_is_read_in_its_own_order() -> None:
    label = torch.arange(24, dtype=torch.uint8).view(1, 4, 6).transpose(1, 2)
    assert torch.equal(look_up(torch.arange(256), label), label.long())
