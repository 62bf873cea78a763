"""Protocol pages: every scenario that ships, its classes in learning order, digests, commands, boards."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import record_factory as factory
from PIL import Image
from record_factory import MSRC_16_5, make

import reports.draw
from benchmark.data.dataset import dataset_class
from benchmark.protocols import family_files, load_protocol, protocol_ids
from reports import build
from reports.palette import colour, hexadecimal, image_png, label_png
from reports.protocolpage import _steps, command, facts, read_scenarios
from reports.rendered import rendered


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board of a protocol as it is now, and one of another digest."""
    folder = tmp_path_factory.mktemp("protocols")
    digest = load_protocol("msrc-16-5-overlapped", "vit-small-cpu").digest
    factory.write(make("mib", MSRC_16_5, protocol_digest=digest), folder / "results")
    factory.write(make("mib", replace(MSRC_16_5, protocol="msrc-16-5-disjoint")), folder / "results")
    with pytest.MonkeyPatch.context() as patch:
        drawing = reports.draw.Drawing(b'<svg viewBox="0 0 4 3"/>', b"png")
        patch.setattr(reports.draw, "draw", lambda spec: drawing)
        build(folder / "results", folder / "site")
    return folder / "site"


def test_every_protocol_that_ships_has_a_page(site: Path) -> None:
    listing = read_scenarios()
    assert sorted(listing.pages) == sorted(protocol_ids())
    assert listing.left_out == ()
    index = (site / "protocols" / "index.html").read_text()
    for name, page in listing.pages.items():
        text = (site / page).read_text().replace("<wbr>", "")
        assert f"<bdi>{name}</bdi>" in text
        assert load_protocol(name).digest in text
        assert Path(page).name in index


def test_classes_stand_in_learning_order(site: Path) -> None:
    for scenario in read_scenarios().scenarios:
        text = (site / "protocols" / f"{scenario.slug}.html").read_text()
        table = text[text.index('id="order"') : text.index('id="settings"')]
        first = scenario.protocols[0]
        places = [
            table.index(f'<span class="unit">{k}</span> <bdi>{first.classes[k - 1]}</bdi>')
            for k in first.order
        ]
        assert places == sorted(places)
        assert len(places) == len(first.classes)


def test_a_command_runs_what_it_stands_beside() -> None:
    for name in protocol_ids():
        words = shlex.split(command(load_protocol(name)))
        assert words[:2] == ["cssbench", "run"]
        assert words[words.index("--protocol") + 1] == name
        assert ("--data-root" in words) != rendered(load_protocol(name).dataset)


def test_boards_are_linked_and_another_digest_is_said(site: Path) -> None:
    page = (site / read_scenarios().pages["msrc-16-5-overlapped"]).read_text()
    cards = {part.split('"')[0]: part for part in page.split('<article class="card setting" id="')[1:]}
    assert "Board on" in cards["overlapped"] and "another digest" not in cards["overlapped"]
    assert "another digest than this protocol has now" in cards["disjoint"]
    assert "No run of it is on a board yet" in cards["sequential"]
    assert (
        '<td class="num">384<span class="more">found</span></td>' in page
    )  # 24 images for each of 16 classes, as the record has it
    boards = list((site / "boards").rglob("index.html"))
    assert len(boards) == 2
    assert all("protocols/msrc-16-5-" in board.read_text() for board in boards)


def test_only_what_the_project_renders_has_pictures(site: Path) -> None:
    assert rendered("shapes")
    pictures = list((site / "samples").iterdir())
    assert len(pictures) == 12
    assert all(picture.name.startswith("test-") for picture in pictures)
    for scenario in read_scenarios().scenarios:
        text = (site / "protocols" / f"{scenario.slug}.html").read_text()
        assert text.count("<figure>") == (6 if scenario.family.dataset == "shapes" else 0)
    label = dataset_class("shapes")(None).label("test-0000")
    path = next(p for p in pictures if p.name.startswith("test-0000") and p.name.endswith("label.png"))
    assert np.array_equal(np.asarray(Image.open(path)), label)


def test_published_numbers_of_images_stand_beside_the_steps(tmp_path: Path, site: Path) -> None:
    scenario = next(s for s in read_scenarios().scenarios if s.title == "voc-15-1")
    assert scenario.expected(scenario.protocols[-1]) == (9568, 487, 299, 491, 500, 548)
    page = (site / "protocols" / f"{scenario.slug}.html").read_text()
    assert page.count('<span class="more">published</span>') == 3 * 6
    steps = _steps(load_protocol("voc-19-1-overlapped"), [[10410, 548]], [[10410, 547]])
    assert [step.images for step in steps] == [((10410, 10410),), ((548, 547),)]


def test_facts_are_the_protocols_own() -> None:
    shown = {field.name: field.value for field in facts(load_protocol("shapes-4-2-overlapped"))}
    assert shown["Steps"] == "4 + 2 + 2"
    assert shown["Scored on"] == "test, images whole"
    assert shown["Background"] == "a class of step 0"


def test_the_table_of_protocols_has_every_digest(site: Path) -> None:
    rows = json.loads((site / "protocols" / "protocols.json").read_text())
    assert {row["protocol"]: row["digest"] for row in rows} == {
        n: load_protocol(n).digest for n in protocol_ids()
    }


def test_a_family_that_cannot_be_read_is_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.toml").write_text("dataset = 3")
    files = {**family_files(), "bad": tmp_path / "bad.toml"}
    monkeypatch.setattr("reports.protocolpage.family_files", lambda: files)
    listing = read_scenarios()
    assert [left.path for left in listing.left_out] == ["protocols/bad.toml"]
    assert str(tmp_path) not in listing.left_out[0].reason
    assert listing.scenarios


def test_colours_of_label_maps() -> None:
    assert len({colour(index) for index in [*range(36), 255]}) == 37
    assert hexadecimal(1) == "#e69f00"
    label = np.arange(256, dtype=np.uint8).reshape(8, 32)
    picture = Image.open(io.BytesIO(label_png(label)))
    assert np.array_equal(np.asarray(picture), label)
    assert tuple(np.asarray(picture.convert("RGB"))[0, 5]) == colour(5)
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(image_png(image)))), image)


def test_reading_protocols_and_samples_loads_no_torch() -> None:
    code = (
        "import sys; from reports.protocolpage import read_scenarios, rendered;"
        "assert read_scenarios().scenarios and rendered('shapes'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
