"""Rules on what a record says it is: whole, in its place, of a protocol and a variant that there are."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from benchmark.consistency import check
from benchmark.errors import MethodError, RecordError
from benchmark.finding import split_spec, value_text
from benchmark.protocol import Protocol
from benchmark.record import Record
from benchmark.validate.context import Context
from benchmark.validate.findings import Fault
from benchmark.validate.reading import Subject

LONGEST_TEXT = 20_000


def parts(subject: Subject, context: Context) -> Iterator[Fault]:
    """Steps, classes and matrices fit each other, and no value is absurd."""
    try:
        check(subject.record)
    except RecordError as error:
        yield Fault(str(error))


def text(subject: Subject, context: Context) -> Iterator[Fault]:
    """No text that a reader would not see as it is."""
    for where, value in _texts(asdict(subject.record)):
        odd = [c for c in value if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") and c not in "\n\t"]
        if odd:
            yield Fault(f"{where} holds the character U+{ord(odd[0]):04X}, which does not show")
        elif len(value) > LONGEST_TEXT:
            yield Fault(f"{where} has {len(value)} characters; expected at most {LONGEST_TEXT}")


def _texts(value: Any, where: str = "record") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield f"a key of {where}", str(key)
            yield from _texts(inner, str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, where)


def status(subject: Subject, context: Context) -> Iterator[Fault]:
    """A run that finished has no error; one that failed says why."""
    record = subject.record
    if record.status == "ok" and record.error is not None:
        yield Fault(f"the status is 'ok', but it has an error: {record.error[:80]!r}")
    if record.status != "ok" and not (record.error or "").strip():
        yield Fault(f"the status is {record.status!r}, but it has no error; expected what happened")


def place(subject: Subject, context: Context) -> Iterator[Fault]:
    """The record lies in the folder of its protocol and model."""
    record = subject.record
    folder = record.protocol if record.split == "test" else f"{record.protocol}-{record.split}"
    *_, found_protocol, found_model = ("", "", *subject.path.resolve().parent.parts)
    if (found_protocol, found_model) != (folder, record.model):
        yield Fault(f"it lies in {found_protocol}/{found_model}; expected {folder}/{record.model}")


def protocol(subject: Subject, context: Context) -> Iterator[Fault]:
    """The protocol and model exist here, with this digest, and are as the record describes them."""
    record = subject.record
    known = context.protocol(record)
    if known is None:
        yield Fault(
            f"there is no protocol {record.protocol!r} with model {record.model!r} and split "
            f"{record.split!r} here"
        )
        return
    if record.protocol_digest != known.digest:
        yield Fault(f"protocol_digest is {record.protocol_digest}; {known.id} here has {known.digest}")
    for key, expected in _described(known, context, record).items():
        if (got := getattr(record, key)) != expected:
            yield Fault(f"{key} is {got!r}; {known.id} has {expected!r}")
    if record.environment.precision != known.model.precision:
        yield Fault(
            f"precision is {record.environment.precision!r}; {known.model.name} has {known.model.precision!r}"
        )


def _described(known: Protocol, context: Context, record: Record) -> dict[str, object]:
    """Return what a record says of its protocol in words of its own."""
    joint = context.joint(known)
    return {
        "protocol_version": known.version,
        "dataset": known.dataset,
        "scenario": known.scenario,
        "setting": known.setting,
        "classes": known.row_names[1:],
        "background": known.background,
        "step_sizes": tuple(len(classes) for classes in known.steps),
        "epochs": known.epochs,
        "batch_size": known.model.batch_size,
        "image_size": known.model.image_size,
        "pretrained": PurePath(known.model.pretrained).name,
        "joint_protocol": joint.id if joint else record.joint_protocol if known.joint else None,
        "joint_digest": joint.digest if joint else record.joint_digest if known.joint else None,
    }


def variant(subject: Subject, context: Context) -> Iterator[Fault]:
    """The variant is the method with those of its hyper-parameters that it names."""
    record = subject.record
    try:
        name, named = split_spec(record.variant)
    except MethodError as error:
        yield Fault(str(error))
        return
    if name != record.method:
        yield Fault(f"variant {record.variant!r} is one of {name!r}; the method is {record.method!r}")
    for key, value in named.items():
        if key not in record.params or value_text(record.params[key]) != value:
            yield Fault(
                f"variant {record.variant!r} has {key}={value}; params say {record.params.get(key)!r}"
            )
    canonical = ",".join(f"{key}={named[key]}" for key in sorted(named))
    if record.variant != (f"{name}:{canonical}" if named else name):
        yield Fault(f"variant {record.variant!r} is not sorted; expected {name}:{canonical}")


def command(subject: Subject, context: Context) -> Iterator[Fault]:
    """The command is that of this run."""
    record = subject.record
    try:
        words = shlex.split(record.command)
    except ValueError:
        words = []
    if words[:2] != ["cssbench", "run"]:
        yield Fault(f"the command is {record.command[:80]!r}; expected cssbench run …")
        return
    given = dict(zip(words[2::2], words[3::2], strict=False))
    expected = {
        "--method": record.variant,
        "--protocol": record.protocol,
        "--model": record.model,
        "--seed": str(record.seed),
        "--split": record.split,
    }
    for option, value in expected.items():
        if given.get(option, "test" if option == "--split" else None) != value:
            yield Fault(f"the command has {option} {given.get(option)!r}; the record is of {value!r}")
