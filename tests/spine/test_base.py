"""The shared step 0: reused where nothing that decides it differs, and nowhere else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from spine_toys import MODEL, make_msrc, protocol_name, same_but_for_time, write_method
from torch import nn

from benchmark import base as base_module
from benchmark.base import BaseStore, StoredBase, base_digest, cache_folder
from benchmark.costs import TrainCosts
from benchmark.data.dataset import open_dataset
from benchmark.data.scenario import Plan, plan_steps
from benchmark.method import ParamGroup, trainable
from benchmark.model import build_model
from benchmark.protocol import Augmentation, Protocol
from benchmark.protocols import load_preset, load_protocol, preset_files
from benchmark.record import Compute, PeakBytes, Seconds
from benchmark.runtime import Runtime, start_runtime

COSTS = TrainCosts(
    Compute(train_flops=7, train_flops_by_part={"student": 7}),
    Seconds(0.0, 0.5, 0.25, 0.125, 0.0, 0.0, 3, 3),
    PeakBytes(live_tensors=9, parts={"gradients": 2}),
    {"cross_entropy": (1.5, None)},
    None,
    None,
)


def stored(cache: Path) -> list[str]:
    return sorted(path.stem for path in (cache / "bases").glob("*.json"))


# Through whole runs.


@pytest.mark.parametrize("method", ["fine_tune", "mib"])
def test_a_reused_base_changes_nothing_but_time(run_tiny_to, tmp_path, cache, method):
    trained = run_tiny_to(tmp_path / "first", method).record
    (digest,) = stored(cache)
    reused = run_tiny_to(tmp_path / "second", method).record
    assert stored(cache) == [digest] and trained.steps[0].base == reused.steps[0].base == digest
    assert same_but_for_time(trained) == same_but_for_time(reused)
    assert trained.images_digest == reused.images_digest
    # Its cost is charged to each run that uses it.
    for name in ("train", "data_wait", "instrumented", "timed_iterations"):
        assert getattr(trained.steps[0].seconds, name) == getattr(reused.steps[0].seconds, name)


def test_methods_scenarios_and_settings_share_what_is_the_same(run_tiny, cache):
    for method, scenario in [
        ("mib", "2-1-overlapped"),
        ("fine_tune", "2-2-overlapped"),
        ("ilt", "2-2-overlapped"),
    ]:
        assert run_tiny(method, scenario).record.status == "ok"
    assert len(stored(cache)) == 1
    run_tiny("fine_tune", "2-2-disjoint")  # other images
    run_tiny("fine_tune", "2-2-sequential")  # those of disjoint, and the same labels at step 0
    assert len(stored(cache)) == 2


OWN = """
    @property
    def own_base(self):
        return True
"""
WIDER = """
    def adapt(self, model, step):
        if step.index == 0:
            model.extra = nn.Linear(3, 3)
        return trainable(model)
"""
OTHER_START = """
    def adapt(self, model, step):
        if step.index == 0:
            with torch.no_grad():
                next(model.decoder.parameters()).mul_(0.5)
        return trainable(model)
"""
FASTER = """
    def adapt(self, model, step):
        return [ParamGroup(group.params, 2.0) for group in trainable(model)]
"""
HEAD_ALONE = """
    def adapt(self, model, step):
        model.encoder.requires_grad_(False)
        return trainable(model)
"""
LATER_ALONE = """
    def adapt(self, model, step):
        if step.index:
            model.encoder.requires_grad_(False)
        return trainable(model)
"""


@pytest.mark.parametrize(
    ("body", "bases"),
    [("", 1), (LATER_ALONE, 1), (OWN, 1), (WIDER, 2), (OTHER_START, 2), (FASTER, 2), (HEAD_ALONE, 2)],
    ids=["plain", "later alone", "own", "wider", "another start", "faster", "head alone"],
)
def test_a_method_that_changes_step_0_has_a_base_of_its_own(run_tiny, tmp_path, cache, body, bases):
    run_tiny("fine_tune", "2-2-overlapped")
    record = run_tiny(write_method(tmp_path, body), "2-2-overlapped").record
    assert record.error is None and len(stored(cache)) == bases
    assert (record.steps[0].base is None) == (body is OWN)


def test_a_run_that_finds_a_broken_base_trains_it_anew(run_tiny_to, tmp_path, cache):
    first = run_tiny_to(tmp_path / "first", scenario="2-2-overlapped").record
    (weights,) = (cache / "bases").glob("*.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"\0\0\0\1")
    second = run_tiny_to(tmp_path / "second", scenario="2-2-overlapped").record
    assert same_but_for_time(first) == same_but_for_time(second)
    assert weights.read_bytes() == whole


def test_a_base_that_diverged_is_not_kept(run_tiny_to, tmp_path, cache, tiny_root):
    """A learning rate of a million, for which no method is to blame."""
    from benchmark.recording import RunSpec
    from benchmark.run import execute, resolve

    preset = tmp_path / "wild.toml"
    preset.write_text(Path(MODEL).read_text().replace("learning_rate = 0.05", "learning_rate = 1e30"))
    spec = RunSpec(
        "fine_tune", protocol_name(), str(preset), data_root=tiny_root, results=tmp_path / "r", quiet=True
    )
    assert execute(resolve(spec)).record.status == "diverged"
    assert stored(cache) == []


# The digest.


class Parts:
    """What a base's digest is made of."""

    def __init__(self, root: Path) -> None:
        self.protocol: Protocol = load_protocol(protocol_name(), MODEL)
        self.plan: Plan = plan_steps(self.protocol, open_dataset("msrc", root))
        self.runtime: Runtime = start_runtime("cpu", self.protocol.model, 0)
        torch.manual_seed(0)
        self.model: Any = build_model(self.protocol.model, 3)
        self.groups: list[ParamGroup] | None = None

    def digest(self) -> str:
        groups = trainable(self.model) if self.groups is None else self.groups
        return base_digest(self.protocol, self.plan, self.model, groups, self.runtime)


