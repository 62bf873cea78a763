"""The record of one run: its schema, how it is written and how it is read.

Raw counts only. Whatever can be computed later (mIoU, forgetting, NetScore) is computed when
reporting, so that a corrected metric re-scores everything without a GPU. Unknown is None, never 0.
This module imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from benchmark.errors import RecordError

SCHEMA: Literal[1] = 1
Status = Literal["ok", "oom", "diverged", "error", "interrupted"]
Natural = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Parameters:
    """Counts of single numbers. ``total`` while training, ``trainable`` by the groups of ``adapt``."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    total: Natural
    trainable: Natural
    deployed: Natural


@dataclass(frozen=True)
class Compute:
    """Operations. MACs: one multiply-add is one. FLOPs: one multiply-add is two.

    ``inference_macs``: the deployed model on one image at the training crop. ``forward_macs``: the
    training model on one such image. ``train_flops``: one real training iteration of the whole batch,
    by part in ``train_flops_by_part`` (teacher, student, loss, backward, optimiser). ``uncounted``: calls of
    operators that compute but count as zero in an inference, ``train_uncounted`` in an iteration.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    inference_macs: Natural | None = None
    forward_macs: Natural | None = None
    train_flops: Natural | None = None
    train_flops_by_part: dict[str, Natural] = field(default_factory=dict)
    train_uncounted: dict[str, Natural] = field(default_factory=dict)
    uncounted: dict[str, Natural] = field(default_factory=dict)


@dataclass(frozen=True)
class Seconds:
    """Wall time by phase. ``instrumented``: the first iterations, which carry counters and warm up.

    ``train`` and ``data_wait`` are those of the other ``timed_iterations`` alone.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    prepare: Amount
    instrumented: Amount
    train: Amount
    data_wait: Amount
    consolidate: Amount
    evaluate: Amount
    timed_iterations: Natural
    instrumented_iterations: Natural


@dataclass(frozen=True)
class PeakBytes:
    """Peaks of one phase. On a CPU only ``live_tensors`` is known, on CUDA all others.

    ``parts``: bytes at the moment of the peak by what holds them (parameters, gradients, optimiser,
    teacher, activations), where a tracker followed each tensor.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    live_tensors: Natural | None = None
    cuda_allocated: Natural | None = None
    cuda_reserved: Natural | None = None
    nvml_process: Natural | None = None
    parts: dict[str, Natural] = field(default_factory=dict)


@dataclass(frozen=True)
class StepRecord:
    """One step. ``classes``: rows of the confusion matrix the step adds; ``images``: those trained on.

    ``confusion``: a row for index 0 and for every class of the dataset in learning order, a column for
    each of the model's outputs; pixels without a label to score are in no row. ``losses``: mean of
    each term over each tenth of the iterations. ``energy_joules`` and
    ``gpu_utilisation_percent`` of the timed training iterations, ``energy_notes`` why they are unknown or
    what else is in them, as other processes on the GPU; ``latency_seconds``: median of the
    deployed model on one image at the training crop. ``base``: digest of the stored step 0 this step
    was taken from, whose costs are then repeated here.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    index: Natural
    classes: tuple[Natural, ...]
    images: Natural
    iterations: Natural
    confusion: tuple[tuple[Natural, ...], ...]
    losses: dict[str, tuple[float | None, ...]]
    parameters: Parameters
    compute: Compute
    seconds: Seconds
    peak_bytes: dict[str, PeakBytes]
    state_bytes: Natural
    checkpoint_bytes: Natural
    latency_seconds: Amount | None = None
    energy_joules: Amount | None = None
    gpu_utilisation_percent: Amount | None = None
    energy_notes: tuple[str, ...] = ()
    base: Digest | None = None


@dataclass(frozen=True)
class Environment:
    """Where a run ran."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    device: Literal["cpu", "cuda"]
    cpu: str
    gpu: str | None
    threads: Natural
    precision: str
    platform: str
    python: str
    cuda: str | None
    packages: dict[str, str]

    @property
    def hardware(self) -> str:
        """What times and memory are comparable within: the GPU, or the CPU and its threads in use."""
        if self.device == "cuda":
            return self.gpu or "unknown GPU"
        return f"{self.cpu}, {self.threads} thread{'' if self.threads == 1 else 's'}"


@dataclass(frozen=True)
class Record:
    """One run of one variant, on one protocol and model, with one seed.

    ``classes``: names in learning order, without the background; ``step_sizes``: how many each step adds.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    schema: Literal[1]
    status: Status
    error: str | None
    protocol: str
    protocol_digest: Digest
    protocol_version: Natural
    dataset: str
    scenario: str
    setting: Literal["sequential", "disjoint", "overlapped"]
    split: Literal["test", "validation"]
    joint_protocol: str | None
    joint_digest: Digest | None
    classes: tuple[str, ...]
    background: bool
    step_sizes: tuple[Natural, ...]
    epochs: Natural
    batch_size: Natural
    image_size: Natural
    pretrained: str
    model: str
    method: str
    variant: str
    params: dict[str, Any]
    resolved: dict[str, Any]
    source_digest: Digest
    seed: Natural
    commit: str | None
    dirty: bool | None
    command: str
    started: str
    finished: str
    environment: Environment
    steps: tuple[StepRecord, ...]
    images_file: str | None = None
    images_digest: Digest | None = None


_VERSION = re.compile(rb'"schema":\s*%d\s*[,}]' % SCHEMA)
_CONSTANTS = (b"NaN", b"Infinity")
"""What Python's JSON allows beyond JSON: in a number's place it is refused, in a text it is not."""


@cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def read_record(path: Path) -> Record:
    """Read and validate one record.

    Raises RecordError, one sentence, for a file that cannot be read, is not JSON, has another schema
    version, or breaks the schema.
    """
    try:
        return parse_record(path.read_bytes(), path)
    except OSError as error:
        raise RecordError(f"record {path} cannot be read: {error}") from error


def parse_record(text: bytes, path: Path) -> Record:
    """Validate the content of a record's file, as :func:`read_record` does; ``path`` is named in errors."""
    if _VERSION.search(text) and not any(constant in text for constant in _CONSTANTS):
        try:
            return _adapter().validate_json(text, strict=True)
        except ValidationError:
            pass  # what is wrong is said rule by rule below
    return _parse_slowly(text, path)


def _parse_slowly(text: bytes, path: Path) -> Record:
    try:
        content = json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise RecordError(f"record {path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"record {path} is not JSON: {error}") from error
    version = content.get("schema") if isinstance(content, dict) else None
    if type(version) is not int or version != SCHEMA:
        raise RecordError(f"record {path} has schema version {version!r}; expected {SCHEMA}")
    try:
        return _adapter().validate_json(json.dumps(content), strict=True)
    except (ValidationError, ValueError) as error:
        raise RecordError(f"record {path} breaks the schema: {_first(error)}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}, got {str(first['input'])[:80]}"


def write_record(record: Record, path: Path) -> None:
    """Write a record whole or not at all: to a temporary file beside it, synced, then renamed."""
    write_atomic(path, encode_record(record))


def encode_record(record: Record) -> bytes:
    """Return the content of a record's file. Raises ValueError where the record breaks the schema."""
    text = json.dumps(asdict(record), indent=1, ensure_ascii=False, allow_nan=False)
    _adapter().validate_json(text, strict=True)
    # Rows of numbers on one line. No string is touched: none holds a line break.
    compact = re.sub(r"\[\n[\s\d.,eE+-]*\]", lambda row: " ".join(row.group().split()), text)
    return compact.encode("utf-8") + b"\n"


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` under ``path`` so that a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of ``content`` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
