"""A page for each scenario that ships with the project: classes in learning order, settings, commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import benchmark.protocol
from benchmark.errors import ProtocolError
from benchmark.protocol import Protocol
from benchmark.protocols import JOINT, Family, family_files, load_family, load_protocol, preset_files
from benchmark.record import sha256_of
from reports.boards import REFERENCE, Board
from reports.fields import Field
from reports.known import digest_here
from reports.load import LeftOut
from reports.pages import Site
from reports.palette import hexadecimal
from reports.published import DATASETS, Line
from reports.rendered import Sample, rendered, write_samples
from reports.runs import slug
from reports.tables import export

SETTINGS_SAY = {
    "sequential": "images with a new class and none beyond those seen; new and old classes are labelled",
    "disjoint": "the images of the sequential setting; only new classes are labelled",
    "overlapped": "every image with a new class; only new classes are labelled",
}
_RESOLVED_BY = ("protocol", "protocols", "family", "preset")
"""Modules that make protocols of files, beside those of the data, which render the samples."""


class BoardLink(NamedTuple):
    """A board of a protocol. ``same``: its digest is that of the protocol as it is now."""

    slug: str
    model: str
    rows: int
    same: bool


class SettingView(NamedTuple):
    """One setting of a scenario: its id, digest with the default model, command and boards."""

    id: str
    setting: str
    text: str
    digest: str
    command: str
    boards: tuple[BoardLink, ...]
    published: int


class ClassView(NamedTuple):
    """A class: the dataset's label and its name."""

    label: int
    name: str
    colour: str


class Images(NamedTuple):
    """How many images a step trains on: as published, and as finished runs found; None is not known."""

    published: int | None
    found: int | None


@dataclass(frozen=True)
class StepView:
    """What a step adds, and how many images it trains on, by setting."""

    index: int
    classes: tuple[ClassView, ...]
    images: tuple[Images, ...]


@dataclass(frozen=True)
class Scenario:
    """A scenario of a family, in all its settings; the joint bound is one with a single step."""

    family: Family
    name: str
    protocols: tuple[Protocol, ...]

    @property
    def title(self) -> str:
        """Family and scenario, as ids begin."""
        return f"{self.family.name}-{self.name}"

    @property
    def slug(self) -> str:
        """The name of its page."""
        return slug(self.title, self.title)

    def expected(self, protocol: Protocol) -> tuple[int, ...]:
        """Return the published number of training images of each step; none where none is known."""
        key = f"{self.name}-{protocol.setting}" if protocol.joint else JOINT
        return self.family.expected_images.get(key, ())


