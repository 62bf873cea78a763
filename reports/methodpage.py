"""The pages of methods: what the source says of one, and every row it has on a board."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.errors import MethodError
from benchmark.finding import method_files
from benchmark.record import sha256_of
from reports.boards import Board, Row
from reports.columns import BY_KEY
from reports.docs import MethodDoc, read_method
from reports.exports import board_row
from reports.load import LeftOut
from reports.pages import Site, root
from reports.published import Line, adapter
from reports.publishedpage import TITLES
from reports.runs import slug
from reports.tables import export
from reports.view import Header, RowView, best_of, table

COLUMNS = (
    "miou_all_percent",
    "miou_old_percent",
    "miou_new_percent",
    "forgetting_points",
    "forget_score_points",
    "netscore_train",
    "netscore_clora",
    "netscore_deploy",
    "trainable_percent",
    "train_flops",
    "memory_ratio",
    "iteration_ratio",
)


_NOT_STATED = "setting not stated"


class MethodEntry(NamedTuple):
    """A method in a list; ``doc`` where its source is here, ``results`` its rows on boards."""

    name: str
    slug: str
    title: str
    summary: str
    results: int
    doc: MethodDoc | None


class Results(NamedTuple):
    """A method's rows on one board."""

    slug: str
    protocol: str
    model: str
    ranked: int
    headers: tuple[Header, ...]
    rows: tuple[RowView, ...]


class Printed(NamedTuple):
    """How many lines papers print of a method on one dataset, scenario and setting, and where they are."""

    title: str
    href: str
    lines: int


class Documented(NamedTuple):
    """Methods whose source could be read, and files that could not."""

    docs: Mapping[str, MethodDoc]
    left_out: tuple[LeftOut, ...]


def read_methods(files: Mapping[str, Path] | None = None) -> Documented:
    """Read the source of every method of the project, without importing one."""
    docs: dict[str, MethodDoc] = {}
    left_out = []
    for name, path in sorted((method_files() if files is None else files).items()):
        try:
            docs[name] = read_method(path)
        except MethodError as error:
            left_out.append(LeftOut(f"methods/{path.name}", str(error)))
    return Documented(docs, tuple(left_out))


def entries(
    docs: Mapping[str, MethodDoc], boards: Sequence[Board], others: Iterable[str]
) -> tuple[MethodEntry, ...]:
    """Return every method with source here or with a record, by name. ``others``: names in any record."""
    counts: dict[str, int] = {}
    for row in (row for board in boards for row in board.rows):
        counts[row.method] = counts.get(row.method, 0) + 1
    names = sorted({*docs, *counts, *others})
    return tuple(_entry(name, docs.get(name), counts.get(name, 0)) for name in names)


def _entry(name: str, doc: MethodDoc | None, results: int) -> MethodEntry:
    title, summary = (doc.title, doc.summary) if doc else ("", "")
    return MethodEntry(name, slug(name, name), title, summary, results, doc)


def write_method_list(site: Site, methods: Sequence[MethodEntry]) -> None:
    """Write the list of methods."""
    site.page("methods.html.j2", "methods/index.html", "methods", methods=methods)


def write_method(site: Site, entry: MethodEntry, boards: Sequence[Board]) -> None:
    """Write the page of a method, and its rows as a table."""
    path = f"methods/{entry.slug}.html"
    found = _rows_of(entry, boards)
    site.page(
        "method.html.j2", path, "methods", entry=entry, doc=entry.doc,
        results=[_results(board, rows, root(path)) for board, rows in found],
        printed=printed_of(entry.name, site.papers.lines),
    )  # fmt: skip
    lines = [board_row(board, row) for board, rows in found for row in rows]
    if lines:
        site.table(f"methods/{entry.slug}", export(lines))


def compared_with(board: Board) -> tuple[object, ...]:
    """Return all that the page of any method shows of a board beside its own rows."""
    columns, cells = [BY_KEY[key] for key in COLUMNS], [row.cells for row in board.rows]
    return board.slug, sum(row.ok for row in board.rows), best_of(columns, cells)


def method_key(
    entry: MethodEntry, boards: Sequence[Board], shown: Mapping[str, tuple[object, ...]]
) -> list[object]:
    """Return all that a method's page shows of boards. ``shown``: what those of all methods do, by slug."""
    return [
        (
            shown[board.slug],
            Counter(row.variant for row in board.rows if row.method == entry.name),
            [_row_key(row) for row in rows],
        )
        for board, rows in _rows_of(entry, boards)
    ]


def _row_key(row: Row) -> tuple[object, ...]:
    """Return all of a row but its runs, which it names by digest; its numbers as the bytes they are."""
    numbers = np.array(list(row.cells.values()), dtype=np.float64)  # an unknown one is no number
    cells = sha256_of(" ".join(row.cells).encode() + numbers.tobytes())
    runs = [(m.run.path, m.run.digest) for m in row.runs]
    return runs, cells, replace(row, runs=(), counted=(), cells={})


def _rows_of(entry: MethodEntry, boards: Sequence[Board]) -> list[tuple[Board, list[Row]]]:
    found = [(board, [row for row in board.rows if row.method == entry.name]) for board in boards]
    return [(board, rows) for board, rows in found if rows]


def printed_of(method: str, lines: Iterable[Line]) -> tuple[Printed, ...]:
    """Return where papers print scores of a method, by dataset, scenario and setting, in the file's order."""
    places = Counter(
        (x.first.dataset, x.first.scenario, x.first.setting)
        for x in lines
        if adapter(x.first.method) == method
    )
    return tuple(
        Printed(
            f"{TITLES.get(dataset, dataset)} {scenario}, {_NOT_STATED if setting == 'unknown' else setting}",
            f"published/{slug(dataset, dataset)}.html#{scenario}-{setting}",
            count,
        )
        for (dataset, scenario, setting), count in places.items()
    )


def _results(board: Board, rows: Sequence[Row], way: str) -> Results:
    view = table(board, rows, [BY_KEY[key] for key in COLUMNS], way)
    ranked = sum(row.ok for row in board.rows)
    return Results(board.slug, board.first.protocol, board.first.model, ranked, view.headers, view.rows)
