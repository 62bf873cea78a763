"""A board that all browser tests read, and a page to read it with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import record_factory as factory
from browser_site import Visit, chromium, quick_build, visit
from record_factory import SHAPES_4_2, make

from reports.boards import Board

METHODS = ("fine_tune", "mib", "sdr", "clora", "plop")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> tuple[Board, Path]:
    """A board of five methods and a variant with two seeds, one failed row, and its joint bound."""
    results, out = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("site")
    for seed in range(2):
        for method in METHODS:
            factory.write(make(method, seed=seed), results)
        factory.write(make("clora", seed=seed, params={"on": "plop", "rank": 16}), results)
        factory.write(make("fine_tune", SHAPES_4_2.joint_place(), seed), results)
    factory.write(factory.failed("ewc", SHAPES_4_2, "diverged", "loss is not finite", 1), results)
    (found,) = quick_build(results, out).boards
    return found, out / "boards" / found.slug / "index.html"


@pytest.fixture
def reader(browser: Any) -> Iterator[Visit]:
    with visit(browser) as opened:
        yield opened
