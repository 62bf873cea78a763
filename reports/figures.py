"""The figures of a board: which there are, and the data each one shows."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from benchmark.metrics import mean
from reports.boards import RANKING, RATIO_OF, REFERENCE, Board, Row
from reports.columns import BY_KEY, Column, unit
from reports.pareto import Offer, front
from reports.published import PublishedPoint
from reports.specs import (
    Course,
    CoursePanel,
    Courses,
    Heat,
    HeatPanel,
    PaperMark,
    Point,
    Scatter,
    Spec,
    Style,
    shown,
)
from reports.tables import Cell, rounded

# Okabe and Ito's colour-blind safe palette without its yellow, which is lost on paper, and two more.
# Markers differ too, so that a figure survives a black-and-white printer.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#999933")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p", "h")
GREY = "#7a838c"
ACCURACY = "miou_all_percent"
COSTS = (
    "parameters_trainable",
    "train_flops",
    "peak_train_bytes",
    "memory_ratio",
    "iteration_seconds",
    "iteration_ratio",
    "inference_macs",
    "parameters_deployed",
    "iteration_joules",
)
PANELS = 12
"""Rows in a figure over the steps or by class; of a longer board, the best of each method."""
Styles = Mapping[str, Style]


class Figure(NamedTuple):
    """A figure of a page: the name of its file, its heading, what it says in words, and its data.

    A ``wide`` one has a line of the page to itself; a ``cost`` one is about what learning costs alone.
    """

    name: str
    title: str
    alt: str
    spec: Spec
    caption: str = ""
    wide: bool = False
    cost: bool = False


class Price(NamedTuple):
    """A row's place on a cost axis."""

    value: float | None
    spread: float | None = None


def styles(boards: Iterable[Board]) -> dict[str, Style]:
    """Return a style for each variant: a colour for each method, a marker for each of its variants."""
    variants = sorted({(row.method, row.variant) for board in boards for row in board.rows})
    methods = sorted({method for method, _ in variants if method != REFERENCE})
    result: dict[str, Style] = {}
    for method in [*methods, REFERENCE]:
        index = methods.index(method) if method in methods else -1
        colour = COLOURS[index % len(COLOURS)] if method in methods else GREY
        for nth, (_, variant) in enumerate(entry for entry in variants if entry[0] == method):
            result[variant] = Style(colour, MARKERS[(index + 1 + 4 * nth) % len(MARKERS)])
    return result


def figures_of(board: Board, style: Styles, papers: Sequence[PublishedPoint] = ()) -> tuple[Figure, ...]:
    """Return every figure that the finished runs of a board allow. ``papers``: published scores beside it."""
    titles = {key: f"mIoU against {sentence(BY_KEY[key].full_name)}" for key in COSTS}
    plots = [
        _figure(board, key.replace("_", "-"), titles[key], spec) for key, spec in costs(board, style).items()
    ]
    return (*_main_figures(board, style, papers), *plots)


def costs(board: Board, style: Styles, accuracy: Column = BY_KEY[ACCURACY]) -> dict[str, Scatter]:
    """Return accuracy against each cost that is known, by the key of its column, each shown once."""
    keys = [key for key in COSTS if not _redundant(key, board)]
    plots = {key: against_cost(board, BY_KEY[key], style, accuracy) for key in keys}
    return {key: spec for key, spec in plots.items() if spec}


def trade_off_figure(board: Board, style: Styles) -> Figure | None:
    """Return a board's first figure, which is on the first page too; None without a point."""
    spec = trade_off(board, style)
    title = "Accuracy against the cost of learning"
    caption = "Dotted: equal NetScore. The solid line is the Pareto front."
    if spec is None:
        return None
    return _figure(board, "trade-off", title, spec)._replace(caption=caption, wide=True)


