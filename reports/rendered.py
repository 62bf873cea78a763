"""Sample pictures of datasets whose images the project makes itself, which alone it may show unasked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmark.data.dataset import dataset_class
from benchmark.errors import BenchError
from reports.pages import Site
from reports.palette import image_png, label_png
from reports.runs import slug

SAMPLES = 6


class Sample(NamedTuple):
    """A test image of a dataset that the project renders, and its label map."""

    image: str
    label: str
    alt: str


def rendered(dataset: str) -> bool:
    """Whether the project makes a dataset's images itself, and so may show them."""
    try:
        dataset_class(dataset)(None)
    except BenchError:
        return False
    return True


def write_samples(site: Site, name: str, split: str, classes: Sequence[str]) -> tuple[Sample, ...]:
    """Write the first test images of a dataset that the project renders; none of any other dataset."""
    if not rendered(name):
        return ()
    dataset = dataset_class(name)(None)
    samples = []
    for identity in dataset.ids(split)[:SAMPLES]:
        stem, label = f"samples/{slug(identity, name, identity)}", dataset.label(identity)
        names = [classes[k - 1] for k in sorted({*label.flat} - {0, 255})]
        site.output.write(f"{stem}-image.png", image_png(dataset.image(identity)))
        site.output.write(f"{stem}-label.png", label_png(label))
        samples.append(Sample(f"{stem}-image.png", f"{stem}-label.png", f"{identity}: {', '.join(names)}"))
    return tuple(samples)
