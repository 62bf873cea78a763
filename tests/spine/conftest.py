"""What the tests of the spine share: tiny data, and a cache of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread for torch: what is compared bit for bit must be summed in one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run_tiny(tiny_root: Path, tmp_path: Path, one_thread: None) -> Callable[..., Any]:
    """Run a method on the tiny protocol and return the outcome."""
    from benchmark.recording import RunSpec
    from benchmark.run import execute, resolve

    def run(method: str | Path = "fine_tune", scenario: str = "2-1-overlapped", **changes: Any) -> Any:
        given = {"data_root": tiny_root, "results": tmp_path / "results", "device": "cpu", "quiet": True}
        spec = RunSpec(str(method), protocol_name(scenario), MODEL, **{**given, **changes})
        return execute(resolve(spec))

    return run
