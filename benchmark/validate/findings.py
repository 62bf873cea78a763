"""What validating finds, one line each."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["error", "note"]


class Fault(NamedTuple):
    """What a rule says of a record. A ``note`` is for a reader to know, and refuses nothing."""

    sentence: str
    level: Level = "error"


def note(sentence: str) -> Fault:
    """Return a fault that refuses nothing."""
    return Fault(sentence, "note")


class Finding(NamedTuple):
    """A fault, the rule it breaks and the file it was found in."""

    file: str
    rule: str
    sentence: str
    level: Level

    def __str__(self) -> str:
        mark = " (note)" if self.level == "note" else ""
        return f"{printable(self.file)}: {self.rule}{mark}: {printable(self.sentence)}"


def printable(text: str, longest: int = 400) -> str:
    """Return ``text`` on one line, with what a terminal would act on escaped."""
    line = " ".join(text.split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return shown if len(shown) <= longest else f"{shown[:longest]}…"
