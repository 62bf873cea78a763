"""Comparisons: values by hand, the same from either side, zeros between equals, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import image_factory
import numpy as np
import pytest
import record_factory as factory
from browser_site import chromium, visit
from click.testing import CliRunner
from record_factory import A100, H100, MSRC_16_5, SHAPES_4_2, VOC_13_1, make

from benchmark.cli import main
from benchmark.errors import RecordError
from benchmark.evaluate import ImageCounts, pack_images
from benchmark.metrics import BOARDS, netscore, score
from benchmark.record import read_record, write_atomic
from reports.bootstrap import Interval, image_weights
from reports.compare import Comparison, Difference, compare
from reports.comparepage import write
from reports.comparetext import notes, overview, render, signed, span, tables
from reports.differences import differences, draw_differences
from reports.load import Found
from reports.runs import inputs, scored
from reports.samples import samples

SHAPES = "shapes-4-2-overlapped/cnn-small-cpu"
TINY = replace(
    SHAPES_4_2,
    protocol="tiny-1-1-overlapped",
    step_sizes=(1, 1),
    classes=("ant", "bee"),
    background=False,
    joint=None,
)


def _tiny(method: str, images: list[list[list[int]]], folder: Path, **changes: object) -> Path:
    """A run of two classes: ``images``, each a final matrix of truth (ant, bee) by output."""
    cells = [
        (i, row + 1, column, count)
        for i, image in enumerate(images)
        for row, line in enumerate(image)
        for column, count in enumerate(line)
        if count
    ]
    final = np.zeros((3, 3), dtype=int)
    for _, row, column, count in cells:
        final[row, column] += count
    first = ((0, 0), (0, 10), (0, 0))  # after step 0 every pixel of ant is found
    record = make(method, TINY, **changes)  # type: ignore[arg-type]
    steps = [
        replace(record.steps[0], confusion=first),
        replace(record.steps[1], confusion=tuple(tuple(int(v) for v in line) for line in final)),
    ]
    counts = [
        ImageCounts(*map(np.array, zip((0, 1, 1, 10), strict=False))),
        ImageCounts(*map(np.array, zip(*cells, strict=True))),
    ]
    packed = pack_images(counts, tuple(f"{i}" for i in range(len(images))))
    name = f"{method}-{record.seed}"
    whole = replace(record, steps=tuple(steps), images_file=f"{name}.npz", images_digest=packed.digest)
    path = factory.write(whole, folder, name)
    write_atomic(path.with_suffix(".npz"), packed.content)
    return path


def _two(folder: Path) -> None:
    """mib finds 6 of ant's 10 pixels and 4 of bee's 10; sdr 8 and 2. Nothing is called what it is not."""
    _tiny("mib", [[[2, 3, 0], [1, 0, 4]], [[2, 3, 0], [5, 0, 0]]], folder)
    _tiny("sdr", [[[1, 4, 0], [3, 0, 2]], [[1, 4, 0], [5, 0, 0]]], folder)


def _study(folder: Path, seeds: int = 2, images: int = 30) -> None:
    for seed in range(seeds):
        for method in ("mib", "sdr", "fine_tune"):
            image_factory.write(make(method, seed=seed), folder, images)
    image_factory.write(make("fine_tune", SHAPES_4_2.joint_place()), folder, images, "joint")


def _found(comparison: Comparison, key: str) -> Difference:
    return next(line.difference for line in comparison.scores if line.column.key == key)


def test_differences_by_hand(tmp_path: Path) -> None:
    _two(tmp_path)
    (found,) = compare(tmp_path, "mib", "sdr")
    values = {
        line.column.key: (line.difference.a.mean, line.difference.b.mean, line.difference.value)
        for line in found.scores
    }
    assert values["miou_all_percent"] == pytest.approx((50, 50, 0))
    assert values["miou_old_percent"] == pytest.approx((60, 80, -20))
    assert values["miou_new_percent"] == pytest.approx((40, 20, 20))
    assert values["forgetting_points"] == pytest.approx((40, 20, 20))
    assert values["forget_score_points"][2] is None  # there is no joint run
    assert values["netscore_train"][2] == pytest.approx(0, abs=1e-9)
    assert [line.difference.value for line in found.classes] == pytest.approx([-20, 20])
    assert [line.step for line in found.classes] == [0, 1]


def test_intervals_by_hand(tmp_path: Path) -> None:
    """Both images hold the same of ant: nothing varies. Bee is found in the first alone."""
    _two(tmp_path)
    (found,) = compare(tmp_path, "mib", "sdr")
    ant, bee = (line.difference for line in found.classes)
    assert ant.interval == pytest.approx((-20, -20)) and ant.verdict == "b"
    assert bee.interval == pytest.approx((0, 40)) and bee.verdict == "none"
    assert _found(found, "miou_all_percent").interval == pytest.approx((-10, 10))
    lost = _found(found, "forgetting_points")
    # Step 0 is found in the first image alone; where that is not drawn, nothing is known of what was lost.
    assert lost.interval == pytest.approx((20, 20)) and lost.verdict == "b"


def test_draws_of_a_run_are_what_scoring_each_drawn_test_set_gives(tmp_path: Path) -> None:
    path = image_factory.write(make("mib", VOC_13_1), tmp_path, 12)
    record = read_record(path)
    found = samples(scored(Found(path.name, record)), path, draws=20)
    archive = np.load(path.with_suffix(".npz"))
    weights = image_weights(found.test_set, 12, 20)
    rows = [range(1, 14), *([i] for i in range(14, 21))]
    for draw in range(20):
        matrices = []
        for t, step in enumerate(record.steps):
            matrix = np.zeros((21, len(step.confusion[0])), dtype=np.int64)
            parts = (archive[f"step{t}_{name}"] for name in ("image", "row", "column", "count"))
            for image, row, column, count in zip(*parts, strict=True):
                matrix[row, column] += int(weights[draw, image]) * int(count)
            matrices.append(matrix)
        expected = score(matrices, rows, True)
        assert found.scores["forgetting_points"][draw] == pytest.approx(100 * (expected.forgetting or 0))
        for key in ("all", "old", "new"):
            assert found.scores[f"miou_{key}_percent"][draw] == pytest.approx(
                100 * getattr(expected.final, key)
            )
        for name in BOARDS:
            own = netscore(100 * (expected.final.all or 0), *inputs(record, name))
            assert found.scores[f"netscore_{name}"][draw] == pytest.approx(own)
        known = [np.nan if v is None else 100 * v for v in expected.final.iou]
        assert found.iou[draw] == pytest.approx(known, nan_ok=True)


def test_the_other_way_round_is_the_negative(tmp_path: Path) -> None:
    _study(tmp_path)
    (one,), (other,) = compare(tmp_path, "mib", "sdr"), compare(tmp_path, "sdr", "mib")
    swapped = {"a": "b", "b": "a", "none": "none", "unknown": "unknown"}
    pairs = [
        (x.difference, y.difference)
        for x, y in zip((*one.scores, *one.classes), (*other.scores, *other.classes), strict=True)
    ]
    assert len(pairs) == 8 + 9
    for x, y in pairs:
        assert (x.a, x.b) == (y.b, y.a) and x.verdict == swapped[y.verdict]
        assert x.value is not None and y.value is not None and x.interval and y.interval
        assert x.value == pytest.approx(-y.value)
        assert x.interval == pytest.approx((-y.interval.high, -y.interval.low))
        assert x.interval.low <= x.interval.high
    for x, y in zip(one.costs, other.costs, strict=True):
        assert (x.a, x.b) == (y.b, y.a)
        assert (x.ratio is None) == (not x.b) and (
            not x.ratio or not y.ratio or x.ratio == pytest.approx(1 / y.ratio)
        )


def test_equals_differ_by_nothing(tmp_path: Path) -> None:
    _study(tmp_path)
    (found,) = compare(tmp_path, "mib", "mib")
    for line in (*found.scores, *found.classes):
        assert (line.difference.value, line.difference.interval, line.difference.verdict) == (
            0,
            (0, 0),
            "none",
        )
    assert {line.ratio for line in found.costs} <= {1.0, None}


def test_the_difference_to_joint_training_is_that_of_the_scores(tmp_path: Path) -> None:
    _study(tmp_path)
    (found,) = compare(tmp_path, "mib", "fine_tune")
    joint, score_ = _found(found, "forget_score_points"), _found(found, "miou_all_percent")
    assert joint.value == pytest.approx(score_.value) and joint.interval == score_.interval
    assert (
        joint.verdict == "a" and _found(found, "forgetting_points").verdict == "a"
    )  # of which less is better


def test_two_seeds_of_one_variant_as_runs_and_a_run_against_a_variant(tmp_path: Path) -> None:
    _study(tmp_path)
    files = sorted(tmp_path.rglob("mib-*.json"))
    (found,) = compare(tmp_path, *map(str, files))
    assert (found.match.a.name, found.match.b.name) == ("mib, seed 0", "mib, seed 1")
    assert _found(found, "forget_score_points").value is not None
    (alone,) = compare(tmp_path / "none", *map(str, files))
    assert _found(alone, "miou_all_percent") == _found(found, "miou_all_percent")
    assert _found(alone, "forget_score_points").reason.startswith("no joint run")
    (mixed,) = compare(tmp_path, str(files[0]), "sdr", [SHAPES])
    assert (mixed.match.a.seeds, mixed.match.b.seeds) == ((0,), (0, 1))
    assert any("Seeds differ: 0 against 0, 1." in note for note in notes(mixed))
    assert any("mib, seed 0 has a single seed" in note for note in notes(mixed))


def test_without_counts_by_image_there_is_no_interval_and_it_is_said(tmp_path: Path) -> None:
    image_factory.write(make("mib"), tmp_path)
    factory.write(make("sdr"), tmp_path)
    (found,) = compare(tmp_path, "mib", "sdr")
    assert {line.difference.interval for line in (*found.scores, *found.classes)} == {None}
    assert _found(found, "miou_all_percent").value is not None
    assert "sdr, seed 0: the record has no counts by image" in notes(found)[0]
    spec = differences(found)
    assert spec and not any(bar.shows for bar in spec.bars)
    assert "no counts by image" in render([found])


def test_other_test_images_are_not_paired(tmp_path: Path) -> None:
    image_factory.write(make("mib"), tmp_path, 30)
    image_factory.write(make("sdr"), tmp_path, 31)
    (found,) = compare(tmp_path, "mib", "sdr")
    assert found.unpaired == "they were scored on different test images"


def test_times_across_hardware_have_no_ratio_but_that_to_the_reference_has(tmp_path: Path) -> None:
    for method, place in (("mib", H100), ("sdr", A100), ("fine_tune", H100)):
        factory.write(make(method, VOC_13_1, 0, place), tmp_path)
    factory.write(make("fine_tune", VOC_13_1, 1, A100), tmp_path)
    (found,) = compare(tmp_path, "mib", "sdr")
    costs = {line.column.key: line for line in found.costs}
    seconds = costs["iteration_seconds"]
    assert (seconds.ratio, seconds.reason) == (None, f"mib ran on {H100.gpu}, sdr on {A100.gpu}")
    ratio = costs["iteration_ratio"]
    assert ratio.a and ratio.b and ratio.ratio == pytest.approx(ratio.a / ratio.b)
    assert costs["parameters_trainable"].ratio == 1
    _study(tmp_path / "alike")
    (alike,) = compare(tmp_path / "alike", "mib", "sdr")
    keys = {line.column.key for line in alike.costs}
    assert "iteration_ratio" not in keys and "iteration_seconds" in keys


def test_of_several_sources_the_newest_is_taken_and_said(tmp_path: Path) -> None:
    old, new = factory.sha("an old source"), factory.sha("a new one")
    factory.write(make("sdr"), tmp_path)
    factory.write(make("mib", source_digest=old, finished="2026-11-01T00:00:00+00:00"), tmp_path)
    factory.write(make("mib", source_digest=new, finished="2026-11-02T00:00:00+00:00"), tmp_path)
    (found,) = compare(tmp_path, "mib", "sdr")
    assert found.match.a.records[0].source_digest == new
    assert f"the newest of 2 sources, {new[:8]}; another is named mib@{old[:8]}" in notes(found)[0]
    (named,) = compare(tmp_path, f"mib@{old[:6]}", "mib")
    assert [side.records[0].source_digest for side in named.match[2:]] == [old, new]
    assert named.match.a.name == f"mib @{old[:8]}"
    with pytest.raises(RecordError, match=r"unknown variant 'mib@ffff'; .*did you mean"):
        compare(tmp_path, "mib@ffff", "sdr")


def test_all_boards_that_have_both_or_those_named(tmp_path: Path) -> None:
    for place in (SHAPES_4_2, MSRC_16_5):
        for method in ("mib", "sdr"):
            factory.write(make(method, place), tmp_path)
    factory.write(make("mib", VOC_13_1), tmp_path)
    both = compare(tmp_path, "mib", "sdr")
    assert [each.match.name.partition("-")[0] for each in both] == ["msrc", "shapes"]
    assert render(both).startswith("Final mIoU of all classes") and not render(both[:1]).startswith("Final")
    assert [line.cells[0] for line in overview(both).lines] == [each.match.name for each in both]
    assert overview(both).lines[0].cells[1:4] == tables(both[0])[0].lines[0].cells[1:4]
    page = write(both, tmp_path / "out").read_text()
    assert page.count("<table>") == 1 + 2 * 3 and page.count("<img") == 2
    (one,) = compare(tmp_path, "mib", "sdr", [SHAPES, SHAPES])
    assert one.match.name == SHAPES


def _refusals(folder: Path) -> dict[str, tuple[list[str], str]]:
    factory.write(make("mib"), folder)
    factory.write(make("plop", MSRC_16_5), folder)
    other = str(factory.write(make("sdr", MSRC_16_5), folder))
    model = str(
        factory.write(
            make("sdr", replace(SHAPES_4_2, model="vit"), protocol_digest=SHAPES_4_2.digest), folder
        )
    )
    run = str(factory.write(make("sdr"), folder))
    oom = str(factory.write(factory.failed("clora", SHAPES_4_2, "oom", "out of memory", 1), folder))
    split = str(factory.write(make("sdr", split="validation"), folder))
    joint = str(factory.write(make("fine_tune", SHAPES_4_2.joint_place()), folder))
    forged = str(factory.write(make("ilt", classes=("x", *SHAPES_4_2.classes[1:])), folder))
    factory.write(make("sdr", variant="sdr:\x1b[31m"), folder, "control")
    broken = folder / "broken.json"
    broken.write_text("{")
    return {
        "name": (["mbi", "mib"], r"unknown variant 'mbi'; did you mean 'mib'\? known: .*plop"),
        "board": (["mib", "sdr", "--board", "shapes"], "unknown board 'shapes'"),
        "not there": (["mib", "plop", "--board", SHAPES], f"unknown variant of {SHAPES} 'plop'"),
        "failed variant": (["mib", "clora"], "unknown variant 'clora'"),
        "apart": (["mib", "plop"], f"no board has both: 'mib' is on {SHAPES}, 'plop' on msrc-16-5"),
        "digest": ([run, other], "digest .* are not comparable: what was trained or scored differs"),
        "model": ([run, model], "runs on cnn-small-cpu and on vit are not comparable"),
        "failed": ([run, oom], "ended as oom; only finished runs can be compared"),
        "split": ([split, run], "scored on the validation split; expected a run that could be on a board"),
        "joint": ([joint, run], "joint training, a bound"),
        "broken": ([str(broken), run], "is not JSON"),
        "missing": (["nowhere.json", run], "nowhere.json cannot be read"),
        "forged": ([forged, run], "name one protocol digest, but differ in classes or steps"),
        "folder": (["mib", "sdr", "--results", str(folder / "none")], "does not exist"),
        "control characters": (["sd", "mib"], r"known: [^\x1b]*sdr:\?\[31m"),
        "other board": ([run, "mib", "--board", "msrc-16-5-overlapped"], "are not comparable"),
    }


def test_what_cannot_be_compared_is_said_in_one_sentence(tmp_path: Path) -> None:
    for name, (words, text) in _refusals(tmp_path / "results").items():
        where = [] if "--results" in words else ["--results", str(tmp_path / "results")]
        done = CliRunner().invoke(main, ["compare", *words, *where])
        assert done.exit_code == 2, (name, done.output)
        assert done.output.startswith("cssbench: ") and done.output.count("\n") == 1, (name, done.output)
        assert re.search(text, done.output), (name, done.output)


def test_signs_and_intervals_are_printed_so_that_zero_is_told() -> None:
    assert [signed(v, 1) for v in (1.0, -1.0, 0.04, -0.04, 0.0, None)] == [
        "+1.0",
        "\u22121.0",
        "0.0",
        "0.0",
        "0.0",
        "–",
    ]
    assert span(None, 1) == "–"
    assert span(Interval(0.004, 2), 1) == "+0.004 to +2.0"
    assert span(Interval(-3, 0), 1) == "\u22123.0 to 0.0"


HOSTILE = "</style></title><script>alert(1)</script>\" onerror='x' \u202e{{ 7*7 }} javascript:x"


def test_a_page_that_needs_no_other_and_shows_hostile_names_as_text(tmp_path: Path) -> None:
    classes = (HOSTILE, *SHAPES_4_2.classes[1:])
    for method, variant in (("mib", HOSTILE), ("sdr", "sdr")):
        record = make(
            method, SHAPES_4_2, variant=variant, classes=classes, protocol=HOSTILE[:8].replace("/", "x")
        )
        image_factory.write(record, tmp_path / "results", name=method)
    where = ["--results", str(tmp_path / "results"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["compare", HOSTILE, "sdr", *where])
    assert done.exit_code == 0, done.output
    assert "\u202e" not in done.output and done.output.endswith("out/compare.html\n")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert (
        "<script" not in page
        and "onerror='" not in page
        and "49" not in re.sub(r"[\w.+/=-]{9,}", "", page)[:600]
    )
    assert page.count("</style>") == page.count("</title>") == 1
    (digest,) = re.findall(r"style-src 'sha256-([^']+)'", page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert base64.b64decode(digest) == hashlib.sha256(style.encode()).digest()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    (drawn,) = (tmp_path / "out").glob("*.svg")
    assert (
        base64.b64decode(sources[0].partition(",")[2]) == drawn.read_bytes()
        and b"<script" not in drawn.read_bytes()
    )
    (data,) = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert data["a"]["variant"] == data["classes"][1]["name"] == HOSTILE
    miou = data["scores"]["miou_all_percent"]
    assert miou["difference"] == pytest.approx(miou["a"] - miou["b"]) and miou["low"] <= miou["high"]


def test_the_figure_is_sorted_and_tells_what_it_shows(tmp_path: Path) -> None:
    _study(tmp_path)
    (found,) = compare(tmp_path, "mib", "fine_tune")
    spec = differences(found)
    assert spec and (spec.first, spec.second) == ("mib", "fine_tune")
    values = [bar.value for bar in spec.bars]
    assert values == sorted(values, reverse=True) and len(values) == 9
    lines = {line.difference.label: line for line in found.classes}
    for bar in spec.bars:
        line = lines[bar.label]
        assert (bar.low, bar.high) == line.difference.interval and bar.step == line.step
        assert bar.shows == (line.difference.verdict != "none")
    assert draw_differences(spec) == draw_differences(spec)


@pytest.mark.browser
def test_the_page_in_a_browser_asks_for_nothing_and_keeps_its_policy(tmp_path: Path) -> None:
    _study(tmp_path / "results", seeds=1)
    write(compare(tmp_path / "results", "mib", "sdr"), tmp_path / "out")
    with chromium() as browser, visit(browser) as reader:
        page = reader.open(tmp_path / "out" / "compare.html")
        assert page.evaluate("document.querySelector('figure img').naturalWidth") > 100
        assert page.evaluate("getComputedStyle(document.querySelector('.num')).textAlign") == "right"
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tallest = "Math.max(...[...document.querySelectorAll('tr')].map(row => row.offsetHeight))"
        assert page.evaluate(tallest) < 120
