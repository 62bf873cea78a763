"""Records on disk: what is written is what is read, whole or not at all, and nothing odd gets through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmark.errors import RecordError
from benchmark.record import (
    Compute,
    Environment,
    Parameters,
    PeakBytes,
    Record,
    Seconds,
    StepRecord,
    read_record,
    sha256_of,
    write_atomic,
    write_record,
)

STEP = StepRecord(
    index=0,
    classes=(1, 2),
    images=3,
    iterations=4,
    confusion=((1, 0, 2), (0, 10**15, 0), (0, 0, 7)),
    losses={"cross_entropy": (0.1, None, 1e-30)},
    parameters=Parameters(30, 20, 30),
    compute=Compute(10, 11, 60, {"student": 20, "backward": 40}, {"aten::relu": 1}, {"aten::add": 2}),
    seconds=Seconds(0.0, 0.5, 1.25, 0.125, 0.0, 0.75, 7, 3),
    peak_bytes={"train": PeakBytes(live_tensors=5, parts={"teacher": 2}), "evaluate": PeakBytes()},
    state_bytes=0,
    checkpoint_bytes=123,
    latency_seconds=0.001,
    base="a" * 64,
)
RECORD = Record(
    schema=1,
    status="ok",
    error=None,
    protocol="tiny-2-1-overlapped",
    protocol_digest="0" * 64,
    protocol_version=1,
    dataset="msrc",
    scenario="2-1",
    setting="overlapped",
    split="test",
    joint_protocol="tiny-joint",
    joint_digest="1" * 64,
    classes=("Kuh", "Schäfchen"),
    background=False,
    step_sizes=(2,),
    epochs=2,
    batch_size=4,
    image_size=32,
    pretrained="random",
    model="tiny-model",
    method="toy",
    variant="toy:rank=8,weight=0.5",
    params={"rank": 8, "weight": 0.5, "again": False, "cap": None, "kind": "plain"},
    resolved={"base": "full"},
    source_digest="2" * 64,
    seed=0,
    commit=None,
    dirty=None,
    command="cssbench run",
    started="2026-01-01T00:00:00+00:00",
    finished="2026-01-01T00:00:01+00:00",
    environment=Environment("cpu", "a CPU", None, 1, "fp32", "Linux", "3.11.7", None, {"torch": "2.11"}),
    steps=(STEP,),
    images_file="x.npz",
    images_digest="3" * 64,
)


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, status="error", error="a [1,\n  2] b [1,  2] 'c' \"d\" \\ é \u2028", steps=()),
        replace(RECORD, joint_protocol=None, joint_digest=None, images_file=None, images_digest=None),
        replace(RECORD, steps=(STEP, replace(STEP, index=1, base=None, energy_joules=1e9))),
        replace(RECORD, steps=(replace(STEP, losses={}, confusion=(), compute=Compute()),)),
    ],
)
def test_what_is_written_is_what_is_read(tmp_path, record):
    path = tmp_path / "folder" / "below" / "record.json"
    write_record(record, path)
    assert read_record(path) == record
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(asdict(record)))


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_the_file_is_made_to_be_read_and_compared(tmp_path):
    path = tmp_path / "record.json"
    write_record(RECORD, path)
    text = path.read_text(encoding="utf-8")
    assert "[ 0, 1000000000000000, 0 ]" in text  # a row of the matrix is a line
    assert "Schäfchen" in text and text.endswith("}\n")
    assert oct(path.stat().st_mode & 0o777) == "0o644"
    again = tmp_path / "again.json"
    write_record(RECORD, again)
    assert again.read_bytes() == path.read_bytes()


def test_keys_that_others_rely_on(tmp_path):
    path = tmp_path / "record.json"
    write_record(RECORD, path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert {
        "schema",
        "status",
        "protocol",
        "protocol_digest",
        "method",
        "params",
        "seed",
        "steps",
    } <= content.keys()
    assert content["steps"][0]["confusion"] == [[1, 0, 2], [0, 10**15, 0], [0, 0, 7]]


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, steps=(replace(STEP, latency_seconds=float("nan")),)),
        replace(RECORD, steps=(replace(STEP, losses={"a": (float("nan"),)}),)),
        replace(RECORD, params={"weight": float("inf")}),
        replace(RECORD, steps=(replace(STEP, state_bytes=-1),)),
        replace(RECORD, steps=(replace(STEP, confusion=((-1,),)),)),
        replace(RECORD, protocol_digest="short"),
        replace(RECORD, status="fine"),
        replace(RECORD, seed=None),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, record):
    path = tmp_path / "record.json"
    write_record(RECORD, path)
    before = path.read_bytes()
    with pytest.raises(ValueError):
        write_record(record, path)
    assert path.read_bytes() == before
    assert files(tmp_path) == ["record.json"]


class Crash(BaseException):
    """A kill in the middle of writing."""


@pytest.mark.parametrize("moment", ["fsync", "replace", "chmod"])
def test_a_crash_while_writing_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, moment):
    path = tmp_path / "record.json"
    write_record(RECORD, path)
    before = path.read_bytes()

    def crash(*args: object, **kwargs: object) -> None:
        raise Crash

    monkeypatch.setattr(os, moment, crash)
    with pytest.raises(Crash):
        write_record(replace(RECORD, seed=1), path)
    with pytest.raises(Crash):
        write_atomic(tmp_path / "new.json", b"x")
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert files(tmp_path) == ["record.json"]


KILLED = """
import os, pathlib, signal, sys
from benchmark import record
record.os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
record.write_atomic(pathlib.Path(sys.argv[1]), b"new")
"""


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode < 0
    assert path.read_bytes() == b"old"
    assert not [name for name in files(tmp_path) if name.endswith(".json") and name != "record.json"]


def test_the_content_is_on_disk_before_the_name_is(tmp_path, monkeypatch):
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *given, real=real, name=name: (calls.append(name), real(*given))[1]
        )
    write_atomic(tmp_path / "x", b"y")
    assert calls == ["fsync", "replace"]


def test_the_digest_of_bytes_is_sha256():
    assert sha256_of(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def refusal(path: Path) -> str:
    with pytest.raises(RecordError) as caught:
        read_record(path)
    message = str(caught.value)
    assert message.startswith(f"record {path} ") and "\n" not in message
    return message


@pytest.fixture
def content(tmp_path):
    write_record(RECORD, tmp_path / "record.json")
    return json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("version", [0, 2, "1", None, True, [1]])
def test_another_schema_version_is_refused(tmp_path, content, version):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**content, "schema": version}))
    assert "schema" in refusal(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"schema": 1}', "\ufeff{}", "[" * 100_000])
def test_what_is_no_record_is_refused(tmp_path, text):
    path = tmp_path / "record.json"
    path.write_text(text, encoding="utf-8")
    refusal(path)


def test_a_truncated_record_is_refused_wherever_it_ends(tmp_path, content):
    path = tmp_path / "record.json"
    whole = path.read_bytes()
    for end in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:end])
        assert "is not JSON" in refusal(path) or "cannot be read" in refusal(path)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "gone.json")
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refusal(tmp_path / "binary.json")


MISSING = object()


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("extra",), 1),
        (("steps", 0, "extra"), 1),
        (("steps", 0, "seconds", "extra"), 1),
        (("seed",), MISSING),
        (("steps", 0, "confusion"), MISSING),
        (("seed",), "0"),
        (("seed",), 0.5),
        (("seed",), -1),
        (("seed",), True),
        (("dirty",), 0),
        (("status",), "fine"),
        (("split",), "train"),
        (("protocol_digest",), "0" * 63),
        (("protocol_digest",), "G" * 64),
        (("error",), 3),
        (("classes",), "cow"),
        (("steps",), {}),
        (("steps", 0, "confusion", 0, 0), -1),
        (("steps", 0, "confusion", 0, 0), 0.5),
        (("steps", 0, "confusion", 0, 0), "1"),
        (("steps", 0, "confusion", 0), 1),
        (("steps", 0, "parameters", "total"), -1),
        (("steps", 0, "compute", "train_flops"), -1),
        (("steps", 0, "seconds", "train"), -0.1),
        (("steps", 0, "peak_bytes", "train", "live_tensors"), -1),
        (("steps", 0, "latency_seconds"), "fast"),
        (("environment", "device"), "tpu"),
        (("environment", "threads"), -1),
    ],
)
def test_a_record_that_breaks_the_schema_is_refused_by_key(tmp_path, content, keys, value):
    target = content
    for key in keys[:-1]:
        target = target[key]
    if value is MISSING:
        del target[keys[-1]]
    else:
        target[keys[-1]] = value
    path = tmp_path / "record.json"
    path.write_text(json.dumps(content))
    message = refusal(path)
    assert "breaks the schema" in message and ".".join(map(str, keys)) in message


@pytest.mark.parametrize(
    "keys",
    [("steps", 0, "losses", "cross_entropy", 0), ("params", "weight"), ("steps", 0, "latency_seconds")],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_refused_wherever_they_stand(tmp_path, content, keys, value):
    target = content
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    path = tmp_path / "record.json"
    path.write_text(json.dumps(content))
    assert "it holds" in refusal(path)
