"""What a run was asked to be, how it ended, and the record made of both."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePath

from benchmark.data.memory import BUDGET_BYTES
from benchmark.data.scenario import Plan
from benchmark.evaluate import ImageCounts, pack_images
from benchmark.finding import Variant
from benchmark.protocol import Protocol
from benchmark.protocols import Split
from benchmark.provenance import source_of_harness
from benchmark.record import SCHEMA, Record, Status, StepRecord, encode_record, write_atomic
from benchmark.runtime import DeviceChoice, Runtime


@dataclass(frozen=True)
class RunSpec:
    """What a user asks for; names are not resolved yet."""

    method: str
    protocol: str
    model: str | None = None
    seed: int = 0
    params: dict[str, str] = field(default_factory=dict)
    data_root: Path | None = None
    results: Path = Path("results")
    device: DeviceChoice = "auto"
    split: Split = "test"
    workers: int = 0
    cache_bytes: int = BUDGET_BYTES
    cache_dir: Path | None = None
    tensorboard: Path | None = None
    pictures: Path | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Outcome:
    """A record and where it was written."""

    record: Record
    path: Path


@dataclass(frozen=True)
class Run:
    """A resolved run. Building one raises every error of the input, before anything is written."""

    spec: RunSpec
    protocol: Protocol
    joint: Protocol | None
    variant: Variant
    plan: Plan
    runtime: Runtime
    resolved: Mapping[str, str]


@dataclass(frozen=True)
class Ending:
    """How a run ended and what it had done by then."""

    started: datetime
    status: Status
    error: str | None
    steps: list[StepRecord]
    images: list[ImageCounts]


def record_path(run: Run, started: datetime) -> Path:
    """Return where the record goes. The name is for people; identity is in the record."""
    variant = re.sub(r"[^A-Za-z0-9._=-]+", "-", run.variant.text)[:80]
    moment = started.strftime("%Y%m%dT%H%M%S%f")[:-3]
    name = f"{variant}-seed{run.spec.seed}-{moment}"
    folder = run.protocol.id if run.spec.split == "test" else f"{run.protocol.id}-{run.spec.split}"
    return run.spec.results / folder / run.protocol.model.name / f"{name}.json"


def write(run: Run, path: Path, ending: Ending) -> Outcome:
    """Write the record of a run and, first, the matrices by image beside it: both or neither."""
    packed = pack_images(ending.images, run.plan.test.ids) if ending.images else None
    beside = path.with_suffix(".npz")
    protocol, preset = run.protocol, run.protocol.model
    source = source_of_harness()
    record = Record(
        schema=SCHEMA,
        status=ending.status,
        error=ending.error,
        protocol=protocol.id,
        protocol_digest=protocol.digest,
        protocol_version=protocol.version,
        dataset=protocol.dataset,
        scenario=protocol.scenario,
        setting=protocol.setting,
        split=protocol.split,
        joint_protocol=run.joint.id if run.joint else None,
        joint_digest=run.joint.digest if run.joint else None,
        classes=protocol.row_names[1:],
        background=protocol.background,
        step_sizes=tuple(len(classes) for classes in protocol.steps),
        epochs=protocol.epochs,
        batch_size=preset.batch_size,
        image_size=preset.image_size,
        pretrained=PurePath(preset.pretrained).name,
        model=preset.name,
        method=run.variant.method.name,
        variant=run.variant.text,
        params=run.variant.params,
        resolved=dict(run.resolved),
        source_digest=run.variant.source_digest,
        seed=run.spec.seed,
        commit=source.commit,
        dirty=source.dirty,
        command=_command(run),
        started=ending.started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=run.runtime.environment(),
        steps=tuple(ending.steps),
        images_file=beside.name if packed else None,
        images_digest=packed.digest if packed else None,
    )
    content = encode_record(record)
    try:
        if packed:
            write_atomic(beside, packed.content)
        write_atomic(path, content)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return Outcome(record, path)


def _command(run: Run) -> str:
    """Return the command that repeats the run, paths of this machine left out."""
    spec = run.spec
    method = run.variant.text
    words = ["cssbench", "run", "--method", method, "--protocol", run.protocol.id]
    words += ["--model", run.protocol.model.name, "--seed", str(spec.seed)]
    if spec.split != "test":
        words += ["--split", spec.split]
    return shlex.join(words)
