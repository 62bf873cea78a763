"""Finding a method by name, path or entry point, and checking the hyper-parameters it is given.

There is no registry to edit: a name is a file ``methods/<name>.py``, an entry point in the group
``cssbench.methods`` of an installed package, or the path of a Python file. Listing imports nothing.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from benchmark.errors import MethodError, unknown_name
from benchmark.sources import source_digest

if TYPE_CHECKING:
    from benchmark.method import Method

_SPEC = re.compile(r"(?P<name>.+?)(:(?P<params>[A-Za-z_]\w*=.*))?")
_NEXT_PARAM = re.compile(r",(?=[A-Za-z_]\w*=)")
ENTRY_POINTS = "cssbench.methods"


@dataclass(frozen=True)
class Variant:
    """A method with its hyper-parameters.

    ``text`` is canonical: the name and the hyper-parameters that are not the default, sorted.
    ``source_digest`` covers the adapter's file, those of the methods it works on top of, and what of
    ``methods/`` any of them imports.
    """

    method: Method
    text: str
    params: dict[str, Any]
    source_digest: str


def method_files() -> dict[str, Path]:
    """Return the file of every method in ``methods/``, by name, without importing any."""
    files = [file for folder in methods_folders() for file in sorted(folder.glob("*.py"))]
    return {file.stem: file for file in files if not file.stem.startswith("_")}


def methods_folders() -> list[Path]:
    """Return the folders of the package ``methods``, of which there is one as a rule."""
    spec = importlib.util.find_spec("methods")
    return [Path(folder) for folder in spec.submodule_search_locations or []] if spec else []


def method_names() -> list[str]:
    """Return the names that :func:`find_method` knows, paths apart."""
    return sorted({*method_files(), *(point.name for point in entry_points(group=ENTRY_POINTS))})


def split_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split ``name:k=v,k=v`` (or ``path.py:k=v``) into the name and the hyper-parameters' texts."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise MethodError(
            f"method {spec!r} is empty; expected NAME, NAME:key=value,… or a path to a .py file"
        )
    pairs = _NEXT_PARAM.split(match["params"]) if match["params"] else []
    return match["name"], split_pairs(pairs, where=f"method {match['name']!r}")


def split_pairs(pairs: list[str], where: str) -> dict[str, str]:
    """Turn ``["k=v", ...]`` into a mapping; raises MethodError for one without ``=`` or given twice."""
    params: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise MethodError(f"{where}: hyper-parameter {pair!r} is not of the form name=value")
        if key.strip() in params:
            raise MethodError(f"{where}: hyper-parameter {key.strip()!r} is given twice")
        params[key.strip()] = value.strip()
    return params


def find_method(name: str, params: Mapping[str, object] | None = None) -> Variant:
    """Return the variant of a method, its hyper-parameters validated.

    ``name`` may be a full ``name:k=v`` text; ``params`` are added to those in it. Raises MethodError for
    an unknown method (nearest match named), a file that holds none, or a hyper-parameter that is
    unknown, of the wrong type or out of range.
    """
    method = _build(name, params or {})
    known = fields(method)  # type: ignore[arg-type]
    values = {field.name: getattr(method, field.name) for field in known}
    changed = {field.name: values[field.name] for field in known if values[field.name] != field.default}
    text = ",".join(f"{key}={value_text(changed[key])}" for key in sorted(changed))
    digest = source_digest(adapter_files(method), methods_folders())
    return Variant(method, f"{method.name}:{text}" if text else method.name, values, digest)


def adapter_files(method: Method) -> list[Path]:
    """Return the file of a method, and those of the methods it works on top of."""
    return [Path(inspect.getfile(type(part))) for part in chain(method)]


def _build(name: str, params: Mapping[str, object]) -> Method:
    stem, texts = split_spec(name)
    doubled = sorted(texts.keys() & params.keys())
    if doubled:
        raise MethodError(f"method {stem!r}: hyper-parameter {doubled[0]!r} is given twice")
    return _construct(_method_class(stem), {**texts, **params})


def value_text(value: object) -> str:
    """Return a hyper-parameter's value as a variant's text has it."""
    if isinstance(value, bool):
        return str(value).lower()
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)


def _module_of(name: str) -> ModuleType:
    if name.endswith(".py"):
        return _module_from_path(Path(name))
    if name in method_files():
        return importlib.import_module(f"methods.{name}")
    for point in entry_points(group=ENTRY_POINTS, name=name):
        return importlib.import_module(point.module)
    raise MethodError(unknown_name("method", name, method_names()) + " (or a path to a .py file)")


def _module_from_path(path: Path) -> ModuleType:
    if not path.is_file():
        raise MethodError(f"method file {str(path)!r} does not exist")
    key = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:16]
    alias = f"cssbench_method_{key}"
    if alias in sys.modules:
        return sys.modules[alias]
    spec = importlib.util.spec_from_file_location(alias, path)
    if spec is None or spec.loader is None:
        raise MethodError(f"method file {str(path)!r} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module  # dataclasses look their module up here
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[alias]
        raise MethodError(f"method file {str(path)!r} fails on import: {error!r}") from error
    return module


def _method_class(name: str) -> type[Method]:
    from benchmark.method import Method

    module = _module_of(name)
    where = f"method file {Path(str(module.__file__)).name!r}"
    found = [
        cls
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, Method) and cls.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise MethodError(f"{where} defines {len(found)} subclasses of Method; expected exactly one")
    cls = found[0]
    if not is_dataclass(cls) or not cls.__dataclass_params__.frozen:
        raise MethodError(
            f"{where}: {cls.__name__} is not a frozen dataclass; expected @dataclass(frozen=True)"
        )
    cls.name = Path(name).stem if name.endswith(".py") else name
    return cls


def _construct(cls: type[Method], params: dict[str, object]) -> Method:
    from pydantic import TypeAdapter, ValidationError

    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in params:
        if key not in known:
            raise MethodError(f"method {cls.name!r}: {unknown_name('hyper-parameter', key, known)}")
    try:
        method = TypeAdapter(cls).validate_python(params)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"hyper-parameter {first['loc'][0]!r}: " if first["loc"] else ""
        got = f"got {params[first['loc'][0]]!r}, " if first["loc"] and first["loc"][0] in params else ""
        raise MethodError(f"method {cls.name!r}: {where}{got}{first['msg']}") from error
    for key, given in params.items():
        value = getattr(method, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise MethodError(
                f"method {cls.name!r}: hyper-parameter {key!r}: got {given!r}, expected a number"
            )
    return method


def chain(method: Method) -> list[Method]:
    """Return a method and those it works on top of, outermost first. Raises MethodError for a circle."""
    found = [method]
    while isinstance(on := getattr(found[-1], "on", None), str):
        found.append(_build(on, {}))
        if found[-1] in found[:-1]:
            raise MethodError(f"method {method.name!r} works on top of itself (on={on!r})")
    return found
