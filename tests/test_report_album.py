"""Pictures of test images on pages: of the very predictions, inert, photographs only when asked for."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import record_factory as factory
from click.testing import CliRunner
from PIL import Image
from record_factory import MSRC_16_5, make

import reports.draw
from benchmark.cli import main
from benchmark.errors import RecordError
from benchmark.pictures import MANIFEST, PictureBook, Shown
from benchmark.record import Record, read_record
from reports import BuildSummary, build
from reports.album import read_album
from reports.palette import colour
from reports.rendered import rendered

DIGEST = factory.sha("counts by image")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = reports.draw.Drawing(b'<svg viewBox="0 0 4 3"/>', b"png")
    monkeypatch.setattr(reports.draw, "draw", lambda spec: drawing)


def _write(folder: Path, record: Record, name: str = "test-0000") -> Path:
    """Pictures as a run leaves them: half background, half disc, after step 1 all disc."""
    labels = np.zeros((8, 16), dtype=np.uint8)
    labels[:, 8:] = 1
    labels[0] = 255
    book = PictureBook(folder, ("background", *record.classes), (0,))
    book.add(0, Shown(name, np.full((8, 16, 3), 90, dtype=np.uint8), labels))
    for guess in (np.where(labels == 255, 0, labels), np.ones_like(labels), np.full_like(labels, 8)):
        book.predict(0, guess.astype(np.uint8))
    book.write(record)
    return folder / MANIFEST


def _build(tmp_path: Path, record: Record, pictures: Path | None = None) -> BuildSummary:
    factory.write(record, tmp_path / "results")
    return build(tmp_path / "results", tmp_path / "site", pictures=pictures)


def _page(tmp_path: Path) -> str:
    (page,) = set((tmp_path / "site" / "boards").rglob("*.html")) - set(
        (tmp_path / "site" / "boards").rglob("index.html")
    )
    return page.read_text()


def test_rendered_images_are_shown_with_labels_and_every_step(tmp_path: Path) -> None:
    record = make("mib", images_digest=DIGEST)
    _write(tmp_path / "results" / "pictures" / "x", record)
    assert _build(tmp_path, record).left_out == ()
    page = _page(tmp_path)
    found = re.findall(r'<img src="\.\./\.\./(boards/[^"]+\.png)" alt="([^"]+)"', page)
    assert [alt for _, alt in found] == [
        "Test image test-0000",
        "Labels: disc 44 %, background 44 %",
        "Predicted after step 0: background 56 %, disc 44 %",
        "Predicted after step 1: disc 100 %",
        "Predicted after step 2: hexagon 100 %",
    ]
    drawn = Image.open(tmp_path / "site" / found[1][0])
    assert np.asarray(drawn)[4].tolist() == [0] * 8 + [1] * 8
    assert np.asarray(drawn.convert("RGB"))[4, 12].tolist() == list(colour(1))
    legend = page[page.index('aria-label="Colours"') :].partition("</ul>")[0]
    assert re.findall(r"<bdi>(.*?)</bdi>", legend) == ["background", "disc", "hexagon", "not scored"]
    assert 'width="160" height="80"' in page


def test_pictures_of_other_predictions_are_on_no_page(tmp_path: Path) -> None:
    _write(tmp_path / "results" / "pictures", make("mib", images_digest=factory.sha("another run")))
    _build(tmp_path, make("mib", images_digest=DIGEST))
    assert 'id="gallery"' not in _page(tmp_path)
    assert not list((tmp_path / "site" / "boards").rglob("*-image.png"))


def test_photographs_are_shown_only_from_a_folder_that_is_named(tmp_path: Path) -> None:
    record = make("mib", MSRC_16_5, images_digest=DIGEST)
    _write(tmp_path / "results" / "pictures", record, "1_9_s")
    (left,) = _build(tmp_path, record).left_out
    assert left.path == "pictures/pictures.jsonl"
    assert "photographs are shown only when their folder is named with --pictures" in left.reason
    assert 'id="gallery"' not in _page(tmp_path)
    assert not list((tmp_path / "site" / "boards").rglob("*-image.png"))
    local = tmp_path / "local"
    _write(local, record, "1_9_s")
    _build(tmp_path, record, local)
    assert "Test image 1_9_s" in _page(tmp_path)
    _build(tmp_path, record)  # and they are gone again from a site that is built without
    assert not list((tmp_path / "site" / "boards").rglob("*-image.png"))


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"pictures folder .* does not exist"):
        _build(tmp_path, make("mib"), tmp_path / "absent")
    assert read_album(tmp_path, None).kept == {}


def test_the_command_takes_a_folder_and_refuses_one_that_is_not_there(tmp_path: Path) -> None:
    record = make("mib", MSRC_16_5, images_digest=DIGEST)
    factory.write(record, tmp_path / "results")
    _write(tmp_path / "local", record, "1_9_s")
    where = ["report", "--results", str(tmp_path / "results"), "--out", str(tmp_path / "site")]
    done = CliRunner().invoke(main, [*where, "--pictures", str(tmp_path / "local")])
    assert done.exit_code == 0 and "Test image 1_9_s" in _page(tmp_path)
    done = CliRunner().invoke(main, [*where, "--pictures", str(tmp_path / "absent")])
    assert done.exit_code == 2
    assert done.stderr.startswith("cssbench: pictures folder") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "../../secret.png"}, "String should match pattern"),
        ({"labels": "/etc/passwd"}, "String should match pattern"),
        ({"predictions": []}, "at least 1 item"),
        ({"predictions": ["absent.png"]}, "absent.png cannot be read"),
        ({"extra": 1}, "Unexpected keyword argument"),
        ({"labels": "00-image.png"}, "expected L of up to 2048 pixels"),
        ({"image": "00-labels.png"}, "expected RGB"),
        ({"image": "text.png"}, "text.png cannot be read"),
        ({"labels": "wide.png"}, "is 3000 x 1"),
        ({"labels": "beyond.png"}, "has class 77, which the list does not name"),
    ],
)
def test_a_forged_list_is_left_out_with_its_reason(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    record = make("mib", images_digest=DIGEST)
    manifest = _write(tmp_path / "results" / "pictures", record)
    (manifest.parent / "text.png").write_text("<script>alert(1)</script>")
    Image.new("L", (3000, 1)).save(manifest.parent / "wide.png")
    Image.new("L", (2, 2), 77).save(manifest.parent / "beyond.png")
    about, entry = manifest.read_text().splitlines()
    manifest.write_text(f"{about}\n{json.dumps(json.loads(entry) | change)}\n")
    (left,) = _build(tmp_path, record).left_out
    assert words in left.reason and "\n" not in left.reason
    assert str(tmp_path) not in left.reason
    assert 'id="gallery"' not in _page(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"schema": 2}', "[]\n[]", "\u0000"])
def test_what_is_no_list_is_left_out(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "results" / "pictures"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(text)
    (left,) = _build(tmp_path, make("mib")).left_out
    assert "is not what a run writes" in left.reason


def test_hostile_names_are_inert(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    record = replace(make("mib", images_digest=DIGEST), classes=(evil, *factory.SHAPES[1:]))
    _write(tmp_path / "results" / "pictures", record, evil)
    assert _build(tmp_path, record).left_out == ()
    page = _page(tmp_path)
    assert "<script>alert" not in page
    assert "Test image &#34;&gt;&lt;script&gt;" in page


def test_pictures_that_ship_are_rendered_and_belong_to_records_that_ship() -> None:
    results = Path(__file__).parents[1] / "results"
    album = read_album(results, None)
    assert album.left_out == ()
    records = [read_record(path) for path in sorted(results.rglob("*.json"))]
    of = {record.images_digest: record for record in records}
    assert album.kept
    for digest, kept in album.kept.items():
        assert rendered(kept.about.dataset)
        assert (kept.about.variant, kept.about.seed) == (of[digest].variant, of[digest].seed)
        assert {len(entry.predictions) for entry in kept.entries} == {len(of[digest].steps)}
    pictures = [path for path in (results / "pictures").rglob("*") if path.is_file()]
    named = {kept.folder / name for kept in album.kept.values() for e in kept.entries
             for name in (e.image, e.labels, *e.predictions)}  # fmt: skip
    assert {path for path in pictures if path.suffix == ".png"} == named
    assert sum(path.stat().st_size for path in pictures) < 2_000_000
