"""Grids of runs: what is run, what is not, and that no failure stops the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spine_toys import MODEL, make_msrc, protocol_name, write_method

from benchmark import sweep as sweep_module
from benchmark.demo import run_demo
from benchmark.errors import DataError, MethodError, ProtocolError
from benchmark.record import write_record
from benchmark.recording import RunSpec
from benchmark.sweep import Entry, Grid, recorded_runs, sweep

PAIR = protocol_name("2-2-overlapped")
JOINT = protocol_name("joint")


@pytest.fixture
def template(tiny_root: Path, tmp_path: Path) -> RunSpec:
    return RunSpec("", "", data_root=tiny_root, results=tmp_path / "results", device="cpu", quiet=True)


def a_grid(*methods: str, protocols: tuple[str, ...] = (PAIR,), seeds: tuple[int, ...] = (0,)) -> Grid:
    return Grid(methods, protocols, (MODEL,), seeds)


def what(entries: list[Entry]) -> list[tuple[str, str, str | None]]:
    return [(Path(entry.spec.method).name, entry.decision, entry.status) for entry in entries]


@pytest.fixture
def pretended(monkeypatch) -> list[RunSpec]:
    """Runs that are noted instead of run."""
    started: list[RunSpec] = []

    def execute(run: Any) -> Any:
        started.append(run.spec)
        return type("Outcome", (), {"record": type("Record", (), {"status": "ok", "error": None})})

    monkeypatch.setattr(sweep_module, "execute", execute)
    return started


FAILS = """
    def loss(self, model, output, previous_output, batch, step, state):
        raise ValueError("mine")
"""


def test_what_is_recorded_is_not_run_again(template, tmp_path):
    bad = str(write_method(tmp_path, name="bad", loss=FAILS))
    told: list[Entry] = []
    first = sweep(a_grid("fine_tune", bad, "mib"), template, on_entry=told.append)
    assert what(first) == [("fine_tune", "run", "ok"), ("bad.py", "run", "error"), ("mib", "run", "ok")]
    assert told == first and "ValueError: mine" in first[1].reason
    assert len(recorded_runs(template.results)) == 3

    second = sweep(a_grid("fine_tune", bad, "mib"), template)
    assert what(second) == [
        ("fine_tune", "recorded", "ok"),
        ("bad.py", "failed before", "error"),
        ("mib", "recorded", "ok"),
    ]
    assert second[1].reason == first[1].reason

    third = sweep(a_grid("fine_tune", bad, "mib"), template, retry=True)
    assert [entry.decision for entry in third] == ["recorded", "run", "recorded"]
    write_method(tmp_path, name="bad")  # mended: another source, so another row of a board
    fourth = sweep(a_grid(bad), template)
    assert what(fourth) == [("bad.py", "run", "ok")]


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({}, "recorded"),
        ({"status": "error", "error": "x"}, "failed before"),
        ({"status": "oom", "error": "x"}, "failed before"),
        ({"status": "diverged", "error": "x"}, "failed before"),
        ({"status": "interrupted", "error": "x"}, "run"),
        ({"seed": 1}, "run"),
        ({"variant": "fine_tune:x=1"}, "run"),
        ({"source_digest": "0" * 64}, "run"),
        ({"protocol_digest": "0" * 64}, "run"),
        ({"commit": None, "dirty": True, "protocol": "other", "model": "other"}, "recorded"),
    ],
)
def test_a_run_is_known_by_protocol_variant_source_and_seed(
    template, pretended, one_record, changes, decision
):
    path = template.results / "any" / "name.json"
    write_record(replace(one_record, **changes), path)
    assert [entry.decision for entry in sweep(a_grid("fine_tune"), template)] == [decision]
    assert len(pretended) == (decision == "run")
    write_record(replace(one_record, **changes), path)
    retried = sweep(a_grid("fine_tune"), template, retry=True)
    assert [entry.decision for entry in retried] == ["recorded" if decision == "recorded" else "run"]


@pytest.fixture(scope="module")
def one_record(run_tiny_to, tmp_path_factory):
    """The record of a run that went well."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CSSBENCH_CACHE", str(folder / "cache"))
        return run_tiny_to(folder / "results", scenario="2-2-overlapped").record


def test_a_good_record_counts_whatever_else_is_there(template, pretended, one_record):
    for name, status in [("a", "error"), ("b", "ok"), ("c", "oom")]:
        write_record(replace(one_record, status=status), template.results / f"{name}.json")
    (template.results / "d.json").write_text("{")
    (template.results / "e.json").write_text('{"schema": 99}')
    assert [record.status for record in recorded_runs(template.results).values()] == ["ok"]
    assert what(sweep(a_grid("fine_tune"), template)) == [("fine_tune", "recorded", "ok")]
    (template.results / "b.json").unlink()
    assert what(sweep(a_grid("fine_tune"), template)) == [("fine_tune", "failed before", "oom")]
    assert pretended == []


