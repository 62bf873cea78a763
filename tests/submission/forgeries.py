"""Forgeries by name: what each does to a true record, the rule that it breaks and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from forging import Content, Submitted, committed

from benchmark.record import read_record

Forge = Callable[[Submitted], None]


def top(**changes: Any) -> Forge:
    """Replace keys of the record."""
    return lambda record: record.edit(lambda content: content.update(changes))


def inside(*path: str | int, value: Any) -> Forge:
    """Replace one value, ``value`` of a function being applied to what is there."""

    def change(content: Content) -> None:
        at: Any = content
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value(at[path[-1]]) if callable(value) else value

    return lambda record: record.edit(change)


def steps(*path: str | int, value: Any) -> Forge:
    """Replace the same value in every step."""
    return lambda record: [inside("steps", step, *path, value=value)(record) for step in range(3)] and None


def both(*forges: Forge) -> Forge:
    return lambda record: [forge(record) for forge in forges] and None


def raw(old: str, new: str) -> Forge:
    """Replace text in the file, for what JSON's writer would not write."""

    def forge(record: Submitted) -> None:
        text = record.path.read_text(encoding="utf-8")
        assert old in text
        record.path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return forge


def cells(change: Callable[[dict[str, np.ndarray]], Any], sealed: bool = True) -> Forge:
    """Change the arrays by image, and have the record agree with their digest."""

    def forge(record: Submitted) -> None:
        arrays = record.arrays()
        change(arrays)
        record.pack(arrays, sealed)

    return forge


def move(row: int, column: int, to: tuple[int, int], step: int = 2) -> Callable[[Content], None]:
    """Move a pixel of the matrix to another cell."""

    def change(content: Content) -> None:
        matrix = content["steps"][step]["confusion"]
        matrix[row][column] -= 1
        matrix[to[0]][to[1]] += 1

    return change


def better(record: Submitted) -> None:
    """Call a mistake right, in the record and in the file by image alike; both sum to the same pixels."""
    record.edit(move(1, 0, (1, 1)))
    arrays = record.arrays()
    row, column, image = (arrays[f"step2_{key}"] for key in ("row", "column", "image"))
    wrong = int(np.flatnonzero((row == 1) & (column == 0))[0])
    right = np.flatnonzero((row == 1) & (column == 1) & (image == image[wrong]))[0]
    arrays["step2_count"][wrong] -= 1
    arrays["step2_count"][right] += 1
    record.pack(arrays)


def other_pixels(record: Submitted) -> None:
    """Move one pixel of class 2 to class 1 in every step, matrices and file by image alike."""
    arrays = record.arrays()
    for step in range(3):
        image, row, column, count = (arrays[f"step{step}_{k}"] for k in ("image", "row", "column", "count"))
        for n in np.flatnonzero((row == 2) & (count > 1)):
            twin = np.flatnonzero((image == image[n]) & (row == 1) & (column == column[n]))
            if twin.size:
                break
        count[n] -= 1
        count[twin[0]] += 1
        record.edit(move(2, int(column[n]), (1, int(column[n])), step))
    record.pack(arrays)


def swap_images(arrays: dict[str, np.ndarray]) -> None:
    """Say of two images what is true of each other: all sums stay."""
    for step in range(3):
        image = arrays[f"step{step}_image"]
        first, second = image == 0, image == 1
        image[first], image[second] = 1, 0


def rename_image(arrays: dict[str, np.ndarray]) -> None:
    arrays["names"] = np.array(["elsewhere", *arrays["names"][1:]])


def as_another_seed(record: Submitted) -> None:
    """Give another seed's matrices, file by image included, out as this one's."""
    other = committed("mib", 0)
    matrices = [step.confusion for step in read_record(other).steps]
    record.edit(
        lambda content: [s.update(confusion=m) for s, m in zip(content["steps"], matrices, strict=True)]
    )
    record.images.write_bytes(other.with_suffix(".npz").read_bytes())
    record.edit(lambda content: content.update(images_digest=read_record(other).images_digest))


def twice(record: Submitted) -> None:
    again = record.path.with_name(f"again-{record.path.name}")
    again.write_bytes(record.path.read_bytes())
    again.with_suffix(".npz").write_bytes(record.images.read_bytes())


def elsewhere(record: Submitted) -> None:
    folder = record.folder / "voc-15-1-overlapped" / "vit-large"
    folder.mkdir(parents=True)
    for path in (record.path, record.images):
        path.rename(folder / path.name)


def truncate(record: Submitted) -> None:
    record.path.write_bytes(record.path.read_bytes()[:5000])


def halve(value: float) -> float:
    return value // 2 if isinstance(value, int) else value / 2


