"""Whether a method says what it is: its page is made from these docstrings."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from itertools import pairwise
from typing import Any

from benchmark.check.findings import Findings
from benchmark.method import Method

RULE = "documentation"


def check_documentation(method: Method, findings: Findings) -> None:
    """A module docstring, and one under each hyper-parameter, in the class that last declares it."""
    findings.keep(RULE)
    if not inspect.getdoc(inspect.getmodule(type(method))):
        findings.fail(RULE, "the module has no docstring: its first line, idea, formula and paper")
    bare = [field.name for field in fields(method) if not _documented(type(method), field.name)]  # type: ignore[arg-type]
    if bare:
        findings.fail(
            RULE, f"hyper-parameter {bare[0]!r} has no docstring under it that says where its default is from"
        )


def _documented(kind: type, name: str) -> bool:
    owner: Any = next(cls for cls in kind.__mro__ if name in vars(cls).get("__annotations__", {}))
    (tree,) = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(inspect.getmodule(owner))))  # type: ignore[arg-type]
        if isinstance(node, ast.ClassDef) and node.name == owner.__name__
    ]
    return any(
        isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and one.target.id == name
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
        for one, after in pairwise(tree.body)
    )
