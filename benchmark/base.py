"""The shared step 0: plain cross entropy, trained once and stored under the digest of what decides it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from benchmark.contract import fingerprint
from benchmark.costs import TrainCosts, costs_from_json, costs_to_json
from benchmark.data.scenario import Plan
from benchmark.method import ParamGroup
from benchmark.model import SegModel
from benchmark.protocol import Protocol, model_meaning
from benchmark.record import write_atomic
from benchmark.runtime import Runtime

_log = logging.getLogger(__name__)
_UNRELATED = {
    "counts.py",
    "stats.py",
    "inspection.py",
    "picture.py",
    "download.py",
    "targets.py",
    "cli.py",
    "collector.py",
    "commands",
    "demo.py",
    "listing.py",
    "imagined.py",
    "fake.py",
    "fitting.py",
    "comparing.py",
    "profiling.py",
    "profile_text.py",
    "estimate_text.py",
    "sweep.py",
    "estimate.py",
    "finding.py",
    "sources.py",
    "metrics.py",
    "record.py",
    "check",
}


@dataclass(frozen=True)
class StoredBase:
    """Weights of a trained step 0 and what it cost."""

    weights: dict[str, Tensor]
    costs: TrainCosts


def cache_folder() -> Path:
    """Return where trained bases and indices are kept: ``CSSBENCH_CACHE``, or the user's cache folder."""
    if named := os.environ.get("CSSBENCH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cssbench"


def base_digest(
    protocol: Protocol, plan: Plan, model: SegModel, groups: list[ParamGroup], runtime: Runtime
) -> str:
    """Return the digest of all that decides the weights of step 0.

    Images and their visible labels rather than the scenario's name, the preset, the structure and the weights
    that ``adapt`` left, the seed, the machine's numerics, and the source of the harness itself.
    """
    environment = asdict(runtime.environment())
    content = {
        "images": _images(plan),
        "visible": plan.steps[0].visible.tobytes().hex(),
        "epochs": protocol.epochs,
        "augmentation": asdict(protocol.augmentation),
        "model": model_meaning(asdict(protocol.model)),
        "structure": _structure(model, groups),
        "start": hashlib.sha256(fingerprint(model).numpy().tobytes()).hexdigest(),
        "seed": runtime.seed,
        "environment": {
            key: environment[key] for key in ("device", "cpu", "gpu", "threads", "cuda", "packages")
        },
        "harness": _harness_digest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _images(plan: Plan) -> str:
    """Hash of which images there are and of which copy of them: another folder may hold other pixels."""
    dataset = plan.train.dataset
    names = [plan.train.ids[index] for index in plan.steps[0].images]
    lines = [f"{name} {dataset.stamp(name)}" for name in names]
    head = [dataset.name, str(dataset.version), dataset.location]
    return hashlib.sha256("\n".join([*head, *lines]).encode()).hexdigest()


def _structure(model: SegModel, groups: list[ParamGroup]) -> list[object]:
    options = {id(p): (group.lr_factor, group.weight_decay) for group in groups for p in group.params}
    trained = [[name, *options.get(id(value), ())] for name, value in model.named_parameters()]
    return [repr(model), trained, [_settings(module) for module in model.modules()]]


def _settings(module: nn.Module) -> dict[str, object]:
    """Return the plain attributes of a module: some decide what it computes and are not in its text.

    LoRA's scaling is one.
    """
    known = {name: value for name, value in sorted(vars(module).items()) if name != "training"}
    return {name: value for name, value in known.items() if not name.startswith("_") and _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _harness_digest() -> str:
    folder = Path(__file__).parent
    files = [file for file in sorted(folder.rglob("*.py")) if not _UNRELATED & {file.name, file.parent.name}]
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
            stored = json.loads((self._folder / f"{digest}.json").read_text())
            content = (self._folder / f"{digest}.safetensors").read_bytes()
            if hashlib.sha256(content).hexdigest() != stored["weights_sha256"]:
                return None
            return StoredBase(load(content), costs_from_json(stored["costs"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None

    def store(self, digest: str, base: StoredBase) -> None:
        """Write a base; the JSON, which vouches for the weights, comes last.

        A folder that cannot be written to, or a disk that is full, costs only the time to train it again.
        """
        weights = {name: value.detach().cpu().contiguous().clone() for name, value in base.weights.items()}
        content = save(weights)
        stored = {"weights_sha256": hashlib.sha256(content).hexdigest(), "costs": costs_to_json(base.costs)}
        try:
            write_atomic(self._folder / f"{digest}.safetensors", content)
            write_atomic(self._folder / f"{digest}.json", json.dumps(stored).encode())
        except OSError as error:
            _log.warning("the trained step 0 is not kept: %s", error)