def _redundant(key: str, board: Board) -> bool:
    """Whether ``key`` is a ratio that would repeat the figure of its own column, shown on one hardware."""
    return BY_KEY[key].kind == "ratio" and BY_KEY[RATIO_OF[key]] in board.columns


def _main_figures(board: Board, style: Styles, papers: Sequence[PublishedPoint]) -> Iterator[Figure]:
    first = " The best row of each method." if len(pictured(board)) < sum(r.ok for r in board.rows) else ""
    if first_figure := trade_off_figure(board, style):
        yield first_figure
    if steps := over_steps(board, style, papers):
        caption = f"Shaded: standard deviation over seeds.{first}"
        if any(panel.papers for panel in steps.panels):
            caption += " Right: published scores over the same classes, of other networks and sizes;"
            caption += " dashes: of methods that are not on this board."
        yield _figure(board, "steps", "mIoU over the steps", steps)._replace(caption=caption, wide=True)
    if heat := by_class(board):
        caption = f"A column a step, blank until a class is learnt; mean over seeds.{first}"
        yield _figure(board, "classes", "IoU by class and step", heat)._replace(caption=caption, wide=True)


def _figure(board: Board, name: str, title: str, spec: Spec) -> Figure:
    best = ", ".join(_spoken(row) for row in board.rows[:PANELS] if row.ok)
    return Figure(name, title, f"{title}. Final mIoU: {best}. The table has every number.", spec)


def sentence(name: str) -> str:
    """Return the name of a column as it stands inside a sentence."""
    return name[0].lower() + name[1:]


def _spoken(row: Row) -> str:
    value = row.mean(ACCURACY)
    return f"{row.variant} unknown" if value is None else f"{row.variant} {value:.1f} %"


def trade_off(board: Board, style: Styles, accuracy: Column = BY_KEY[ACCURACY]) -> Scatter | None:
    """Return accuracy against what NetScore divides by; None without a point.

    Where accuracy is final mIoU (all), with lines of equal score.
    """
    label = "trainable parameters (M) × MACs of training on one image (G)"
    found = _scatter(board, style, [Price(_product(row)) for row in board.rows], accuracy)
    return found and replace(found, x_label=label, contours=accuracy.key == ACCURACY)


def _product(row: Row) -> float | None:
    pairs = [measured.inputs(RANKING) for measured in row.counted]
    products = [p * m if p and m else None for p, m in pairs]
    return None if None in products else mean(products)


def against_cost(
    board: Board, column: Column, style: Styles, accuracy: Column = BY_KEY[ACCURACY]
) -> Scatter | None:
    """Return accuracy against one cost; None where no row has both or it is not comparable."""
    if column not in board.columns:
        return None
    scale = unit(column, [row.mean(column.key) for row in board.rows])
    prices = [_price(row.cells.get(column.key), scale.factor) for row in board.rows]
    found = _scatter(board, style, prices, accuracy)
    name = "ratio" if column.kind == "ratio" else scale.name
    return found and replace(found, x_label=f"{column.full_name} ({name})")


def _price(cell: Cell | None, factor: float) -> Price:
    if cell is None or cell.mean is None:
        return Price(None)
    return Price(rounded(cell.mean / factor), None if cell.std is None else rounded(cell.std / factor))


def _scatter(board: Board, style: Styles, prices: Sequence[Price], accuracy: Column) -> Scatter | None:
    key, sign = accuracy.key, 1 if accuracy.better == "higher" else -1
    pairs = [(row, price) for row, price in zip(board.rows, prices, strict=True) if row.mean(key) is not None]
    best = front([Offer(price.value, sign * (row.mean(key) or 0.0)) for row, price in pairs])
    points = tuple(
        Point(
            shown(row.variant),
            style[row.variant],
            price.value,
            rounded(row.mean(key)) or 0.0,
            price.spread,
            rounded(row.cells[key].std),
            on_front,
        )
        for (row, price), on_front in zip(pairs, best, strict=True)
        if price.value is not None
    )
    bound = rounded(board.joint.mean(key)) if board.joint and key == ACCURACY else None
    scale = unit(accuracy, [point.y for point in points])
    return Scatter("", f"{accuracy.full_name} ({scale.name})", points, bound) if points else None


