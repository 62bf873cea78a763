"""The shared step 0: plain cross entropy, trained once and stored under the digest of what decides it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from benchmark.method import ParamGroup
from benchmark.model import SegModel
from benchmark.protocol import Protocol, model_meaning
from benchmark.record import write_atomic
from benchmark.runtime import Runtime

_UNRELATED = {"cli.py", "sweep.py", "estimate.py", "finding.py", "sources.py", "metrics.py", "record.py", "check.py"}


@dataclass(frozen=True)
class StoredBase:
    """Weights of a trained step 0 and what it cost, as the record's JSON has it."""

    weights: dict[str, Tensor]
    costs: dict[str, Any]


def cache_folder() -> Path:
    """Return where trained bases and indices are kept: ``CSSBENCH_CACHE``, or the user's cache folder."""
    if named := os.environ.get("CSSBENCH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cssbench"


def base_digest(
    protocol: Protocol,
    images: Sequence[str],
    visible: bytes,
    model: SegModel,
    groups: list[ParamGroup],
    runtime: Runtime,
) -> str:
    """Return the digest of all that decides the weights of step 0.

    Images and their visible labels rather than the scenario's name, the preset, the training structure that
    ``adapt`` left, the seed, the machine's numerics, and the source of the harness itself.
    """
    environment = asdict(runtime.environment())
    content = {
        "dataset": protocol.dataset,
        "images": hashlib.sha256("\n".join(images).encode()).hexdigest(),
        "visible": visible.hex(),
        "epochs": protocol.epochs,
        "augmentation": asdict(protocol.augmentation),
        "model": model_meaning(asdict(protocol.model)),
        "structure": _structure(model, groups),
        "seed": runtime.seed,
        "environment": {key: environment[key] for key in ("device", "cpu", "gpu", "threads", "packages")},
        "harness": _harness_digest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _structure(model: SegModel, groups: list[ParamGroup]) -> list[list[object]]:
    options = {id(p): (group.lr_factor, group.weight_decay) for group in groups for p in group.params}
    return [
        [name, list(value.shape), list(options.get(id(value), ()))] for name, value in model.named_parameters()
    ]


def _harness_digest() -> str:
    folder = Path(__file__).parent
    files = [file for file in sorted(folder.rglob("*.py")) if file.name not in _UNRELATED]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


class BaseStore:
    """Trained bases on disk, one safetensors and one JSON file each."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or cache_folder() / "bases"

    def load(self, digest: str) -> StoredBase | None:
        """Return a stored base, or None. A file that is broken counts as absent and is written anew."""
        try:
            costs = json.loads((self._folder / f"{digest}.json").read_text())
            content = (self._folder / f"{digest}.safetensors").read_bytes()
            if hashlib.sha256(content).hexdigest() != costs.pop("weights_sha256"):
                return None
            return StoredBase(load(content), costs)
        except (OSError, ValueError, KeyError, SafetensorError):
            return None

    def store(self, digest: str, base: StoredBase) -> None:
        """Write a base; the JSON, which vouches for the weights, comes last."""
        weights = {name: value.detach().cpu().contiguous().clone() for name, value in base.weights.items()}
        content = save(weights)
        write_atomic(self._folder / f"{digest}.safetensors", content)
        costs = base.costs | {"weights_sha256": hashlib.sha256(content).hexdigest()}
        write_atomic(self._folder / f"{digest}.json", json.dumps(costs).encode())
