"""What every test starts from: no network, one thread, a cache of its own, a known seed. Imports no torch."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

# Read when libraries are imported, so they are set before any test module is.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"

MSRC = "MSRC_ObjCategImageDatabase_v2"
DATA = Path(os.environ.get("CSSBENCH_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests away from the user's cache and data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CSSBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("CSSBENCH_DATA", raising=False)
        yield


@pytest.fixture(autouse=True)
def _known_seed() -> None:
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def msrc_root() -> Path:
    """Return the folder that holds MSRC-v2 under its release's name, as ``--data-root`` takes it."""
    if not (DATA / MSRC).is_dir():
        pytest.skip(f"no {MSRC} in {DATA}: name the folder that holds it in CSSBENCH_DATA")
    return DATA
