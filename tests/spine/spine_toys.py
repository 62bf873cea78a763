"""A whole run in two seconds: photographs that are none in MSRC's layout, a protocol and a model for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmark.data.datasets.msrc import CLASSES, IGNORED

HERE = Path(__file__).parent
FAMILY = HERE / "tiny.toml"
MODEL = str(HERE / "tiny-model.toml")
SIZE = (24, 32)
# Labels by image: every step of every setting finds images, and most show classes of other steps too.
TRAIN = ((1, 2), (2, 1), (1, 4), (4,), (2, 4), (3, 4), (3, 1), (2, 3))
VALIDATION = ((1, 2), (3, 4), (2,), (4, 1))
TEST = ((1, 2), (3, 4), (1, 3), (4, 2), (2, 5), (1, 4))
LISTS = {"Train": TRAIN, "Validation": VALIDATION, "Test": TEST}


def protocol_name(scenario: str = "2-1-overlapped") -> str:
    """The name of a tiny protocol, as a user gives it."""
    return f"{FAMILY}:{scenario}"


def label_of(labels: tuple[int, ...]) -> np.ndarray:
    """The label map of an image that shows ``labels``: one half each, and a band that is ignored."""
    label = np.full(SIZE, labels[0], dtype=np.uint8)
    label[:, SIZE[1] // 2 :] = labels[-1]
    label[:3] = 255
    return label


def make_msrc(root: Path) -> Path:
    """Write the images, label maps and lists; return ``root``, for ``--data-root``."""
    colours = {255: IGNORED["void"], **dict(enumerate(CLASSES.values(), start=1))}
    random = np.random.default_rng(0)
    for folder in ("Images", "GroundTruth"):
        (root / folder).mkdir(parents=True)
    for name, images in LISTS.items():
        names = [f"{name.lower()}{number}" for number in range(len(images))]
        (root / f"{name}.txt").write_text("\n".join(f"{stem}.bmp" for stem in names))
        for stem, labels in zip(names, images, strict=True):
            coloured = np.array([colours[value] for value in label_of(labels).flat], dtype=np.uint8)
            noise = random.integers(-30, 30, (*SIZE, 3))
            shown = (coloured.reshape(*SIZE, 3) + noise + 40).clip(0, 255).astype(np.uint8)
            Image.fromarray(shown).save(root / "Images" / f"{stem}.png")
            Image.fromarray(coloured.reshape(*SIZE, 3)).save(root / "GroundTruth" / f"{stem}_GT.png")
    return root


METHOD = '''
from dataclasses import dataclass, field
from typing import Annotated, Literal
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F
from benchmark.method import Method, ParamGroup, trainable
from benchmark.losses import cross_entropy

def ce(output, batch):
    return cross_entropy(output.logits, batch.target)

@dataclass(frozen=True)
class Toy(Method):
    """An adapter of a test."""
'''
LOSS = """
    def loss(self, model, output, previous_output, batch, step, state):
        return {"cross_entropy": ce(output, batch)}
"""


def write_method(folder: Path, body: str = "", name: str = "toy", loss: str = LOSS) -> Path:
    """Write an adapter whose class has ``body`` (indented by four) and ``loss``, a plain one unless given."""
    path = folder / f"{name}.py"
    path.write_text(METHOD + body + loss)
    return path


def same_but_for_time(record: Any) -> Any:
    """A record without what differs from run to run of the same thing: times, and names made of them."""
    steps = tuple(replace(step, seconds=None, latency_seconds=None) for step in record.steps)
    blank = {"started": "", "finished": "", "images_file": None, "command": ""}
    return replace(record, steps=steps, **blank)
