"""The template engine. Everything printed is escaped; the filters that make markup escape first."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined, nodes
from jinja2.bccache import Bucket
from jinja2.compiler import CodeGenerator, Frame
from markupsafe import Markup, escape

REMEMBERED = 2**14
"""Values whose markup is kept, by type: markup and the text it equals are not escaped alike."""
_CODE = re.compile(r"``(.+?)``")
_JOINTS = re.compile(r"([:,=/_.+-])")
_ARXIV = re.compile(r"\barXiv (\d{4}\.\d{4,5})\b")


class _Printing(CodeGenerator):
    """Templates that escape by ``Engine.printed`` what they print, but for the long results of macros."""

    def write_commons(self) -> None:
        super().write_commons()
        self.writeline("printed = environment.printed")

    def _output_child_pre(
        self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> None:
        plain = frame.eval_ctx.autoescape and not frame.eval_ctx.volatile and finalize.src is None
        if plain and not isinstance(node, nodes.Call):
            self.write("printed(")
        else:
            super()._output_child_pre(node, frame, finalize)


class Engine(Environment):
    """jinja2 that remembers how a value is escaped: most of what a page says, many others say as well."""

    code_generator_class = _Printing
    printed = staticmethod(lru_cache(maxsize=REMEMBERED, typed=True)(escape))


class Shelf(Protocol):
    """Where compiled templates are kept, by a key."""

    def template(self, key: str) -> bytes | None:
        """Return what a template was compiled to."""

    def keep_template(self, key: str, code: bytes) -> None:
        """Keep what a template was compiled to."""


class _Compiled(BytecodeCache):
    """Compiled templates on a shelf: to compile those of a board takes a fifth as long as to write it."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._shelf.template(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._shelf.keep_template(bucket.key, bucket.bytecode_to_string())


def environment(shelf: Shelf | None = None) -> Environment:
    """Return jinja2 with escaping on for every template: by file name, ``.html.j2`` would go without.

    ``shelf``: where compiled templates are kept from build to build; None keeps none.
    """
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    engine = Engine(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_Compiled(shelf) if shelf else None,
    )
    engine.filters["prose"] = prose
    engine.filters["breakable"] = breakable
    engine.filters["name"] = name
    return engine


def prose(text: str) -> Markup:
    """Return a docstring's sentence as HTML: ``code`` and arXiv numbers, nothing else."""
    marked = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">arXiv \1</a>', marked))


@lru_cache(maxsize=REMEMBERED, typed=True)
def name(text: str) -> Markup:
    """Return a name as HTML in which it stands by itself, whichever way it is written."""
    return Markup("<bdi>{}</bdi>").format(breakable(text))


def breakable(text: str) -> Markup:
    """Return a name as HTML that may break after its punctuation rather than inside a word."""
    return Markup(_JOINTS.sub(r"\1<wbr>", str(escape(text))))
