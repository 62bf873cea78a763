"""What the documents say against what is there: links, commands, options, keys, methods."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from benchmark.cli import main
from benchmark.finding import find_method, method_names
from benchmark.preset import ModelPreset
from benchmark.protocols import Family, load_protocol
from benchmark.record import Record, StepRecord
from reports.boards import boards_of
from reports.load import load
from reports.runs import scored
from reports.text import board_text

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")
OWN = ("<", ">", ".py", ".toml", "…")  # what a reader puts in the place of


class Command(NamedTuple):
    page: str
    name: str
    words: tuple[str, ...]

    def values(self, option: str) -> Iterator[str]:
        """Yield what an option is given, a reader's own names apart."""
        given = (after for word, after in zip(self.words, self.words[1:], strict=False) if word == option)
        return (value for value in given if not any(mark in value for mark in OWN))


def commands() -> Iterator[Command]:
    for page in PAGES:
        for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
            for line in text.replace("\\\n", " ").splitlines() if language == "sh" else ():
                words = shlex.split(line, comments=True)
                if words[:1] == ["cssbench"]:
                    yield Command(page.name, words[1], tuple(words[2:]))


def options(name: str) -> set[str]:
    """Return all options of a command and of those below it, the one for help apart."""
    command = main.commands[name]
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return {
        text
        for p in (*command.params, *(p for part in below for p in part.params))
        if isinstance(p, click.Option)
        for text in p.opts
        if text.startswith("--")
    }


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            found = page.parent / target
            assert found.exists(), target
            assert not anchor or anchor in anchors(found), f"{target}#{anchor}"


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: f"{command.page}-{command.name}")
def test_commands_are_real(command: Command) -> None:
    assert command.name in main.commands
    assert {word for word in command.words if word.startswith("--")} <= options(command.name)
    for spec in command.values("--method"):
        find_method(spec)
    for model in (None, *command.values("--model")):
        for protocol in command.values("--protocol"):
            load_protocol(protocol, model)


def test_readme_has_every_command_and_option() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {name for name in main.commands if f"`cssbench {name}" not in readme} == set()
    assert {text for text in options("run") | options("sweep") if f"`{text}" not in readme} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_are_real(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?:`|^)(?:\w+=\S+ )*make ((?:[a-z]+ ?)+)", text, re.MULTILINE)
    assert {target for names in named for target in names.split()} <= targets


@pytest.mark.parametrize(
    ("page", "described"),
    [("protocols.md", (Family, ModelPreset)), ("records.md", (Record, StepRecord))],
)
def test_every_key_is_described(page: str, described: tuple[type, ...]) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    said = set(re.findall(r"[\w.]+", " ".join(re.findall(r"`([^`\n]+)`", text))))
    said |= {word.split(".")[0] for word in said}
    keys = {field.name for kind in described for field in fields(kind)}
    if page == "records.md":
        keys -= {"steps", "compute"}  # described by their parts
    assert keys - said == set()


def test_every_method_has_a_row_of_what_was_checked() -> None:
    text = (ROOT / "REPRODUCTION.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(rows) == method_names()
    assert [name for name in re.findall(r"`(tests/[\w/]+\.py)`", text) if not (ROOT / name).is_file()] == []


def test_results_are_those_of_the_records() -> None:
    """The block in which ``cssbench report`` is quoted; its boards are named by their titles."""
    text = (ROOT / "REPRODUCTION.md").read_text(encoding="utf-8")
    boards = boards_of([scored(found) for found in load(ROOT / "results").found])
    quoted = [board_text(board) for board in boards if board.first.protocol == "msrc-16-5-overlapped"]
    assert len(quoted) == 2
    assert all(f"{board}\n" in text for board in quoted)
    ran = {row.method for board in boards for row in board.rows if row.ok and f"{row.variant} " in text}
    assert ran >= set(method_names())


def test_the_lock_names_versions_and_no_place_to_get_them() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
