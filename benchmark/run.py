"""One run: a variant on a protocol and model with one seed, from the input a user gave to a record."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import torch
from tqdm import tqdm

from benchmark.base import BaseStore
from benchmark.data.dataset import open_dataset
from benchmark.data.disk import open_cache
from benchmark.data.scenario import plan_steps
from benchmark.errors import DataError, MethodError, ProtocolError
from benchmark.evaluate import ImageCounts
from benchmark.finding import Variant, find_method
from benchmark.method import StepView
from benchmark.pictures import PictureBook, handful
from benchmark.protocol import Protocol
from benchmark.protocols import load_protocol
from benchmark.record import Status, StepRecord
from benchmark.recording import Ending, Outcome, Run, RunSpec, record_path, write
from benchmark.runtime import start_runtime
from benchmark.steps import StepRunner, step_view
from benchmark.termlog import DivergedError, TermLog, open_board

_FRAMES = 4
_FOLDERS = re.compile(r"(?<![\w.])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\:'\"]+)+[/\\](?=[^\s/\\:'\"])")

__all__ = ["Outcome", "Run", "RunSpec", "check_fits", "execute", "resolve"]


def resolve(spec: RunSpec) -> Run:
    """Find the method, the protocol, the data and the device.

    Raises MethodError, ProtocolError or DataError, one sentence, for whatever does not exist or fit.
    """
    variant = find_method(spec.method, spec.params)
    protocol = load_protocol(spec.protocol, spec.model, spec.split)
    check_fits(variant, protocol)
    joint = load_protocol(protocol.joint, spec.model, spec.split) if protocol.joint else None
    runtime = start_runtime(spec.device, protocol.model, spec.seed)
    dataset = open_dataset(protocol.dataset, spec.data_root)
    dataset.cache = open_cache(dataset, spec.cache_bytes, spec.cache_dir)
    plan = plan_steps(protocol, dataset)
    decided = variant.method.resolved(step_view(protocol, plan, 0))
    return Run(spec, protocol, joint, variant, plan, runtime, decided)


def check_fits(variant: Variant, protocol: Protocol) -> None:
    """Raise MethodError for another method than the bound's on a joint protocol."""
    if protocol.joint is None and variant.text != protocol.joint_method:
        raise MethodError(
            f"method {variant.text!r} does not run on {protocol.id}: the joint bound is run with "
            f"{protocol.joint_method!r} alone"
        )


def execute(run: Run) -> Outcome:
    """Train and score every step and write the record, whatever happens.

    Out of memory, divergence and failures become the record's status; an interrupt is recorded, then raised.
    DataError and ProtocolError alone leave nothing behind: broken data, weights that are not there or an
    encoder that cannot be built say nothing about a method.
    """
    started = datetime.now(UTC)
    path = record_path(run, started)
    book = _picture_book(run, path)
    steps: list[StepRecord] = []
    images: list[ImageCounts] = []
    status: Status = "ok"
    error: str | None = None
    try:
        with _logs(run, path, book) as runner:
            carried = runner.start()
            for step in range(len(run.protocol.steps)):
                result = runner.run(step, carried)
                steps.append(result.record)
                images.append(result.images)
    except (DataError, ProtocolError):
        raise
    except KeyboardInterrupt:
        write(run, path, Ending(started, "interrupted", "interrupted by the user", steps, images))
        raise
    except Exception as failure:
        status, error = classify(failure), describe(failure)
    outcome = write(run, path, Ending(started, status, error, steps, images))
    if book is not None and steps:
        book.write(outcome.record)
    return outcome


def _picture_book(run: Run, record: Path) -> PictureBook | None:
    """Return where pictures of test images are gathered; None where none were asked for."""
    if run.spec.pictures is None or not run.runtime.accelerator.is_main_process:
        return None
    folder = run.spec.pictures / record.relative_to(run.spec.results).with_suffix("")
    return PictureBook(folder, run.protocol.row_names, handful(len(run.plan.test)))


def classify(failure: Exception) -> Status:
    """Return the status a failure is recorded with."""
    if isinstance(failure, DivergedError):
        return "diverged"
    out_of_memory = isinstance(failure, (torch.OutOfMemoryError, MemoryError))
    if out_of_memory or "can't allocate memory" in str(failure):
        return "oom"
    return "error"


def describe(failure: Exception) -> str:
    """Return type, message and innermost frames of a failure, without the folders of this machine."""
    message = _FOLDERS.sub("", str(failure))
    if isinstance(failure, (MethodError, DivergedError)):
        return message
    frames = traceback.extract_tb(failure.__traceback__)[-_FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return f"{type(failure).__name__}: {message} (at {' > '.join(places)})"


@contextmanager
def _logs(run: Run, record: Path, book: PictureBook | None = None) -> Iterator[StepRunner]:
    """Open the loss log and the progress bar, and yield the runner that writes to them."""
    path = run.spec.results / "logs" / record.relative_to(run.spec.results).with_suffix(".jsonl")
    board = open_board(run.spec.tensorboard)
    bar = tqdm(
        disable=run.spec.quiet, file=sys.stderr, unit="it", dynamic_ncols=True, mininterval=0.5, delay=0.5
    )
    last = len(run.protocol.steps) - 1

    @contextmanager
    def log(view: StepView) -> Iterator[TermLog]:
        bar.reset(total=view.iterations)
        bar.set_description(f"{run.variant.text} · {run.protocol.id} · step {view.index}/{last}")
        yield TermLog(view.index, bar, file, board)

    with ExitStack() as stack:
        if board is not None:
            stack.callback(board.close)
        stack.enter_context(_removed_on_bad_input(path))
        file = stack.enter_context(path.open("w", encoding="utf-8"))
        stack.enter_context(bar)
        stack.callback(bar.clear)  # tqdm leaves a bar it has just reset in the way of what is said next
        yield StepRunner(
            run.protocol,
            run.variant,
            run.plan,
            run.runtime,
            BaseStore(),
            log,
            on_scored=lambda images: bar.set_postfix_str("scoring"),
            workers=run.spec.workers,
            pictures=book,
        )


@contextmanager
def _removed_on_bad_input(log: Path) -> Iterator[None]:
    """Make the folder of ``log``; should the input prove bad, remove the file and what folders were made."""
    made = [folder for folder in log.parents if not folder.exists()]
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except (DataError, ProtocolError):
        log.unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):  # another run writes there by now
                folder.rmdir()
        raise
