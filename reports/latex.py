"""A board as a LaTeX table (booktabs) that compiles with pdfLaTeX, whatever a name holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from reports.boards import RANKING, REFERENCE, Board, Row
from reports.columns import BY_KEY, Column, Unit, number, spread_text, text
from reports.paper import Columns
from reports.plot import seeds_said
from reports.specs import shown
from reports.view import best_of, units_of

WIDE = (
    "miou_all_percent",
    "miou_old_percent",
    "miou_new_percent",
    "forgetting_points",
    "forget_score_points",
    "netscore_train",
    "netscore_clora",
    "netscore_deploy",
    "trainable_percent",
    "memory_ratio",
    "iteration_ratio",
)
NARROW = ("miou_all_percent", "miou_old_percent", "miou_new_percent", "netscore_train")
SHOWN: Mapping[Columns, tuple[str, ...]] = {1: NARROW, 2: WIDE}
HEADINGS = {
    "miou_all_percent": "all",
    "miou_old_percent": "old",
    "miou_new_percent": "new",
    "forgetting_points": "Forgets",
    "forget_score_points": "To joint",
    "trainable_percent": "Trained",
    "memory_ratio": "Memory",
    "iteration_ratio": "Time",
}
_GROUPS = {"netscore": "NetScore", "accuracy": "mIoU"}
_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}", "'": r"\char39{}", "`": r"\char96{}",
    **{c: f"\\{c}" for c in "#$%&_{}"},
}  # fmt: skip
_UNITS = {"%": r"\%", "×": r"$\times$"}


class Span(NamedTuple):
    """A heading over as many columns; empty for none."""

    title: str
    columns: int


def escape(name: str) -> str:
    """Return free text that LaTeX sets as it stands: no command, no ligature, nothing that breaks a line.

    A character beyond ASCII is written as its number, ``U+540D``: pdfLaTeX stops at most of them.
    """
    letters = (_SPECIAL.get(c, c) if c.isascii() else f"U+{ord(c):04X}" for c in shown(name, 80))
    return "".join(letters).replace("--", "-{}-{}")


def typewriter(name: str) -> str:
    """Return a name as code; it may break after a comma, a colon or a slash."""
    return r"\texttt{" + re.sub(r"([,:/])(?=.)", r"\1\\allowbreak{}", escape(name)) + "}"


def latex_table(board: Board, columns: Columns, command: str) -> str:
    """Return a board as a floating table, for one or two columns of a paper."""
    keys = [BY_KEY[key] for key in SHOWN[columns]]
    rows = [row for row in board.rows if row.ok]
    bound = [board.joint] if board.joint else []
    units = units_of(keys, [row.cells for row in [*bound, *rows]])
    best = best_of(keys, [row.cells for row in rows])
    body = [_line(row, row.variant, keys, units, best) for row in rows]
    body += [_failed(row, len(keys)) for row in board.rows if not row.ok]
    top = [_line(row, "joint training", keys, units, {}) for row in bound]
    kind = "table" if columns == 1 else "table*"
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{{kind}}}",
        "\\centering",
        "\\footnotesize",
        "\\setlength{\\tabcolsep}{3pt}",
        f"\\caption{{{_caption(board, units, command)}}}",
        f"\\label{{tab:{board.slug}}}",
        f"\\begin{{tabular}}{{@{{}}l{'r' * len(keys)}r@{{}}}}",
        "\\toprule",
        *_head(keys, units),
        "\\midrule",
        *([*top, "\\midrule"] if top else []),
        *body,
        "\\bottomrule",
        "\\end{tabular}",
        f"\\end{{{kind}}}",
    ]
    return "\n".join(lines) + "\n"


def _head(columns: Sequence[Column], units: Mapping[str, Unit]) -> list[str]:
    """Return groups, their rules, names, and units in a line of their own: numbers set the width."""
    groups: list[str] = []
    rules: list[str] = []
    at = 2  # counted from 1; the first column is the method
    for title, width in _spans(columns):
        if not title:
            groups += [""] * width
        else:
            groups.append(f"\\multicolumn{{{width}}}{{c}}{{{title}}}")
            rules.append(f"\\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    names = [HEADINGS.get(c.key, c.label) for c in columns]
    scales = [f"({_UNITS.get(units[c.key].name, units[c.key].name)})" for c in columns]
    return [
        f" & {' & '.join(groups)} & \\\\",
        " ".join(rules),
        f"Method & {' & '.join(names)} & Seeds \\\\",
        f" & {' & '.join(scales)} & \\\\",
    ]


def _spans(columns: Sequence[Column]) -> Iterator[Span]:
    for title, group in groupby(columns, _title):
        yield Span(title, len(list(group)))


def _title(column: Column) -> str:
    if column.kind == "ratio":
        return f"Over \\texttt{{{escape(REFERENCE)}}}"
    return _GROUPS.get(column.group, "") if column.kind in ("percent", "decibel") else ""


def _line(
    row: Row, name: str, columns: Sequence[Column], units: Mapping[str, Unit], best: Mapping[str, float]
) -> str:
    label = name if name == "joint training" else typewriter(name)
    cells = [_cell(row, column, units[column.key], best.get(column.key)) for column in columns]
    return f"{label} & {' & '.join(cells)} & {len(row.counted)} \\\\"


def _cell(row: Row, column: Column, scale: Unit, best: float | None) -> str:
    cell = row.cells.get(column.key)
    if cell is None or cell.mean is None:
        return "--"
    mean, spread = text(column, cell.mean, scale), spread_text(column, cell.mean, cell.std, scale)
    if column.kind == "decibel":  # a second digit would cost the width of a column and tell nothing
        mean, spread = number(cell.mean, 1), number(cell.std, 1) if cell.std else ""
    mean, spread = _math(mean), _math(spread)
    mean = f"\\mathbf{{{mean}}}" if cell.mean == best else mean
    return f"${mean}$" + (f"{{\\tiny$\\,\\pm {spread}$}}" if spread else "")


def _math(printed: str) -> str:
    """Return a printed number for LaTeX's mathematics: minus, thousands, powers of ten."""
    plain = printed.replace("\u2212", "-").replace("\u202f", r"\,")
    return re.sub(r"e([+-])0*(\d+)", lambda m: rf"\times 10^{{{m[1].strip('+')}{m[2]}}}", plain)


def _failed(row: Row, columns: int) -> str:
    ended = ", ".join(f"{count} {status}" for status, count in row.statuses.items())
    return f"{typewriter(row.variant)} & \\multicolumn{{{columns}}}{{l}}{{no run finished: {ended}}} & 0 \\\\"


def _caption(board: Board, units: Mapping[str, Unit], command: str) -> str:
    first = board.first
    said = [
        f"{typewriter(first.protocol)} (version {first.protocol_version}, digest "
        f"\\texttt{{{first.protocol_digest[:12]}}}) on {typewriter(first.model)}, ordered by "
        f"NetScore {RANKING}.",
        seeds_said(board).replace("±", r"$\pm$"),
        "Bold: best of a column, joint training apart.",
    ]
    if "memory_ratio" in units:
        said.append(
            "Memory and time of a training iteration: over those of fine-tuning on the same hardware."
        )
    said.append(f"Made by {typewriter(command)}.")
    return " ".join(said)
