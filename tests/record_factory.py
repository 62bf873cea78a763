"""Records as a real run would leave them, made up from a few traits of a method. For tests of the report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from benchmark.record import (
    Compute,
    Environment,
    Parameters,
    PeakBytes,
    Record,
    Seconds,
    StepRecord,
    write_record,
)

Setting = Literal["sequential", "disjoint", "overlapped"]
SHAPES = ("disc", "square", "triangle", "star", "ring", "cross", "crescent", "hexagon")
# fmt: off
MSRC = (
    "building", "grass", "tree", "cow", "sheep", "sky", "aeroplane", "water", "face", "car", "bicycle",
    "flower", "sign", "bird", "book", "chair", "road", "cat", "dog", "body", "boat",
)
VOC = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining-table",
    "dog", "horse", "motorbike", "person", "potted-plant", "sheep", "sofa", "train", "tv-monitor",
)
# fmt: on


@dataclass(frozen=True)
class Traits:
    """``keeps``: share of a class's recall left after each later step; ``learns``: recall when learnt."""

    keeps: float
    learns: float = 0.62
    trainable: float = 1.0
    teacher: bool = False
    speed: float = 1.0
    memory: float = 1.0
    state_bytes: int = 0


TRAITS = {
    "fine_tune": Traits(keeps=0.12),
    "ilt": Traits(keeps=0.55, learns=0.5, teacher=True, speed=1.3, memory=1.2),
    "mib": Traits(keeps=0.74, learns=0.55, teacher=True, speed=1.28, memory=1.18),
    "plop": Traits(keeps=0.81, learns=0.53, teacher=True, speed=1.55, memory=1.4),
    "sdr": Traits(keeps=0.79, learns=0.55, teacher=True, speed=1.4, memory=1.24, state_bytes=18_432),
    "clora": Traits(keeps=0.78, learns=0.52, trainable=0.03, teacher=True, speed=0.86, memory=0.78),
    "ewc": Traits(keeps=0.3, learns=0.5, speed=1.1, memory=1.5, state_bytes=9_400_000),
}
CPU = Environment(
    "cpu",
    "AMD EPYC 7543",
    None,
    2,
    "fp32",
    "Linux-6.1-x86_64",
    "3.11.9",
    None,
    {"torch": "2.11.0", "timm": "1.0.31"},
)
H100 = replace(CPU, device="cuda", gpu="NVIDIA H100 80GB HBM3", precision="bf16", cuda="12.8", threads=16)
A100 = replace(H100, gpu="NVIDIA A100-SXM4-40GB")


@dataclass(frozen=True)
class Place:
    """A protocol, a model and its sizes."""

    protocol: str
    step_sizes: tuple[int, ...]
    classes: tuple[str, ...]
    background: bool
    model: str
    image_size: int
    parameters: int
    macs: int
    joint: str | None
    version: int = 1

    @property
    def digest(self) -> str:
        return sha(f"{self.protocol}/{self.model}/{self.version}")

    def joint_place(self) -> Place:
        assert self.joint is not None
        return replace(self, protocol=self.joint, step_sizes=(len(self.classes),), joint=None)


