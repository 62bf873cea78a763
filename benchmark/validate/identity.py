"""Rules on what a record says it is: its protocol, method, source and commit, and that it is the only one."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

from benchmark.consistency import check
from benchmark.errors import MethodError, RecordError
from benchmark.finding import split_spec, value_text
from benchmark.protocol import Protocol
from benchmark.record import Record
from benchmark.validate.context import Context
from benchmark.validate.findings import Fault, note
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


def commit(subject: Subject, context: Context) -> Iterator[Fault]:
    """The run was made with committed code that this checkout knows."""
    record = subject.record
    if record.dirty is not False:
        state = "uncommitted changes" if record.dirty else "code whose state is not known"
        yield Fault(f"it was made with {state}; expected a clean commit")
    if record.commit is None:
        yield Fault("it names no commit; expected a run from a checkout")
    elif not context.history.complete:
        yield note(f"commit {record.commit[:40]} is not looked for: there is no complete history here")
    elif not context.history.has(record.commit):
        yield Fault(f"commit {record.commit[:40]} is not one this checkout comes from")


def source(subject: Subject, context: Context) -> Iterator[Fault]:
    """The source's digest is that of the adapter, submitted or here, now or at the record's commit."""
    record = subject.record
    try:
        here = context.source_here(record)
    except MethodError as error:
        yield Fault(f"{error}; expected one in methods/, in the bundle, or given with --adapter")
        return
    if here == record.source_digest:
        return
    if record.method in context.adapters:
        yield Fault(f"source_digest is {record.source_digest}; the adapter that came along has {here}")
    elif not context.history.complete:
        yield note("source_digest is not of the adapter here; there is no complete history to look for it in")
    elif record.commit is None or not context.history.has(record.commit):
        yield Fault(f"source_digest is {record.source_digest}; the adapter here has {here}")
    elif (then := context.source_at(record, record.commit)) == record.source_digest:
        yield note(
            f"it was made with an older source of {record.method}, that of commit {record.commit[:12]}"
        )
    else:
        yield Fault(
            f"source_digest is {record.source_digest}; the adapter has {here} here and {then} at the "
            f"record's commit"
        )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def when(subject: Subject, context: Context) -> Iterator[Fault]:
    """It finished after it started, not in the future, and took no less time than its phases together."""
    record = subject.record
    started, finished = _moment(record.started), _moment(record.finished)
    if started is None or finished is None:
        yield Fault(
            f"started {record.started[:40]!r} or finished {record.finished[:40]!r} is no time with a zone"
        )
        return
    if finished < started:
        yield Fault(f"it finished {record.finished}, before it started {record.started}")
    if finished > context.now + timedelta(days=1):
        yield Fault(f"it finished {record.finished}, which has not come yet")
    spent, took = seconds_spent(record), (finished - started).total_seconds()
    if spent > took + 2:  # both ends are rounded to a second
        yield Fault(f"its phases took {spent:.1f} s, the run {took:.0f} s")


def seconds_spent(record: Record) -> float:
    """Return the seconds of all phases that this run itself must have spent.

    A step 0 taken from the store repeats what its training cost another run.
    """
    own = sum(s.seconds.prepare + s.seconds.consolidate + s.seconds.evaluate for s in record.steps)
    trained = (s.seconds for s in record.steps if s.base is None)
    return own + sum(s.instrumented + s.train + s.data_wait for s in trained)


def duplicate(subject: Subject, context: Context) -> Iterator[Fault]:
    """There is no second record of the same run."""
    twin = next((o for o in context.others(subject) if _run(o.record) == _run(subject.record)), None)
    if twin is not None:
        yield Fault(
            f"{twin.path} is a record of the same run: seed {subject.record.seed} on the same hardware"
        )


def _run(record: Record) -> tuple[object, ...]:
    return record.variant, record.source_digest, record.seed, record.environment.hardware, record.status


def copy(subject: Subject, context: Context) -> Iterator[Fault]:
    """Two seeds do not give the same matrices, pixel by pixel."""
    record = subject.record
    for other in context.others(subject):
        same = [a.confusion == b.confusion for a, b in zip(record.steps, other.record.steps, strict=False)]
        if other.record.seed != record.seed and any(same) and _varied(record):
            yield Fault(f"its matrices are those of {other.path}, which has seed {other.record.seed}")
            return


def _varied(record: Record) -> bool:
    """A model that calls everything one class does so with every seed."""
    used = [sum(map(any, zip(*step.confusion, strict=True))) for step in record.steps]
    return min(used) > 1
