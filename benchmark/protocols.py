"""From TOML to a resolved :class:`Protocol`: reading, validating and finding families and presets."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from benchmark.errors import ProtocolError, unknown_name
from benchmark.preset import Count, ModelPreset
from benchmark.protocol import SETTINGS, Augmentation, Evaluation, Protocol, Setting, Splits

Split = Literal["test", "validation"]
Content = TypeVar("Content")
JOINT = "joint"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")  # names become names of folders


@dataclass(frozen=True)
class Family:
    """One TOML of ``protocols/``: a dataset, its scenarios and the settings they come in.

    ``name`` is the first part of the ids, the file's stem unless given. ``scenarios`` maps a name to
    the dataset's labels (1, 2, ...) of each step; the joint bound, all classes in one step, is implied and
    is run with ``joint_method`` alone. ``aliases`` are other names of scenarios. ``model`` names the
    default preset, or its TOML file, seen from the family's own.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    dataset: str
    description: str
    version: Count
    background: bool
    model: str
    joint_method: str
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    epochs: Count
    splits: dict[Split, Splits]
    scenarios: dict[str, tuple[tuple[int, ...], ...]]
    settings: tuple[Setting, ...] = SETTINGS
    augmentation: Augmentation = field(default_factory=Augmentation)
    evaluation: Evaluation = field(default_factory=Evaluation)
    aliases: dict[str, str] = field(default_factory=dict)
    name: str = ""

    def ids(self) -> list[str]:
        """Return every protocol id of the family, the joint bound last."""
        pairs = [
            f"{self.name}-{scenario}-{setting}" for scenario in self.scenarios for setting in self.settings
        ]
        return [*pairs, f"{self.name}-{JOINT}"]


def protocols_folder() -> Path:
    """Return the folder of the protocols that ship with the project, beside this package."""
    return Path(__file__).resolve().parent.parent / "protocols"


def family_files() -> dict[str, Path]:
    """Return the TOML file of every family that ships with the project, by name."""
    return {file.stem: file for file in sorted(protocols_folder().glob("*.toml"))}


def preset_files() -> dict[str, Path]:
    """Return the TOML file of every model preset that ships with the project, by name."""
    return {file.stem: file for file in sorted((protocols_folder() / "models").glob("*.toml"))}


def protocol_ids() -> list[str]:
    """Return the ids of all protocols that ship with the project."""
    return [name for file in family_files().values() for name in load_family(file).ids()]


