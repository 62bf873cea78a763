"""Loading a method's source anew, as a new process would."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmark.finding import chain, find_method
from benchmark.method import Method


class Loader:
    """Finds the method ``spec`` with none of its source's modules loaded already."""

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._packages = {"methods"}
        self._note(find_method(spec).method)

    def load(self) -> Method:
        """Forget what is loaded of the method and what it works on top of, and find it again."""
        self._forget()
        method = find_method(self._spec).method
        self._note(method)
        return method

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Leave the modules that were loaded before the block as they were."""
        before = dict(sys.modules)
        try:
            yield
        finally:
            self._forget()
            packages = self._packages
            sys.modules.update({n: m for n, m in before.items() if _package(n) in packages})

    def _note(self, method: Method) -> None:
        self._packages |= {_package(type(part).__module__) for part in chain(method)}

    def _loaded(self) -> dict[str, Any]:
        return {name: module for name, module in sys.modules.items() if _package(name) in self._packages}

    def _forget(self) -> None:
        for name in self._loaded():
            del sys.modules[name]


def _package(module: str) -> str:
    return module.partition(".")[0]
