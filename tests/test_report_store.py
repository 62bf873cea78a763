"""What a build keeps for the next: used only where nothing it came from changed and nobody else wrote it."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import image_factory
import jinja2
import numpy as np
import pytest
from record_factory import make

import reports.compact
import reports.reading
import reports.resampling
import reports.store
from benchmark.record import read_record, write_record
from reports.boards import boards_of
from reports.compact import compact, confusions
from reports.load import Found
from reports.markup import environment
from reports.published import Papers
from reports.ranges import RowDraws
from reports.reading import read_runs
from reports.resampling import with_rank_ranges
from reports.runs import Run, scored
from reports.store import SHARDS, Store, shard_of


@pytest.fixture
def results(tmp_path: Path) -> Iterator[Path]:
    for method in ("mib", "sdr"):
        for seed in range(2):
            image_factory.write(make(method, seed=seed), tmp_path / "results", 10)
    yield tmp_path / "results"


@pytest.fixture
def store(results: Path, tmp_path: Path) -> Store:
    return Store(results, tmp_path / "cache")


def keep(store: Store, runs: tuple[Run, ...]) -> None:
    for shard in range(SHARDS):
        store.keep_runs(shard, [run for run in runs if shard_of(run.path) == shard])


def counted(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> list[object]:
    """Count the calls of a function."""
    calls: list[object] = []
    function = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a: (calls.append(a), function(*a))[1])
    return calls


def test_runs_come_back_as_they_were_and_only_changed_files_are_read_again(
    results: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_runs(results, store.runs())
    keep(store, first.runs)
    parsed = counted(monkeypatch, reports.reading, "read_file")
    again = read_runs(results, store.runs())
    assert again == (first.runs, (), ())
    assert parsed == []
    changed = results / first.runs[1].path
    write_record(replace(read_record(changed), commit="another"), changed)
    third = read_runs(results, store.runs())
    assert len(parsed) == 1
    assert third.changed == (first.runs[1].path,)
    assert third.runs[1].record.commit == "another"
    changed.unlink()
    fourth = read_runs(results, store.runs())
    assert fourth.changed == (first.runs[1].path,)
    assert [run.path for run in fourth.runs] == [run.path for i, run in enumerate(first.runs) if i != 1]


def test_draws_come_back_as_they_were_and_only_new_rows_are_drawn(
    results: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = boards_of(read_runs(results, {}).runs)
    without = with_rank_ranges(boards, results)
    drawn = counted(monkeypatch, reports.resampling, "row_draws")
    assert with_rank_ranges(boards, results, store) == without
    assert len(drawn) == 2
    assert with_rank_ranges(boards, results, store) == without
    assert len(drawn) == 2
    image_factory.write(make("plop"), results, 10)
    more = boards_of(read_runs(results, {}).runs)
    assert with_rank_ranges(more, results, store) == with_rank_ranges(more, results)
    assert len(drawn) == 2 + 1 + 3


def test_draws_are_not_used_where_the_counts_they_came_from_are_no_longer_there(
    results: Path, store: Store
) -> None:
    boards = boards_of(read_runs(results, {}).runs)
    with_rank_ranges(boards, results, store)
    next(iter(sorted(results.rglob("mib-*.npz")))).write_bytes(b"another file")
    (board,) = with_rank_ranges(boards, results, store)
    reasons = {row.method: row.unranged for row in board.rows}
    assert "its digest differs" in reasons["mib"]
    assert reasons["sdr"] == ""


class Planted:
    """A pickle that would run code when it is read."""

    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("code of a cache was run",))


@pytest.mark.parametrize("planted", ["without a seal", "by another", "in a shared folder", "half"])
def test_a_cache_that_is_broken_or_open_to_others_is_not_read(
    results: Path, store: Store, tmp_path: Path, planted: str
) -> None:
    keep(store, read_runs(results, {}).runs)
    files = sorted((tmp_path / "cache" / "report").iterdir())
    assert len(files) == SHARDS
    store._write("runs-0", pickle.dumps(Planted()))
    if planted == "in a shared folder":
        (tmp_path / "cache" / "report").chmod(0o777)
    for path in files:
        content = path.read_bytes()
        if planted == "without a seal":
            path.write_bytes(b"0" * 32 + content[32:])
        elif planted == "half":
            path.write_bytes(content[: len(content) // 2])
        elif planted == "by another":
            path.chmod(0o666)
    assert store.runs() == {}


def test_other_code_reads_nothing_and_removes_what_it_finds(
    results: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, read_runs(results, {}).runs)
    monkeypatch.setattr(reports.store, "_code", lambda: "f" * 64)
    other = Store(results, tmp_path / "cache")
    assert other.runs() == {}
    other.keep_draws("board", {"key": RowDraws("set", np.ones(3), np.zeros(3))})
    other.clean()
    assert len(list((tmp_path / "cache" / "report").iterdir())) == 1
    assert store.runs() == {}
    (kept,) = other.draws("board").items()
    assert (kept[0], kept[1].test_set, kept[1].percent.tolist()) == ("key", "set", [1.0, 1.0, 1.0])


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(results, tmp_path / "file")
    keep(store, read_runs(results, store.runs()).runs)
    store.clean()
    assert store.runs() == {}
    assert store.draws("board") == {}


def test_steps_of_a_kept_record_are_those_it_had_and_matrices_are_seen_without_them(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(results.rglob("*.json"))
    record = read_record(path)
    kept = pickle.loads(pickle.dumps(compact(record)))
    monkeypatch.setattr(reports.compact.pickle, "loads", lambda _: pytest.fail("its steps were unpacked"))
    assert len(kept.steps) == len(record.steps)
    matrices = [np.asarray(matrix).tolist() for matrix in confusions(kept)]
    assert matrices == [[list(row) for row in step.confusion] for step in record.steps]
    assert list(confusions(record)) == [step.confusion for step in record.steps]
    monkeypatch.undo()
    for step, former in zip(kept.steps, record.steps, strict=True):
        assert np.asarray(step.confusion).tolist() == [list(row) for row in former.confusion]
        assert replace(step, confusion=former.confusion) == former


def test_boards_are_made_of_what_was_computed_when_the_runs_were_read(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = pickle.loads(pickle.dumps(read_runs(results, {}).runs))
    monkeypatch.setattr(reports.compact.pickle, "loads", lambda _: pytest.fail("its steps were unpacked"))
    assert sum(len(row.runs) for board in boards_of(runs) for row in board.rows) == len(runs)


def test_counts_too_large_for_four_bytes_are_kept_whole() -> None:
    steps = make("mib").steps
    large = tuple(tuple(2**40 + cell for cell in row) for row in steps[0].confusion)
    kept = pickle.loads(
        pickle.dumps(compact(replace(make("mib"), steps=(replace(steps[0], confusion=large),))))
    )
    assert np.asarray(confusions(kept)[0]).tolist() == [list(row) for row in large]


def test_templates_are_compiled_once_and_again_only_where_what_was_kept_is_broken(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated = counted(monkeypatch, jinja2.Environment, "_parse")
    values = {"methods": [], "root": "../", "section": "methods", "papers": Papers(), "protocols": {}}

    def render() -> str:
        return environment(store).get_template("methods.html.j2").render(values)

    first = render()
    many = len(generated)
    assert many > 1 and render() == first and len(generated) == many
    for path in store._folder.glob("*-template-*"):
        path.write_bytes(path.read_bytes()[:-1])
    assert render() == first and len(generated) == 2 * many
    assert environment().get_template("methods.html.j2").render(values) == first
    assert len(generated) == 3 * many


def test_what_is_kept_goes_with_all_code_it_was_made_by() -> None:
    """Of the benchmark's modules that a kept module imports, only errors decide nothing."""
    known = {module.__name__ for module in reports.store._MODULES}
    for name in reports.store._SOURCES:
        tree = ast.parse(Path(reports.store.__file__).with_name(f"{name}.py").read_text())
        used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        wanted = {module for module in used if module.startswith("benchmark.")}
        assert wanted <= known | {"benchmark.errors"}, name


def test_scores_of_a_kept_run_are_unpacked_when_they_are_asked_for() -> None:
    run = scored(Found("x.json", make()))
    kept = pickle.loads(pickle.dumps(run))
    assert "scores" not in vars(kept)
    again = pickle.loads(pickle.dumps(kept))  # kept once more without having been looked at
    assert again.scores == run.scores and "packed" not in vars(again)
    assert kept == run == pickle.loads(pickle.dumps(again))
    assert replace(kept, path="y.json").scores == run.scores
    with pytest.raises(AttributeError, match="'Run' object has no attribute 'score'"):
        getattr(kept, "score")  # noqa: B009  # a type checker would not have it
