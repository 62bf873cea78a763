"""A bundle: records, adapter, environment, and the form for the pull request. Written whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.check import Report as Checked
from benchmark.errors import RecordError
from benchmark.finding import Variant, adapter_files, method_files, methods_folders
from benchmark.metrics import score
from benchmark.record import Record, sha256_of
from benchmark.sources import source_files
from benchmark.validate import Report
from benchmark.validate.reading import ADAPTER, MANIFEST, RECORDS, Subject

FORM, ENVIRONMENT = "SUBMISSION.md", "environment.json"
SCHEMA = 1


@dataclass(frozen=True)
class Bundle:
    """A bundle that lies there. ``known``: its method is in the project already."""

    folder: Path
    records: int
    known: bool


class Row(NamedTuple):
    """One run in the form; scores in percent and points, None for a run that failed."""

    variant: str
    protocol: str
    model: str
    seed: int
    status: str
    miou_all: float | None
    miou_old: float | None
    miou_new: float | None
    forgetting: float | None
    hardware: str


def write_bundle(
    out: Path, variant: Variant, records: Sequence[Subject], checked: Checked, validated: Report
) -> Bundle:
    """Write a bundle to ``out``: under a temporary name, then renamed.

    Raises RecordError where ``out`` has come to exist meanwhile.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        folder = Path(temporary) / "bundle"
        folder.mkdir()
        _copy(folder, variant, records)
        _json(folder / ENVIRONMENT, _environment(records))
        _json(folder / MANIFEST, _manifest(folder, variant, records))
        form = _form(variant, records, checked, validated)
        (folder / FORM).write_text(form, encoding="utf-8")
        if out.exists():
            raise RecordError(f"{out} has come to exist meanwhile; expected a new folder in --out")
        folder.rename(out)
    return Bundle(out, len(records), variant.method.name in method_files())


def _copy(folder: Path, variant: Variant, records: Sequence[Subject]) -> None:
    for subject in records:
        into = folder / RECORDS / subject.path.parent.parent.name / subject.path.parent.name
        into.mkdir(parents=True, exist_ok=True)
        shutil.copy(subject.path, into)
        if subject.images_path is not None:
            shutil.copy(subject.images_path, into)
    (folder / ADAPTER).mkdir()
    for file, content in source_files(adapter_files(variant.method), methods_folders()).items():
        (folder / ADAPTER / file.name).write_bytes(content)


def _environment(records: Sequence[Subject]) -> dict[str, Any]:
    """Return the machines of the runs, each once, and every package that is installed here."""
    machines = {json.dumps(asdict(s.record.environment), sort_keys=True) for s in records}
    packages = {found.metadata["Name"]: found.version for found in distributions()}
    return {
        "machines": [json.loads(machine) for machine in sorted(machines)],
        "packages": dict(sorted(packages.items())),
    }


def _manifest(folder: Path, variant: Variant, records: Sequence[Subject]) -> dict[str, Any]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ENVIRONMENT]
    boards = {(s.record.protocol, s.record.model, s.record.protocol_digest) for s in records}
    return {
        "schema": SCHEMA,
        "method": variant.method.name,
        "variant": variant.text,
        "source_digest": variant.source_digest,
        "boards": [
            {"protocol": protocol, "model": model, "protocol_digest": digest}
            for protocol, model, digest in sorted(boards)
        ],
        "files": {path.relative_to(folder).as_posix(): sha256_of(path.read_bytes()) for path in files},
    }


def _json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _form(variant: Variant, records: Sequence[Subject], checked: Checked, validated: Report) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # Markdown; a table's cells are escaped where they are written
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template("form.md.j2").render(
        variant=variant,
        method=variant.method.name,
        known=variant.method.name in method_files(),
        params=variant.params,
        rows=[_row(subject.record) for subject in records],
        commits=sorted({subject.record.commit or "unknown" for subject in records}),
        checked=checked,
        notes=[finding for finding in validated.findings if finding.level == "note"],
        files=sorted(file.name for file in source_files(adapter_files(variant.method), methods_folders())),
    )


def _row(record: Record) -> Row:
    """Return a run as the form shows it."""
    all_, old, new, forgetting = _scores(record)
    return Row(
        variant=record.variant,
        protocol=record.protocol,
        model=record.model,
        seed=record.seed,
        status=record.status,
        miou_all=_percent(all_),
        miou_old=_percent(old),
        miou_new=_percent(new),
        forgetting=_percent(forgetting),
        hardware=record.environment.hardware,
    )


def _scores(record: Record) -> tuple[float | None, ...]:
    """Return final mIoU of all, old and new classes, and forgetting, as fractions; None for a failed run."""
    if record.status != "ok":
        return None, None, None, None
    rows = [range(step.classes[0], step.classes[-1] + 1) for step in record.steps]
    scores = score([step.confusion for step in record.steps], rows, record.background)
    return scores.final.all, scores.final.old, scores.final.new, scores.forgetting


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _cell(value: object) -> str:
    """Return a value as a cell of a Markdown table."""
    if value is None:
        return "–"
    return f"{value:.1f}" if isinstance(value, float) else str(value).replace("|", "\\|")