class Listing(NamedTuple):
    """Every scenario that ships with the project, and files that could not be read."""

    scenarios: tuple[Scenario, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def pages(self) -> dict[str, str]:
        """Where each protocol is described, by its id, from the site's top folder."""
        return {p.id: f"protocols/{s.slug}.html" for s in self.scenarios for p in s.protocols}


def read_scenarios() -> Listing:
    """Resolve every protocol that ships with the project, with its family's default model."""
    found: list[Scenario] = []
    left_out: list[LeftOut] = []
    for stem, path in family_files().items():
        try:
            family = load_family(path)
            found += [_scenario(family, name) for name in [*family.scenarios, JOINT]]
        except ProtocolError as error:
            reason = str(error).replace(str(path), path.name)
            left_out.append(LeftOut(f"protocols/{stem}.toml", reason))
    return Listing(tuple(found), tuple(left_out))


def _scenario(family: Family, name: str) -> Scenario:
    ids = (
        [f"{family.name}-{JOINT}"]
        if name == JOINT
        else [f"{family.name}-{name}-{s}" for s in family.settings]
    )
    return Scenario(family, name, tuple(load_protocol(each) for each in ids))


def protocols_key(boards: Sequence[Board]) -> list[object]:
    """Return all that the pages of protocols follow from, beside the code of the report."""
    package = Path(benchmark.protocol.__file__).parent
    sources = [package / f"{name}.py" for name in _RESOLVED_BY] + sorted((package / "data").rglob("*.py"))
    files = [*family_files().values(), *preset_files().values(), *sources]
    return [*(sha256_of(path.read_bytes()) for path in files), *map(_facts_of, boards)]


def _facts_of(board: Board) -> list[object]:
    """Return what those pages show of a board."""
    first = board.first
    return [board.slug, first.protocol, first.model, first.protocol_digest, len(board.rows), _images(board)]


def write_protocols(site: Site, listing: Listing, boards: Sequence[Board]) -> None:
    """Write the list of protocols, a page for each scenario, and sample pictures of what is rendered."""
    scenarios = listing.scenarios
    families = list(dict.fromkeys(scenario.family.name for scenario in scenarios))
    groups = [[scenario for scenario in scenarios if scenario.family.name == name] for name in families]
    site.page("protocols.html.j2", "protocols/index.html", "protocols", groups=groups)
    site.table("protocols/protocols", export([_row(p) for s in scenarios for p in s.protocols]))
    for group in groups:
        family = group[0].family
        samples = write_samples(site, family.dataset, group[0].protocols[0].splits.test, family.classes)
        for scenario in group:
            _write(site, scenario, boards, samples)


def _write(site: Site, scenario: Scenario, boards: Iterable[Board], samples: Sequence[Sample]) -> None:
    first = scenario.protocols[0]
    own = [board for board in boards if board.first.protocol in {p.id for p in scenario.protocols}]
    found = [_found(protocol, own) for protocol in scenario.protocols]
    expected = [list(scenario.expected(protocol)) for protocol in scenario.protocols]
    site.page(
        "protocol.html.j2", f"protocols/{scenario.slug}.html", "protocols",
        scenario=scenario, facts=facts(first), samples=samples, joint=scenario.name == JOINT,
        settings=[_setting(p, own, site.papers.lines) for p in scenario.protocols],
        steps=_steps(first, expected, found), counted=any(expected) or any(found),
        aliases=[alias for alias, name in scenario.family.aliases.items() if name == scenario.name],
        dataset=slug(DATASETS.get(first.dataset, ""), DATASETS.get(first.dataset, "")),
    )  # fmt: skip


def facts(protocol: Protocol) -> tuple[Field, ...]:
    """Return what the protocol and its default model fix."""
    model, low_high = protocol.model, protocol.augmentation.random_scale
    background = (
        "a class of step 0" if protocol.background else "none: what is not labelled is ignored in scores"
    )
    encoder = f"{model.encoder}, {model.pretrained}"
    return (
        Field("Dataset", f"{protocol.dataset}, {len(protocol.classes)} classes"),
        Field("Steps", " + ".join(str(len(step)) for step in protocol.steps)),
        Field("Background", background),
        Field("Trained on", ", ".join(protocol.splits.train)),
        Field("Scored on", f"{protocol.splits.test}, images {_shown(protocol)}"),
        Field("Epochs a step", str(protocol.epochs)),
        Field(
            "Augmentation", f"scale {low_high[0]:g} to {low_high[1]:g}, flip {protocol.augmentation.flip:g}"
        ),
        Field("Default model", f"{model.name}: {encoder}"),
        Field("Images of an iteration", f"{model.batch_size}, {model.image_size} pixels"),
        Field(
            "Optimiser", f"{model.optimiser}, {model.learning_rate:g}, later {model.learning_rate_later:g}"
        ),
        Field("Version", str(protocol.version)),
    )


def _shown(protocol: Protocol) -> str:
    """Return how test images are shown."""
    evaluation, size = protocol.evaluation, protocol.model.image_size
    if evaluation.window_stride is None:
        return evaluation.crop
    return (
        f"{evaluation.crop}, large ones in windows of {size} pixels at {evaluation.window_stride:g} of that"
    )


def _setting(protocol: Protocol, boards: Iterable[Board], lines: Iterable[Line]) -> SettingView:
    links = tuple(_link(board, protocol.id) for board in boards if board.first.protocol == protocol.id)
    place = (DATASETS.get(protocol.dataset), protocol.scenario, protocol.setting)
    published = sum((x.first.dataset, x.first.scenario, x.first.setting) == place for x in lines)
    text = SETTINGS_SAY[protocol.setting] if protocol.joint else "all classes in one step: the upper bound"
    return SettingView(
        protocol.id, protocol.setting, text, protocol.digest, command(protocol), links,
        published if protocol.joint else 0,
    )  # fmt: skip


def command(protocol: Protocol) -> str:
    """Return the command that runs the reference on a protocol with its default model."""
    words = ["cssbench", "run", "--method", REFERENCE, "--protocol", protocol.id, "--seed", "0"]
    return shlex.join(words if rendered(protocol.dataset) else [*words, "--data-root", "data"])


def _link(board: Board, name: str) -> BoardLink:
    first = board.first
    same = digest_here(name, first.model, "test") == first.protocol_digest
    return BoardLink(board.slug, first.model, len(board.rows), same)


def _found(protocol: Protocol, boards: Iterable[Board]) -> list[int]:
    """Return how many images each step had in a finished run on the protocol as it is now; none without."""
    own = (b for b in boards if b.first.protocol == protocol.id and _link(b, protocol.id).same)
    return next((images for board in own if (images := _images(board))), [])


def _images(board: Board) -> list[int]:
    """Return how many images each step had in the first finished run of a board; none without."""
    found = next((row.counted[0].run for row in board.rows if row.counted), None)
    return [step.images for step in found.record.steps] if found else []


def _steps(
    protocol: Protocol, expected: Sequence[Sequence[int]], found: Sequence[Sequence[int]]
) -> tuple[StepView, ...]:
    return tuple(
        StepView(
            index,
            tuple(ClassView(label, protocol.classes[label - 1], hexadecimal(label)) for label in labels),
            tuple(
                Images(_at(own, index), _at(seen, index)) for own, seen in zip(expected, found, strict=True)
            ),
        )
        for index, labels in enumerate(protocol.steps)
    )


def _at(images: Sequence[int], step: int) -> int | None:
    return images[step] if step < len(images) else None


def _row(protocol: Protocol) -> dict[str, Any]:
    return {
        "protocol": protocol.id,
        "version": protocol.version,
        "digest": protocol.digest,
        "model": protocol.model.name,
        "dataset": protocol.dataset,
        "scenario": protocol.scenario,
        "setting": protocol.setting,
        "steps": "+".join(str(len(step)) for step in protocol.steps),
        "order": " ".join(map(str, protocol.order)),
        "joint": protocol.joint,
    }
