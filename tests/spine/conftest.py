"""What the tests of the spine share: tiny data, and a cache of its own for each test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from spine_toys import MODEL, make_msrc, protocol_name


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in MSRC's layout, not to be changed."""
    return make_msrc(tmp_path_factory.mktemp("msrc"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, so that no test finds a base that another one trained."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CSSBENCH_CACHE", str(folder))
    return folder


Runner = Callable[..., Any]


@pytest.fixture(scope="session")
def run_tiny_to(tiny_root: Path) -> Runner:
    """Run a method on the tiny protocol, records to a folder of one's choice, and return the outcome."""
    from benchmark.recording import RunSpec
    from benchmark.run import execute, resolve

    def run(
        results: Path, method: str | Path = "fine_tune", scenario: str = "2-1-overlapped", **changes: Any
    ) -> Any:
        given = {"data_root": tiny_root, "results": results, "device": "cpu", "quiet": True}
        spec = RunSpec(str(method), protocol_name(scenario), MODEL, **{**given, **changes})
        return execute(resolve(spec))

    return run


@pytest.fixture
def run_tiny(run_tiny_to: Runner, tmp_path: Path) -> Runner:
    """Run a method on the tiny protocol and return the outcome; records go to ``results`` of ``tmp_path``."""
    return partial(run_tiny_to, tmp_path / "results")
