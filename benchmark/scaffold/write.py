"""From a name to the files of a new method. Nothing that exists is written over."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.errors import MethodError
from benchmark.finding import method_names

_TEMPLATES = Path(__file__).parent
_NAME = re.compile(r"[a-z][a-z0-9_]*")
LONGEST = 40


class Written(NamedTuple):
    """The files of a new method, as they lie in the project."""

    adapter: Path
    test: Path
    page: Path


def new_method(name: str, into: Path) -> Written:
    """Write the files of a method called ``name`` into the project (or an empty folder) ``into``.

    Raises MethodError, one sentence, for a name that cannot be one or is taken, and for a file that
    exists: then none is written.
    """
    check_name(name)
    files = Written(
        into / "methods" / f"{name}.py",
        into / "tests" / "adapters" / f"test_{name}.py",
        into / "docs" / "methods" / f"{name}.md",
    )
    _check_free(files, into)
    names = {"name": name, "class_name": class_name(name)}
    for path, template in zip(files, ("adapter.py.j2", "test.py.j2", "page.md.j2"), strict=True):
        text = _environment().get_template(template).render(names)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:  # never over one that has come meanwhile
            file.write(text)
    return files


def check_name(name: str) -> None:
    """Raise MethodError for a name no method can have, or that one has already."""
    if name in method_names():
        raise MethodError(f"method {name!r} exists already; expected a name of its own")
    if name.startswith("_"):
        raise MethodError(f"method name {name!r} starts with an underscore, which is for what methods share")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise MethodError(f"method name {name!r} is a word of Python's own; expected another")
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise MethodError(
            f"method name {name[:80]!r} is none; expected a small letter, then small letters, digits and "
            f"underscores, {LONGEST} at most"
        )


def class_name(name: str) -> str:
    """Return ``FastIlt`` for ``fast_ilt``."""
    return "".join(part.capitalize() for part in name.split("_"))


def _check_free(files: Written, into: Path) -> None:
    # Test modules are imported by their bare names, so that one anywhere else takes the name.
    same_test = sorted((into / "tests").rglob(files.test.name)) if (into / "tests").is_dir() else []
    taken = [path for path in [*files, *same_test] if path.exists()]
    if taken:
        raise MethodError(f"{taken[0]} exists already and is not written over; expected another name")
    blocked = [folder for path in files for folder in path.parents if folder.exists() and not folder.is_dir()]
    if blocked:
        raise MethodError(f"{blocked[0]} is a file; expected a folder to write into")


def _environment() -> Environment:
    # Python and Markdown, not HTML; and the names that go in were checked letter by letter.
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=False,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
