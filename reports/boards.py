"""Boards: runs of one protocol digest and model, seeds aggregated inside a row and nowhere else."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

from benchmark.metrics import BOARDS, NetScoreInputs, forget_score, mean
from benchmark.metrics import Board as NetScoreBoard
from benchmark.record import Record
from reports.bootstrap import RankRange
from reports.bound import as_on_board
from reports.columns import COLUMNS, Column
from reports.comparable import Doubt, doubts, refused_counts
from reports.load import when
from reports.runs import Measures, Run, is_bound, place_slug
from reports.tables import Cell, aggregate
from reports.variants import newest_of_each_seed

RANKING: NetScoreBoard = "train"
"""The NetScore that orders the rows: the only one of the three in which a method pays for its teacher."""
REFERENCE = "fine_tune"
"""The method whose time and memory are 1 in a ratio."""
COUNT_OF: Mapping[NetScoreBoard, str] = {
    "train": "train_macs_per_image",
    "clora": "forward_macs",
    "deploy": "inference_macs",
}
"""The column of each NetScore's m."""
RATIO_OF = {"memory_ratio": "peak_train_bytes", "iteration_ratio": "iteration_seconds"}
"""Measures over the reference's, and what they are a ratio of."""
Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


class Measured(NamedTuple):
    """A run and its measures on a board, those relative to other runs included."""

    run: Run
    measures: Measures

    def inputs(self, board: NetScoreBoard) -> NetScoreInputs:
        """Return NetScore's p and m of a finished run; m is None where its count is refused here."""
        p, m = self.run.inputs[board]
        return NetScoreInputs(p, None if self.measures[COUNT_OF[board]] is None else m)


@dataclass(frozen=True)
class Row:
    """A variant and the digest of its source. ``counted``: its finished runs, the newest of each seed.

    ``ranges``: the range of its rank by column, where the test images behind it allow one; ``unranged``
    says why they do not.
    """

    variant: str
    method: str
    source_digest: str
    runs: tuple[Measured, ...]
    counted: tuple[Measured, ...]
    cells: Mapping[str, Cell]
    ranks: Mapping[NetScoreBoard, int | None]
    ranges: Mapping[str, RankRange] = field(default_factory=dict)
    unranged: str = ""

    @property
    def ok(self) -> bool:
        """Whether at least one run finished."""
        return bool(self.counted)

    @property
    def single(self) -> bool:
        """Whether it rests on one seed: chance between seeds is unknown then."""
        return len(self.counted) == 1

    @property
    def statuses(self) -> dict[str, int]:
        """How many of its runs ended in which way; those that finished first."""
        names = [measured.run.record.status for measured in self.runs]
        return {name: names.count(name) for name in sorted(set(names), key=lambda name: (name != "ok", name))}

    def mean(self, key: str) -> float | None:
        """Return the mean over seeds of a column."""
        return self.cells[key].mean if key in self.cells else None


@dataclass(frozen=True)
class Board:
    """One protocol and model. ``rows`` in the order of their rank, those without a score last.

    ``doubts``: what on it may not be compared, and why.
    """

    first: Record
    rows: tuple[Row, ...]
    joint: Row | None
    doubts: tuple[Doubt, ...] = ()

    @cached_property
    def slug(self) -> str:
        """The name of its folder."""
        return place_slug(self.first)

    @cached_property
    def hardware(self) -> tuple[str, ...]:
        """What its finished runs ran on."""
        rows = [*self.rows, *([self.joint] if self.joint else [])]
        return tuple(sorted({measured.run.hardware for row in rows for measured in row.counted}))

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Columns that may stand in its tables: across hardware, times and memory only as a ratio."""
        return tuple(column for column in COLUMNS if len(self.hardware) < 2 or not column.hardware)


def boards_of(runs: Iterable[Run]) -> tuple[Board, ...]:
    """Group test runs into boards, in the order of protocol and model. A joint protocol is no board."""
    groups = _group([run for run in runs if run.record.split == "test"], _board_key)
    boards = [
        _board(members, groups.get((members[0].record.joint_digest or "", members[0].record.model), []))
        for members in groups.values()
        if not is_bound(members[0].record)
    ]
    return tuple(sorted(boards, key=lambda board: (board.first.protocol, board.first.model, board.slug)))


def _board_key(run: Run) -> tuple[str, str]:
    return run.record.protocol_digest, run.record.model


def _group(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _board(runs: Sequence[Run], joint_runs: Sequence[Run]) -> Board:
    references = _references(runs)
    found = doubts([*runs, *joint_runs], REFERENCE)
    refused = refused_counts(found)
    bounds = [_measured(run, references, None, refused) for run in joint_runs]
    joint = _joint([Measured(run, as_on_board(run, own, runs[0].record)) for run, own in bounds])
    upper = joint.mean("miou_all_percent") if joint else None
    measured = [_measured(run, references, upper, refused) for run in runs]
    return Board(runs[0].record, _ranked(_rows(measured)), joint, found)


def _measured(
    run: Run, references: Mapping[str, Measures], upper: float | None, refused: Collection[str]
) -> Measured:
    """Return a run with its measures; those that are ``refused`` are unknown on this board."""
    own = _relative(run, references, upper)
    return Measured(run, {key: None if key in refused else own[key] for key in own} if refused else own)


def _references(runs: Iterable[Run]) -> Mapping[str, Measures]:
    """Return what ratios are over, by hardware: means over the reference's finished runs."""
    finished = [run for run in runs if run.ok and run.record.method == REFERENCE]
    groups = _group(finished, lambda run: run.hardware)
    return {
        hardware: {key: mean(run.measures[key] for run in group) for key in RATIO_OF.values()}
        for hardware, group in groups.items()
    }


