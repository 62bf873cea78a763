"""The exceptions a user can cause. The command line prints their message and exits with 2.

A message is one sentence that says what is wrong, what was got, what was expected and where. Every
other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Base of all errors a user can cause."""


class ProtocolError(BenchError):
    """A protocol, model preset or device that does not exist or does not fit."""


class DataError(BenchError):
    """Data or weights that are missing, unreadable or not what the protocol names.

    ``findings`` has a sentence for each where one look found several; the first is the message.
    """

    def __init__(self, *findings: str) -> None:
        super().__init__(findings[0])
        self.findings = findings


class DataNotFoundError(DataError):
    """A data set that is not where it was looked for."""


class MethodError(BenchError):
    """An unknown method, a wrong hyper-parameter, or an adapter that broke its contract."""


class RecordError(BenchError):
    """A record that cannot be read, or that does not say what its schema asks."""


def unknown_name(kind: str, got: str, choices: Iterable[str]) -> str:
    """Return one sentence for a name that is not among ``choices``, the nearest match first."""
    known = sorted(choices)
    near = difflib.get_close_matches(got, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {got!r}; {hint}known: {', '.join(known) or 'none'}"
