"""What is said of other processes on the GPU and finding it in a record. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable

_SHARED = "the GPU was shared with"
_FOREIGN = "processes computed on the GPU, whose ids are not ours"


def note_of_others(own: int, running: Collection[int]) -> str | None:
    """Return a sentence where processes other than ``own`` are ``running`` on the GPU.

    In a container the driver may count processes by other ids: one alone is then taken to be this one.
    """
    if len(running) < 2:
        return None
    return f"{_SHARED} {len(running) - 1} other processes" if own in running else f"{len(running)} {_FOREIGN}"


def tells_of_others(notes: Iterable[str]) -> bool:
    """Tell whether one of a step's ``notes`` is such a sentence: its times are not a free GPU's."""
    return any(note.startswith(_SHARED) or note.endswith(_FOREIGN) for note in notes)
