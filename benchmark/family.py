"""Families of protocols: one TOML each, what may be in it, and all that can be wrong with one."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from benchmark.errors import ProtocolError, unknown_name
from benchmark.preset import Count
from benchmark.protocol import MOST_CLASSES, SETTINGS, Augmentation, Evaluation, Setting, Splits

Split = Literal["test", "validation"]
Steps = tuple[tuple[int, ...], ...]
Content = TypeVar("Content")
JOINT = "joint"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")  # names become names of folders


class InvalidFileError(ProtocolError):
    """A TOML that is not what its schema asks. ``findings``: a sentence each, the first of them raised."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__(findings[0])
        self.findings = findings


@dataclass(frozen=True)
class Family:
    """One TOML of ``protocols/``: a dataset, its scenarios and the settings they come in.

    ``name`` is the first part of the ids, the file's stem unless given. ``scenarios`` maps a name to
    the dataset's labels (1, 2, ...) of each step; the joint bound, all classes in one step, is implied and
    is run with ``joint_method`` alone. ``aliases`` are other names of scenarios. ``model`` names the
    default preset, or its TOML file, seen from the family's own. ``expected_images`` maps
    ``scenario-setting``, or ``joint``, to the published number of training images of each step.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    dataset: str
    description: str
    version: Count
    background: bool
    model: str
    joint_method: str
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_CLASSES)]
    epochs: Count
    splits: dict[Split, Splits]
    scenarios: dict[str, Steps]
    settings: tuple[Setting, ...] = SETTINGS
    augmentation: Augmentation = field(default_factory=Augmentation)
    evaluation: Evaluation = field(default_factory=Evaluation)
    aliases: dict[str, str] = field(default_factory=dict)
    expected_images: dict[str, tuple[Count, ...]] = field(default_factory=dict)
    name: str = ""

    def ids(self) -> list[str]:
        """Return every protocol id of the family, the joint bound last."""
        pairs = [
            f"{self.name}-{scenario}-{setting}" for scenario in self.scenarios for setting in self.settings
        ]
        return [*pairs, f"{self.name}-{JOINT}"]


@cache
def _adapter(kind: type[Content]) -> TypeAdapter[Content]:
    """Return the validator of a dataclass, which takes a hundred times as long to make as to use."""
    return TypeAdapter(kind)


@lru_cache
def _table(text: str) -> Mapping[str, Any]:
    """Return what a TOML says: that of a model preset is asked for with each of many protocols."""
    return tomllib.loads(text)


def read_toml(path: Path, kind: type[Content], what: str) -> Content:
    """Read a TOML file as ``kind``, a dataclass, its ``name`` the file's stem where it gives none.

    ``what`` names the file in messages. Raises ProtocolError for a file that cannot be read, and
    InvalidFileError for one that is no TOML or has keys that are missing, unknown or of another type.
    """
    try:
        content = {"name": path.stem, **_table(path.read_text(encoding="utf-8"))}
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{what} {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidFileError((f"{what} {path} is not TOML: {error}",)) from error
    name = name_finding(content["name"], "key 'name'")
    if name:
        raise InvalidFileError((f"{what} {path}: {name}",))
    try:
        # As JSON, since strict Python would refuse TOML's lists where a tuple is meant.
        adapter: TypeAdapter[Content] = _adapter(kind)  # type: ignore[arg-type]  # classes are hashable
        return adapter.validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise InvalidFileError(
            tuple(f"{what} {path}: {_sentence(item)}" for item in error.errors())
        ) from error


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    got = "" if error["type"] == "missing" else f", got {str(error['input'])[:80]!r}"
    return f"key {where!r}: {error['msg']}{got}"


def name_finding(name: object, where: str) -> str | None:
    """Return what is wrong with a name that becomes part of ids, None if nothing is."""
    if _NAME.fullmatch(str(name)):
        return None
    return f"{where}: got {name!r}, expected letters, digits, '.', '_', '+' and '-'"


def family_findings(family: Family) -> Iterator[str]:
    """Yield a sentence for each thing in which a family contradicts itself."""
    for name in (*family.scenarios, *family.aliases):
        finding = name_finding(name, "name of a scenario")
        if finding:
            yield finding
    for scenario, steps in family.scenarios.items():
        yield from _step_findings(steps, len(family.classes), f"scenario {scenario!r}")
    for alias, target in family.aliases.items():
        if target not in family.scenarios:
            yield f"alias {alias!r}: {unknown_name('scenario', target, family.scenarios)}"
        if alias in family.scenarios:
            yield f"alias {alias!r} is the name of a scenario too; expected another"
    if "test" not in family.splits:
        yield "key 'splits' has no 'test'; expected at least [splits.test]"
    low, high = family.augmentation.random_scale
    if low > high:
        yield f"key 'augmentation.random_scale': got {low} to {high}, expected low to high"
    for kind, splits in family.splits.items():
        if splits.test in splits.train:
            yield f"key 'splits.{kind}' trains on {splits.test!r} and scores it; expected splits apart"
    for twice in _repeated(family.classes):
        yield f"key 'classes' has {twice!r} twice; expected each class once"
    if family.evaluation.crop == "centre" and family.evaluation.window_stride is not None:
        yield "key 'evaluation.window_stride' is given with crop 'centre'; expected it with whole images"
    yield from _expectation_findings(family)


def _step_findings(steps: Steps, classes: int, where: str) -> Iterator[str]:
    labels = [label for step in steps for label in step]
    if not steps or not all(steps):
        yield f"{where} has an empty step; expected at least one class in each"
    for label in labels:
        if not 1 <= label <= classes:
            yield f"{where} names class {label}; expected 1 to {classes} (background is implied)"
    for label in _repeated(labels):
        yield f"{where} names class {label} twice; expected each class in one step"


def _expectation_findings(family: Family) -> Iterator[str]:
    steps = {
        **{f"{name}-{kind}": len(s) for name, s in family.scenarios.items() for kind in family.settings},
        JOINT: 1,
    }
    for key, images in family.expected_images.items():
        if key not in steps:
            yield f"key 'expected_images': {unknown_name('scenario and setting', key, steps)}"
        elif len(images) != steps[key]:
            yield (
                f"key 'expected_images.{key}' has {len(images)} numbers; expected {steps[key]}, "
                "one for each step"
            )


def _repeated(items: Any) -> list[Any]:
    return [item for item, number in Counter(items).items() if number > 1]
