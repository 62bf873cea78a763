"""Options that are not plain text."""

from __future__ import annotations

import click
import pytest

from benchmark.commands.options import Bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("17", 17),
        ("1.5KiB", 1536),
        ("500 MB", 500_000_000),
        ("4GiB", 2**32),
        ("4Gi", 2**32),
        ("2T", 2 * 10**12),
    ],
)
def test_a_size_is_read_with_its_unit(text: str, expected: int) -> None:
    assert Bytes().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["", "much", "-1", "4 gigs", "1e9", "4XB", "nan", "1GiB2"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no size; expected a number and a unit, as in 4GiB"):
        Bytes().convert(text, None, None)
