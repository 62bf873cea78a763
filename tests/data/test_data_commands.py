"""``cssbench data``: what is told of good copies and of bad ones, in every official layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import layouts
import numpy as np
import pytest
from click.testing import CliRunner, Result
from data_toys import Toy, pair, toy_protocol
from PIL import Image

from benchmark.cli import main
from benchmark.data.archives import Archive
from benchmark.data.counts import count_protocol
from benchmark.data.dataset import dataset_class, open_dataset
from benchmark.data.inspection import inspect
from benchmark.data.picture import choose, visible_labels
from benchmark.data.stats import stats_lines
from benchmark.data.targets import Target, targets
from benchmark.errors import ProtocolError
from benchmark.protocol import Setting
from benchmark.protocols import load_protocol

MAKERS: dict[str, Callable[[Path], Path]] = {
    "voc": layouts.make_voc,
    "ade": layouts.make_ade,
    "cityscapes": layouts.make_cityscapes,
}
PROTOCOLS = {
    "voc": "voc-15-1-overlapped",
    "ade": "ade-100-50-disjoint",
    "cityscapes": "cityscapes-14-5-disjoint",
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All layouts below one root, not to be changed."""
    root = tmp_path_factory.mktemp("data ä")
    for make in MAKERS.values():
        make(root)
    return layouts.make_folder(root)


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    return shutil.copytree(made, tmp_path / "own")


def data(*words: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, words)])


@pytest.mark.parametrize("name", MAKERS)
def test_a_whole_copy_of_another_size_is_told_from_the_published_one(made: Path, name: str) -> None:
    done = data("check", PROTOCOLS[name], "--data-root", made)
    first, *rest = done.stdout.splitlines()
    assert done.exit_code == 1 and first.startswith(f"{name}: found, but not as it should be, at {made}")
    dataset = open_dataset(name, made)
    for split, published in dataset.published_images.items():
        (line,) = [line for line in rest if line.split()[0] == split]
        assert line.split(None, 1)[1] == f"{len(dataset.ids(split))}  (NOT as published: {published:,})"
    assert rest[-1].split()[0] == PROTOCOLS[name] and len(rest) == len(dataset.splits) + 1


