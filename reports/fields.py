"""Every field of records as a page shows it: once where all runs have the same, by run where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from benchmark.record import Record
from reports.columns import number
from reports.variants import Variant

_NOT_IN_LISTS = {"steps", "environment", "error", "confusion", "losses", "index", "classes"}
_LISTED_APART = {"uncounted", "train_uncounted"}
_NOT_OF_STEPS = _NOT_IN_LISTS | _LISTED_APART
_UNKNOWN = "–"
_LEAVES = {int, bool, float, str, tuple, type(None)}
_NOTHING = (None, ())


class Field(NamedTuple):
    """A name and its printed value; ``unknown`` where it is null."""

    name: str
    value: str
    unknown: bool = False


class StepLine(NamedTuple):
    """One field of the steps: a value for each step, one run after the other where there are several."""

    name: str
    values: tuple[str, ...]


class Head(NamedTuple):
    """What stands over the columns of one run, and how many they are."""

    title: str
    columns: int


class Told(NamedTuple):
    """Fields of several parts. ``apart``: those in which they differ, as columns with a value a part."""

    same: tuple[Field, ...]
    apart: tuple[tuple[Field, ...], ...]


class Measured(NamedTuple):
    """Fields of the steps: the same in all runs, those that are not, names of those without a value."""

    same: tuple[StepLine, ...]
    apart: tuple[StepLine, ...]
    unknown: tuple[str, ...]


def run_heads(variant: Variant) -> list[Head]:
    """Return what stands over a variant's values by run and step: each run that has steps."""
    runs = [run for run in variant.runs if run.record.steps]
    return [Head(variant.labels[run.slug], len(run.record.steps)) for run in runs]


def provenance(records: Sequence[Record]) -> Told:
    """Return every field of records that is not a step's, in the record's order."""
    return _told(records, _NOT_IN_LISTS)


def environment(records: Sequence[Record]) -> Told:
    """Return where the runs ran."""
    return _told([record.environment for record in records], set())


def _told(parts: Sequence[Any], without: set[str]) -> Told:
    same: list[Field] = []
    apart: list[tuple[Field, ...]] = []
    first, *others = (vars(part) for part in parts)
    for key, value in first.items():
        if key in without:
            continue
        name = key.replace("_", " ")
        if all(other[key] == value for other in others):
            same.append(_field(name, value))
        else:
            apart.append(tuple(_field(name, part[key]) for part in (first, *others)))
    return Told(tuple(same), tuple(apart))


def _field(name: str, value: Any) -> Field:
    return Field(name, _plain(value), value is None)


def _plain(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def measured(records: Sequence[Record]) -> Measured:
    """Return every number of the steps, a line a field; what is null in all of them by name alone.

    A run that ended early has the same as the others where its steps have.
    """
    flat = [[_flat(vars(step)) for step in record.steps] for record in records]
    same: list[StepLine] = []
    apart: list[StepLine] = []
    unknown: list[str] = []
    for path in dict.fromkeys(chain.from_iterable(chain.from_iterable(flat))):
        runs = [[values.get(path) for values in steps] for steps in flat]
        longest = max(runs, key=len)
        name = path.replace("_", " ")
        if all(value in _NOTHING for line in runs for value in line):
            unknown.append(name)
        elif all(line == longest[: len(line)] for line in runs):
            same.append(StepLine(name, tuple([_printed(path, value) for value in longest])))
        else:
            apart.append(StepLine(name, tuple([_printed(path, v) for line in runs for v in line])))
    return Measured(tuple(same), tuple(apart), tuple(unknown))


def _flat(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return every value below ``part`` by its path: fields of fields, entries of tables."""
    values: dict[str, Any] = {}
    _flatten(part, values)
    return values


def _flatten(part: Mapping[str, Any], into: dict[str, Any], prefix: str = "") -> None:
    without = _LISTED_APART if prefix else _NOT_OF_STEPS
    for name, value in part.items():
        if name in without:
            continue
        if type(value) in _LEAVES:
            into[prefix + name] = value
        else:
            _flatten(value if isinstance(value, dict) else vars(value), into, f"{prefix}{name} · ")


def _printed(path: str, value: Any) -> str:
    if value in _NOTHING:
        return _UNKNOWN
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return _bytes(value) if "bytes" in path else number(value, 0)
    return "; ".join(map(str, value)) if isinstance(value, tuple) else value[:12]


def _bytes(value: int) -> str:
    power = min(3, (max(value, 1).bit_length() - 1) // 10)
    return (
        f"{number(value / 2 ** (10 * power), 0 if power == 0 else None)} {('B', 'KiB', 'MiB', 'GiB')[power]}"
    )


def uncounted(records: Mapping[str, Record]) -> tuple[Field, ...]:
    """Return the operators that the counters took for zero at the last step, by calls.

    ``records``: by what tells each from the others, which is named where their counts differ.
    """
    last = {label: record.steps[-1].compute for label, record in records.items() if record.steps}
    tables = {
        "in an inference": {label: compute.uncounted for label, compute in last.items()},
        "in a training iteration": {label: compute.train_uncounted for label, compute in last.items()},
    }
    return tuple(field for where, found in tables.items() for field in _calls(where, found))


def _calls(where: str, tables: Mapping[str, Mapping[str, int]]) -> Iterator[Field]:
    groups: list[tuple[Mapping[str, int], list[str]]] = []
    for label, table in tables.items():
        for known, labels in groups:
            if known == table:
                labels.append(label)
                break
        else:
            groups.append((table, [label]))
    for table, labels in groups:
        text = ", ".join(f"{name} × {calls}" for name, calls in sorted(table.items())) or "none"
        yield Field(where if len(groups) < 2 else f"{where}, {'; '.join(labels)}", text)
