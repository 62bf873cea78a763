"""Rules on where a record comes from: commit, source and time, and that no other record is the same run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from benchmark.errors import MethodError
from benchmark.record import Record
from benchmark.validate.context import Context
from benchmark.validate.findings import Fault, note
from benchmark.validate.reading import Subject


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
    twin = context.twin(subject)
    if twin is not None:
        yield Fault(
            f"{twin.path} is a record of the same run: seed {subject.record.seed} on the same hardware"
        )


def copy(subject: Subject, context: Context) -> Iterator[Fault]:
    """Two seeds do not give the same matrices, pixel by pixel."""
    record = subject.record
    for other in context.others(subject):
        same = [a.confusion == b.confusion for a, b in zip(record.steps, other.record.steps, strict=False)]
        if other.record.seed != record.seed and any(same) and _varied(record):
            yield Fault(f"its matrices are those of {other.path}, which has seed {other.record.seed}")
            return


def _varied(record: Record) -> bool:
    """A model that calls everything one class, or makes no mistake, does so with every seed."""
    for step in record.steps:
        used = sum(map(any, zip(*step.confusion, strict=True)))
        right = sum(step.confusion[output][output] for output in range(len(step.confusion[0])))
        seen = sum(map(sum, step.confusion[: len(step.confusion[0])]))
        if used < 2 or right == seen:
            return False
    return True
