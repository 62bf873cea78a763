"""A test set that two processes share is counted as one process counts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.data.evaluation import TestBatch as ScoredBatch
from benchmark.evaluate import Scores, evaluate
from benchmark.sharing import merge_scores, own_share

ROOT = str(Path(__file__).parents[2])
ROWS, COLUMNS, IMAGES = 5, 4, 7
TABLE = torch.full((256,), 255)
TABLE[:ROWS] = torch.arange(ROWS)


def batch_of(index: int) -> ScoredBatch:
    random = np.random.default_rng(index)
    label = random.choice([0, 1, 2, 3, 4, 255], (1, 6, 5)).astype(np.uint8)
    image = random.integers(0, 256, (1, 3, 6, 5)).astype(np.uint8)
    return ScoredBatch((index,), torch.from_numpy(image), torch.from_numpy(label))


def score(indices: range) -> Scores:
    def forward(image: torch.Tensor) -> torch.Tensor:
        chosen = image[:, 0].long() * COLUMNS // 256
        return torch.nn.functional.one_hot(chosen, COLUMNS).permute(0, 3, 1, 2).float()

    return evaluate(forward, map(batch_of, indices), TABLE, ROWS, COLUMNS)


def assert_equal(found: Scores, expected: Scores) -> None:
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    for mine, theirs in zip(found.images, expected.images, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("processes", [1, 2, 3, 7, 9])
def test_every_image_is_one_process_and_counts_add_up(processes: int) -> None:
    shares = [own_share(IMAGES, process, processes) for process in range(processes)]
    assert sorted(index for share in shares for index in share) == list(range(IMAGES))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    merged = merge_scores([score(share) for share in shares])
    assert merged.matrix.sum() > 0 and merged.matrix.dtype == np.int64
    assert_equal(merged, score(range(IMAGES)))


def test_an_image_that_two_processes_scored_is_an_error() -> None:
    with pytest.raises(ValueError, match="image 2 was scored by 2 processes; expected one"):
        merge_scores([score(range(3)), score(range(2, 5))])


def _in_one_of_two() -> None:
    """What each of the two processes runs."""
    from accelerate import Accelerator

    from benchmark.sharing import gather_scores

    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    own = score(own_share(IMAGES, accelerator.process_index, accelerator.num_processes))
    assert len(set(own.images.image.tolist())) == (4, 3)[accelerator.process_index]
    assert_equal(gather_scores(own), score(range(IMAGES)))
    torch.distributed.destroy_process_group()


def test_two_processes_count_what_one_does() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, **together, "RANK": rank, "LOCAL_RANK": rank, "PYTHONPATH": ROOT},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], errors


if __name__ == "__main__":
    _in_one_of_two()
