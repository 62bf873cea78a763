"""Walking what can be reached from an object, and looking for images in it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

LIMIT = 20_000


class Found(NamedTuple):
    """A tensor and how it was reached."""

    path: str
    tensor: Tensor


def tensors_in(roots: Mapping[str, object], code: AbstractSet[str] = frozenset()) -> Iterator[Found]:
    """Yield all tensors and arrays that are reached from ``roots`` through data.

    Data: containers, attributes, and what functions and classes of the modules named in ``code`` keep
    (closures, defaults, class attributes). Each object is visited once, ``LIMIT`` of them at most.
    """
    waiting = [(name, value) for name, value in roots.items()]
    seen: dict[int, object] = {}  # holds on to what was visited, so that no id is used twice
    while waiting and len(seen) < LIMIT:
        path, value = waiting.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, Tensor):
            yield Found(path, value)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "uif":
            yield Found(path, torch.from_numpy(np.array(value)))
        waiting.extend((f"{path}{step}", inner) for step, inner in _inside(value, code))


def _inside(value: Any, code: AbstractSet[str]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, str | bytes | int | float | ModuleType | np.ndarray):
        return
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", inner) for key, inner in list(value.items()))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{index}]", inner) for index, inner in enumerate(value))
    if isinstance(value, MethodType):
        yield from ((".__func__", value.__func__), (".__self__", value.__self__))
    elif isinstance(value, FunctionType | type):
        if value.__module__ in code:
            yield from _of_code(value)
    else:
        yield from ((f".{name}", inner) for name, inner in _attributes(value).items())


def _of_code(value: FunctionType | type) -> Iterator[tuple[str, Any]]:
    yield from ((f".{name}", inner) for name, inner in dict(vars(value)).items())
    if isinstance(value, FunctionType):
        yield ".__defaults__", value.__defaults__
        for cell in value.__closure__ or ():
            yield ".__closure__", cell.cell_contents


def _attributes(value: Any) -> dict[str, Any]:
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def globals_of(modules: Iterable[str]) -> dict[str, object]:
    """Return the globals of modules by their names."""
    loaded = ((name, sys.modules.get(name)) for name in modules)
    return {
        key: value
        for _, module in loaded
        if module is not None
        for key, value in vars(module).items()
        if not key.startswith("__")
    }


@dataclass(frozen=True, eq=False)
class Row:
    """A row (3, W) of an image, to be known again by its bytes."""

    pixels: Tensor
    _known: dict[torch.dtype, tuple[bytes, ...]] = field(default_factory=dict)

    def forms(self, dtype: torch.dtype) -> tuple[bytes, ...]:
        """Return the bytes it may have in a tensor: of its first plane, and of its pixels in turn."""
        if dtype not in self._known:
            wanted = self.pixels.to(dtype)
            lost = self.pixels.is_floating_point() and not dtype.is_floating_point
            self._known[dtype] = () if lost else (_bytes(wanted[0]), _bytes(wanted.t().flatten()))
        return self._known[dtype]


def first_held(tensor: Tensor, rows: Iterable[Row]) -> int | None:
    """Return the position of the first of ``rows`` that the storage of ``tensor`` holds."""
    if tensor.device.type == "meta" or tensor.dtype.is_complex or tensor.layout != torch.strided:
        return None
    content = _storage(tensor)
    held = (any(form in content for form in row.forms(tensor.dtype)) for row in rows)
    return next((position for position, found in enumerate(held) if found), None)


def _storage(tensor: Tensor) -> bytes:
    whole = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage())
    return _bytes(whole)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
