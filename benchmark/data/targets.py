"""What a user means by the name of a dataset, a family of protocols or a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.data.dataset import dataset_names
from benchmark.errors import ProtocolError, unknown_name
from benchmark.protocol import Protocol
from benchmark.protocols import family_files, load_family, load_protocol, protocol_ids


@dataclass(frozen=True)
class Target:
    """A dataset and the protocols over it that are meant. ``named``: a user asked for it."""

    dataset: str
    protocols: tuple[Protocol, ...]
    named: bool


def targets(names: Sequence[str]) -> list[Target]:
    """Return the datasets behind ``names``, each once; with no name, those of all protocols that ship.

    A name is a protocol's id, a family or its TOML file (all of its protocols), or a dataset (the
    protocols of all families over it). Raises ProtocolError for an unknown name.
    """
    ids = [found for name in names for found in _ids(name)] if names else protocol_ids()
    meant: dict[str, dict[str, Protocol]] = {}
    for name in ids:
        protocol = load_protocol(name)
        meant.setdefault(protocol.dataset, {})[protocol.id] = protocol
    for name in filter(_is_dataset, names):
        meant.setdefault(name, {})
    return [Target(name, tuple(found.values()), bool(names)) for name, found in meant.items()]


def _ids(name: str) -> list[str]:
    families = family_files()
    if name in protocol_ids():
        return [name]
    if name in families:
        return load_family(families[name]).ids()
    if name.endswith(".toml"):
        family = load_family(Path(name))
        return [f"{name}:{found.removeprefix(f'{family.name}-')}" for found in family.ids()]
    if _is_dataset(name):
        loaded = [load_family(file) for file in families.values()]
        return [found for family in loaded if family.dataset == name for found in family.ids()]
    if "-" in name or ":" in name:  # an alias, a user's own, or a mistake that names the nearest
        load_protocol(name)
        return [name]
    known = {*family_files(), *dataset_names()}
    raise ProtocolError(unknown_name("protocol or dataset", name, known) + " (or path/to/file.toml)")


def _is_dataset(name: str) -> bool:
    """Whether a name is a dataset's, or one with the folder of its data, as in ``folder:cells``."""
    return name.partition(":")[0] in dataset_names()
