"""Time each loss term, forward and backward, against the plain loop over classes one would write first.

    python benchmarks/losses.py                      # at the size the targets are stated for: 3 minutes
    python benchmarks/losses.py --channels 512 --features 16 --image 256 --classes 21 --repeats 10

Both versions of a term run in turn in one process; the medians are printed with their ratio, after their
values were found equal. Feature terms take features (B, D, h, h) and labels (B, H, H); logits terms take
logits (B, C, S, S), where S is ``--logits``, with two thirds of the classes old.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import losses

Term = Callable[[Tensor], Tensor]


class Contest(NamedTuple):
    """A term, its plain version and the student's tensor both are given."""

    name: str
    ours: Term
    plain: Term
    student: Tensor


def main() -> None:
    options = _options()
    torch.manual_seed(0)
    setting = f"{options.device}, {torch.get_num_threads()} CPU threads"
    print(f"{setting}: forward + backward, median of {options.repeats}")
    print(f"{'classes':>7}  {'term':<26}{'term ms':>9}{'plain ms':>10}{'ratio':>7}")
    for classes in options.classes:
        for contest in (*_feature_contests(options, classes), *_logits_contests(options, classes)):
            ours, plain = _race(contest, options.repeats)
            print(
                f"{classes:>7}  {contest.name:<26}{ours:>9.1f}{plain:>10.1f}{plain / ours:>7.1f}", flush=True
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--channels", type=int, default=2048)
    parser.add_argument("--features", type=int, default=32, help="side of the feature map")
    parser.add_argument("--image", type=int, default=512, help="side of the labels of feature terms")
    parser.add_argument("--logits", type=int, default=128, help="side of the logits and their labels")
    parser.add_argument("--classes", type=int, nargs="+", default=[21, 151], help="with background")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def _race(contest: Contest, repeats: int) -> tuple[float, float]:
    """Return the median milliseconds of the term and of its plain version, run in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    values = [0.0, 0.0]
    for _ in range(repeats):
        for side, term in enumerate((contest.ours, contest.plain)):
            contest.student.grad = None
            start = _now(contest.student)
            value = term(contest.student)
            value.backward()
            times[side].append(_now(contest.student) - start)
            values[side] = value.item()
    if not math.isclose(*values, rel_tol=1e-3):
        raise AssertionError(f"{contest.name}: {values[0]} is not the plain version's {values[1]}")
    return statistics.median(times[0]), statistics.median(times[1])


def _now(tensor: Tensor) -> float:
    if tensor.is_cuda:
        torch.cuda.synchronize()
    return 1000 * time.perf_counter()


def _blocks(batch: int, side: int, classes: int) -> Tensor:
    """Return labels of square regions, a tenth of them ignored, every class in most batches."""
    coarse = torch.randint(0, classes, (batch, 16, 16))
    coarse[torch.rand(coarse.shape) < 0.1] = 255
    return losses.nearest_labels(coarse, (side, side))


def _feature_contests(options: argparse.Namespace, classes: int) -> list[Contest]:
    shape = (options.batch, options.channels, options.features, options.features)
    student = torch.rand(shape, device=options.device).requires_grad_()
    teacher = torch.rand(shape, device=options.device)
    labels = _blocks(options.batch, options.image, classes).to(options.device)
    prototypes = torch.rand(classes, options.channels, device=options.device)

    def contest(name: str, ours: Term, plain: Term) -> Contest:
        return Contest(name, ours, plain, student)

    return [
        contest(
            "prototype_matching",
            lambda f: losses.prototype_matching(f, labels, prototypes),
            lambda f: plain_matching(f, labels, prototypes),
        ),
        contest(
            "attraction",
            lambda f: losses.attraction(f, labels, prototypes),
            lambda f: plain_attraction(f, labels, prototypes),
        ),
        contest(
            "repulsion", lambda f: losses.repulsion(f, labels, classes), lambda f: plain_repulsion(f, labels)
        ),
        contest(
            "sparsity", lambda f: losses.sparsity(f, labels, classes), lambda f: plain_sparsity(f, labels)
        ),
        contest(
            "local_pod",
            lambda f: losses.local_pod(f, teacher),
            lambda f: plain_local_pod(f, teacher, (1, 2, 4)),
        ),
    ]


def _logits_contests(options: argparse.Namespace, classes: int) -> list[Contest]:
    old = 2 * classes // 3
    shape = (options.batch, classes, options.logits, options.logits)
    student = torch.randn(shape, device=options.device).requires_grad_()
    teacher = torch.randn(shape, device=options.device)[:, :old]
    labels = _blocks(options.batch, options.logits, classes).to(options.device)

    def contest(name: str, ours: Term, plain: Term) -> Contest:
        return Contest(name, ours, plain, student)

    return [
        contest(
            "unbiased_cross_entropy",
            lambda z: losses.unbiased_cross_entropy(z, labels, old),
            lambda z: plain_unbiased_cross_entropy(z, labels, old),
        ),
        contest(
            "output_distillation",
            lambda z: losses.output_distillation(z, teacher),
            lambda z: plain_distillation(z[:, :old].softmax(1), teacher),
        ),
        contest(
            "unbiased_distillation",
            lambda z: losses.unbiased_distillation(z, teacher),
            lambda z: plain_unbiased_distillation(z, teacher),
        ),
        contest(
            "both unbiased terms",
            lambda z: sum(losses.unbiased_cross_entropy_and_distillation(z, labels, teacher)),
            lambda z: plain_unbiased_cross_entropy(z, labels, old) + plain_unbiased_distillation(z, teacher),
        ),
    ]


def present(features: Tensor, labels: Tensor) -> list[tuple[int, Tensor]]:
    """Return the classes of a batch, each with the features (n, D) of its pixels."""
    small = losses.nearest_labels(labels, (features.shape[2], features.shape[3]))
    rows = features.permute(0, 2, 3, 1)
    return [(c, rows[small == c]) for c in small.unique().tolist() if c != 255]


def plain_matching(features: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    old = [(c, rows) for c, rows in present(features, labels) if c > 0]
    return torch.stack([F.mse_loss(rows.mean(0), prototypes[c]) for c, rows in old]).mean()


def plain_attraction(features: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    terms = [F.mse_loss(rows, prototypes[c].expand_as(rows)) for c, rows in present(features, labels)]
    return torch.stack(terms).mean()


def plain_repulsion(features: Tensor, labels: Tensor) -> Tensor:
    means = torch.stack([rows.mean(0) for _, rows in present(features, labels)])
    distances = [(means[i] - means[:i]).square().sum(1).sqrt() for i in range(1, len(means))]
    return (1 / torch.cat(distances)).mean()


def plain_sparsity(features: Tensor, labels: Tensor) -> Tensor:
    ratios = []
    for _, rows in present(features, labels):
        scaled = rows / rows.max()
        ratios.append(scaled.exp().sum(1) / scaled.sum(1))
    return torch.cat(ratios).mean()


def plain_local_pod(features: Tensor, teacher: Tensor, scales: tuple[int, ...]) -> Tensor:
    def embedding(maps: Tensor) -> Tensor:
        parts = []
        for s in scales:
            h, w = maps.shape[2] // s, maps.shape[3] // s
            for i in range(s):
                for j in range(s):
                    cell = maps[:, :, i * h : (i + 1) * h, j * w : (j + 1) * w].square()
                    parts += [cell.mean(3).flatten(1), cell.mean(2).flatten(1)]
        return torch.cat(parts, 1)

    return (embedding(features) - embedding(teacher)).square().sum(1).sqrt().mean()


def plain_unbiased_cross_entropy(logits: Tensor, labels: Tensor, old: int) -> Tensor:
    p = logits.softmax(1)
    terms = [p[:, :old].sum(1)[labels < old].log().sum()]
    terms += [p[:, c][labels == c].log().sum() for c in range(old, logits.shape[1])]
    return -torch.stack(terms).sum() / (labels != 255).sum()


def plain_distillation(p: Tensor, teacher: Tensor) -> Tensor:
    q = teacher.softmax(1)
    return -torch.stack([(q[:, c] * p[:, c].log()).mean() for c in range(teacher.shape[1])]).mean()


def plain_unbiased_distillation(logits: Tensor, teacher: Tensor) -> Tensor:
    p, old = logits.softmax(1), teacher.shape[1]
    background = p[:, :1] + p[:, old:].sum(1, keepdim=True)
    return plain_distillation(torch.cat([background, p[:, 1:old]], 1), teacher)


if __name__ == "__main__":
    main()
