"""What a run does to every image before a model sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmark.preset import ModelPreset
from benchmark.protocols import load_preset
from benchmark.runtime import start_runtime

IMAGENET = load_preset("cnn-small-cpu")
HALVES = replace(IMAGENET, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))


def image(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.uint8).view(1, 3, 1, 1)


def test_images_are_normalised_channel_by_channel() -> None:
    runtime = start_runtime("cpu", HALVES, 0)
    assert runtime.normalise(image(255, 0, 255)).flatten().tolist() == [1.0, -1.0, 1.0]
    assert runtime.normalise(image(0, 255, 0)).flatten().tolist() == [-1.0, 3.0, 0.0]


@pytest.mark.parametrize("preset", [IMAGENET, HALVES], ids=["imagenet", "halves"])
def test_every_batch_is_normalised_by_the_runs_own_numbers_bit_for_bit(preset: ModelPreset) -> None:
    runtime = start_runtime("cpu", preset, 0)
    values = torch.arange(256, dtype=torch.uint8).expand(2, 3, 1, 256)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (preset.mean, preset.std))
    for batch in (values, values.flip(-1)):
        found = runtime.normalise(batch)
        assert found.dtype == torch.float32 and found.equal((batch.float() - mean) / std)