FORGED: dict[str, tuple[str, Forge, str]] = {
    "truncated": ("schema", truncate, "is not JSON"),
    "NaN": ("schema", raw('"epochs"', '"epochs": NaN, "x"'), "it holds NaN"),
    "schema version": ("schema", top(schema=2), "schema version 2; expected 1"),
    "negative": ("schema", inside("steps", 0, "images", value=-1), "steps.0.images"),
    "unknown key": ("schema", top(rank=1), "rank"),
    "infinite loss": ("finite", inside("steps", 1, "losses", value={"x": [1e308] * 9}), ""),
    "steps missing": ("parts", inside("steps", value=lambda s: s[:2]), "it has 2 steps with status 'ok'"),
    "beyond 64 bits": ("parts", inside("steps", 0, "state_bytes", value=2**70), "beyond"),
    "reversed text": ("text", top(error="\u202efine", status="error"), "U+202E"),
    "endless text": ("text", top(error="x" * 30_000, status="error"), "30000 characters"),
    "ok with an error": ("status", top(error="late"), "the status is 'ok', but it has an error: 'late'"),
    "failed without one": ("status", top(status="diverged"), "'diverged', but it has no error"),
    "wrong folder": ("place", elsewhere, "lies in voc-15-1-overlapped/vit-large"),
    "protocol digest": ("protocol", top(protocol_digest="0" * 64), "protocol_digest is 0000"),
    "unknown protocol": ("protocol", top(protocol="shapes-9-9-overlapped"), "there is no protocol"),
    "a path for a model": ("protocol", top(model="../../etc/x.toml"), "there is no protocol"),
    "epochs": ("protocol", top(epochs=80), "epochs is 80"),
    "class names": ("protocol", inside("classes", 0, value="cow"), "classes is ('cow'"),
    "joint bound": ("protocol", top(joint_digest="0" * 64), "joint_digest is '000"),
    "precision": ("protocol", inside("environment", "precision", value="bf16"), "precision is 'bf16'"),
    "other method": ("variant", top(variant="plop"), "is one of 'plop'; the method is 'mib'"),
    "other parameters": ("variant", top(variant="mib:distillation=3"), "params say 10.0"),
    "other command": ("command", top(command="rm -r results"), "expected cssbench run"),
    "other seed": ("command", top(seed=7), "--seed '2'; the record is of '7'"),
    "dirty": ("commit", top(dirty=True), "uncommitted changes"),
    "dirt unknown": ("commit", top(dirty=None), "not known"),
    "unknown commit": ("commit", top(commit="0" * 40), "not one this checkout comes from"),
    "no commit": ("commit", top(commit=None), "names no commit"),
    "source": ("source", top(source_digest="1" * 64), "source_digest is 1111"),
    "no such method": ("source", top(method="best", variant="best"), "no adapter of a method 'best'"),
    "time": ("when", top(finished="2020-01-01T00:00:00+00:00"), "before it started"),
    "no zone": ("when", top(finished="2026-11-20T23:00:00"), "no time with a zone"),
    "the future": ("when", top(finished="2999-01-01T00:00:00+00:00"), "has not come yet"),
    "too quick": ("when", inside("steps", 1, "seconds", "train", value=500.0), "its phases took"),
    "twice": ("duplicate", twice, "is a record of the same run: seed 2"),
    "a copy": ("copy", as_another_seed, "which has seed 0"),
    "no file": ("image file", lambda record: record.images.unlink(), "cannot be read"),
    "file not named": ("image file", top(images_file=None), "images_file is None"),
    "file elsewhere": ("image file", top(images_file="../x.npz"), "images_file is '../x.npz'"),
    "file digest": ("image file", top(images_digest="2" * 64), "images_digest is 2222"),
    "file changed": (
        "image file",
        cells(lambda a: a["step0_count"].__iadd__(1), sealed=False),
        "images_digest",
    ),
    "matrix alone": ("image sums", lambda r: r.edit(move(1, 0, (1, 1))), "step 2: the images sum to another"),
    "pixels": ("pixels", other_pixels, "row 1 has"),
    "another test set": ("pixels", lambda r: r.edit(move(2, 0, (1, 0))), "scored on different pixels"),
    "images swapped": ("test images", cells(swap_images), "has other pixels than in"),
    "image renamed": ("test images", cells(rename_image), "elsewhere"),
    "fewer images": ("trained images", inside("steps", 1, "images", value=300), "trains on 300 images"),
    "iterations": ("trained images", inside("steps", 1, "iterations", value=9999), "has 9999 iterations"),
    "trainable": (
        "parameters",
        inside("steps", 2, "parameters", "trainable", value=10**7),
        "trains 10000000",
    ),
    "deployed": ("parameters", inside("steps", 2, "parameters", "deployed", value=10**7), "ships 10000000"),
    "ships nothing": (
        "parameters",
        inside("steps", 2, "parameters", "deployed", value=0),
        "ships 0 parameters",
    ),
    "checkpoint": ("parameters", inside("steps", 2, "checkpoint_bytes", value=12), "in 12 bytes"),
    "FLOPs": (
        "compute",
        inside("steps", 2, "compute", "train_flops", value=halve),
        "the parts of train_flops",
    ),
    "no MACs": ("compute", inside("steps", 2, "compute", "inference_macs", value=None), "has no count"),
    "too few FLOPs": (
        "compute",
        inside(
            "steps", 2, "compute", value=lambda c: c | {"train_flops": 9, "train_flops_by_part": {"a": 9}}
        ),
        "an iteration has 9 FLOPs",
    ),
    "loss left out": ("losses", inside("steps", 1, "losses", value={}), "has no loss term"),
    "loss too short": (
        "losses",
        inside("steps", 1, "losses", value={"x": [1.0]}),
        "has 1 values; expected 10",
    ),
    "loss never there": ("losses", inside("steps", 1, "losses", value={"x": [None] * 10}), "was never there"),
    "untimed": ("seconds", inside("steps", 1, "seconds", "timed_iterations", value=9), "accounts for 12"),
    "no time": ("seconds", inside("steps", 1, "seconds", "train", value=0.0), "timed iterations took 0.0 s"),
    "unscored": ("seconds", inside("steps", 1, "seconds", "evaluate", value=0.0), "scoring took 0.0 s"),
    "no latency": ("seconds", inside("steps", 1, "latency_seconds", value=0.0), "an image took 0.0 s"),
    "a base too late": ("seconds", inside("steps", 2, "base", value="0" * 64), "from a stored base"),
    "no memory": (
        "memory",
        inside(
            "steps",
            1,
            "peak_bytes",
            "train",
            value=lambda p: p | {"live_tensors": 1000, "parts": {"a": 1000}},
        ),
        "the peak is 1000 bytes",
    ),
    "memory's parts": (
        "memory",
        inside("steps", 1, "peak_bytes", "train", "live_tensors", value=halve),
        "parts sum to",
    ),
    "a GPU's memory": (
        "memory",
        inside("steps", 1, "peak_bytes", "train", "cuda_allocated", value=5),
        "a run on a CPU has bytes of a GPU",
    ),
    "memory without parts": (
        "memory",
        inside("steps", 1, "peak_bytes", "train", "parts", value={}),
        "parts sum to 0 bytes",
    ),
    "a phase too few": (
        "memory",
        inside("steps", 1, "peak_bytes", value=lambda p: {k: v for k, v in p.items() if k != "evaluate"}),
        "differing: evaluate",
    ),
    "a phase too many": (
        "memory",
        inside("steps", 1, "peak_bytes", value=lambda p: p | {"rest": p["prepare"]}),
        "differing: rest",
    ),
    "machine": (
        "environment",
        inside("environment", "gpu", value="H200"),
        "the device is 'cpu', the GPU 'H200'",
    ),
    "threads": ("environment", inside("environment", "threads", value=10**9), "with 1000000000 threads"),
    "no versions": ("environment", inside("environment", "packages", value={}), "no version of timm, torch"),
    "impossible speed": ("speed", steps("seconds", "train", value=1e-6), "expected up to 5e+14"),
    "unlikely speed": (
        "speed",
        steps("seconds", "train", value=lambda s: s / 100),
        "other runs on this hardware",
    ),
    "impossible latency": ("speed", inside("steps", 2, "latency_seconds", value=1e-9), "inference ran at"),
    "power": ("speed", inside("steps", 2, "energy_joules", value=1e9), "drew"),
    "time beside reference": (
        "beside reference",
        both(
            steps("seconds", "train", value=lambda s: s * 100),
            top(started="2026-11-20T10:00:00+00:00"),
        ),
        "seconds of an iteration are",
    ),
    "memory beside reference": (
        "beside reference",
        steps(
            "peak_bytes",
            "train",
            value=lambda p: (
                p | {"live_tensors": p["live_tensors"] * 50, "parts": {"a": p["live_tensors"] * 50}}
            ),
        ),
        "peak bytes of training are",
    ),
    "size beside reference": (
        "beside reference",
        steps("parameters", "total", value=lambda n: n * 1000),
        "parameters are",
    ),
    "MACs in thousands": (
        "beside reference",
        both(
            *(steps("compute", f"{key}_macs", value=lambda n: n // 1000) for key in ("inference", "forward"))
        ),
        "multiply-adds of inference are",
    ),
}
