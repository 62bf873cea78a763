"""Every loss term a second time, pixel by pixel on nested lists of Python floats, straight from the formulas.

Shares nothing with the package: no torch, no helper. Maps are [image][channel][row][column], labels
[image][row][column]; an array of one level less is a matrix. All functions return a float.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

Labels = list[list[list[int]]]
Map = list[list[list[list[float]]]]
Matrix = list[list[float]]
IGNORE = 255


def pixels(maps: Map) -> Iterator[tuple[int, int, int, list[float]]]:
    """Yield image, row, column and the vector of channels of every pixel."""
    for b, channels in enumerate(maps):
        for i in range(len(channels[0])):
            for j in range(len(channels[0][0])):
                yield b, i, j, [channel[i][j] for channel in channels]


def average(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def softmax(z: list[float]) -> list[float]:
    top = max(z)
    e = [math.exp(x - top) for x in z]
    return [x / math.fsum(e) for x in e]


def shrink(labels: Labels, maps: Map) -> Labels:
    """Nearest neighbour, source index floor(i H / h)."""
    h, w = len(maps[0][0]), len(maps[0][0][0])
    return [
        [[image[i * len(image) // h][j * len(image[0]) // w] for j in range(w)] for i in range(h)]
        for image in labels
    ]


def cross_entropy(z: Map, y: Labels) -> float:
    return average([-math.log(softmax(v)[y[b][i][j]]) for b, i, j, v in pixels(z) if y[b][i][j] != IGNORE])


def unbiased_cross_entropy(z: Map, y: Labels, old: int) -> float:
    losses = []
    for b, i, j, v in pixels(z):
        label, p = y[b][i][j], softmax(v)
        if label != IGNORE:
            losses.append(-math.log(math.fsum(p[:old]) if label < old else p[label]))
    return average(losses)


def _chosen(losses: dict[tuple[int, int, int], float], mask: Labels | None) -> float:
    return average([x for (b, i, j), x in losses.items() if mask is None or mask[b][i][j]])


def output_distillation(z: Map, previous: Map, mask: Labels | None = None) -> float:
    old, losses = len(previous[0]), {}
    for (b, i, j, v), (*_, u) in zip(pixels(z), pixels(previous), strict=True):
        p, q = softmax(v[:old]), softmax(u)
        losses[b, i, j] = -average([q[c] * math.log(p[c]) for c in range(old)])
    return _chosen(losses, mask)


def unbiased_distillation(z: Map, previous: Map, mask: Labels | None = None) -> float:
    old, losses = len(previous[0]), {}
    for (b, i, j, v), (*_, u) in zip(pixels(z), pixels(previous), strict=True):
        p, q = softmax(v), softmax(u)
        seen = [p[0] + math.fsum(p[old:]), *p[1:old]]
        losses[b, i, j] = -average([q[c] * math.log(seen[c]) for c in range(old)])
    return _chosen(losses, mask)


def entropy_weighted_distillation(z: Map, previous: Map, mask: Labels | None = None) -> float:
    losses = {}
    for (b, i, j, v), (*_, u) in zip(pixels(z), pixels(previous), strict=True):
        p, q = softmax(v), softmax(u)
        bits = -math.fsum(x * math.log2(x) for x in q)
        losses[b, i, j] = -(1 + bits) * math.fsum(x * math.log(p[c]) for c, x in enumerate(q))
    return _chosen(losses, mask)


def sigmoid_distillation(z: Map, previous: Map | None, y: Labels) -> float:
    losses = []
    for b, i, j, v in pixels(z):
        if y[b][i][j] == IGNORE:
            continue
        taught = [] if previous is None else [1 / (1 + math.exp(-c[i][j])) for c in previous[b]]
        wanted = taught + [float(y[b][i][j] == c) for c in range(len(taught), len(v))]
        p = [1 / (1 + math.exp(-x)) for x in v]
        losses.append(
            -math.fsum(t * math.log(q) + (1 - t) * math.log(1 - q) for t, q in zip(wanted, p, strict=True))
        )
    return average(losses)


def feature_distillation(f: Map, previous: Map, mask: Labels | None = None) -> float:
    inside = None if mask is None else shrink(mask, f)
    losses = {}
    for (b, i, j, v), (*_, u) in zip(pixels(f), pixels(previous), strict=True):
        losses[b, i, j] = average([(x - t) ** 2 for x, t in zip(v, u, strict=True)])
    return _chosen(losses, inside)


def _gram(f: Map) -> Matrix:
    flat = [[x for channel in image for row in channel for x in row] for image in f]
    gram = [[math.fsum(x * y for x, y in zip(a, b, strict=True)) for b in flat] for a in flat]
    lengths = [math.sqrt(math.fsum(x * x for x in row)) or 1.0 for row in gram]
    return [[x / length for x in row] for row, length in zip(gram, lengths, strict=True)]


def similarity_distillation(f: Map, previous: Map) -> float:
    pairs = zip(_gram(f), _gram(previous), strict=True)
    return average([(x - y) ** 2 for a, b in pairs for x, y in zip(a, b, strict=True)])


def by_class(f: Map, y: Labels) -> dict[int, list[list[float]]]:
    """Return the feature vectors of each class present, 255 left out."""
    small, found = shrink(y, f), {}
    for b, i, j, v in pixels(f):
        if small[b][i][j] != IGNORE:
            found.setdefault(small[b][i][j], []).append(v)
    return found


def centroids(f: Map, y: Labels) -> dict[int, list[float]]:
    return {c: [average(list(x)) for x in zip(*vs, strict=True)] for c, vs in by_class(f, y).items()}


def squared(a: list[float], b: list[float]) -> float:
    return math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def prototype_matching(f: Map, y: Labels, prototypes: Matrix) -> float:
    old = {c: m for c, m in centroids(f, y).items() if 0 < c < len(prototypes)}
    return average([squared(m, prototypes[c]) / len(m) for c, m in old.items()])


def attraction(f: Map, y: Labels, prototypes: Matrix) -> float:
    present = {c: vs for c, vs in by_class(f, y).items() if c < len(prototypes)}
    return average([average([squared(v, prototypes[c]) / len(v) for v in vs]) for c, vs in present.items()])


def repulsion(f: Map, y: Labels) -> float:
    means = centroids(f, y)
    pairs = [(means[a], means[b]) for a in means for b in means if a != b and means[a] != means[b]]
    return average([1 / math.sqrt(squared(a, b)) for a, b in pairs])


def sparsity(f: Map, y: Labels) -> float:
    losses = []
    for vectors in by_class(f, y).values():
        top = max(max(v) for v in vectors)
        for v in vectors:
            if top > 0 and math.fsum(v) > 0:
                scaled = [x / top for x in v]
                losses.append(math.fsum(map(math.exp, scaled)) / math.fsum(scaled))
    return average(losses)


def local_pod(f: Map, previous: Map, scales: tuple[int, ...], square: bool) -> float:
    def embedding(channels: list[Matrix]) -> list[float]:
        values = []
        for s in scales:
            h, w = len(channels[0]) // s, len(channels[0][0]) // s
            for channel in channels if h and w else []:
                for a in range(s):
                    for b in range(s):
                        cell = [row[b * w : (b + 1) * w] for row in channel[a * h : (a + 1) * h]]
                        cell = [[x * x if square else x for x in row] for row in cell]
                        values += [average(row) for row in cell]
                        values += [average(list(column)) for column in zip(*cell, strict=True)]
        return values

    pairs = zip(f, previous, strict=True)
    return average([math.sqrt(squared(embedding(a), embedding(b))) for a, b in pairs])


def normalised_entropy(z: list[float]) -> float:
    return -math.fsum(p * math.log(p) for p in softmax(z)) / math.log(len(z))


def pseudo_label_cross_entropy(z: Map, previous: Map, y: Labels, thresholds: list[float] | None) -> float:
    losses = []
    for student, teacher, labels in zip(z, previous, y, strict=True):
        total, kept, background = 0.0, 0, 0
        for (_, i, j, v), (*_, u) in zip(pixels([student]), pixels([teacher]), strict=True):
            label = labels[i][j]
            if label == 0:
                background += 1
                label = u.index(max(u))
                if thresholds is not None and not normalised_entropy(u) < thresholds[label]:
                    continue
                kept += 1
            if label != IGNORE:
                total -= math.log(softmax(v)[label])
        share = kept / background if background else 1.0
        losses.append(share * total / (len(labels) * len(labels[0])))
    return average(losses)