def test_the_published_copy_is_called_that(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voc = open_dataset("voc", made)
    monkeypatch.setattr(type(voc), "published_images", {split: len(voc.ids(split)) for split in voc.splits})
    monkeypatch.setattr("benchmark.protocols.Family.expected_images", {}, raising=False)
    (target,) = targets(["voc-10-5-overlapped"])
    found = inspect(target, made)
    assert found.whole and found.faults == () and found.steps[0].published is None
    assert found.lines()[-1].endswith("  (no count is published)") and "found and whole" in found.lines()[0]


def test_step_counts_are_held_against_the_published_ones() -> None:
    maps = {"a": pair([[1]]), "b": pair([[1, 2]]), "c": pair([[2, 0]]), "t": pair([[1]])}
    protocol = toy_protocol(((1,), (2,)), "overlapped", background=True)
    dataset = Toy(2, True, {"train": {k: maps[k] for k in "abc"}, "test": {"t": maps["t"]}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmark.data.inspection.open_dataset", lambda name, root: dataset)
        for published, whole in (((2, 2), True), ((3, 2), False), (None, True)):
            object.__setattr__(protocol, "expected_images", published)
            found = inspect(Target("toy", (protocol,), True), None)
            assert found.steps[0].found == (2, 2) and found.whole == whole


def test_a_step_without_an_image_is_a_fault() -> None:
    protocol = toy_protocol(((1,), (2,)), "disjoint", background=True)
    dataset = Toy(2, True, {"train": {"a": pair([[2]])}, "test": {"t": pair([[1]])}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmark.data.inspection.open_dataset", lambda name, root: dataset)
        found = inspect(Target("toy", (protocol,), True), None)
    assert found.faults == ("step 0 of toy has no image in train of memory",)


def test_every_unreadable_file_is_named(own: Path) -> None:
    folder = own / "VOCdevkit" / "VOC2012"
    photographs = sorted((folder / "JPEGImages").iterdir())[3:5]
    masks = sorted((folder / "SegmentationClass").iterdir())[-2:]
    for path in photographs:
        path.write_bytes(path.read_bytes()[:200])
    masks[0].write_text("<html>")
    Image.fromarray(np.full(Image.open(masks[1]).size[::-1], 77, np.uint8)).save(masks[1])
    done = data("check", "voc", "--data-root", own)
    assert done.exit_code == 1
    for path in (*photographs, *masks):
        assert sum(str(path) in line for line in done.stdout.splitlines()) == 1
    assert "has value 77" in done.stdout and "voc-15-1" not in done.stdout


def test_every_unpaired_file_is_named(own: Path) -> None:
    labels = sorted((own / "gtFine" / "train").rglob("*.png"))[:3]
    image = min((own / "leftImg8bit" / "val").rglob("*.png"))
    for path in (*labels, image):
        path.unlink()
    done = data("check", "cityscapes-14-5-disjoint", "--data-root", own)
    first, *faults = done.stdout.splitlines()
    assert (done.exit_code, first) == (1, "cityscapes: found, but cannot be used")
    assert len(faults) == 4
    for path in (*labels, image):
        stem = path.stem.replace("_gtFine_labelIds", "").replace("_leftImg8bit", "")
        assert sum(stem in fault for fault in faults) == 1


def test_a_missing_augmented_set_is_said(own: Path) -> None:
    shutil.rmtree(own / "VOCdevkit" / "VOC2012" / "SegmentationClassAug")
    done = data("check", "voc-15-1-disjoint", "--data-root", own)
    assert done.exit_code == 1 and "no augmented training set for VOC 2012" in done.stdout


def test_what_is_not_there_fails_only_where_it_is_asked_for(tmp_path: Path) -> None:
    asked = data("check", "ade", "--data-root", tmp_path)
    assert asked.exit_code == 1 and asked.stdout.startswith("ade: not found\n  no ADE20K at")
    every = data("check", "--data-root", tmp_path)
    assert every.exit_code == 0
    assert [line for line in every.stdout.splitlines() if line.endswith(": not found")] == [
        f"{name}: not found" for name in ("ade", "cityscapes", "msrc", "voc")
    ]
    assert "shapes: found and whole" in every.stdout


def test_an_archive_beside_the_data_is_held_against_its_checksum(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = (
        Archive("good.zip", "sha1", "a9993e364706816aba3e25717850c26c9cd0d89d", "x"),  # of "abc", RFC 3174
        Archive("bad.zip", "md5", "900150983cd24fb0d6963f7d28e17f72", "x"),
        Archive("absent.zip", "md5", "0" * 32, "x"),
    )
    (own / "good.zip").write_bytes(b"abc")
    (own / "bad.zip").write_bytes(b"abcd")
    monkeypatch.setattr(dataset_class("voc"), "archives", known)
    (target,) = targets(["voc-19-1-disjoint"])
    found = inspect(target, own)
    assert found.archives == ("good.zip",)
    assert found.faults == (
        f"archive {own / 'bad.zip'} has the md5 e2fc714c4727ee9395f324cd2e7f331f; "
        "expected 900150983cd24fb0d6963f7d28e17f72, as it was published",
    )


def test_known_addresses_and_checksums_are_torchvisions() -> None:
    from torchvision.datasets import SBDataset
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    release, augmented = dataset_class("voc").archives
    theirs = DATASET_YEAR_DICT["2012"]
    assert (release.name, release.digest) == (theirs["filename"], theirs["md5"])
    assert urlsplit(release.url).path == urlsplit(theirs["url"]).path  # older torchvisions name another host
    assert (augmented.url, augmented.name, augmented.digest) == (
        SBDataset.url,
        SBDataset.filename,
        SBDataset.md5,
    )
    assert release.algorithm == augmented.algorithm == "md5" and release.folder == theirs["base_dir"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["voc-15-1-disjoint"], {"voc": ["voc-15-1-disjoint"]}),
        (["voc-15-5s-disjoint", "voc-15-1-disjoint"], {"voc": ["voc-15-1-disjoint"]}),
        (["voc-19-1-disjoint", "shapes-joint"], {"voc": ["voc-19-1-disjoint"], "shapes": ["shapes-joint"]}),
        (["folder:cells"], {"folder:cells": []}),
        (["folder"], {"folder": []}),
    ],
)
def test_what_a_name_means(names: list[str], expected: dict[str, list[str]]) -> None:
    assert {target.dataset: [p.id for p in target.protocols] for target in targets(names)} == expected


def test_a_family_is_all_of_its_protocols(tmp_path: Path) -> None:
    (shapes,) = targets(["shapes"])
    assert {p.setting for p in shapes.protocols} == {"sequential", "disjoint", "overlapped"}
    (file,) = targets([str(Path(__file__).parents[1] / "spine" / "tiny.toml")])
    assert file.dataset == "msrc" and file.protocols[-1].id == "tiny-joint"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vok", "unknown protocol or dataset 'vok'; did you mean 'voc'?"),
        ("voc-15-1-disjont", "unknown protocol 'voc-15-1-disjont'; did you mean 'voc-15-1-disjoint'?"),
    ],
)
def test_an_unknown_name_names_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        targets([name])
    assert str(caught.value).startswith(message)
    assert data("check", name).exit_code == 2


MAPS = {
    "old and new": pair([[1, 1, 2], [0, 255, 2]]),
    "new": pair([[2, 2], [2, 0]]),
    "new and future": pair([[2, 3], [0, 0]]),
    "old, new and future": pair([[1, 2, 3]]),
    "future": pair([[3, 3]]),
}
STEPS = ((1,), (2,), (3,))


def counted(setting: Setting) -> list[list[int]]:
    """Images, and pixels by label 0 to 3, of each step."""
    dataset = Toy(3, True, {"train": MAPS, "test": {"t": pair([[1, 3, 255]])}})
    counts = count_protocol(toy_protocol(STEPS, setting, background=True), dataset)
    assert counts.train_pixels.tolist() == [4, 3, 7, 4] and counts.test_pixels.tolist() == [0, 1, 0, 1]
    return [[step.images, *step.pixels.tolist()] for step in counts.steps]


def test_pixels_by_class_and_step_are_those_counted_by_hand() -> None:
    assert counted("overlapped") == [[2, 1, 3, 3, 1], [4, 4, 3, 7, 2], [3, 2, 1, 2, 4]]
    assert counted("disjoint") == [[0, 0, 0, 0, 0], [2, 2, 2, 5, 0], [3, 2, 1, 2, 4]]


def test_hidden_pixels_are_in_brackets() -> None:
    dataset = Toy(3, True, {"train": MAPS, "test": {"t": pair([[1, 3]])}})
    lines = stats_lines(count_protocol(toy_protocol(STEPS, "overlapped", background=True), dataset))
    table = {line[:10].strip(): line[10:].split() for line in lines[2:]}
    assert table["background"] == ["0", "1", "4", "2", "4", "0"]
    assert table["class 1"] == ["0", "3", "(3)", "(1)", "3", "1"]
    assert table["class 2"] == ["1", "(3)", "7", "(2)", "7", "0"]
    assert table["class 3"] == ["2", "(1)", "(2)", "4", "4", "1"]


def test_nothing_is_written_to_the_data_so_that_they_may_be_read_only(own: Path, tmp_path: Path) -> None:
    files = sorted(own.rglob("*"))
    before = {path: path.stat().st_mtime_ns for path in files}
    for path in files:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        for words in (["check", "ade"], ["index", "voc"], ["stats", "cityscapes-14-5-disjoint"]):
            assert data(*words, "--data-root", own).exit_code in (0, 1)
        drawn = data("sample", "voc-19-1-disjoint", "--out", tmp_path / "x.png", "--data-root", own)
        assert drawn.exit_code == 0
    finally:
        for path in files:
            path.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in sorted(own.rglob("*"))} == before


@pytest.mark.parametrize("name", MAKERS)
def test_stats_index_and_sample_work_in_every_layout(made: Path, tmp_path: Path, name: str) -> None:
    protocol = load_protocol(PROTOCOLS[name])
    done = data("stats", protocol.id, "--data-root", made)
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 4 + len(protocol.classes)  # heading, columns, images, index 0
    indexed = data("index", name, "--data-root", made)
    assert indexed.exit_code == 0 and f"{name} val: " in indexed.stdout
    out = tmp_path / "sample.png"
    drawn = data("sample", protocol.id, "--step", 1, "--images", 2, "--out", out, "--data-root", made)
    assert drawn.exit_code == 0 and Path(drawn.stdout.strip()) == out
    assert Image.open(out).size[0] == 1250


def test_the_picture_shows_first_what_tells_settings_apart() -> None:
    present = np.zeros((len(MAPS), 4), dtype=bool)
    for row, name in enumerate(MAPS):
        present[row, [value for value in np.unique(MAPS[name].label) if value < 255]] = True
    protocol = toy_protocol(STEPS, "disjoint", background=True)
    rows = choose(present, protocol, 1, 10)
    assert [list(MAPS)[row.index] for row in rows] == [
        "old, new and future",
        "new and future",
        "old and new",
        "new",
    ]
    assert [len(row.settings) for row in rows] == [1, 1, 3, 3]
    assert rows[0].settings == {"overlapped"}
    assert len(choose(present, protocol, 1, 2)) == 2


def test_a_picture_hides_what_training_hides() -> None:
    label = np.array([[0, 1, 2, 3, 255]], dtype=np.uint8)
    protocol = toy_protocol(STEPS, "disjoint", background=True)
    assert visible_labels(label, protocol, 1, "sequential").tolist() == [[0, 1, 2, 0, 255]]
    assert visible_labels(label, protocol, 1, "disjoint").tolist() == [[0, 0, 2, 0, 255]]
    assert visible_labels(label, protocol, 2, "overlapped").tolist() == [[0, 0, 0, 3, 255]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--step", 3, "--out", "x.png"], "shapes-4-2-disjoint has no step 3; expected 0 to 2"),
        (["--out", "no/such/folder/x.png"], "picture no/such/folder/x.png cannot be written: "),
        (["--out", "x.nonsense"], "picture x.nonsense cannot be written: Format 'nonsense' is not supported"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_one_sentence(
    words: list[object], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = data("sample", "shapes-4-2-disjoint", "--images", 1, *words)
    assert done.exit_code == 2 and done.stderr.startswith(f"cssbench: {message}")
    assert done.stderr.count("\n") == 1
