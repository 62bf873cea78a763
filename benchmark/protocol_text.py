"""A resolved protocol as text: its definition, its steps and, where data are there, what each step shows."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmark.protocol import Protocol, Setting

if TYPE_CHECKING:
    from benchmark.data.census import StepCensus

_WIDTH = 100
_KEY = 14
_JOINED = "\u00a0"  # a space at which no line is broken
_RULES: dict[Setting, str] = {
    "sequential": "images with a new class and none beyond those seen; new and old classes are visible",
    "disjoint": "images with a new class and none beyond those seen; new classes alone are visible",
    "overlapped": "images with a new class; new classes alone are visible",
}


def definition(protocol: Protocol) -> Iterator[str]:
    """Yield the lines that say all that a protocol fixes."""
    yield protocol.id
    yield from textwrap.wrap(protocol.description, _WIDTH)
    yield f"digest {protocol.digest}"
    yield ""
    background = "label 0 is background" if protocol.background else "no background: label 0 is not scored"
    yield _line("dataset", f"{protocol.dataset}, {len(protocol.classes)} classes; {background}")
    yield _line("version", str(protocol.version))
    rule = f"{protocol.setting}: {_RULES[protocol.setting]}" if protocol.joint else "all classes in one step"
    yield _line("setting", rule)
    yield _line("trained on", " + ".join(protocol.splits.train))
    yield _line("scored on", f"{protocol.splits.test}; {_keys(protocol.evaluation.meaning())}")
    yield _line("epochs", f"{protocol.epochs} a step")
    yield _line("augmentation", _keys(asdict(protocol.augmentation)))
    bound = f"{protocol.joint}, run" if protocol.joint else "this is it: run"
    yield _line("joint bound", f"{bound} with {protocol.joint_method} alone")
    model = asdict(protocol.model)
    yield _line("model", f"{model.pop('name')}: {model.pop('description')}")
    yield _line("", _keys({key: value for key, value in model.items() if value not in (None, {})}))


def steps(protocol: Protocol, census: Sequence[StepCensus] = ()) -> Iterator[str]:
    """Yield the lines that list the steps, with images and pixels by class where a census was taken."""
    for step, classes in enumerate(protocol.steps):
        yield ""
        known = protocol.expected_images
        published = f"published: {known[step]:,}" if known else "no published number"
        images = f", {census[step].images:,} images" if census else ""
        new = "1 new class" if len(classes) == 1 else f"{len(classes)} new classes"
        yield f"step {step}: {new}{images} ({published})"
        if census:
            yield from _table(census[step])
        else:
            names = ", ".join(f"{protocol.classes[label - 1]}{_JOINED}{label}" for label in classes)
            lines = textwrap.wrap(names, _WIDTH, initial_indent="  ", subsequent_indent="  ")
            yield from (line.replace(_JOINED, " ") for line in lines)
    if census and known:
        yield ""
        found = tuple(step.images for step in census)
        yield (
            "images of each step: as published"
            if found == known
            else (
                f"images of each step: {_numbers(found)}; published: {_numbers(known)}. "
                "This copy is not the published benchmark"
            )
        )


def _table(census: StepCensus) -> Iterator[str]:
    yield f"  {'class':<24}{'channel':>8}{'images':>10}{'pixels':>16}"
    for share in (*census.classes, *census.background):
        yield f"  {share.name:<24}{share.channel:>8}{share.images:>10,}{share.pixels:>16,}"


def _line(key: str, value: str) -> str:
    indent = " " * (_KEY + 1)
    text = textwrap.fill(value, _WIDTH, initial_indent=f"{key:<{_KEY}} ", subsequent_indent=indent)
    return text.replace(_JOINED, " ")


def _keys(content: dict[str, Any]) -> str:
    return ", ".join(f"{key}{_JOINED}{_value(value)}" for key, value in content.items())


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "(" + f",{_JOINED}".join(map(_value, value)) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(f"{number:,}" for number in numbers)
