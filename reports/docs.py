"""A method's page from its source: docstring and hyper-parameters, read without importing it."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from benchmark.errors import MethodError

_FACTS = (
    "Idea",
    "Paper",
    "Papers",
    "Verified",
    "Departures",
    "Source",
    "Formula",
    "Note",
    "Checked",
    "Requires",
)


class Block(NamedTuple):
    """A part of a docstring: a paragraph with its lead word (``Paper:``), or lines to keep as they are."""

    kind: Literal["text", "literal"]
    lead: str
    text: str


class Parameter(NamedTuple):
    """One hyper-parameter: a field of the method's dataclass."""

    name: str
    type: str
    default: str
    text: str


class MethodDoc(NamedTuple):
    """What a method's file says about it. ``source`` is the file itself."""

    name: str
    title: str
    summary: str
    blocks: tuple[Block, ...]
    parameters: tuple[Parameter, ...]
    source: str


def read_method(path: Path) -> MethodDoc:
    """Parse a method's file.

    Raises MethodError where it cannot be read or is not Python.
    """
    try:
        source = path.read_text(encoding="utf-8")
        module = ast.parse(source)
    except (OSError, SyntaxError, ValueError) as error:
        raise MethodError(f"method {path.stem!r} cannot be documented: {error}") from error
    title, _, body = (ast.get_docstring(module) or path.stem).partition("\n")
    method = _class(module)
    summary = (ast.get_docstring(method) or "") if method else ""
    return MethodDoc(
        path.stem,
        title.strip().rstrip("."),
        " ".join(summary.split("\n\n")[0].split()),
        tuple(blocks(body)),
        tuple(_parameters(method, _names(module))) if method else (),
        source,
    )


def _class(module: ast.Module) -> ast.ClassDef | None:
    """Return the module's method: its last public class that is a dataclass."""
    classes = [
        node for node in module.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    marked = [node for node in classes if any("dataclass" in ast.unparse(d) for d in node.decorator_list)]
    return marked[-1] if marked else None


def blocks(text: str) -> Iterator[Block]:
    """Split a docstring's body: indented lines stay as they are, the rest are paragraphs."""
    for part in _paragraphs(textwrap.dedent(text).strip("\n").splitlines()):
        if part[0].startswith("  "):
            yield Block("literal", "", textwrap.dedent("\n".join(part)).strip("\n"))
        else:
            yield from _sentences(" ".join(line.strip() for line in part))


def _paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield runs of lines: text ends at an empty line, indented lines go on across one."""
    part: list[str] = []
    for line in [*lines, ""]:
        indented = line.startswith("  ")
        if part and (indented != part[0].startswith("  ") if line.strip() else not part[0].startswith("  ")):
            yield part
            part = []
        if line.strip() or part:
            part.append(line)
    if part:
        yield part


def _sentences(text: str) -> Iterator[Block]:
    """Cut a paragraph before each lead word, so that ``Verified: … Departures: …`` are two."""
    lead = ""
    words: list[str] = []
    for word in text.split(" "):
        ended = not words or words[-1].endswith((".", ";", ")"))
        if word.endswith(":") and word[:-1] in _FACTS and ended:
            if words:
                yield Block("text", lead, " ".join(words))
            lead, words = word[:-1], []
        else:
            words.append(word)
    if words or lead:
        yield Block("text", lead, " ".join(words))


def _names(module: ast.Module) -> dict[str, ast.expr]:
    """Return the module's own constants and type aliases, which a field may be declared with."""
    return {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _parameters(method: ast.ClassDef, names: Mapping[str, ast.expr]) -> Iterator[Parameter]:
    for node, after in zip(method.body, [*method.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if "ClassVar" not in ast.unparse(node.annotation):
            default = "required" if node.value is None else _default(node.value, names)
            yield Parameter(node.target.id, _type(node.annotation, names), default, _docstring(after))


def _default(value: ast.expr, names: Mapping[str, ast.expr]) -> str:
    resolved = names.get(value.id, value) if isinstance(value, ast.Name) else value
    if isinstance(resolved, ast.Constant) and isinstance(resolved.value, str):
        return resolved.value
    return ast.unparse(resolved)


def _type(annotation: ast.expr, names: Mapping[str, ast.expr]) -> str:
    """Return an annotation as a reader wants it: ``Annotated[float, Field(ge=0)]`` is ``float, ge=0``."""
    if isinstance(annotation, ast.Name) and annotation.id in names:
        return _type(names[annotation.id], {})
    if not isinstance(annotation, ast.Subscript):
        return ast.unparse(annotation)
    kind = ast.unparse(annotation.value)
    parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    if kind == "Annotated":
        extra = [ast.unparse(part).removeprefix("Field(").removesuffix(")") for part in parts[1:]]
        return ", ".join([_type(parts[0], names), *extra])
    if kind == "Literal":
        return " | ".join(str(ast.literal_eval(part)) for part in parts)
    return ast.unparse(annotation)


def _docstring(node: ast.stmt | None) -> str:
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return " ".join(node.value.value.split())
    return ""
