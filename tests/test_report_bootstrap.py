"""Bootstrap: counts by image are the record's, and intervals what resampling image by image gives."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import replace
from pathlib import Path

import image_factory
import numpy as np
import pytest
import record_factory as factory
from image_factory import split
from record_factory import MSRC_16_5, SHAPES_4_2, make

from benchmark.errors import RecordError
from benchmark.evaluate import ImageCounts, pack_images
from benchmark.metrics import netscore, overlap, score
from benchmark.record import read_record, sha256_of
from reports.boards import Board, boards_of
from reports.bootstrap import (
    Interval,
    RankRange,
    difference,
    image_weights,
    interval,
    over_seeds,
    rank_ranges,
    resampled_accuracy,
    resampled_scores,
    seed_picks,
)
from reports.load import load
from reports.perimage import ImageOverlap, read_overlap
from reports.ranges import draws_of, row_draws, run_draws, with_ranges
from reports.runs import scored

SET = factory.sha("a test set")


def _dense(counts: ImageCounts, images: int, shape: tuple[int, int]) -> np.ndarray:
    matrix = np.zeros((images, *shape), dtype=np.int64)
    for i, r, c, n in zip(*counts, strict=True):
        matrix[i, r, c] += n
    return matrix


def _read(path: Path, step: int = -1) -> ImageOverlap:
    return read_overlap(read_record(path), path, step)


@pytest.mark.parametrize("step", [0, 1, -1])
def test_overlap_by_image_is_that_of_each_images_matrix(tmp_path: Path, step: int) -> None:
    path = image_factory.write(make("mib"), tmp_path, images=9)
    confusion = read_record(path).steps[step].confusion
    number = range(3)[step]
    matrices = _dense(split(confusion, 9, number), 9, (len(confusion), len(confusion[0])))
    found = _read(path, step)
    assert np.array_equal(found.intersection, overlap(matrices).intersection)
    assert np.array_equal(found.union, overlap(matrices).union)
    assert np.array_equal(found.union.sum(axis=0), overlap(confusion).union)


def _broken(counts: ImageCounts, names: tuple[str, ...] = ("a", "b")) -> bytes:
    return pack_images([counts], names).content


def _arrays(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("names.npy", bytes(2**28 + 1))
    return file.getvalue()


ONE = np.array([1], dtype=np.int64)
UNFIT = {
    "cannot be read: File is not a zip file": b"not a zip",
    "There is no item named 'names.npy'": _arrays(other=ONE),
    'names begins with b"\\x93NUMPY': _arrays(names=ONE),
    "unpacks to 268435457 bytes": _bomb(),
    "expected a list of 'U' in numpy's format": _arrays(names=np.array([{"a": 1}], dtype=object)),
    "names holds numbers that stand for no character": _arrays(names=np.array([2**21], "<u4").view("<U1")),
    "beyond its images or classes": _broken(ImageCounts(ONE + 1, ONE, ONE, ONE)),
    "does not sum to the confusion matrix of step 0": _broken(ImageCounts(ONE, ONE, ONE, ONE)),
}


@pytest.mark.parametrize(("reason", "content"), UNFIT.items(), ids=list(UNFIT))
def test_counts_that_do_not_fit_are_refused_by_name(tmp_path: Path, reason: str, content: bytes) -> None:
    digest = sha256_of(content)
    record = replace(make(finished_steps=1), status="error", images_file="a.npz", images_digest=digest)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(RecordError) as refused:
        read_overlap(record, tmp_path / "a.json", 0)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "no counts by image"),
        ({"images_file": "absent.npz"}, "cannot be read: No such file"),
        ({"images_file": "../a.npz"}, "expected a file beside the record"),
        ({"images_file": "..\\a.npz"}, "expected a file beside the record"),
        ({"images_file": "/etc/passwd"}, "expected a file beside the record"),
        ({"images_file": "a.npz", "images_digest": factory.sha("b")}, "its digest differs"),
        ({"images_file": "a.npz"}, "its digest differs"),
    ],
)
def test_a_file_that_is_not_the_records_own_is_refused(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    (tmp_path / "a.npz").write_bytes(b"a")
    with pytest.raises(RecordError, match=reason):
        read_overlap(replace(make(), **changes), tmp_path / "a.json")  # type: ignore[arg-type]


def test_each_draw_holds_as_many_images_as_the_test_set() -> None:
    weights = image_weights(SET, 7, 500)
    assert weights.shape == (500, 7)
    assert set(weights.sum(axis=1)) == {7.0}
    assert abs(weights.mean() - 1) < 1e-12
    assert np.array_equal(weights, image_weights(SET, 7, 500))
    assert not np.array_equal(weights, image_weights(factory.sha("another"), 7, 500))
    assert set(np.unique(seed_picks(SET, 3, 500))) == {0, 1, 2}


def test_a_draw_is_scored_as_its_images_would_be_by_hand() -> None:
    # two images, outputs 0 (background), 1 (old), 2 (new)
    intersection, union = np.array([[4.0, 1, 0], [2, 0, 3]]), np.array([[8.0, 2, 0], [4, 2, 4]])
    drawn = image_weights(SET, 2, 64)
    scores = resampled_scores(ImageOverlap(SET, intersection, union), 2, True, 64)
    expected = {
        (2, 0): (0.5, 0.5, math.nan),  # the first image twice: 4/8, 1/2, and class 2 in none
        (1, 1): ((0.5 + 1 / 4 + 3 / 4) / 3, (0.5 + 1 / 4) / 2, 3 / 4),  # 6/12, 1/4, 3/4
        (0, 2): ((0.5 + 0 + 3 / 4) / 3, 0.25, 3 / 4),
    }
    assert {tuple(w) for w in drawn.astype(int).tolist()} == set(expected)
    for b, weights in enumerate(drawn.astype(int).tolist()):
        found = [part[b] for part in scores]
        assert found == pytest.approx(expected[tuple(weights)], nan_ok=True)


@pytest.mark.parametrize("place", [SHAPES_4_2, MSRC_16_5], ids=["background", "none"])
def test_every_draw_equals_the_benchmarks_own_score_of_the_drawn_images(
    tmp_path: Path, place: factory.Place
) -> None:
    record = make("mib", place)
    path = image_factory.write(record, tmp_path, images=11)
    found = resampled_scores(_read(path), 1 + place.step_sizes[0], place.background, 40)
    confusions = [step.confusion for step in record.steps]
    last = len(confusions) - 1
    matrices = _dense(split(confusions[-1], 11, last), 11, np.shape(confusions[-1]))
    for b, weights in enumerate(image_weights(_read(path).test_set, 11, 40)):
        drawn = sum(int(weight) * matrix for weight, matrix in zip(weights, matrices, strict=True))
        final = score([*confusions[:-1], drawn], [s.classes for s in record.steps], place.background).final
        assert (found.all[b], found.old[b], found.new[b]) == pytest.approx((final.all, final.old, final.new))


def test_runs_scored_together_have_the_bits_of_each_alone() -> None:
    random = np.random.default_rng(2)
    overlaps = []
    for images, outputs, largest in ((9, 3, 50), (9, 3, 2**30), (9, 3, 50), (9, 22, 50), (5, 22, 50)):
        correct = random.integers(0, largest, (images, outputs)) * (random.random((images, outputs)) < 0.2)
        overlaps.append(
            ImageOverlap(SET, correct * 1.0, correct * random.integers(1, 3, correct.shape) * 1.0)
        )
    alone = [resampled_scores(overlap, 2, True, 100).all for overlap in overlaps]
    assert any(np.isnan(values).any() for values in alone)
    for single, together in zip(alone, resampled_accuracy(overlaps, 100), strict=True):
        assert single.tobytes() == together.tobytes()


def test_a_rows_runs_are_scored_a_few_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        image_factory.write(make("mib", MSRC_16_5, seed=seed), tmp_path, 20)
    (row,) = _board(tmp_path).rows
    runs = [run_draws(measured.run, tmp_path) for measured in row.counted]
    expected = over_seeds([100 * run.scores.all for run in runs], runs[0].test_set)
    for together in (1, 2, 10):
        monkeypatch.setattr("reports.ranges.TOGETHER", together)
        assert row_draws(row, tmp_path).percent.tobytes() == expected.tobytes()


def test_seeds_are_resampled_within_a_row() -> None:
    runs = [np.full(200, value) for value in (1.0, 2.0, 6.0)]
    means = over_seeds(runs, SET)
    picks = seed_picks(SET, 3, 200)
    assert means == pytest.approx([sum((1.0, 2.0, 6.0)[k] for k in pick) / 3 for pick in picks])
    assert np.array_equal(over_seeds(runs[:1], SET), runs[0])


def test_intervals_are_percentiles_and_undefined_draws_are_left_out() -> None:
    values = np.arange(1001.0)
    assert interval(values) == Interval(25.0, 975.0)
    assert interval(np.append(values, [np.nan] * 9)) == Interval(25.0, 975.0)
    assert interval(np.full(4, np.nan)) is None
    assert difference(values, values) == Interval(0.0, 0.0)
    assert difference(values + 2, values) == Interval(2.0, 2.0)


def test_rank_ranges_equal_ranking_each_draw_by_hand() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 6, (7, 300)).astype(float) + np.arange(7)[:, None]
    scores[2, :100] = np.nan
    low, high = [], []
    for row in range(7):
        places = []
        for b in range(300):
            mine = -math.inf if math.isnan(scores[row, b]) else scores[row, b]
            places.append(1 + sum(other > mine for other in scores[:, b]))
        ordered = sorted(places)
        low.append(ordered[math.floor(0.025 * 299)])
        high.append(ordered[math.ceil(0.975 * 299)])
    assert rank_ranges(list(scores)) == tuple(map(RankRange, low, high))
    assert rank_ranges([]) == ()


def test_a_row_that_is_better_on_every_image_is_first_in_every_draw() -> None:
    union = np.full((12, 3), 10.0)
    best = resampled_scores(ImageOverlap(SET, union * 0.9, union), 2, True)
    others = [resampled_scores(ImageOverlap(SET, union * f, union), 2, True) for f in (0.5, 0.5, 0.1)]
    found = rank_ranges([best.all, *(other.all for other in others)])
    assert found == (RankRange(1, 1), RankRange(2, 2), RankRange(2, 2), RankRange(4, 4))


def _board(folder: Path) -> Board:
    (board,) = boards_of([scored(found) for found in load(folder).found])
    return with_ranges(board, draws_of(board, folder))


def test_identical_rows_never_differ_and_share_their_range(tmp_path: Path) -> None:
    for seed in range(3):
        for source in ("first", "second"):
            image_factory.write(
                make("mib", seed=seed, source_digest=factory.sha(source)), tmp_path, 20, f"{source}-{seed}"
            )
        image_factory.write(make("sdr", seed=seed), tmp_path, 20)
    board = _board(tmp_path)
    twins = [row for row in board.rows if row.method == "mib"]
    first, second = (row_draws(row, tmp_path) for row in twins)
    assert np.ptp(first.percent) > 0
    assert difference(first.percent, second.percent) == Interval(0.0, 0.0)
    assert twins[0].ranges == twins[1].ranges
    assert set(twins[0].ranges) == {"miou_all_percent", "netscore_train", "netscore_clora", "netscore_deploy"}


def test_netscore_of_a_draw_moves_with_its_accuracy_alone(tmp_path: Path) -> None:
    """The range of a board's NetScore, drawn by hand from the runs' own netscore()."""
    records = [make(method, seed=seed) for method in ("fine_tune", "mib", "plop", "sdr") for seed in range(2)]
    for record in records:
        image_factory.write(record, tmp_path, 15)
    board = _board(tmp_path)
    values = []
    for row in board.rows:
        runs = []
        for measured in row.counted:
            last, batch = measured.run.record.steps[-1], measured.run.record.batch_size
            p, m = last.parameters.trainable / 1e6, (last.compute.train_flops or 0) / 2 / batch / 1e9
            drawn = run_draws(measured.run, tmp_path).scores.all
            runs.append(np.array([netscore(100 * float(a), p, m) for a in drawn]))
        picks = seed_picks(run_draws(row.counted[0].run, tmp_path).test_set, 2)
        values.append(np.array([np.mean([runs[k][b] for k in pick]) for b, pick in enumerate(picks)]))
    expected = rank_ranges(values)
    assert tuple(row.ranges["netscore_train"] for row in board.rows) == expected
    assert any(low < high for low, high in (row.ranges["miou_all_percent"] for row in board.rows))


def test_rows_without_counts_say_why_and_are_held_at_their_score(tmp_path: Path) -> None:
    image_factory.write(make("mib"), tmp_path)
    image_factory.write(make("sdr"), tmp_path)
    factory.write(make("plop"), tmp_path)
    gone = image_factory.write(make("ilt", seed=0), tmp_path)
    image_factory.write(make("ilt", seed=1), tmp_path)
    image_factory.write(make("clora"), tmp_path, images=30)
    factory.write(factory.failed("ewc", SHAPES_4_2, "oom", "out of memory", 0), tmp_path)
    gone.with_suffix(".npz").unlink()
    rows = {row.method: row for row in _board(tmp_path).rows}
    assert rows["mib"].unranged == rows["sdr"].unranged == ""
    assert "no counts by image" in rows["plop"].unranged
    assert rows["ilt"].unranged.startswith("seed 0: ")
    assert "other test images" in rows["clora"].unranged
    assert rows["ewc"].unranged == "no run finished"
    assert all(rows[method].ranges == {} for method in ("plop", "ilt", "clora", "ewc"))
    scores = {m: rows[m].mean("netscore_train") or 0.0 for m in ("mib", "sdr", "plop", "ilt", "clora")}
    ahead = sum(value > scores["sdr"] + 20 for value in scores.values())
    assert rows["sdr"].ranges["netscore_train"].low >= 1 + ahead
    assert rows["mib"].single and not rows["ilt"].single


def test_a_row_that_gets_nothing_right_has_no_netscore_and_no_range_by_it(tmp_path: Path) -> None:
    record = make("mib")
    wrong = tuple(
        tuple(0 if i == j else n for j, n in enumerate(row))
        for i, row in enumerate(record.steps[-1].confusion)
    )
    steps = (*record.steps[:-1], replace(record.steps[-1], confusion=wrong))
    image_factory.write(replace(record, steps=steps), tmp_path)
    image_factory.write(make("sdr"), tmp_path)
    rows = {row.method: row for row in _board(tmp_path).rows}
    assert set(rows["mib"].ranges) == {"miou_all_percent"}
    assert rows["mib"].ranges["miou_all_percent"] == RankRange(2, 2)
    assert rows["sdr"].ranges["netscore_train"] == RankRange(1, 1)


def test_every_record_of_the_project_has_counts_that_fit() -> None:
    results = Path(__file__).parents[1] / "results"
    runs = [scored(found) for found in load(results).found]
    finished = [run for run in runs if run.ok]
    assert len(finished) > 20
    for run in finished:
        drawn = run_draws(run, results).scores
        assert run.scores.final.all is not None
        assert abs(float(drawn.all.mean()) - run.scores.final.all) < 0.05
