"""What on a board may not be compared, and why: hardware, versions of the counters, counts that leave out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from reports.columns import BY_KEY, COLUMNS, number
from reports.runs import Run


class Doubt(NamedTuple):
    """A sentence for the board. ``refused``: columns that are neither shown nor ranked for it, by key."""

    text: str
    refused: tuple[str, ...] = ()


class _Counter(NamedTuple):
    """A package that counts: what it counts, by column, and what is computed from that."""

    package: str
    counts: tuple[str, ...]
    derived: tuple[str, ...]


_COUNTERS = (
    _Counter("torch", ("train_flops",), ("train_macs_per_image", "netscore_train")),
    _Counter("fvcore", ("inference_macs", "forward_macs"), ("netscore_deploy", "netscore_clora")),
)


def doubts(runs: Iterable[Run], reference: str) -> tuple[Doubt, ...]:
    """Return what keeps the finished runs of one board, its joint runs among them, from being compared.

    ``reference``: the method whose time and memory are 1 in a ratio.
    """
    finished = [run for run in runs if run.ok]
    return (
        *_places(finished, reference),
        *_disturbed(finished),
        *_software(finished),
        *_versions(finished),
        *_lower_bounds(finished),
    )


def refused_counts(found: Iterable[Doubt]) -> frozenset[str]:
    """Return the columns whose numbers are disputed on every hardware."""
    keys = {key for doubt in found for key in doubt.refused}
    return frozenset(key for key in keys if not BY_KEY[key].hardware)


def _places(runs: Sequence[Run], reference: str) -> Iterator[Doubt]:
    """Times and memory are compared within one hardware, across only as a ratio to the reference's."""
    places = sorted({run.hardware for run in runs})
    if len(places) < 2:
        return
    text = f"Times, memory and energy are not ranked, as runs ran on {_listed(places)}: shown are ratios to "
    text += f"{reference} on the same hardware."
    alone = [p for p in places if not any(r.hardware == p and r.record.method == reference for r in runs)]
    if alone:
        text += f" No {reference} ran on {_listed(alone)}, so that ratios are unknown there."
    yield Doubt(text, tuple(column.key for column in COLUMNS if column.hardware))


def _disturbed(runs: Iterable[Run]) -> Iterator[Doubt]:
    """Times on a GPU that others used too are no method's: the measures are None already, here is why."""
    variants = {run.record.variant[:60] for run in runs if run.disturbed}
    if variants:
        text = (
            f"Other processes used the GPU while {_listed(variants)} ran: times and energy of these runs are"
        )
        yield Doubt(f"{text} neither shown nor ranked. The page of its runs has them.")


def _software(runs: Sequence[Run]) -> Iterator[Doubt]:
    """One hardware under two versions of torch: a difference in time may be the software's."""
    versions: dict[str, set[str]] = defaultdict(set)
    for run in _on_each_machine(runs):
        versions[run.hardware].add(_version(run, "torch"))
    for place, found in sorted(versions.items()):
        if len(found) > 1:
            text = f"On {place}, times and memory were measured under torch {_listed(found)}:"
            yield Doubt(f"{text} a difference between rows of two versions may be the software's.")


def _versions(runs: Sequence[Run]) -> Iterator[Doubt]:
    """Counts by two versions are compared only while no variant was given two numbers by them."""
    for counter in _COUNTERS:
        found = {_version(run, counter.package) for run in _on_each_machine(runs)}
        if len(found) < 2:
            continue
        what = " and ".join(_name(key) for key in counter.counts)
        by = f"{what} were counted by {counter.package} {_listed(found)}"
        disputed = next(_disputes(runs, counter), None)
        if disputed:
            refused = (*counter.counts, *counter.derived)
            yield Doubt(f"{by}, which disagree ({disputed}): not ranked.", refused)
        elif not _twice(runs, counter):
            yield Doubt(f"{by}; no row was counted by both, so that it is not shown that they agree.")


def _disputes(runs: Iterable[Run], counter: _Counter) -> Iterator[str]:
    for group in _variants(runs).values():
        for key in counter.counts:
            by = {_version(run, counter.package): run.measures[key] for run in group}
            values = sorted({value for value in by.values() if value is not None})
            if len(values) > 1:
                printed = " and ".join(number(value / 1e6) for value in values)
                yield f"{_name(key)} of {group[0].record.variant[:60]}: {printed} M"


def _twice(runs: Iterable[Run], counter: _Counter) -> bool:
    groups = _variants(runs).values()
    return any(len({_version(run, counter.package) for run in group}) > 1 for group in groups)


def _variants(runs: Iterable[Run]) -> Mapping[tuple[str, str, str], list[Run]]:
    """Return the runs of each variant, its source and its protocol: those of which all counts are equal."""
    groups: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        record = run.record
        groups[record.protocol_digest, record.variant, record.source_digest].append(run)
    return groups


def _on_each_machine(runs: Iterable[Run]) -> Iterable[Run]:
    """Return a run of each environment that was read: many share one."""
    return {id(run.record.environment): run for run in runs}.values()


def _version(run: Run, package: str) -> str:
    return _short(run.record.environment.packages.get(package, "of an unknown version"))


@cache
def _short(full: str) -> str:
    """Return a version as far as it may change what is counted: 2.11 of 2.11.1+cu128, 0.1.5 of 0.1.5.p2."""
    parts = full.split("+", maxsplit=1)[0].split(".")
    return ".".join(parts[: 3 if parts[0] == "0" else 2])


def _lower_bounds(runs: Iterable[Run]) -> Iterator[Doubt]:
    """A count that took a product for zero is no count: the measures are None already, here is why."""
    hidden: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        if run.hidden:
            hidden[_listed(run.hidden)].add(run.record.variant[:60])
    for operators, variants in sorted(hidden.items()):
        text = f"The counters took {operators} of {_listed(variants)} for zero, which may hide multiply-adds:"
        yield Doubt(
            f"{text} such counts are lower bounds, neither shown nor ranked. The page of its runs has them."
        )


def _name(key: str) -> str:
    return BY_KEY[key].full_name


def _listed(names: Iterable[str]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} and {last}" if most else last