SHAPES_4_2 = Place(
    "shapes-4-2-overlapped",
    (4, 2, 2),
    SHAPES,
    True,
    "cnn-small-cpu",
    96,
    2_860_000,
    1_210_000_000,
    "shapes-joint",
)
MSRC_16_5 = Place(
    "msrc-16-5-overlapped", (16, 5), MSRC, False, "vit-small-cpu", 128, 7_450_000, 3_900_000_000, "msrc-joint"
)
MSRC_11_1 = replace(MSRC_16_5, protocol="msrc-11-1-disjoint", step_sizes=(11, *[1] * 10))
VOC_15_1 = Place(
    "voc-15-1-overlapped",
    (15, *[1] * 5),
    VOC,
    True,
    "vit-large",
    512,
    305_170_000,
    397_100_000_000,
    "voc-joint",
)
VOC_13_1 = replace(VOC_15_1, protocol="voc-13-1-overlapped", step_sizes=(13, *[1] * 7))


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make(
    method: str = "mib",
    place: Place = SHAPES_4_2,
    seed: int = 0,
    environment: Environment = CPU,
    params: dict[str, Any] | None = None,
    finished_steps: int | None = None,
    **changes: Any,
) -> Record:
    """One record; ``changes`` replace fields at the end. ``finished_steps``: fewer for a failed run."""
    traits = TRAITS.get(method, TRAITS["mib"])
    key = ",".join(f"{k}={v}" for k, v in sorted((params or {}).items()))
    variant = f"{method}:{key}" if key else method
    count = len(place.step_sizes) if finished_steps is None else finished_steps
    dataset, _, rest = place.protocol.partition("-")
    scenario, _, setting = rest.rpartition("-") if place.joint else (rest, "", "overlapped")
    record = Record(
        schema=1, status="ok", error=None, protocol=place.protocol, protocol_digest=place.digest,
        protocol_version=place.version, dataset=dataset, scenario=scenario, split="test",
        setting=cast(Setting, setting),
        joint_protocol=place.joint, joint_digest=place.joint_place().digest if place.joint else None,
        classes=place.classes, background=place.background, step_sizes=place.step_sizes, epochs=20,
        batch_size=8, image_size=place.image_size, model=place.model, method=method, variant=variant,
        pretrained="random" if place.model.endswith("cpu") else "samvit.sa1b", params=params or {},
        resolved=params or {}, source_digest=sha(f"source of {method}"), seed=seed, commit="6e5f6d8c0ffee",
        dirty=False, command=f"cssbench run --method {variant} --protocol {place.protocol} --seed {seed}",
        started="2026-11-03T10:00:00+00:00", finished=f"2026-11-03T11:{seed:02d}:00+00:00",
        environment=environment, steps=tuple(
            _step(t, place, traits, environment, _random(t, place, variant, seed)) for t in range(count)
        ),
    )  # fmt: skip
    return replace(record, **changes)


def _random(step: int, place: Place, variant: str, seed: int) -> np.random.Generator:
    """Step 0 is shared by the variants, as the harness shares it."""
    key = f"{place.protocol}/{place.model}/{seed}/{step}/{variant if step else ''}"
    return np.random.default_rng(int(sha(key)[:8], 16))


def _step(
    t: int, place: Place, traits: Traits, environment: Environment, random: np.random.Generator
) -> StepRecord:
    seen, before = sum(place.step_sizes[: t + 1]), sum(place.step_sizes[:t])
    share = traits.trainable if t else 1.0
    slow = 0.014 if environment.device == "cpu" else (0.02 if environment is H100 else 0.033)
    iterations = 20 * place.step_sizes[t]
    flops = int(place.macs * 8 * (6 - 2.5 * (share < 0.5) + 2 * (traits.teacher and t > 0)))
    per = slow * (traits.speed if t else 1.0) * float(random.normal(1, 0.02))
    return StepRecord(
        index=t,
        classes=tuple(range(before + 1, seen + 1)),
        images=24 * place.step_sizes[t],
        iterations=iterations,
        confusion=_confusion(t, place, traits, random),
        losses=_losses(traits.teacher and t > 0, random),
        parameters=Parameters(
            int(place.parameters * (1 + traits.trainable % 1 * 0.3)),
            int(place.parameters * share),
            place.parameters,
        ),
        compute=Compute(
            inference_macs=place.macs,
            forward_macs=int(place.macs * 1.013),
            train_flops=flops,
            uncounted={"aten::upsample_bilinear2d": 2},
        ),
        seconds=Seconds(0.1, 0.6, per * (iterations - 4), 0.001 * iterations, 0.05, 2.4, iterations - 4, 4),
        peak_bytes=_peaks(traits.memory if t else 1.0, place, environment),
        state_bytes=traits.state_bytes if t else 0,
        checkpoint_bytes=place.parameters * 4,
        latency_seconds=slow / 3,
        energy_joules=None if environment.device == "cpu" else per * iterations * 420,
        gpu_utilisation_percent=None if environment.device == "cpu" else 87.0,
        base=sha("base") if t == 0 else None,
    )