def test_methods_vary_fastest_and_every_cell_is_run_once(template, pretended):
    grid = a_grid("fine_tune", "mib", "mib:distillation=10", protocols=(PAIR, JOINT), seeds=(0, 1))
    entries = sweep(grid, template)
    assert [(spec.protocol, spec.seed, spec.method) for spec in pretended] == [
        (PAIR, 0, "fine_tune"),
        (PAIR, 0, "mib"),
        (PAIR, 1, "fine_tune"),
        (PAIR, 1, "mib"),
        (JOINT, 0, "fine_tune"),
        (JOINT, 1, "fine_tune"),
    ]
    assert [entry.decision for entry in entries] == [
        *["run", "run", "named twice"] * 2,
        *["run", "does not apply", "does not apply"] * 2,
    ]
    assert all(
        "the joint bound is run with 'fine_tune' alone" in e.reason for e in entries if "apply" in e.decision
    )
    assert all(entry.status is None for entry in entries if entry.decision != "run")


def test_the_template_says_where_and_how(template, pretended):
    sweep(a_grid("fine_tune"), replace(template, split="validation", workers=2))
    (spec,) = pretended
    assert (spec.split, spec.workers, spec.device, spec.data_root) == (
        "validation",
        2,
        "cpu",
        template.data_root,
    )


@pytest.mark.parametrize(
    ("grid", "error"),
    [
        (a_grid("fine_tune", "mibb"), MethodError),
        (a_grid("fine_tune", "mib:rank=3"), MethodError),
        (a_grid("fine_tune", protocols=(PAIR, "msrc-16-6-overlapped")), ProtocolError),
        (Grid(["fine_tune"], [PAIR], [MODEL, "no-such-preset"], [0]), ProtocolError),
    ],
)
def test_names_are_checked_before_anything_runs(template, pretended, grid, error):
    with pytest.raises(error):
        sweep(grid, template)
    assert pretended == [] and not template.results.exists()


def test_data_are_checked_before_anything_runs(template, pretended, tmp_path):
    other = tmp_path / "tiny.toml"
    other.write_text(
        Path(PAIR.rpartition(":")[0]).read_text().replace('"2-2" = [[1, 2], [3, 4]]', '"2-2" = [[1], [21]]')
    )
    with pytest.raises(DataError, match="has no image"):
        sweep(a_grid("fine_tune", protocols=(PAIR, f"{other}:2-2-overlapped")), template)
    assert pretended == []


def test_an_interrupt_ends_the_sweep_and_a_second_one_goes_on(template, tmp_path):
    stop = "\n    def loss(self, *hooks):\n        raise KeyboardInterrupt\n"
    slow = str(write_method(tmp_path, name="slow", loss=stop))
    with pytest.raises(KeyboardInterrupt):
        sweep(a_grid("fine_tune", slow, "mib"), template)
    assert {r.method: r.status for r in recorded_runs(template.results).values()} == {
        "fine_tune": "ok",
        "slow": "interrupted",
    }
    again = sweep(a_grid("fine_tune", "mib"), template)
    assert what(again) == [("fine_tune", "recorded", "ok"), ("mib", "run", "ok")]


def test_bad_data_met_while_running_end_the_sweep(template, tmp_path):
    root = make_msrc(tmp_path / "own")
    image = root / "Images" / "test3.png"
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(DataError):
        sweep(a_grid("fine_tune", "mib"), replace(template, data_root=root))
    assert recorded_runs(template.results) == {}


def test_the_demo_is_a_grid_of_methods_and_their_bound(pretended, tmp_path, monkeypatch):
    """Resolving renders all scenes, which another test is for."""
    monkeypatch.setattr(sweep_module, "resolve", lambda spec: type("Run", (), {"spec": spec}))
    told: list[str] = []
    assert run_demo(tmp_path / "demo", told.append) is False
    assert {(spec.protocol, spec.method) for spec in pretended} >= {
        ("shapes-4-2-overlapped", "fine_tune"),
        ("shapes-4-2-overlapped", "clora"),
        ("shapes-joint", "fine_tune"),
    }
    assert len(told) == len(pretended) and told[0] == "fine_tune on shapes-4-2-overlapped: ok"
    assert all(spec.results == tmp_path / "demo" for spec in pretended)