@pytest.fixture
def parts(tiny_root: Path) -> Parts:
    return Parts(tiny_root)


def with_protocol(**changes: Any) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        parts.protocol = replace(parts.protocol, **changes)

    return change


def with_model(**changes: Any) -> Callable[[Parts], None]:
    return lambda parts: with_protocol(model=replace(parts.protocol.model, **changes))(parts)


def with_step(**changes: Any) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        first = replace(parts.plan.steps[0], **{k: v(parts.plan.steps[0]) for k, v in changes.items()})
        parts.plan = replace(parts.plan, steps=(first, *parts.plan.steps[1:]))

    return change


def freeze_bias(parts: Parts) -> None:
    parts.model.classifier.blocks[0].bias.requires_grad_(False)


def drop_out(parts: Parts) -> None:
    parts.model.decoder = nn.Sequential(parts.model.decoder, nn.Dropout(0.5))


def nudge(parts: Parts) -> None:
    parts.model.encoder.body.bn1.running_mean[0] += 1e-6


def swap_activation(parts: Parts) -> None:
    parts.model.encoder.body.act1 = nn.GELU()


def rescale(parts: Parts) -> None:
    parts.model.decoder.scaling = {"default": 2.0}


def without_decay(parts: Parts) -> None:
    parts.groups = [ParamGroup(trainable(parts.model)[0].params, weight_decay=0.0)]


def relabel(step: Any) -> Any:
    table = step.visible.copy()
    table[[1, 2]] = table[[2, 1]]
    return table


MEANT = {
    "epochs": with_protocol(epochs=3),
    "augmentation": with_protocol(augmentation=Augmentation((0.5, 2.0), 0.25)),
    "batch": with_model(batch_size=5),
    "rate": with_model(learning_rate=0.06),
    "precision": with_model(precision="bf16"),
    "images": with_step(images=lambda step: step.images[1:]),
    "labels": with_step(visible=relabel),
    "seed": lambda parts: setattr(parts, "runtime", replace(parts.runtime, seed=1)),
    "frozen": freeze_bias,
    "structure without a parameter": drop_out,
    "activation": swap_activation,
    "a number that the text does not show": rescale,
    "start": nudge,
    "weight decay": without_decay,
}
NOT_MEANT = {
    "name": with_protocol(id="x", scenario="x", joint=None, description="x"),
    "setting": with_protocol(setting="disjoint"),
    "later steps": with_protocol(steps=((1, 2), (3, 4, 5))),
    "model's name": with_model(name="x", description="x"),
    "test images": lambda parts: setattr(parts, "plan", replace(parts.plan, test=parts.plan.train)),
    "rows scored": with_step(evaluation=relabel),
}


@pytest.mark.parametrize("change", MEANT)
def test_what_decides_the_weights_is_in_the_digest(parts, change):
    before = parts.digest()
    assert parts.digest() == before
    MEANT[change](parts)
    assert parts.digest() != before


@pytest.mark.parametrize("change", NOT_MEANT)
def test_what_does_not_decide_the_weights_is_not(parts, change):
    before = parts.digest()
    NOT_MEANT[change](parts)
    assert parts.digest() == before


def test_threads_and_devices_and_packages_are_in_the_digest(parts, monkeypatch):
    before = parts.digest()
    environment = parts.runtime.environment()
    for change in (
        {"threads": 99},
        {"device": "cuda"},
        {"gpu": "x"},
        {"cpu": "x"},
        {"packages": {"torch": "9"}},
    ):
        monkeypatch.setattr(
            Runtime, "environment", lambda self, change=change: replace(environment, **change)
        )
        assert parts.digest() != before
    monkeypatch.setattr(Runtime, "environment", lambda self: replace(environment, platform="x"))
    assert parts.digest() == before


