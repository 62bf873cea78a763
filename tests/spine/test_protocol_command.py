"""``protocol show`` and ``protocol validate``: what a user reads, and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from spine_toys import FAMILY, MODEL

from benchmark.cli import main
from benchmark.protocols import family_files, load_protocol


def protocol(*words: object) -> Result:
    return CliRunner().invoke(main, ["protocol", *map(str, words)])


def test_show_says_what_is_fixed_without_data() -> None:
    shown = protocol("show", "voc-15-1-overlapped")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    resolved = load_protocol("voc-15-1-overlapped")
    assert lines[0] == resolved.id and f"digest {resolved.digest}" in lines
    assert "step 0: 15 new classes (published: 9,568)" in lines
    assert "step 5: 1 new class (published: 548)" in lines and "  tvmonitor 20" in lines
    assert "images and pixels are not counted: VOC 2012 needs the folder of its data" in lines[-1]
    assert max(map(len, lines)) <= 120


def test_show_takes_another_model_and_split() -> None:
    shown = protocol("show", "voc-15-1-overlapped", "--model", MODEL, "--split", "validation").stdout
    assert load_protocol("voc-15-1-overlapped", MODEL, "validation").digest in shown
    assert "model          tiny-model: Tests only" in shown and "image_size 32" in shown
    assert "trained on     augmented" in shown and "(no published number)" in shown


def test_show_of_rendered_scenes_needs_no_folder() -> None:
    lines = protocol("show", "shapes-6-2-disjoint").stdout.splitlines()
    assert lines[-1] == "data: shapes; 600 images to train on, 160 scored"


def test_show_ends_with_one_sentence_where_a_folder_holds_no_such_data(tmp_path: Path) -> None:
    shown = protocol("show", "cityscapes-14-1-disjoint", "--data-root", tmp_path)
    assert shown.exit_code == 2 and "step 5: 1 new class" in shown.stdout
    assert shown.stderr.startswith(f"cssbench: no Cityscapes at {tmp_path}; expected ")
    assert shown.stderr.count("\n") == 1


def test_show_of_an_unknown_id_tells_the_nearest() -> None:
    shown = protocol("show", "voc-15-1-overlaped")
    assert shown.exit_code == 2 and "did you mean 'voc-15-1-overlapped'?" in shown.stderr


@pytest.mark.parametrize("file", [*family_files().values(), FAMILY], ids=lambda file: file.stem)
def test_every_family_of_the_project_is_valid(file: Path) -> None:
    found = protocol("validate", file)
    assert found.exit_code == 0 and found.stdout.endswith("protocols, nothing wrong\n")


def validate(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    text = FAMILY.read_text()
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path = tmp_path / "tiny.toml"
    path.write_text(text)
    found = protocol("validate", path)
    assert found.exit_code == 1 and found.stderr == ""
    lines = found.stdout.splitlines()
    assert all(line.startswith(f"protocol file {path}: ") for line in lines)
    return [line.removeprefix(f"protocol file {path}: ") for line in lines]


def test_validate_tells_every_key_that_is_wrong(tmp_path: Path) -> None:
    found = validate(tmp_path, ("epochs = 2", "epochs = 0\nepoch = 2"), ("version = 1", 'version = "1"'))
    assert sorted(line.split("'")[1] for line in found) == ["epoch", "epochs", "version"]


def test_validate_tells_everything_a_file_contradicts_itself_in(tmp_path: Path) -> None:
    found = validate(
        tmp_path,
        ('"2-2" = [[1, 2], [3, 4]]', '"2-2" = [[1, 22], [3, 3], []]'),
        ('"pair" = "2-2"', '"pair" = "2-3"\n\n[expected_images]\n"2-1-disjoint" = [5]\n"2-9-joint" = [5]'),
        ('test = "validation"', 'test = "train"'),
    )
    assert [line.partition(";")[0] for line in found] == [
        "scenario '2-2' has an empty step",
        "scenario '2-2' names class 22",
        "scenario '2-2' names class 3 twice",
        "alias 'pair': unknown scenario '2-3'",
        "key 'splits.validation' trains on 'train' and scores it",
        "key 'expected_images.2-1-disjoint' has 1 numbers",
        "key 'expected_images': unknown scenario and setting '2-9-joint'",
    ]


def test_validate_compares_with_the_data_set_the_models_and_the_methods(tmp_path: Path) -> None:
    found = validate(
        tmp_path,
        ('"building", ', '"bilding", '),
        ("background = false", "background = true"),
        ('test = "test"', 'test = "tset"'),
        ('model = "cnn-small-cpu"', 'model = "cnn-smal-cpu"'),
        ('joint_method = "fine_tune"', 'joint_method = "fine_tuen"'),
    )
    assert len(found) == 5
    expected = (
        "differing: bilding, building",
        "it says background = true; expected false, as dataset msrc has it",
        "key 'splits.test': unknown split 'tset'; did you mean 'test'?",
        "key 'model': unknown model preset 'cnn-smal-cpu'; did you mean 'cnn-small-cpu'?",
        "key 'joint_method': unknown method 'fine_tuen'; did you mean 'fine_tune'?",
    )
    assert all(words in line for words, line in zip(expected, found, strict=True))


def test_validate_of_an_unknown_data_set_tells_the_nearest(tmp_path: Path) -> None:
    (finding,) = validate(tmp_path, ('dataset = "msrc"', 'dataset = "mscr"'))
    assert finding.startswith("key 'dataset': unknown dataset 'mscr'; did you mean 'msrc'?")


def test_validate_of_a_file_that_is_no_toml_or_not_there(tmp_path: Path) -> None:
    assert "is not TOML" in protocol("validate", Path(__file__)).stdout
    gone = protocol("validate", tmp_path / "gone.toml")
    assert gone.exit_code == 2 and "gone.toml cannot be read" in gone.stderr and gone.stdout == ""
