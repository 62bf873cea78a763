"""Arrays in an ``.npz`` from somebody else: lists of numbers or texts, read without executing anything."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,  # encrypted, or packed in a way zipfile does not know
    zipfile.BadZipFile,
    zlib.error,
)
"""What :func:`plain_array` and zipfile raise for an archive that is not what it should be."""
_HEAD = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<type>(?P<order>[<|])(?P<kind>[uU])(?P<size>\d{1,4}))', "
    rb"'fortran_order': False, 'shape': \((?P<length>\d{1,14}),\), \} *\n",
    re.DOTALL,
)
"""How an array begins: numpy.lib.format, version 1.0."""


def plain_array(archive: zipfile.ZipFile, name: str, kind: Literal["u", "U"], largest: int) -> NDArray[Any]:
    """Return a member that must be a list of unsigned numbers (``u``) or of texts (``U``).

    ``largest``: bytes it may unpack to; no more are unpacked, whatever it says of itself. Raises one of
    ``UNREADABLE``.
    """
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > largest:
        raise ValueError(f"{name} unpacks to {info.file_size} bytes, expected {largest} or fewer")
    with archive.open(info) as member:
        content = member.read(info.file_size + 1)
    head = _HEAD.match(content)
    if head is None or head["kind"] != kind.encode():
        raise ValueError(
            f"{name} begins with {content[:60]!r}, expected a list of {kind!r} in numpy's format"
        )
    dtype = np.dtype(head["type"].decode())
    length, body = int(head["length"]), len(content) - head.end()
    if body != length * dtype.itemsize:
        raise ValueError(f"{name} holds {body} bytes, its header says {length} x {dtype}")
    values = np.frombuffer(content, dtype, length, head.end()) if body else np.empty(length, dtype)
    if kind == "U" and body and not _are_characters(values.view("<u4")):
        raise ValueError(f"{name} holds numbers that stand for no character")
    return values


def _are_characters(codes: NDArray[np.uint32]) -> bool:
    """Whether all are characters of Unicode: Python cannot hold others, nor write halves of pairs down."""
    return bool(((codes < 0xD800) | ((codes > 0xDFFF) & (codes <= 0x10FFFF))).all())
