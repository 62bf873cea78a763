"""How long the site of many records takes, from nothing and after a change, and how much memory.

    python benchmarks/report.py [--records 10000] [--repeats 3] [--folder runs/report-benchmark]

Records are generated: MSRC-v2's classes in two steps, four boards, ten seeds a row, and beside each its
counts by test image (256 images). A build is the command ``cssbench report``, from its start to its end.
Figures are drawn before, so that the others find them as they would those of a site that was there. Every
page is written anew where templates change; before the full build the cache of records and draws is emptied,
too. The record that changes has the scores it had, so that no figure does.
Memory is the largest sum over the build's processes of what each holds, shared pages counted once (PSS).
Exit code 1 where a target is missed; they are for 10,000 records on two cores. Of repeats the median counts;
each is printed, as other work on the machine may make one half as long again as the next.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import image_factory  # noqa: E402
import numpy as np  # noqa: E402
import record_factory  # noqa: E402

from reports.known import digest_here  # noqa: E402
from reports.parallel import chunks, cpus, run_jobs  # noqa: E402

BOARDS = 4
SEEDS = 10
IMAGES = 256
SETTINGS = ("sequential", "disjoint", "overlapped")
BUILD = "from benchmark.cli import main; main()"
IDLE = 20
"""How many times longer than a look at memory took nothing is looked at: a look takes time from the build."""


@dataclass(frozen=True)
class Cost:
    """Wall and CPU time of a build, and the largest memory its processes held together."""

    seconds: float
    cpu_seconds: float
    mebibytes: float


@dataclass(frozen=True)
class Target:
    """What a build may cost; None where nothing is asked."""

    name: str
    seconds: float | None = None
    mebibytes: float | None = None

    def met(self, costs: Sequence[Cost]) -> bool:
        """Print repeats beside the target; return whether the median time and all memory keep to it."""
        middle = sorted(costs, key=lambda cost: cost.seconds)[len(costs) // 2]
        held = max(cost.mebibytes for cost in costs)
        late = self.seconds is not None and middle.seconds > self.seconds
        large = self.mebibytes is not None and held > self.mebibytes
        asked = f"target {self.seconds:g} s" if self.seconds else "no target"
        asked += f", {self.mebibytes:g} MiB" if self.mebibytes else ""
        verdict = "MISSED" if late or large else "met" if self.seconds else ""
        took = f"{middle.seconds:6.1f} s ({middle.cpu_seconds:5.1f} of CPU) {held:5.0f} MiB"
        each = ", ".join(f"{cost.seconds:.1f}" for cost in costs)
        print(f"{self.name:28} {took}   {asked:24} {verdict:7} {f'of {each} s' if len(costs) > 1 else ''}")
        return not (late or large)


def generate(results: Path, records: int) -> None:
    """Write the records of all boards with their counts by image."""
    rows = max(1, records // BOARDS // SEEDS)
    wanted = [(board, row) for board in range(BOARDS) for row in range(rows)]

    def write(some: list[tuple[int, int]]) -> None:
        for board, row in some:
            for seed in range(SEEDS):
                image_factory.write(record(board, row, seed), results, IMAGES)

    run_jobs([lambda some=some: write(some) for some in chunks(wanted, 25)])


def record(board: int, row: int, seed: int) -> record_factory.Record:
    """Return one run of a board: its methods in turn, their variants told apart by a hyper-parameter."""
    setting = SETTINGS[board % len(SETTINGS)]
    scenario = "16-5" if board < len(SETTINGS) else "11-10"
    sizes = tuple(int(size) for size in scenario.split("-"))
    place = replace(record_factory.MSRC_16_5, protocol=f"msrc-{scenario}-{setting}", step_sizes=sizes)
    methods = list(record_factory.TRAITS)
    params = {"strength": row // len(methods)} if row >= len(methods) else {}
    made = record_factory.make(methods[row % len(methods)], place, seed, params=params)
    made = replace(made, protocol_digest=digest_here(made.protocol, made.model, made.split) or "")
    steps = tuple(timed(step, SEEDS * row + seed) for step in made.steps)
    return replace(made, steps=steps, started=f"2026-11-03T10:{seed:02d}:00+00:00")


def timed(step: record_factory.StepRecord, seed: int) -> record_factory.StepRecord:
    """Return a step whose times are its own, as those of no two real runs are alike."""
    random = np.random.default_rng([seed, step.index])
    whole = ("timed_iterations", "instrumented_iterations")
    seconds = {k: v if k in whole else v * random.normal(1, 0.02) for k, v in vars(step.seconds).items()}
    latency = (step.latency_seconds or 0) * random.normal(1, 0.02)
    return replace(step, seconds=replace(step.seconds, **seconds), latency_seconds=latency)


def build(results: Path, out: Path) -> Cost:
    """Build the site in a process of its own and watch what it holds."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment["CSSBENCH_CACHE"] = str(out.parent / "cache")
    began, peak, before = time.perf_counter(), 0.0, cpu_seconds()
    command = [sys.executable, "-c", BUILD, "report", "--results", str(results), "--out", str(out)]
    with subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            looked = time.perf_counter()
            peak = max(peak, held_mebibytes(process.pid))
            time.sleep(IDLE * (time.perf_counter() - looked))
        seconds = time.perf_counter() - began
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(seconds, cpu_seconds() - before, peak)


def cpu_seconds() -> float:
    """Return the CPU time of all processes this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def held_mebibytes(session: int) -> float:
    """Return what the processes of a session hold in memory, pages they share counted once (Linux)."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) != session:
                continue
            lines = (folder / "smaps_rollup").read_text().splitlines()
        except (OSError, ValueError, IndexError):  # it ended while it was looked at
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def only_figures(former: Path, out: Path) -> None:
    """Make a site of another's figures and the list of them.

    In a new folder: where thousands of files were deleted a moment ago, ext4 may take several times as long
    to make a new one.
    """
    listing = json.loads((former / "site.json").read_text())
    drawn = [f"{path}.{ending}" for path in listing["figures"] for ending in ("svg", "png")]
    for path in drawn:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (former / path).rename(out / path)
    files = {path: listing["files"][path] for path in drawn}
    (out / "site.json").write_text(json.dumps({"files": files, "figures": listing["figures"]}))


def change_one(results: Path, commit: str) -> None:
    """Write one record anew, as a repeated run would."""
    image_factory.write(replace(record(0, 0, 0), commit=commit), results, IMAGES)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/report-benchmark"), help="emptied at first")
    parser.add_argument("--repeats", type=int, default=3, help="of the builds that have a target")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    results, first = options.folder / "results", options.folder / "first"
    generate(results, options.records)
    count = sum(1 for _ in results.rglob("*.json"))
    load = os.getloadavg()[0]
    print(f"{count} records with counts by image, {BOARDS} boards; {cpus()} CPUs, load {load:.1f} before")
    met = [Target("figures drawn, nothing kept").met([build(results, first)])]
    again = options.folder / "again"
    only_figures(first, again)
    met.append(Target("every page, records known").met([build(results, again)]))
    full, still, changed, former = [], [], [], again
    for nth in range(options.repeats):
        out = options.folder / f"site-{nth}"
        only_figures(former, out)
        shutil.rmtree(options.folder / "cache")
        full.append(build(results, out))
        still.append(build(results, out))
        change_one(results, f"another-{nth}")
        changed.append(build(results, out))
        former = out
    met.append(Target("full site, figures kept", 20, 1024).met(full))
    met.append(Target("nothing changed", 3, 1024).met(still))
    met.append(Target("one record changed", 3, 1024).met(changed))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
