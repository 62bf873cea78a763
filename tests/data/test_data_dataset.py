"""Finding datasets by name, splits, the cache of decoded arrays, and reading image files."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_toys import Pair, Toy, pair
from PIL import Image

from benchmark.data import dataset as datasets
from benchmark.data.dataset import dataset_class, dataset_names, open_dataset
from benchmark.data.decode import Size, file_stamp, read_rgb, size_of
from benchmark.data.memory import ArrayCache, Key
from benchmark.errors import DataError


def test_datasets_are_found_by_their_files() -> None:
    assert {"msrc", "shapes"} <= set(dataset_names())
    for name in dataset_names():
        assert dataset_class(name).__module__ == f"benchmark.data.datasets.{name}"
    assert open_dataset("shapes", None).name == "shapes"


def test_a_new_file_is_a_new_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmark.data.datasets as package

    (tmp_path / "shapes_again.py").write_text(
        "from benchmark.data.datasets.shapes import Shapes\nclass Again(Shapes):\n    '''All it takes.'''\n"
    )
    monkeypatch.setattr(datasets, "_FOLDER", tmp_path)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    assert dataset_names() == ("shapes_again",)
    again = open_dataset("shapes_again", None)
    assert again.name == "shapes_again" and len(again.split("test")) == 160
    monkeypatch.delitem(sys.modules, "benchmark.data.datasets.shapes_again")


def test_an_unknown_dataset_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"^unknown dataset 'shape'; did you mean 'shapes'"):
        open_dataset("shape", None)


def test_an_unknown_split_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"^unknown split of dataset shapes 'tran'; did you mean 'train'"):
        open_dataset("shapes", None).split("tran")


def test_listing_and_planning_import_no_torch() -> None:
    code = (
        "import sys, benchmark.data.scenario\n"
        "from benchmark.data.dataset import dataset_names, dataset_class\n"
        "[dataset_class(name) for name in dataset_names()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_splits_join_in_the_order_given() -> None:
    toy = Toy(1, True, {"a": {"1": pair([[1]])}, "b": {"2": pair([[0]]), "3": pair([[1]])}})
    joined = toy.split("b", "a")
    assert joined.ids == ("2", "3", "1") and joined.name == "b+a"
    assert joined.label(2).tolist() == [[1]]


def test_an_image_in_two_joined_splits_is_refused() -> None:
    same = {"1": pair([[1]])}
    with pytest.raises(DataError, match=r"^image '1' is more than once in a\+b of memory$"):
        Toy(1, True, {"a": same, "b": same}).split("a", "b")


def test_the_cache_keeps_what_fits_and_nothing_else() -> None:
    made: list[str] = []

    def get(cache: ArrayCache, name: str, size: int) -> None:
        def make() -> np.ndarray:
            made.append(name)
            return np.zeros(size, np.uint8)

        assert cache.get(Key("image", name), make).shape == (size,)

    cache = ArrayCache(budget_bytes=100)
    for key, size in (("a", 60), ("b", 50), ("c", 40), ("a", 60), ("b", 50), ("c", 40)):
        get(cache, key, size)
    assert made == ["a", "b", "c", "b"]
    assert cache.used_bytes == 100


def test_a_shared_budget_splits_what_is_left() -> None:
    cache = ArrayCache(budget_bytes=100)
    cache.get(Key("image", "a"), lambda: np.zeros(40, np.uint8))
    cache.share(3)
    assert cache.budget_bytes == 60
    assert (
        cache.get(Key("image", "b"), lambda: np.zeros(21, np.uint8)).nbytes == 21 and cache.used_bytes == 40
    )


def test_a_dataset_sent_to_another_process_leaves_its_cache_behind() -> None:
    toy = Toy(1, True, {"a": {"1": Pair(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), np.uint8))}})
    toy.cache.get(Key("image", "big"), lambda: np.zeros(10**6, np.uint8))
    sent = pickle.dumps(toy)
    assert len(sent) < 10**4
    copy = pickle.loads(sent)
    assert copy.cache.used_bytes == 0 and copy.cache.budget_bytes == toy.cache.budget_bytes
    assert copy.split("a").label(0).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "PA", "RGBA", "CMYK", "YCbCr", "RGB"])
def test_images_of_any_mode_are_read_as_rgb(tmp_path: Path, mode: str) -> None:
    ending = {"CMYK": "tif", "PA": "tif", "YCbCr": "jpg"}.get(mode, "png")
    path = tmp_path / f"image.{ending}"
    white = Image.new("RGB", (3, 2), (255, 255, 255)).convert(mode)
    if mode.endswith("A"):
        white.putalpha(0)  # transparent white is white still
    white.save(path)
    found = read_rgb(path)
    assert found.shape == (2, 3, 3) and found.dtype == np.uint8
    assert (found >= 254).all()


def test_the_orientation_in_exif_is_ignored(tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 2))
    exif = image.getexif()
    exif[0x0112] = 6  # rotated by a quarter
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_rgb(tmp_path / "a.jpg").shape == (2, 6, 3)
    assert size_of(tmp_path / "a.jpg") == Size(height=2, width=6)


def test_sixteen_bits_are_refused_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 40000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep.png has mode I;16; expected 8 bits a channel$"):
        read_rgb(tmp_path / "deep.png")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    gone, text = tmp_path / "gone.png", tmp_path / "text.png"
    text.write_text("no image")
    for read in (read_rgb, size_of):
        with pytest.raises(DataError, match=r"gone.png cannot be read: No such file or directory$"):
            read(gone)
        with pytest.raises(DataError, match=r"text.png is not an image file$"):
            read(text)
    with pytest.raises(DataError, match=r"gone.png cannot be read: No such file or directory$"):
        file_stamp(gone)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"image.{ending}"
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    for share in (0.02, 0.1, 0.3, 0.6, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match=f"image.{ending} "):
            read_rgb(path)


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"12")
    first = file_stamp(path)
    assert file_stamp(path) == first
    path.write_bytes(b"123")
    assert file_stamp(path) != first