def _confusion(
    t: int, place: Place, traits: Traits, random: np.random.Generator
) -> tuple[tuple[int, ...], ...]:
    seen, rows = sum(place.step_sizes[: t + 1]), len(place.classes) + 1
    matrix = np.zeros((rows, seen + 1), dtype=np.int64)
    learnt = np.repeat(np.arange(len(place.step_sizes)), place.step_sizes)
    sizes = np.random.default_rng(7).lognormal(10, 0.6, rows) * (4 if place.background else 1)
    for row in range(0 if place.background else 1, rows):
        spread = random.dirichlet(np.full(seen + 1, 0.25))
        spread[0] += 1.2
        later = max(t - learnt[row - 1], 0) if row else 0
        learns = traits.learns if t or traits.trainable < 1 else 0.62
        recall = 0.93 if row == 0 else learns * traits.keeps ** (later * min(1, 3 / len(place.step_sizes)))
        recall = float(np.clip(recall * random.normal(1, 0.06), 0, 0.99)) if row <= seen else 0.0
        counts = sizes[row] * (1 - recall) * spread / spread.sum()
        matrix[row] = counts.astype(np.int64)
        if row <= seen:
            matrix[row, row] += int(sizes[row] * recall)
    return tuple(tuple(int(value) for value in row) for row in matrix)


def _losses(distils: bool, random: np.random.Generator) -> dict[str, tuple[float | None, ...]]:
    course = 2.2 * np.exp(-np.arange(10) / 4) + 0.25 + random.normal(0, 0.02, 10)
    terms: dict[str, tuple[float | None, ...]] = {"cross_entropy": tuple(float(round(v, 5)) for v in course)}
    return terms | ({"distillation": tuple(float(round(0.4 - v / 12, 5)) for v in course)} if distils else {})


def _peaks(factor: float, place: Place, environment: Environment) -> dict[str, PeakBytes]:
    base = int(place.parameters * 16 + place.macs * 0.05)
    phases = {"prepare": 0.4, "train": factor, "consolidate": 0.5, "evaluate": 0.45}
    if environment.device == "cpu":
        return {phase: PeakBytes(live_tensors=int(base * f)) for phase, f in phases.items()}
    return {
        phase: PeakBytes(None, int(base * f), int(base * f * 1.1), int(base * f * 1.1 + 5e8))
        for phase, f in phases.items()
    }


def study() -> Iterator[Record]:
    """Four boards: seeds, failures, two kinds of hardware, one step of each length, tuning runs."""
    for seed in range(3):
        for method in ("fine_tune", "ilt", "mib", "sdr", "clora"):
            yield make(method, SHAPES_4_2, seed)
        yield make("fine_tune", SHAPES_4_2.joint_place(), seed)
    yield make("mib", SHAPES_4_2, 0, params={"distillation": 100.0})
    yield failed(
        "ewc", SHAPES_4_2, "diverged", "loss term 'penalty' is not finite at step 1, iteration 12", 1
    )
    for method in TRAITS:
        yield make(method, MSRC_16_5)
        yield make(method, MSRC_11_1)
    yield make("clora", MSRC_16_5, params={"on": "plop", "rank": 16})
    yield make("fine_tune", MSRC_16_5.joint_place())
    for seed in range(2):
        for method in ("fine_tune", "mib", "sdr", "clora"):
            yield make(method, VOC_15_1, seed, environment=A100 if method == "sdr" else H100)
    yield make("fine_tune", VOC_15_1, 0, environment=A100, finished="2026-11-02T00:00:00+00:00")
    yield failed(
        "plop", VOC_15_1, "oom", "CUDA out of memory: tried to allocate 2.50 GiB", 0, environment=A100
    )
    yield make("mib", SHAPES_4_2, 0, split="validation", protocol_digest=sha("validation"))


def failed(method: str, place: Place, status: str, error: str, finished_steps: int, **changes: Any) -> Record:
    return make(method, place, finished_steps=finished_steps, status=status, error=error, **changes)


def write(record: Record, folder: Path, name: str | None = None) -> Path:
    """Write a record under the name a run would give it."""
    safe = record.variant.replace(":", "+").replace("/", "_")
    hardware = (record.environment.gpu or "cpu").split(" ")[-1]
    stem = name or f"{safe}-{hardware}-{record.split}-{record.source_digest[:6]}-s{record.seed}"
    path = folder / f"{record.protocol}" / f"{record.model}" / f"{stem}.json"
    write_record(record, path)
    return path


def write_study(folder: Path) -> list[Path]:
    return [write(record, folder) for record in study()]
