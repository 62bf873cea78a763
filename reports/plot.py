"""What ``cssbench plot`` draws: a board's figure by its kind, with a caption that says what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from benchmark.errors import RecordError, unknown_name
from reports.axes import LABELLED
from reports.boards import Board
from reports.columns import BY_KEY, COLUMNS, Column
from reports.costfigures import cost_breakdown, cost_over_steps
from reports.figures import (
    ACCURACY,
    RATIO_OF,
    Styles,
    against_cost,
    by_class,
    costs,
    over_steps,
    pictured,
    sentence,
)
from reports.figures import trade_off as against_netscore
from reports.lookup import find_column
from reports.paper import About, Panels, PaperSpec
from reports.specs import Scatter, shown

TRADE_OFF = "trade-off"
ACCURACIES = tuple(column for column in COLUMNS if column.group in ("accuracy", "netscore"))
COSTS = tuple(column for column in COLUMNS if column not in ACCURACIES)
_PRODUCT = "trainable parameters times MACs of training on one image"


class Request(NamedTuple):
    """What to draw; ``x`` and ``y`` are keys of columns, None where they are left to the kind."""

    kind: str = TRADE_OFF
    x: str | None = None
    y: str | None = None


class Plot(NamedTuple):
    """A figure and what may stand below it."""

    spec: PaperSpec
    title: str
    caption: str

    def about(self, board: Board, command: str) -> About:
        """Return what the file says of itself."""
        first = board.first
        title = f"{self.title}, {first.protocol} on {first.model}"
        source = f"protocol digest {first.protocol_digest}; drawn by: {command}"
        return About(shown(title, 200), shown(source, 1000))


def plot(board: Board, style: Styles, request: Request) -> Plot:
    """Return the figure of a board that was asked for.

    Raises RecordError for an unknown kind or column, and where the board's runs cannot fill the figure.
    """
    kinds: Mapping[str, Callable[[Board, Styles, Request], Plot | None]] = {
        TRADE_OFF: _trade_off,
        "costs": _costs,
        "steps": _steps,
        "classes": _classes,
        "parts": _parts,
        "cost-steps": _cost_steps,
    }
    if request.kind not in kinds:
        raise RecordError(unknown_name("kind of figure", request.kind, kinds))
    if request.x and request.kind != TRADE_OFF:
        raise RecordError(f"--x goes with --kind {TRADE_OFF}; got --kind {request.kind}")
    if request.y and request.kind not in (TRADE_OFF, "costs"):
        raise RecordError(f"--y goes with --kind {TRADE_OFF} and --kind costs; got --kind {request.kind}")
    found = kinds[request.kind](board, style, request)
    if found is None:
        raise RecordError(_why_not(board, request))
    return found._replace(caption=f"{found.caption} {seeds_said(board)}")


def _accuracy(request: Request) -> Column:
    return find_column("accuracy", request.y or ACCURACY, ACCURACIES)


def _trade_off(board: Board, style: Styles, request: Request) -> Plot | None:
    y = _accuracy(request)
    if request.x is None:
        spec, x_name = against_netscore(board, style, y), _PRODUCT
    else:
        x = find_column("cost", request.x, COSTS)
        _refuse_mixed(board, x)
        spec, x_name = against_cost(board, x, style, y), sentence(x.full_name)
    if spec is None:
        return None
    lines = " Dotted: equal NetScore." if spec.contours else ""
    words = f"Solid line: Pareto front.{lines}{_bound([spec])}{_unnamed([spec])}"
    return Plot(spec, f"{y.full_name} against {x_name}", words)


def _refuse_mixed(board: Board, column: Column) -> None:
    if column in board.columns:
        return
    ratio = next((key for key, of in RATIO_OF.items() if of == column.key), None)
    instead = f"; {ratio} is" if ratio else ""
    raise RecordError(
        f"{column.key} is not comparable across the {len(board.hardware)} kinds of hardware "
        f"of {board.first.protocol} on {board.first.model}{instead}"
    )


def _costs(board: Board, style: Styles, request: Request) -> Plot | None:
    y = _accuracy(request)
    found = costs(board, style, y)
    telling = {key: spec for key, spec in found.items() if len({point.x for point in spec.points}) > 1}
    if not telling:
        return None
    same = [sentence(BY_KEY[key].full_name) for key in found if key not in telling]
    apart = f" The same for all rows, and not drawn: {', '.join(same)}." if same else ""
    specs = tuple(telling.values())
    return Plot(
        Panels(specs),
        f"{y.full_name} against costs",
        f"Lines: Pareto fronts.{_bound(specs)}{_unnamed(specs)}{apart}",
    )


def _parts(board: Board, style: Styles, request: Request) -> Plot | None:
    spec = cost_breakdown(board)
    words = f"Of a training iteration at the last step.{_chosen(board)}"
    return Plot(spec, "What learning costs, by part", words) if spec else None


def _cost_steps(board: Board, style: Styles, request: Request) -> Plot | None:
    spec = cost_over_steps(board, style)
    words = f"Shaded: standard deviation.{_chosen(board)}"
    return Plot(spec, "Cost over the steps", words) if spec else None


def _steps(board: Board, style: Styles, request: Request) -> Plot | None:
    spec = over_steps(board, style)
    words = f"Shaded: standard deviation.{_chosen(board)}"
    return Plot(spec, "mIoU over the steps", words) if spec else None


def _classes(board: Board, style: Styles, request: Request) -> Plot | None:
    spec = by_class(board)
    words = f"A column a step, blank until a class is learnt; mean over seeds.{_chosen(board)}"
    return Plot(spec, "IoU by class and step", words) if spec else None


def _bound(specs: Sequence[Scatter]) -> str:
    return " Dashed: joint training." if any(spec.bound is not None for spec in specs) else ""


def _unnamed(specs: Sequence[Scatter]) -> str:
    all_named = all(len(spec.points) <= LABELLED for spec in specs)
    return "" if all_named else " Named: rows on a front; --row names others."


def _chosen(board: Board) -> str:
    finished, drawn = sum(row.ok for row in board.rows), len(pictured(board))
    return f" The best row of each method, {drawn} of {finished} rows." if drawn < finished else ""


def seeds_said(board: Board) -> str:
    """Return what a board's numbers are means of, as a sentence."""
    counts = sorted({len(row.counted) for row in board.rows if row.ok})
    if counts == [1]:
        return "One seed a row: no spread is known."
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Mean ± standard deviation of {span} seeds."


def _why_not(board: Board, request: Request) -> str:
    where = f"{board.first.protocol} on {board.first.model}"
    if not any(row.ok for row in board.rows):
        return f"no run of {where} finished, expected one at least"
    given = [BY_KEY[key.replace("-", "_")] for key in (request.x, request.y) if key]
    unknown = [column for column in given if all(row.mean(column.key) is None for row in board.rows)]
    reasons = ", ".join(f"{column.key} ({column.unknown})" for column in unknown)
    if reasons:
        return f"no row of {where} has a value of {reasons}"
    asked = " and ".join(column.key for column in given) or "all that the figure shows"
    return f"no row of {where} has a value of {asked} that differs from another row's"
