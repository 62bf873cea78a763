"""Which protocols are this project's: a record of another is shown, apart from all others, and said to be."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from benchmark.protocols import load_protocol, preset_files, protocol_ids
from benchmark.record import Record
from reports.load import LeftOut
from reports.runs import Run


@cache
def digest_here(protocol: str, model: str, split: str) -> str | None:
    """Return the digest of a protocol that ships with the project; None where none has these names.

    Names are looked up: as a record may hold any, none is opened as a file.
    """
    if protocol not in _ids() or model not in preset_files() or split not in ("test", "validation"):
        return None
    return load_protocol(protocol, model, "test" if split == "test" else "validation").digest


@cache
def _ids() -> frozenset[str]:
    return frozenset(protocol_ids())


def is_foreign(record: Record) -> bool:
    """Whether no protocol of this project has the digest that a record was run with."""
    return digest_here(record.protocol, record.model, record.split) != record.protocol_digest


def foreign(runs: Iterable[Run]) -> tuple[LeftOut, ...]:
    """Name the records that no protocol of this project belongs to."""
    return tuple(LeftOut(run.path, _reason(run.record)) for run in runs if is_foreign(run.record))


def _reason(record: Record) -> str:
    digest, here = record.protocol_digest[:12], digest_here(record.protocol, record.model, record.split)
    if here is None:
        return f"no protocol here has its names and digest {digest}: it is shown beside its like alone"
    return f"its digest is {digest}, its protocol's here {here[:12]}: it is shown beside its like alone"
