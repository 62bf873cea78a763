"""Whole runs from the command on small data sets in the official layouts, and what is shown of them first."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from layouts import make_ade, make_cityscapes, make_folder, make_voc

from benchmark.cli import main
from benchmark.data.dataset import open_dataset
from benchmark.protocols import family_files, load_protocol
from benchmark.record import read_record

MODEL = Path(__file__).parents[1] / "spine" / "tiny-model.toml"
MAKERS: dict[str, Callable[[Path], Path]] = {
    "voc": make_voc,
    "ade": make_ade,
    "cityscapes": make_cityscapes,
    "cells": make_folder,
}
DOCUMENTED = Path(__file__).parents[2] / "docs" / "protocols.md"
(CELLS,) = re.findall(
    r"^```toml\n(.*?)^```", DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def invoke(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp(f"{name} ß")) for name, make in MAKERS.items()}


def brief(folder: Path, name: str) -> Path:
    """Write a family of the project, or the documented one of one's own, with one epoch a step."""
    path = folder / f"{name}.toml"
    shipped = family_files().get(name)
    text = CELLS if shipped is None else shipped.read_text(encoding="utf-8")
    lines = ["epochs = 1" if line.startswith("epochs = ") else line for line in text.splitlines()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("voc", "19-1-overlapped"),
        ("ade", "100-50b-disjoint"),
        ("cityscapes", "14-5-sequential"),
        ("cells", "2-1-overlapped"),
    ],
)
def test_a_run_trains_and_scores_every_step(
    roots: dict[str, Path], tmp_path: Path, name: str, scenario: str
) -> None:
    given = f"{brief(tmp_path, name)}:{scenario}"
    where = ["--data-root", roots[name], "--results", tmp_path / "results", "--device", "cpu"]
    result = invoke("run", "--method", "fine_tune", "--protocol", given, "--model", MODEL, *where)
    assert result.exit_code == 0, result.output
    record = read_record(Path(result.stdout.splitlines()[-1]))
    protocol = load_protocol(given, str(MODEL))
    assert (record.status, record.protocol_digest) == ("ok", protocol.digest)
    scored = expected_rows(protocol.dataset, roots[name], given)
    assert len(record.steps) == len(protocol.steps)
    for step, outcome in enumerate(record.steps):
        rows = np.array(outcome.confusion)
        assert rows.shape == (len(protocol.classes) + 1, protocol.outputs(step))
        assert rows.sum(axis=1).tolist() == scored


def expected_rows(dataset: str, root: Path, protocol: str) -> list[int]:
    """Pixels of the test split in learning order, read off its label maps; those of 0 where it is a class."""
    resolved = load_protocol(protocol)
    labels = [label.ravel() for label in map_all(dataset, root, resolved.splits.test)]
    counts = np.bincount(np.concatenate(labels), minlength=256)
    return [int(counts[0]) if resolved.background else 0, *(int(counts[label]) for label in resolved.order)]


def map_all(dataset: str, root: Path, split: str) -> list[np.ndarray]:
    images = open_dataset(dataset, root).split(split)
    return [images.label(index) for index in range(len(images))]


def test_one_s_own_protocol_can_be_validated_and_shown(roots: dict[str, Path], tmp_path: Path) -> None:
    path = brief(tmp_path, "cells")
    assert invoke("protocol", "validate", path).stdout == f"{path}: 4 protocols, nothing wrong\n"
    shown = invoke("protocol", "show", f"{path}:2-1-disjoint", "--data-root", roots["cells"])
    assert shown.exit_code == 0 and "  vesicle " in shown.stdout
    assert "8 images to train on, 4 scored" in shown.stdout


def test_classes_that_are_not_those_of_the_folder_are_refused(roots: dict[str, Path], tmp_path: Path) -> None:
    path = brief(tmp_path, "cells")
    path.write_text(path.read_text().replace("vesicle", "vacuole"))
    shown = invoke("protocol", "show", f"{path}:2-1-disjoint", "--data-root", roots["cells"])
    assert shown.exit_code == 2 and "differing: vacuole, vesicle" in shown.stderr


def test_show_counts_where_data_are_found_and_tells_a_copy_that_is_not_the_published_one(
    roots: dict[str, Path],
) -> None:
    shown = invoke("protocol", "show", "voc-15-1-overlapped", "--data-root", roots["voc"])
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    start = lines.index("step 2: 1 new class, 4 images (published: 299)")
    table = [line.split() for line in lines[start + 1 : start + 6]]
    assert table[0] == ["class", "channel", "images", "pixels"]
    assert table[1][:3] == ["sheep", "17", "4"]
    assert [row[0] for row in table[2:]] == ["background", "of", "of"]
    assert "This copy is not the published benchmark" in shown.stdout
    assert lines[-1].endswith("VOC2012; 49 images to train on, 10 scored")
