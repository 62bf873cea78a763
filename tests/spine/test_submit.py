"""The way in, as a new user goes it: a new method, its check, its runs, their validation, and the page."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result
from spine_toys import MODEL, protocol_name, write_method

from benchmark.check import check
from benchmark.check.toy import TOYS
from benchmark.cli import main
from benchmark.provenance import Source
from benchmark.record import read_record, sha256_of
from benchmark.validate import context

PAIR = protocol_name("2-2-overlapped")
COMMIT = "c0ffee" * 6 + "c0ff"


class Past:
    """A history with the one commit that the runs below name."""

    complete = True

    def has(self, commit: str) -> bool:
        return commit == COMMIT


class Harness:
    """What git says of the checkout; the tests may run in one with changes, or in none."""

    source: ClassVar[Source] = Source(COMMIT, False)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Harness, "source", Source(COMMIT, False))
    monkeypatch.setattr(context, "History", Past)
    for module in ("benchmark.recording", "benchmark.submit.prepare"):
        monkeypatch.setattr(f"{module}.source_of_harness", lambda: Harness.source)


def invoke(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def words(tiny_root: Path, tmp_path: Path) -> list[object]:
    """What ``submit`` is told beside the method."""
    where = ["--results", tmp_path / "results", "--out", tmp_path / "bundle"]
    return ["--protocol", PAIR, "--model", MODEL, "--data-root", tiny_root, "--device", "cpu", *where]


def valid(bundle: Path, root: Path, *more: object) -> Result:
    own = ["--protocol", PAIR, "--model", MODEL, "--data-root", root]
    return invoke("validate", bundle, "--against", bundle.parent / "results", *own, *more)


def write(folder: Path, name: str, **parts: str) -> Path:
    """Write an adapter with the docstring the check asks for."""
    path = write_method(folder, name=name, **parts)
    path.write_text(f'"""An adapter of a test."""\n{path.read_text()}')
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_from_nothing_to_the_page(tmp_path: Path, tiny_root: Path, words: list[object]) -> None:
    assert invoke("new-method", "near_pull", "--into", tmp_path).exit_code == 0
    adapter = tmp_path / "methods" / "near_pull.py"
    checked = invoke("check", adapter)
    assert checked.exit_code == 0 and "near_pull: no rule broken" in checked.stdout

    done = invoke("submit", f"{adapter}:weight=5", *words)
    assert done.exit_code == 0, done.output
    bundle = tmp_path / "bundle"
    assert f"{bundle}: 3 records, ready for a pull request." in done.stdout
    assert "3 records: 0 errors" in done.stdout and "come first, in one of their own" in done.stdout
    records = sorted((bundle / "records" / "tiny-2-2-overlapped" / "tiny-model").glob("*.json"))
    assert [read_record(path).seed for path in records] == [0, 1, 2]
    assert all(read_record(path).variant == "near_pull:weight=5" for path in records)
    assert (bundle / "adapter" / "near_pull.py").read_bytes() == adapter.read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".bundle")]

    validated = valid(bundle, tiny_root)
    assert validated.exit_code == 0, validated.output
    recounted = valid(bundle, tiny_root, "--recount", "--trust-code")
    assert recounted.exit_code == 0 and "recount" not in recounted.stdout, recounted.stdout

    built = invoke("report", "--results", bundle / "records", "--out", tmp_path / "site")
    assert built.exit_code == 0, built.output
    assert "near_pull" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check on one toy alone: what the check finds is tested elsewhere."""
    monkeypatch.setattr("benchmark.submit.prepare.check", partial(check, toys=TOYS[:1]))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of a few lines that passes the check."""
    return write(tmp_path_factory.mktemp("plain"), name="plain")


@pytest.mark.usefixtures("quick")
def test_what_is_recorded_is_not_run_again_and_seeds_are_chosen(
    plain: Path,
    words: list[object],
    tmp_path: Path,
    tiny_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds = ["--seed", "4", "--seed", "5"]
    first = invoke("submit", plain, *words, *seeds[:2])
    assert first.exit_code == 0, first.output
    before = files(tmp_path / "results")
    words[words.index("--out") + 1] = tmp_path / "second"
    monkeypatch.setattr(Harness, "source", Source(COMMIT, True))
    dirty = invoke("submit", plain, *words, *seeds[:2], "--reference")
    assert dirty.exit_code == 2 and "not committed" in dirty.stderr  # the reference would be run
    monkeypatch.setattr(Harness, "source", Source(COMMIT, False))
    second = invoke("submit", plain, *words, *seeds, "--reference")
    assert second.exit_code == 0, second.output
    assert "seed 4 — recorded: ok" in second.stdout and "seed 5 — run: ok" in second.stdout
    assert set(before) < set(files(tmp_path / "results"))
    found = [read_record(path) for path in (tmp_path / "second").rglob("*-seed*.json")]
    assert sorted((r.variant, r.seed) for r in found) == [
        ("fine_tune", 4),
        ("fine_tune", 5),
        ("plain", 4),
        ("plain", 5),
    ]
    form = (tmp_path / "second" / "SUBMISSION.md").read_text(encoding="utf-8")
    assert "| plain | tiny-2-2-overlapped | tiny-model | 5 | ok |" in form
    assert read_record(next((tmp_path / "second").rglob("plain-seed4*.json"))).source_digest in form
    assert f"`{COMMIT}`" in form and "For you to say" in form and "{{" not in form
    assert re.search(r"kept (\d+) of \1 rules|skipped:", form)
    environment = json.loads((tmp_path / "second" / "environment.json").read_text())
    assert len(environment["machines"]) == 1 and "torch" in environment["packages"]
    manifest = json.loads((tmp_path / "second" / "bundle.json").read_text())
    assert manifest["variant"] == "plain" and manifest["boards"][0]["protocol"] == "tiny-2-2-overlapped"
    for name, digest in manifest["files"].items():
        assert sha256_of((tmp_path / "second" / name).read_bytes()) == digest
    _tamper(tmp_path / "second", tiny_root)


def _tamper(bundle: Path, root: Path) -> None:
    """What was changed after it was bundled is named."""
    (bundle / "adapter" / "plain.py").write_text("import os\n")
    (bundle / "records" / "more.npz").write_text("")
    result = valid(bundle, root)
    assert result.exit_code == 1
    for name in ("adapter/plain.py", "records/more.npz"):
        assert f"bundle.json: manifest: {name} is not what it was" in result.stdout
    assert "source: source_digest is" in result.stdout
    (bundle / "bundle.json").write_text("[1]")
    assert "bundle.json: manifest: it cannot be read" in valid(bundle, root).stdout


@pytest.mark.usefixtures("quick")
def test_a_method_that_breaks_a_rule_is_not_run(tmp_path: Path, words: list[object]) -> None:
    bad = write(
        tmp_path,
        name="bad",
        loss="""
    def loss(self, model, output, previous_output, batch, step, state):
        model.classifier.blocks[0].bias.data.add_(0.1)
        return {"cross_entropy": ce(output, batch)}