def _read(path: Path, kind: type[Content], what: str) -> Content:
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{what} {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ProtocolError(f"{what} {path} is not TOML: {error}") from error
    content.setdefault("name", path.stem)
    _check_names([content["name"]], f"{what} {path}: key 'name'")
    try:
        # As JSON, since strict Python would refuse TOML's lists where a tuple is meant.
        return TypeAdapter(kind).validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        got = "" if first["type"] == "missing" else f", got {str(first['input'])[:80]!r}"
        raise ProtocolError(f"{what} {path}: key {where!r}: {first['msg']}{got}") from error


def _check_names(names: Iterable[object], where: str) -> None:
    for name in names:
        if not _NAME.fullmatch(str(name)):
            raise ProtocolError(f"{where}: got {name!r}, expected letters, digits, '.', '_', '+' and '-'")


@lru_cache
def load_family(path: Path) -> Family:
    """Read and validate one TOML of protocols. Raises ProtocolError, one sentence, with file and key."""
    family = _read(path, Family, "protocol file")
    where = f"protocol file {path}"
    _check_names([*family.scenarios, *family.aliases], f"{where}: name of a scenario")
    for scenario, steps in family.scenarios.items():
        _check_steps(steps, len(family.classes), f"{where}: scenario {scenario!r}")
    for alias, target in family.aliases.items():
        if target not in family.scenarios:
            raise ProtocolError(
                f"{where}: alias {alias!r}: {unknown_name('scenario', target, family.scenarios)}"
            )
        if alias in family.scenarios:
            raise ProtocolError(f"{where}: alias {alias!r} is the name of a scenario too; expected another")
    if "test" not in family.splits:
        raise ProtocolError(f"{where}: key 'splits' has no 'test'; expected at least [splits.test]")
    low, high = family.augmentation.random_scale
    if low > high:
        raise ProtocolError(
            f"{where}: key 'augmentation.random_scale': got {low} to {high}, expected low to high"
        )
    return (
        replace(family, model=str(path.parent / family.model)) if family.model.endswith(".toml") else family
    )


def _check_steps(steps: tuple[tuple[int, ...], ...], classes: int, where: str) -> None:
    labels = [label for step in steps for label in step]
    if not steps or not all(steps):
        raise ProtocolError(f"{where} has an empty step; expected at least one class in each")
    wrong = [label for label in labels if not 1 <= label <= classes]
    if wrong:
        raise ProtocolError(
            f"{where} names class {wrong[0]}; expected 1 to {classes} (background is implied)"
        )
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise ProtocolError(f"{where} names class {twice[0]} twice; expected each class in one step")


def load_preset(name: str) -> ModelPreset:
    """Return the model preset called ``name``, or the one in the TOML file of that path."""
    path = Path(name) if name.endswith(".toml") else preset_files().get(name)
    if path is None:
        raise ProtocolError(
            unknown_name("model preset", name, preset_files()) + " (or a path to a .toml file)"
        )
    preset = _read(path, ModelPreset, "model preset")
    is_file = preset.pretrained.endswith(".safetensors")
    if is_file and preset.sha256 is None:
        raise ProtocolError(
            f"model preset {path}: key 'sha256' is missing; expected the digest of {preset.pretrained}"
        )
    if preset.sha256 is not None and not is_file:
        raise ProtocolError(
            f"model preset {path}: key 'sha256' is given, but 'pretrained' is {preset.pretrained!r}; "
            "expected it with a .safetensors file alone"
        )
    if preset.optimiser == "sgd" and preset.nesterov and preset.momentum == 0:
        raise ProtocolError(
            f"model preset {path}: key 'nesterov' is true with 'momentum' 0; expected momentum above 0"
        )
    return preset


def load_protocol(name: str, model: str | None = None, split: Split = "test") -> Protocol:
    """Resolve a protocol by its id, or ``file.toml:scenario-setting`` for a user's own.

    ``model`` names a preset (None: the family's default), ``split`` what is scored: ``validation`` trains on
    the training split alone and gives another digest. Raises ProtocolError for an unknown name.
    """
    family, rest = _family_of(name)
    scenario, setting = _scenario_of(family, rest)
    if split not in family.splits:
        raise ProtocolError(f"protocol {name!r} has no split {split!r}; it has: {', '.join(family.splits)}")
    joint = scenario == JOINT
    every = (tuple(range(1, len(family.classes) + 1)),)
    return Protocol(
        id=f"{family.name}-{JOINT}" if joint else f"{family.name}-{scenario}-{setting}",
        version=family.version,
        description=family.description,
        dataset=family.dataset,
        scenario=scenario,
        setting=setting,
        split=split,
        joint=None if joint else f"{name[: -len(rest)]}{JOINT}",
        joint_method=family.joint_method,
        classes=family.classes,
        background=family.background,
        steps=every if joint else family.scenarios[scenario],
        splits=family.splits[split],
        epochs=family.epochs,
        augmentation=family.augmentation,
        evaluation=family.evaluation,
        model=load_preset(model or family.model),
    )


def _family_of(name: str) -> tuple[Family, str]:
    path, colon, rest = name.rpartition(":")
    if colon and path.endswith(".toml"):
        return load_family(Path(path)), rest
    for stem, file in family_files().items():
        if name.startswith(f"{stem}-"):
            return load_family(file), name.removeprefix(f"{stem}-")
    raise ProtocolError(
        unknown_name("protocol", name, protocol_ids()) + " (or path/to/file.toml:scenario-setting)"
    )


def _scenario_of(family: Family, rest: str) -> tuple[str, Setting]:
    if rest == JOINT:
        return JOINT, "sequential"
    scenario, _, setting = rest.rpartition("-")
    scenario = family.aliases.get(scenario, scenario)
    for known in family.settings:
        if scenario in family.scenarios and setting == known:
            return scenario, known
    # By its id: a long path before it would make every choice look far away.
    raise ProtocolError(unknown_name("protocol", f"{family.name}-{rest}", family.ids()))
