"""What all pages have in common: the engine, the folder they go to, pictures and the files of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from jinja2 import Environment

from reports.figures import Figure, Styles
from reports.output import Image, Output
from reports.published import Papers
from reports.tables import Export


class Picture(NamedTuple):
    """A figure and its files."""

    figure: Figure
    image: Image


@dataclass(frozen=True)
class Site:
    """Renders pages into an output folder. ``papers``: numbers from papers; ``protocols``: pages by id."""

    engine: Environment
    output: Output
    styles: Styles
    papers: Papers
    protocols: Mapping[str, str]

    def page(self, template: str, path: str, section: str = "", **values: Any) -> None:
        """Render a template to ``path``; links start with the way from there to the top folder."""
        values |= {"root": root(path), "section": section, "papers": self.papers, "protocols": self.protocols}
        html = self.engine.get_template(template).render(**values)
        self.output.write(path, html.encode("utf-8", "backslashreplace"))

    def table(self, stem: str, files: Export) -> None:
        """Write a table as CSV and JSON."""
        self.output.write(f"{stem}.csv", files.csv)
        self.output.write(f"{stem}.json", files.json)

    def picture(self, figure: Figure, folder: str) -> Picture:
        """Draw a figure into a folder of the site."""
        return Picture(figure, self.output.figure(f"{folder}/{figure.name}", figure.spec))


def root(path: str) -> str:
    """Return the way from a page to the site's top folder."""
    return "../" * path.count("/")