""",
    )
    done = invoke("submit", bad, *words)
    assert done.exit_code == 1 and "Not bundled: the check found what is named above." in done.stdout
    assert not (tmp_path / "results").exists() and not (tmp_path / "bundle").exists()


@pytest.mark.usefixtures("quick")
def test_records_that_are_not_valid_are_not_bundled(plain: Path, words: list[object], tmp_path: Path) -> None:
    seed = ["--seed", "0"]
    assert invoke("submit", plain, *words, *seed).exit_code == 0
    (path,) = (tmp_path / "results").glob("*/*/*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    content["steps"][1]["parameters"]["trainable"] *= 2
    path.write_text(json.dumps(content))
    words[words.index("--out") + 1] = tmp_path / "second"
    done = invoke("submit", plain, *words, *seed)
    assert done.exit_code == 1 and "parameters: step 1 trains" in done.stdout
    assert "Not bundled: validation found" in done.stdout and not (tmp_path / "second").exists()


@pytest.mark.usefixtures("quick")
def test_a_method_all_of_whose_runs_fail_is_one_sentence(words: list[object], tmp_path: Path) -> None:
    bad = write(
        tmp_path,
        name="late",
        loss="""
    def loss(self, model, output, previous_output, batch, step, state):
        if batch.image.shape[-1] == 32 and batch.image.shape[0] == 4:  # as in the tiny preset
            raise ValueError("mine")
        return {"cross_entropy": ce(output, batch)}
""",
    )
    done = invoke("submit", bad, *words, "--seed", "0")
    assert done.exit_code == 2 and "no run of late finished" in done.stderr


def refused(result: Result, says: str, results: Path) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and says in result.stderr
    assert result.stderr.startswith("cssbench: ") and result.stderr.count("\n") == 1
    assert not results.exists()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Source(COMMIT, True), "changes that are not committed"),
        (Source(None, None), "expected a clone of the project"),
    ],
)
def test_runs_that_would_name_no_clean_commit_are_not_begun(
    source: Source,
    says: str,
    plain: Path,
    words: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Harness, "source", source)
    refused(invoke("submit", plain, *words), says, tmp_path / "results")


def test_what_cannot_be_submitted_is_said_before_anything_runs(
    plain: Path, words: list[object], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    refused(invoke("submit", "gone", *words), "unknown method 'gone'", results)
    refused(invoke("submit", plain, *words, "--protocol", "voc-1"), "unknown protocol", results)
    joint = [*words[:1], protocol_name("joint"), *words[2:]]
    refused(invoke("submit", plain, *joint), "is run with 'fine_tune' alone", results)
    same = write(tmp_path, name="mib")
    refused(invoke("submit", same, *words), "has the name of a method there is, 'mib'", results)
    (tmp_path / "bundle").mkdir()
    refused(invoke("submit", plain, *words), "is not written over", results)
