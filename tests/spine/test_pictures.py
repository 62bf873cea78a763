"""Pictures of test images: a fixed handful, what was scored, and not a bit of a run changed by them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from spine_toys import same_but_for_time, write_method

from benchmark.pictures import LONGEST, MANIFEST, PictureBook, Shown, handful


@pytest.fixture(scope="module")
def twice(run_tiny_to, tmp_path_factory):
    """The same run without pictures and with."""
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CSSBENCH_CACHE", str(folder / "cache"))
        plain = run_tiny_to(folder / "plain", "sdr")
        patch.setenv("CSSBENCH_CACHE", str(folder / "another"))  # step 0 is trained anew
        pictured = run_tiny_to(folder / "pictured", "sdr", pictures=folder / "shown")
    return plain, pictured, folder / "shown"


def test_no_bit_of_a_record_changes(twice):
    plain, pictured, _ = twice
    assert same_but_for_time(plain.record) == same_but_for_time(pictured.record)
    assert plain.record.command == pictured.record.command
    assert plain.record.images_digest == pictured.record.images_digest
    logs = [next((o.path.parents[2] / "logs").rglob("*.jsonl")) for o in (plain, pictured)]
    assert logs[0].read_bytes() == logs[1].read_bytes()


def test_the_folder_holds_what_was_scored(twice):
    _, outcome, folder = twice
    (manifest,) = folder.rglob(MANIFEST)
    assert manifest.parent == folder / "tiny-2-1-overlapped" / "tiny-model" / outcome.path.stem
    about, *images = map(json.loads, manifest.read_text().splitlines())
    assert about["images_digest"] == outcome.record.images_digest
    assert about["names"] == ["background", *outcome.record.classes]
    counts = np.load(outcome.path.with_suffix(".npz"))
    names = list(counts["names"])
    for image in images:
        labels = np.asarray(Image.open(manifest.parent / image["labels"]))
        assert np.asarray(Image.open(manifest.parent / image["image"])).shape[-1] == 3
        assert len(image["predictions"]) == 3
        for step, name in enumerate(image["predictions"]):
            predicted = np.asarray(Image.open(manifest.parent / name))
            own = counts[f"step{step}_image"] == names.index(image["id"])
            cells = zip(counts[f"step{step}_row"][own], counts[f"step{step}_column"][own], strict=True)
            scored = dict(zip(cells, counts[f"step{step}_count"][own], strict=True))
            pairs = zip(labels.ravel().tolist(), predicted.ravel().tolist(), strict=True)
            shown: dict[tuple[int, int], int] = {}
            for pair in pairs:
                if pair[0] != 255:
                    shown[pair] = shown.get(pair, 0) + 1
            assert shown == {(int(r), int(c)): int(n) for (r, c), n in scored.items()}


@pytest.mark.parametrize(
    ("images", "count", "places"),
    [
        (256, 6, (0, 42, 85, 128, 170, 213)),
        (6, 6, (0, 1, 2, 3, 4, 5)),
        (2, 6, (0, 1)),
        (0, 6, ()),
        (1449, 2, (0, 724)),
    ],
)
def test_the_handful_is_spread_over_the_split_and_always_the_same(images, count, places):
    assert handful(images, count) == places


def test_large_images_are_shrunk_and_labels_never_mixed(tmp_path):
    labels = np.zeros((480, 1000), dtype=np.uint8)
    labels[:, 500:] = 7
    labels[0:9] = 255
    image = np.full((240, 500, 3), 130, dtype=np.uint8)
    book = PictureBook(tmp_path, ("background", "a"), (3,))
    book.add(3, Shown("x", image, labels))
    book.add(3, Shown("again", image, labels))
    book.predict(3, labels)
    shown = book.shown[3]
    assert shown.name == "x" and shown.image.shape == (154, LONGEST, 3)
    assert shown.labels.shape == (154, LONGEST) and set(np.unique(shown.labels)) == {0, 7, 255}
    assert np.array_equal(shown.labels, shown.predictions[0])


def test_nothing_is_written_unasked(twice):
    plain, _, _ = twice
    assert not list(plain.path.parents[3].glob("plain/**/*.png"))


def test_a_failed_run_keeps_the_steps_it_has(run_tiny, tmp_path: Path):
    hooks = (
        "\n    def consolidate(self, model, batches, step, state):\n        assert step.index == 0, 'stop'\n"
    )
    shown = tmp_path / "shown"
    outcome = run_tiny(write_method(tmp_path, hooks), pictures=shown)
    assert (outcome.record.status, len(outcome.record.steps)) == ("error", 1)
    (manifest,) = shown.rglob(MANIFEST)
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert {len(line["predictions"]) for line in lines[1:]} == {1}
    assert sum(path.suffix == ".png" for path in manifest.parent.iterdir()) == 3 * len(lines[1:])
