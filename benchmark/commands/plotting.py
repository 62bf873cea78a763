"""``plot``: a board's figures and its table, for a paper."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.commands.options import FOLDER

if TYPE_CHECKING:
    from reports.boards import Board

FORMATS = ("pdf", "svg", "png")
FILE = click.Path(path_type=Path, dir_okay=False)


def _format(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix.lower().lstrip(".") not in FORMATS:
        raise click.BadParameter(f"{path.name!r} ends otherwise than in .{', .'.join(FORMATS)}")
    return path


@click.command()
@click.argument("board", required=False)
@click.option("--protocol", help="The board's protocol, where BOARD is left out.")
@click.option("--model", help="The board's model, with --protocol.")
@click.option(
    "--kind",
    default="trade-off",
    show_default=True,
    help="trade-off, costs, steps, classes, parts or cost-steps.",
)
@click.option("--x", help="A cost, such as train-flops; left out: what NetScore divides by.")
@click.option("--y", help="An accuracy, such as miou-new-percent; left out: mIoU of all classes.")
@click.option("--row", "rows", multiple=True, metavar="VARIANT", help="Of all rows, this; repeat for more.")
@click.option("--columns", type=click.Choice(["1", "2"]), default="1", show_default=True, help="Its width.")
@click.option("--out", type=FILE, callback=_format, help="FILE.pdf, FILE.svg or FILE.png.")
@click.option(
    "--latex", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), help="Table; - prints."
)
@click.option("--results", type=FOLDER, default=Path("results"), show_default=True)
def plot(
    board: str | None,
    protocol: str | None,
    model: str | None,
    rows: tuple[str, ...],
    columns: str,
    out: Path | None,
    latex: Path | None,
    results: Path,
    **request: Any,
) -> None:
    """Draw BOARD (PROTOCOL/MODEL) for a paper: a figure, its table in LaTeX, or both."""
    from reports.boards import boards_of
    from reports.figures import styles
    from reports.load import load
    from reports.lookup import find_board, only
    from reports.runs import scored

    name = _board_name(board, protocol, model)
    boards = boards_of([scored(found) for found in load(results).found])
    chosen = only(find_board(boards, name), rows)
    picked = [word for row in rows for word in ("--row", row)]
    width: Any = int(columns)
    if out is not None or latex is None:
        path = out or Path(f"{chosen.slug}-{request['kind']}.pdf")
        _draw(chosen, styles(boards), width, path, request, picked)
    if latex is not None:
        _tabulate(chosen, width, latex, picked)


def _board_name(board: str | None, protocol: str | None, model: str | None) -> str:
    if (board is None) == (protocol is None):
        raise click.UsageError("name one board, as PROTOCOL/MODEL or with --protocol and --model")
    if board is not None and model is not None:
        raise click.UsageError("--model goes with --protocol; write the board as PROTOCOL/MODEL")
    return board or f"{protocol}{f'/{model}' if model else ''}"


def _draw(
    board: Board, style: Any, width: Any, path: Path, request: dict[str, Any], picked: list[str]
) -> None:
    from benchmark.record import write_atomic
    from reports.paper import render
    from reports.plot import Request, plot

    drawn = plot(board, style, Request(**request))
    given = [word for key, value in request.items() if value for word in (f"--{key}", value)]
    command = _command(board, [*given, *picked, "--columns", str(width), "--out", path.name])
    kind: Any = path.suffix.lower().lstrip(".")
    write_atomic(path, render(drawn.spec, width, kind, drawn.about(board, command)))
    click.echo(f"{drawn.title}. {drawn.caption}", err=True)
    click.echo(str(path))


def _tabulate(board: Board, width: Any, path: Path, picked: list[str]) -> None:
    from benchmark.record import write_atomic
    from reports.latex import latex_table

    table = latex_table(
        board, width, _command(board, [*picked, "--columns", str(width), "--latex", path.name])
    )
    if str(path) == "-":
        click.echo(table, nl=False)
    else:
        write_atomic(path, table.encode())
        click.echo(str(path))


def _command(board: Board, words: list[str]) -> str:
    return shlex.join(["cssbench", "plot", f"{board.first.protocol}/{board.first.model}", *words])


COMMANDS = (plot,)