def _joint(measured: Sequence[Measured]) -> Row | None:
    """Return the joint row with the most seeds, of these the one that finished last."""
    finished = [row for row in _rows(measured) if row.ok and row.method == REFERENCE]
    latest = {id(row): max(when(m.run.record.finished) for m in row.counted) for row in finished}
    return max(finished, key=lambda row: (len(row.counted), latest[id(row)]), default=None)


def _relative(run: Run, references: Mapping[str, Measures], joint_percent: float | None) -> Measures:
    """Add what needs other runs: the forget score, and ratios to the reference on the same hardware."""
    own = run.measures
    if not run.ok:
        return own
    reference = references.get(run.hardware, {})
    ratios = {ratio: _ratio(own[key], reference.get(key)) for ratio, key in RATIO_OF.items()}
    return {**own, "forget_score_points": forget_score(own["miou_all_percent"], joint_percent), **ratios}


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _rows(measured: Iterable[Measured]) -> list[Row]:
    groups = _group(
        measured, lambda m: (m.run.record.method, m.run.record.variant, m.run.record.source_digest)
    )
    counted = {key: newest_of_each_seed(runs, lambda m: m.run) for key, runs in groups.items()}
    cells = aggregate({key: [m.measures for m in runs] for key, runs in counted.items()})
    ordered = {
        key: sorted(runs, key=lambda m: (m.run.record.seed, m.run.path)) for key, runs in groups.items()
    }
    return [
        Row(
            key[1],
            key[0],
            key[2],
            tuple(ordered[key]),
            tuple(counted[key]),
            _known(cells[key], counted[key]),
            {},
        )
        for key in groups
    ]


def _known(cells: Mapping[str, Cell], runs: Sequence[Measured]) -> Mapping[str, Cell]:
    """Return a row's cells; a mean of times or memory over several kinds of hardware is of none of them."""
    if len({measured.run.hardware for measured in runs}) < 2:
        return cells
    apart = {column.key for column in COLUMNS if column.hardware}
    return {key: Cell(None, None, 0) if key in apart else cell for key, cell in cells.items()}


def _ranked(rows: Sequence[Row]) -> tuple[Row, ...]:
    ranks = {board: places([row.mean(f"netscore_{board}") for row in rows]) for board in BOARDS}
    ranked = [replace(row, ranks={b: ranks[b][i] for b in BOARDS}) for i, row in enumerate(rows)]
    return tuple(sorted(ranked, key=_position))


def _position(row: Row) -> tuple[bool, float, float, str, str]:
    accuracy = row.mean("miou_all_percent")
    rank = row.ranks[RANKING]
    return (
        not row.ok,
        float("inf") if rank is None else rank,
        0.0 if accuracy is None else -accuracy,
        row.variant,
        row.source_digest,
    )


def places(values: Sequence[float | None]) -> list[int | None]:
    """Return the place of each value, the largest first; equal values share one, None has none."""
    known = sorted(value for value in values if value is not None)
    return [None if v is None else 1 + len(known) - bisect_right(known, v) for v in values]
