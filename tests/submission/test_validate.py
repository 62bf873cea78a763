"""What validating believes, compares, runs and says; that every rule bites is in test_validate_forged.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from forging import ROOT, Submitted, believed, committed, copy_run, submitted

from benchmark.cli import main
from benchmark.finding import method_files, methods_folders
from benchmark.record import read_record
from benchmark.validate import Asked, Finding, validate
from benchmark.validate.adapters import digest_of
from benchmark.validate.findings import printable

# Would run if it were imported, and leaves a file that says so.
ADAPTER = '''"""Mine."""
from dataclasses import dataclass
from pathlib import Path
Path(r"{trace}").write_text("run")
from methods.mib import MiB

@dataclass(frozen=True)
class Mine(MiB):
    """An adapter."""
'''


def command(*words: object) -> Result:
    return CliRunner().invoke(main, ["validate", *map(str, words)])


def rules(record: Submitted, *against: Path, **asked: Any) -> dict[str, str]:
    """Sentences by rule of what is found beside notes on commit and source."""
    found = validate([record.folder], Asked(against, **asked)).findings
    return {f.rule: f.sentence for f in found if f.rule not in ("commit", "source")}


@pytest.fixture
def record(tmp_path: Path) -> Submitted:
    return submitted(tmp_path)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return believed(tmp_path_factory.mktemp("believed"))


def test_the_projects_own_records_are_valid() -> None:
    report = validate([ROOT / "results"])
    assert [finding for finding in report.findings if finding.level == "error"] == []
    assert report.records == len(list((ROOT / "results").glob("*/*/*.json")))


@pytest.mark.usefixtures("past")
def test_a_line_a_finding_and_the_sum_of_them(record: Submitted, board: Path) -> None:
    record.edit(lambda content: content.update(dirty=True, error="late"))
    result = command(record.path, "--against", board)
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0].startswith(f"{record.path}: status: the status is 'ok', but it has an error")
    assert f"{record.path}: commit: it was made with uncommitted changes; expected a clean commit" in lines
    assert lines[2:] == ["1 record: 2 errors, 0 notes"]


def test_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for words in ([tmp_path / "gone"], [tmp_path / "empty"], [tmp_path / "empty", "--protocol", "tiny-x"]):
        result = command(*words)
        assert result.exit_code == 2
        assert result.stderr.startswith("cssbench: ") and result.stderr.count("\n") == 1
    for words in ([], [tmp_path / "empty", "--trust-code"]):
        assert "Usage:" in command(*words).stderr


def test_a_file_is_read_once_however_often_it_is_named(record: Submitted, board: Path) -> None:
    report = validate([record.folder, record.path, record.folder], Asked((board,)))
    assert report.records == 1
    assert [f for f in report.findings if f.rule == "duplicate"] == []


def test_without_data_and_others_pixels_are_left_open_and_said_to_be(tmp_path: Path) -> None:
    source = next((ROOT / "results" / "msrc-joint" / "cnn-small-cpu").glob("*.json"))
    found = Submitted(tmp_path, copy_run(source, tmp_path))
    said = rules(found)
    assert said == {"pixels": said["pixels"]}
    assert "neither its data nor another record" in said["pixels"]


def test_pixels_are_compared_with_the_data(msrc_root: Path, tmp_path: Path) -> None:
    source = next((ROOT / "results" / "msrc-joint" / "cnn-small-cpu").glob("*.json"))
    found = Submitted(tmp_path, copy_run(source, tmp_path))
    assert rules(found, data_root=msrc_root) == {}
    found.edit(lambda content: content["steps"][0]["confusion"][1].__setitem__(1, 1))
    assert "the data has" in rules(found, data_root=msrc_root)["pixels"]


def test_a_score_far_above_the_joint_bound_is_pointed_out(record: Submitted, tmp_path: Path) -> None:
    joint = ROOT / "results" / "shapes-joint" / "cnn-small-cpu"
    known = believed(tmp_path / "known")
    copy_run(next(joint.glob("*.json")), known)
    assert "bound" not in rules(record, known)
    content = json.loads(record.path.read_text())
    for step in content["steps"]:
        seen = len(step["confusion"][0])
        for row, counts in enumerate(step["confusion"][:seen]):
            step["confusion"][row] = [sum(counts) if column == row else 0 for column in range(seen)]
    record.path.write_text(json.dumps(content))
    assert "its final mIoU is 100.0 %, that of the joint bound" in rules(record, known)["bound"]


def test_hostile_text_does_not_reach_the_terminal(record: Submitted, board: Path) -> None:
    record.edit(lambda content: content.update(protocol="x\x1b[2J\nfake: all is well", dirty=True))
    result = command(record.path, "--against", board)
    assert result.exit_code == 1 and "\x1b" not in result.stdout
    assert not any(line.startswith("fake") for line in result.stdout.splitlines())
    assert str(Finding("a\x1b[2J.json", "r", "s", "error")) == "a\\x1b[2J.json: r: s"
    assert printable("a\u202eb\x00\n c") == "a\\u202eb\\x00 c"
    assert len(printable("x" * 10_000)) < 500
    assert str(Finding("f", "r", "s", "note")) == "f: r (note): s"


@pytest.mark.parametrize("alike", ["one class for all", "no mistake"])
def test_two_seeds_may_agree_where_there_is_nothing_to_differ_in(alike: str, tmp_path: Path) -> None:
    folder = tmp_path / "submitted"
    for seed in (0, 1):
        one = Submitted(folder, copy_run(committed("mib", seed), folder))

        def change(content: dict[str, Any]) -> None:
            for step in content["steps"]:
                seen = len(step["confusion"][0])
                for row, counts in enumerate(step["confusion"]):
                    column = row if alike == "no mistake" and row < seen else 0
                    step["confusion"][row] = [sum(counts) if c == column else 0 for c in range(seen)]

        one.edit(change)
    found = {finding.rule for finding in validate([folder]).findings if finding.level == "error"}
    assert found == {"image sums"}


def test_form_that_differs_from_the_board_is_said_and_no_more(record: Submitted, board: Path) -> None:
    """Another number of steps must not make a rule fail that compares step by step."""

    def change(content: dict[str, Any]) -> None:
        content["steps"] = content["steps"][:1]
        content["classes"] = content["classes"][:4]
        content["step_sizes"] = [4]
        content["steps"][0]["confusion"] = content["steps"][0]["confusion"][:5]

    record.edit(change)
    assert "protocol" in rules(record, board)


def test_a_failed_run_is_valid_with_the_steps_it_had(record: Submitted, board: Path) -> None:
    failed = {"status": "diverged", "error": "loss term 'x' is not finite", "steps": []}
    record.edit(lambda content: content.update(failed, images_file=None, images_digest=None))
    record.images.unlink()
    assert rules(record, board) == {}


def test_a_matrix_file_without_a_record_is_named(record: Submitted, board: Path) -> None:
    record.path.unlink()
    copy_run(committed("mib", 1), record.folder)
    (found,) = [f for f in validate([record.folder], Asked((board,))).findings if f.level == "error"]
    assert (found.file, found.sentence) == (str(record.images), "no record names it")


# Adapters.


@pytest.mark.parametrize(
    "spec", [*method_files(), "clora:on=sdr", "frozen:on=ilt", "sdr:on=plop", "clora:rank=8,on=fine_tune"]
)
def test_the_digest_needs_no_import(spec: str) -> None:
    from benchmark.finding import find_method

    variant = find_method(spec)
    assert (
        digest_of(variant.method.name, variant.params, method_files(), methods_folders())
        == variant.source_digest
    )


@pytest.mark.usefixtures("past")
def test_a_submitted_adapter_is_compared_and_not_run(record: Submitted, board: Path, tmp_path: Path) -> None:
    trace, adapter = tmp_path / "trace", tmp_path / "mine.py"
    adapter.write_text(ADAPTER.format(trace=trace))
    source = digest_of("mine", {}, {"mine": adapter}, methods_folders())
    named = {"method": "mine", "variant": "mine", "source_digest": source}
    record.edit(lambda c: c.update(named, command=c["command"].replace("mib", "mine")))
    words = [record.path, "--against", board, "--adapter", adapter]
    for more in ([], ["--recount"]):
        result = command(*words, *more)
        assert result.exit_code == 0, result.stdout
        assert not trace.exists()
    assert "recount (note): not recounted: that would run the adapter that came along" in result.stdout
    result = command(*words, "--recount", "--trust-code")
    assert result.stdout == "1 record: 0 errors, 0 notes\n" and trace.exists()
    adapter.write_text(adapter.read_text() + "# changed\n")
    assert "the adapter that came along has" in command(*words).stdout


@pytest.mark.parametrize("content", ["class (", "\0", "(" * 5000])
def test_an_adapter_that_is_no_python_is_a_finding(content: str, record: Submitted, tmp_path: Path) -> None:
    adapter = tmp_path / "mib.py"
    adapter.write_text(content)
    assert "cannot be parsed" in command(record.path, "--adapter", adapter).stdout


def test_costs_are_counted_again(record: Submitted, board: Path) -> None:
    assert "recount" not in rules(record, board, recount=True)

    def cheaper(content: dict[str, Any]) -> None:
        for step in content["steps"]:
            step["parameters"]["trainable"] -= 1
            step["compute"]["inference_macs"] -= 1000
        content["steps"][2]["state_bytes"] = 4

    record.edit(cheaper)
    found = validate([record.folder], Asked((board,), recount=True)).findings
    said = [finding.sentence for finding in found if finding.rule == "recount"]
    assert len(said) == 7
    trainable = read_record(record.path).steps[0].parameters.trainable
    assert said[0] == f"step 0: trainable parameters are {trainable}; counted again {trainable + 1}"
    assert "step 2: state_bytes are 4; counted again 0" in said


def test_hyper_parameters_are_those_of_the_variant(record: Submitted, board: Path) -> None:
    record.edit(lambda content: content.update(params={"distillation": 3.0}))
    said = rules(record, board, recount=True)["recount"]
    assert said == "its hyper-parameters are {'distillation': 3.0}; those of mib are {'distillation': 10.0}"


LOADED = """
import json, sys
from benchmark.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_records_are_validated_without_torch_and_without_methods(record: Submitted, board: Path) -> None:
    words = [sys.executable, "-c", LOADED, "validate", str(record.folder), "--against", str(board)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "1 record:" in done.stdout
    assert not {"torch", "timm", "accelerate", "methods"} & set(json.loads(done.stdout.splitlines()[-1]))
