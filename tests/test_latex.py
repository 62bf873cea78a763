"""The LaTeX table of a board: its structure, its numbers, and names that would be commands."""

from __future__ import annotations

import re

import pytest
import record_factory as factory
from matplotlib.mathtext import MathTextParser
from record_factory import SHAPES_4_2, make
from test_report_figures import HOSTILE

from benchmark.record import Record
from reports.boards import Board, boards_of
from reports.latex import escape, latex_table, typewriter
from reports.load import Found
from reports.paper import Columns
from reports.runs import scored

COMMAND = "cssbench plot a_b/c --latex -"
KNOWN = set(
    re.findall(
        r"\w+",
        "begin end centering footnotesize setlength tabcolsep caption label toprule cmidrule midrule "
        "bottomrule multicolumn texttt allowbreak tiny pm mathbf times textbackslash textasciitilde "
        "textasciicircum textless textgreater textbar char",
    )
)


def _board(*records: Record) -> Board:
    (board,) = boards_of([scored(Found(f"{i}.json", record)) for i, record in enumerate(records)])
    return board


def _full() -> Board:
    records = [make(method, seed=seed) for method in factory.TRAITS for seed in range(2)]
    oom = factory.failed("plop", SHAPES_4_2, "oom", "out of memory", 1, variant="plop:local_weight=2")
    return _board(*records, oom, make("fine_tune", SHAPES_4_2.joint_place()))


def _check(table: str) -> list[list[str]]:
    """Hold a table to what LaTeX would stop at: braces, columns, commands, mathematics. Return its cells."""
    assert table.isascii() and "\x1b" not in table
    bare = re.sub(r"\\[\\{}$%&#_]", "", table.partition("\n")[2])  # the first line is a comment
    depth = 0
    for letter in bare:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0
    assert not set("%#~^\"'`|<>") & set(re.sub(r"\$[^$]*\$", "", bare))
    assert set(re.findall(r"\\([A-Za-z]+)", bare)) <= KNOWN
    assert bare.count("$") % 2 == 0
    parser = MathTextParser("path")
    for formula in re.findall(r"\$[^$]+\$", bare):
        parser.parse(formula)
    spec = re.search(r"begin\{tabular\}\{@\{\}(l?r+)@\{\}\}", table)
    assert spec
    body = table.partition(spec[0])[2].partition("\\end{tabular}")[0]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    for line in lines:
        joined = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
        assert len(re.split(r"(?<!\\)&", line)) + joined == len(spec[1])
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", line[:-2])] for line in lines]


@pytest.mark.parametrize("columns", [1, 2])
def test_structure_and_numbers(columns: Columns) -> None:
    board = _full()
    table = latex_table(board, columns, COMMAND)
    cells = _check(table)
    assert ("table*" in table) == (columns == 2)
    assert cells[3][0] == "joint training" and "mathbf" not in "".join(cells[3])
    by_name = {line[0]: line for line in cells}
    for row in board.rows[:-1]:
        line = by_name[typewriter(row.variant)]
        cell = row.cells["miou_all_percent"]
        top = max(other.mean("miou_all_percent") or 0 for other in board.rows)
        mean = f"\\mathbf{{{cell.mean:.1f}}}" if cell.mean == top else f"{cell.mean:.1f}"
        assert line[1] == f"${mean}${{\\tiny$\\,\\pm {cell.std:.1f}$}}"
        assert line[-1] == "2"
    assert cells[-1][1:] == [
        f"\\multicolumn{{{4 if columns == 1 else 11}}}{{l}}{{no run finished: 1 oom}}",
        "0",
    ]
    caption = re.search(r"\\caption\{(.*)\}\n", table)
    assert caption
    for said in (
        typewriter(board.first.protocol),
        board.first.protocol_digest[:12],
        "2 seeds",
        escape(COMMAND),
    ):
        assert said in caption[1].replace("\\allowbreak{}", "")


def test_one_seed_has_no_spread_and_says_so() -> None:
    table = latex_table(_board(make("mib"), make("sdr")), 2, COMMAND)
    _check(table)
    assert "\\pm" not in table and "One seed a row" in table
    assert [line[5] for line in _check(table)[3:]] == ["--", "--"]  # to joint: there is none


@pytest.mark.parametrize(
    "name", [*HOSTILE, "\\input{/etc/passwd}", "a%b#c&d_e~f^g|h\"i'j`k<l>m--n", "]}\\\\[2em]{["]
)
def test_names_are_set_as_they_stand(name: str) -> None:
    board = _board(
        make("mib", variant=name, protocol=name, model=name), make("sdr", protocol=name, model=name)
    )
    table = latex_table(board, 2, name)
    assert len(_check(table)) == 5


def test_escaping_by_hand() -> None:
    assert escape("a_b\\c{") == r"a\_b\textbackslash{}c\{"
    assert escape("--out") == "-{}-{}out"
    assert escape("é名\n") == "U+00E9U+540D?"
    assert typewriter("a:b=1,c") == r"\texttt{a:\allowbreak{}b=1,\allowbreak{}c}"
