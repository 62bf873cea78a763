"""ADE20K as the MIT scene parsing challenge of 2016 ships it: ``ADEChallengeData2016``.

Source: Zhou et al. 2017, Scene Parsing through ADE20K Dataset. Class names are the first of each row of the
release's ``objectInfo150.txt``.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data.archives import Archive
from benchmark.data.files import find_folder, image_files
from benchmark.data.masks import plain_table, read_labels
from benchmark.data.paired import PairedDataset, Places

FOLDER = "ADEChallengeData2016"
CLASSES = """
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person,
    earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea,
    mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base,
    box, column, signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator,
    grandstand, path, stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge,
    bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop, stove, palm,
    kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck,
    tower, chandelier, awning, streetlight, booth, television, airplane, dirt track, apparel, pole, land,
    bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt,
    canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike,
    cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher,
    screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen,
    plate, monitor, bulletin board, shower, radiator, glass, clock, flag
"""
HELD_OUT_EVERY = 10
ARCHIVES = (
    Archive(
        name="ADEChallengeData2016.zip",
        algorithm="sha1",
        digest="219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
        folder=FOLDER,
    ),
)
_TABLE = plain_table(150)


class Ade(PairedDataset):
    """``images`` and ``annotations``, each with ``training`` and ``validation``, in ``root`` or below it.

    Label 0 is what is none of the 150 classes: no class of its own, and ignored at evaluation. The
    release has no lists, so that its folders are the splits: ``validation`` is ``val``; of ``training``,
    every tenth image by name is ``held_out`` (2,021 of 20,210), the others are ``train``.
    """

    class_names = tuple(name.strip() for name in CLASSES.replace("\n", " ").split(","))
    has_background = False
    splits = ("train", "held_out", "val")
    archives = ARCHIVES
    instructions = (
        "Agree to the terms on https://groups.csail.mit.edu/vision/datasets/ADE20K/ and get the data of the "
        "scene parsing challenge, ADEChallengeData2016.zip, from http://sceneparsing.csail.mit.edu/."
    )
    published_images: ClassVar = {"train": 18189, "held_out": 2021, "val": 2000}

    def __init__(self, root: Path | None) -> None:
        super().__init__(root)
        parts = ("images/training", "images/validation", "annotations/training", "annotations/validation")
        self.folder = find_folder("ADE20K", root, parts=parts, below=(FOLDER,))
        training = image_files(self.folder / "images" / "training")
        validation = image_files(self.folder / "images" / "validation")
        self.images = {**training, **validation}
        self.labels = {
            **image_files(self.folder / "annotations" / "training"),
            **image_files(self.folder / "annotations" / "validation"),
        }
        self._check_pairs(Places(self.folder / "images", self.folder / "annotations"))
        places = {name: place for place, name in enumerate(training, start=1)}
        self.lists = {
            "train": tuple(name for name, place in places.items() if place % HELD_OUT_EVERY),
            "held_out": tuple(name for name, place in places.items() if not place % HELD_OUT_EVERY),
            "val": tuple(validation),
        }

    def decode(self, path: Path) -> NDArray[np.uint8]:
        """Return an annotation, which holds labels as they are."""
        return read_labels(path, _TABLE)