def test_another_copy_of_the_data_has_a_base_of_its_own(parts, tmp_path):
    """The ids are the same; the pixels need not be."""
    assert Parts(make_msrc(tmp_path / "other")).digest() != parts.digest()


def test_labels_that_were_changed_are_noticed(tmp_path):
    root = make_msrc(tmp_path / "data")
    before = Parts(root).digest()
    assert Parts(root).digest() == before
    os.utime(root / "GroundTruth" / "train0_GT.png", (0, 0))
    assert Parts(root).digest() != before


def test_the_harness_is_in_the_digest_but_not_what_only_reports(tmp_path, monkeypatch):
    source = Path(base_module.__file__).parent
    copied = tmp_path / "benchmark"
    shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(base_module, "__file__", str(copied / "base.py"))
    before = base_module._harness_digest()
    (copied / "cli.py").write_text("# other\n")
    assert base_module._harness_digest() == before
    (copied / "data" / "transforms.py").write_text("# other\n")
    assert base_module._harness_digest() != before


@pytest.mark.parametrize("name", [name for name in preset_files() if name.endswith("-cpu")])
def test_the_structure_of_a_preset_is_told_the_same_twice(name):
    preset = load_preset(name)
    told = []
    for _ in range(2):
        torch.manual_seed(0)
        model = build_model(preset, 3)
        told.append(base_module._structure(model, trainable(model)))
    assert told[0] == told[1]


# The store.


@pytest.fixture
def base() -> StoredBase:
    torch.manual_seed(0)
    weights = {
        "a": torch.rand(3, 2),
        "b.c": torch.arange(4),
        "half": torch.rand(5).bfloat16(),
        "none": torch.zeros(0),
    }
    return StoredBase(weights, COSTS)


def test_what_is_stored_is_what_is_loaded(tmp_path, base):
    store = BaseStore(tmp_path)
    assert store.load("0" * 64) is None
    shared = base.weights["a"]
    tied = replace(base, weights={**base.weights, "tied": shared, "view": shared.T})
    store.store("0" * 64, tied)
    loaded = BaseStore(tmp_path).load("0" * 64)
    assert loaded is not None and loaded.costs == COSTS
    assert loaded.weights.keys() == tied.weights.keys()
    for name, value in tied.weights.items():
        assert torch.equal(loaded.weights[name], value) and loaded.weights[name].dtype == value.dtype


def test_a_cache_is_where_the_environment_says(monkeypatch, tmp_path, cache):
    assert cache_folder() == cache
    monkeypatch.delenv("CSSBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "cssbench"


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def _say(**changes: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = json.loads(path.read_text())
        content["costs"].update(changes)
        path.write_text(json.dumps(content))

    return change


@pytest.mark.parametrize(
    ("suffix", "harm"),
    [
        (".safetensors", _truncate),
        (".safetensors", _flip),
        (".safetensors", Path.unlink),
        (".safetensors", lambda path: path.write_bytes(b"")),
        (".json", _truncate),
        (".json", Path.unlink),
        (".json", lambda path: path.write_text("[]")),
        (".json", lambda path: path.write_text("3")),
        (".json", lambda path: path.write_text("{}")),
        (".json", lambda path: path.write_bytes(b"\xff")),
        (".json", _say(compute=3)),
        (".json", _say(unknown=3)),
        (".json", _say(losses={"a": "x"})),
    ],
)
def test_a_broken_base_counts_as_absent(tmp_path, base, suffix, harm):
    store = BaseStore(tmp_path)
    store.store("0" * 64, base)
    harm(tmp_path / f"{'0' * 64}{suffix}")
    assert store.load("0" * 64) is None
    store.store("0" * 64, base)
    assert store.load("0" * 64) is not None


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_full_disk_costs_only_the_time_to_train_again(tmp_path, base, monkeypatch, caplog, suffix):
    write = base_module.write_atomic

    def full(path: Path, content: bytes) -> None:
        if path.suffix == suffix:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(base_module, "write_atomic", full)
    store = BaseStore(tmp_path)
    store.store("0" * 64, base)
    assert caplog.messages == ["the trained step 0 is not kept: [Errno 28] No space left on device"]
    assert store.load("0" * 64) is None
    monkeypatch.undo()
    store.store("0" * 64, base)
    assert store.load("0" * 64) is not None


def test_a_kill_between_the_two_files_leaves_no_base(tmp_path, base, monkeypatch):
    store = BaseStore(tmp_path)
    write = base_module.write_atomic

    def die(path: Path, content: bytes) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(base_module, "write_atomic", die)
    with pytest.raises(KeyboardInterrupt):
        store.store("0" * 64, base)
    assert store.load("0" * 64) is None
