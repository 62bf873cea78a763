"""Jobs shared among forked processes. A job is any function: it is inherited, its result is sent back."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from benchmark.allocator import keep_freed_memory

Result = TypeVar("Result")
_jobs: Sequence[Callable[[], Any]] = ()


def run_jobs(jobs: Sequence[Callable[[], Result]], processes: int | None = None) -> list[Result]:
    """Return the results of ``jobs`` in their order. The first error of a job is raised here.

    ``processes``: how many to use (None: one for each CPU this process may use). One process, or a system
    that cannot fork, runs the jobs here. Results must be picklable; what a job changes is lost.
    """
    count = min(len(jobs), processes or cpus())
    if count < 2 or "fork" not in multiprocessing.get_all_start_methods():
        return [job() for job in jobs]
    global _jobs  # noqa: PLW0603  # forked processes find their jobs here, whatever those hold on to
    _jobs = jobs
    frozen = gc.get_freeze_count()
    gc.freeze()  # a collection in a fork would touch, and so copy, every object it inherited
    try:
        with multiprocessing.get_context("fork").Pool(count, initializer=_start) as pool:
            return pool.map(_run, range(len(jobs)), chunksize=1)
    finally:
        _jobs = ()
        if not frozen:
            gc.unfreeze()


def _start() -> None:
    """Keep numpy to one thread, as processes would fight over more, and have it use its memory again."""
    threadpool_limits(1)
    keep_freed_memory()


def _run(index: int) -> Any:
    return _jobs[index]()


def cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chunks(items: Sequence[Result], size: int) -> list[Sequence[Result]]:
    """Return ``items`` cut into runs of ``size``."""
    return [items[i : i + size] for i in range(0, len(items), size)]