def pictured(board: Board) -> list[Row]:
    """Return the rows of figures over steps and classes: all that finished, or the first of each method."""
    rows = [row for row in board.rows if row.ok]
    if len(rows) <= PANELS:
        return rows
    firsts = {row.method: row for row in reversed(rows)}
    return [row for row in rows if row is firsts[row.method]][:PANELS]


def over_steps(board: Board, style: Styles, papers: Sequence[PublishedPoint] = ()) -> Courses | None:
    """Return mIoU of all, old and new classes after each step; None without a finished run.

    Of ``papers`` those are shown whose means are over the same classes as the board's.
    """
    rows = pictured(board)
    keys = ("all", "old", "new")
    bounds = {key: rounded(board.joint.mean(f"miou_{key}_percent")) if board.joint else None for key in keys}
    panels = tuple(
        CoursePanel(
            f"mIoU {key} (%)",
            tuple(_course(row, key, style) for row in rows),
            bounds.get(key),
            tuple(_marks(papers, key, {row.method: style[row.variant] for row in reversed(rows)})),
        )
        for key in ("all", "old", "new")
    )
    return Courses(panels, step_names(board)) if rows else None


def _marks(papers: Iterable[PublishedPoint], key: str, style: Mapping[str, Style]) -> Iterator[PaperMark]:
    """Yield published values, in the style of the best row of the same method where there is one."""
    for paper in papers:
        value: float | None = getattr(paper, key)
        if value is not None and (paper.comparable or key == "new"):
            yield PaperMark(shown(paper.label), style.get(paper.method, Style(GREY, "_")), value)


def _course(row: Row, key: str, style: Styles) -> Course:
    runs = [[getattr(step, key) for step in m.run.scores.steps] for m in row.counted]
    steps = list(zip(*runs, strict=True))
    values = tuple(_percent(mean(values)) for values in steps)
    return Course(shown(row.variant), style[row.variant], values, tuple(map(_spread, steps)))


def _spread(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _percent(statistics.stdev(known)) if len(known) == len(values) > 1 else None


def _percent(value: float | None) -> float | None:
    return None if value is None else rounded(100 * value)


def step_names(board: Board) -> tuple[str, ...]:
    """Return a short name of each step: the base's classes, then how many each later step adds."""
    sizes = board.first.step_sizes
    return (f"{sizes[0]}", *(f"+{size}" for size in sizes[1:]))


def by_class(board: Board) -> Heat | None:
    """Return IoU by class and step of the first rows; None without a finished run."""
    rows = pictured(board)
    names = ("background", *board.first.classes)
    start = 0 if board.first.background else 1
    panels = tuple(HeatPanel(shown(row.variant, 24), mean_iou(row, len(names))[start:]) for row in rows)
    labels = tuple(shown(name, 18) for name in names[start:])
    return Heat(labels, step_names(board), panels) if rows else None


def mean_iou(row: Row, classes: int, last: bool = False) -> tuple[tuple[float | None, ...], ...]:
    """Return IoU in percent by class, then by step (the ``last`` alone): the mean over the seeds of a row."""
    runs = [measured.run.scores.steps[-1 if last else 0 :] for measured in row.counted]
    by_step = [_means([step.iou for step in steps], classes) for steps in zip(*runs, strict=True)]
    return tuple(zip(*by_step, strict=True))


def _means(runs: Sequence[Sequence[float | None]], classes: int) -> list[float | None]:
    """Return the mean of each class in percent, of those that have one; None for classes not seen yet."""
    means = [_percent(mean(values)) for values in zip(*runs, strict=True)]
    return means + [None] * (classes - len(means))
