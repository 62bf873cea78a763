"""Digests of files, without reading those that are as they were when they were last read."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from benchmark.record import sha256_of

SETTLED = 2_000_000_000
"""Nanoseconds a file must have been left alone before it is read. File systems tell times apart as far as two
seconds; a change within that time of the reading might leave all that :func:`stamp` sees as it was."""

Stamp = tuple[int, int, int, int, int]
Sighting = tuple[Stamp, str]
"""A file as it was when it was read or written, and the SHA-256 of its content."""


class Sightings:
    """What is known of files by their path. ``fresh``: all that was asked for, for the next build.

    No program can set the time of a file's last change of status, which any change of its content moves.
    """

    def __init__(self, known: Mapping[str, Sighting] | None = None) -> None:
        self._known = known or {}
        self.fresh: dict[str, Sighting] = {}

    def digest(self, path: str) -> str | None:
        """Return the digest of a file, read only where it must be; None where it cannot be read."""
        before = stamp(path)
        found = self.known(path, before)
        if found:
            return found
        before = lasting(before)
        try:
            with open(path, "rb") as file:  # noqa: PTH123  # of thousands: a Path takes as long
                digest = sha256_of(file.read())
        except OSError:
            return None
        self.note(path, before, digest)
        return digest

    def known(self, path: str, now: Stamp | None) -> str | None:
        """Return the digest of a file whose stamp ``now`` is what it was; None where it has to be read."""
        last = self._known.get(path)
        if last is None or now != last[0]:
            return None
        self.fresh[path] = last
        return last[1]

    def note(self, path: str, before: Stamp | None, digest: str) -> None:
        """Remember the digest of a file whose :func:`lasting` stamp was ``before`` when its reading began."""
        if before is not None:
            self.fresh[path] = before, digest

    def wrote(self, path: str, digest: str) -> None:
        """Remember the digest of a file that was just written."""
        after = stamp(path)
        if after is not None:
            self.fresh[path] = after, digest

    @property
    def news(self) -> bool:
        """Whether there is something to tell the next build."""
        return self.fresh != self._known

    def apart(self) -> Sightings:
        """Return sightings that know the same and note apart, for another process."""
        return Sightings(self._known)


def stamp(path: str) -> Stamp | None:
    """Return what changes with any change of a file: times, size and identity; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  # as above
    except OSError:
        return None
    return found.st_ctime_ns, found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


def lasting(found: Stamp | None) -> Stamp | None:
    """Return a stamp, taken just now, that any later change of its file would change; None for another."""
    return found if found is not None and time.time_ns() - max(found[:2]) > SETTLED else None
