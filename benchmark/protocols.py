"""From TOML to a resolved :class:`Protocol`: finding families and presets, and resolving an id."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from benchmark.errors import ProtocolError, unknown_name
from benchmark.family import JOINT, Family, InvalidFileError, Split, family_findings, read_toml
from benchmark.preset import ModelPreset
from benchmark.protocol import Protocol, Setting

__all__ = ["Family", "InvalidFileError", "load_family", "load_preset", "load_protocol"]


def protocols_folder() -> Path:
    """Return the folder of the protocols that ship with the project, beside this package."""
    return Path(__file__).resolve().parent.parent / "protocols"


def family_files() -> dict[str, Path]:
    """Return the TOML file of every family that ships with the project, by name."""
    return _by_name(protocols_folder())


def preset_files() -> dict[str, Path]:
    """Return the TOML file of every model preset that ships with the project, by name."""
    return _by_name(protocols_folder() / "models")


def _by_name(folder: Path) -> dict[str, Path]:
    return dict(sorted((file.stem, file) for file in folder.glob("*.toml")))


def protocol_ids() -> list[str]:
    """Return the ids of all protocols that ship with the project."""
    return [name for file in family_files().values() for name in load_family(file).ids()]


@lru_cache
def load_family(path: Path) -> Family:
    """Read and validate one TOML of protocols.

    Raises InvalidFileError, a ProtocolError: one sentence with file and key; others of the file are in its
    ``findings``.
    """
    family = read_toml(path, Family, "protocol file")
    findings = tuple(f"protocol file {path}: {finding}" for finding in family_findings(family))
    if findings:
        raise InvalidFileError(findings)
    return (
        replace(family, model=str(path.parent / family.model)) if family.model.endswith(".toml") else family
    )


def load_preset(name: str) -> ModelPreset:
    """Return the model preset called ``name``, or the one in the TOML file of that path."""
    path = Path(name) if name.endswith(".toml") else preset_files().get(name)
    if path is None:
        raise ProtocolError(
            unknown_name("model preset", name, preset_files()) + " (or a path to a .toml file)"
        )
    preset = read_toml(path, ModelPreset, "model preset")
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
        expected_images=_expected(family, scenario, setting, split),
        model=load_preset(model or family.model),
    )


def _expected(family: Family, scenario: str, setting: Setting, split: Split) -> tuple[int, ...] | None:
    """Return the published numbers of images, which are those of the split that is scored in the end."""
    key = JOINT if scenario == JOINT else f"{scenario}-{setting}"
    return family.expected_images.get(key) if split == "test" else None


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
