"""A comparison as one HTML file that needs no other, its figures, and its numbers as JSON."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from benchmark.record import write_atomic
from reports.compare import Comparison, Difference
from reports.comparetext import Table, names, notes, overview, signed, span, tables, verdict
from reports.differences import differences, draw_differences
from reports.markup import environment
from reports.tables import as_json

_ASSETS = Path(__file__).parent / "assets"
_STYLE = """
main > section > figure { max-width: 46rem; margin-bottom: 1rem; }
td.said { min-width: 9rem; }
"""
PAGE = "compare.html"


class Section(NamedTuple):
    """What the page shows of one board. ``image``: the figure as a data URI, None without one."""

    comparison: Comparison
    headline: str
    notes: list[str]
    tables: list[Table]
    image: str | None
    files: str


def write(comparisons: Sequence[Comparison], folder: Path) -> Path:
    """Write page, figures (SVG and PNG) and JSON into ``folder``; return the page's path."""
    sections = [_section(comparison, folder) for comparison in comparisons]
    several = overview(comparisons) if len(comparisons) > 1 else None
    write_atomic(folder / PAGE, _page(sections, several).encode("utf-8", "backslashreplace"))
    write_atomic(folder / "compare.json", as_json([_data(comparison) for comparison in comparisons]))
    return folder / PAGE


def _page(sections: Sequence[Section], several: Table | None) -> str:
    style = (_ASSETS / "site.css").read_text(encoding="utf-8") + _STYLE
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = environment().get_template("compare.html.j2")
    a, b = (side.name for side in sections[0].comparison.match[2:])
    return template.render(
        style=Markup(style), style_digest=digest, sections=sections, several=several, a=a, b=b
    )


def _section(comparison: Comparison, folder: Path) -> Section:
    spec, image, stem = differences(comparison), None, f"differences-{comparison.match.board.slug}"
    if spec is not None:
        drawn = draw_differences(spec)
        write_atomic(folder / f"{stem}.svg", drawn.svg)
        write_atomic(folder / f"{stem}.png", drawn.png)
        image = f"data:image/svg+xml;base64,{base64.b64encode(drawn.svg).decode()}"
    return Section(comparison, _headline(comparison), notes(comparison), tables(comparison), image, stem)


def _headline(comparison: Comparison) -> str:
    """Return what the comparison says of final mIoU, in a sentence."""
    found = comparison.scores[0].difference
    a, b = names(comparison)
    between = f" ({span(found.interval, 1)})" if found.interval else ""
    said = "no interval" if found.verdict == "unknown" else verdict(found, a, b)
    return f"Final mIoU of all classes: {signed(found.value, 1)} points{between}, {said}."


def _data(comparison: Comparison) -> dict[str, Any]:
    """Return every number of a comparison, in base units."""
    match, first = comparison.match, comparison.match.board.first
    sides = {
        key: {
            "name": side.name,
            "variant": side.records[0].variant,
            "source_digest": side.records[0].source_digest,
            "seeds": side.seeds,
            "hardware": side.hardware,
        }
        for key, side in (("a", match.a), ("b", match.b))
    }
    return {
        "protocol": first.protocol,
        "protocol_digest": first.protocol_digest,
        "model": first.model,
        **sides,
        "scores": {line.column.key: _difference(line.difference) for line in comparison.scores},
        "classes": [
            {"name": line.difference.label, "step": line.step, **_difference(line.difference)}
            for line in comparison.classes
        ],
        "costs": {
            line.column.key: {"a": line.a, "b": line.b, "ratio": line.ratio, "reason": line.reason or None}
            for line in comparison.costs
        },
        "notes": notes(comparison),
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "a": found.a.mean,
        "a_std": found.a.std,
        "b": found.b.mean,
        "b_std": found.b.std,
        "difference": found.value,
        "low": found.interval.low if found.interval else None,
        "high": found.interval.high if found.interval else None,
        "better": {"a": "a", "b": "b"}.get(found.verdict),
        "reason": found.reason or None,
    }
