"""Protocols: what changes their digest and what does not, and what of a TOML is refused."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from spine_toys import FAMILY, MODEL, protocol_name

from benchmark.errors import ProtocolError
from benchmark.preset import ModelPreset
from benchmark.protocol import Augmentation, Evaluation, Protocol, Splits
from benchmark.protocols import load_preset, load_protocol, preset_files, protocol_ids

COSMETIC = {
    "id": "x",
    "description": "x",
    "scenario": "x",
    "joint": "x",
    "joint_method": "x",
    "expected_images": (1, 2, 3),
}
MEANT = {
    "version": 2,
    "dataset": "other",
    "setting": "disjoint",
    "split": "validation",
    "classes": ("a",) * 21,
    "background": True,
    "steps": ((1, 2), (3,), (4,)),
    "splits": Splits(("train",), "test"),
    "epochs": 3,
    "augmentation": Augmentation((0.5, 2.5)),
    "evaluation": Evaluation("centre"),
}
COSMETIC_OF_MODEL = {"name": "x", "description": "x"}
MEANT_OF_MODEL = {
    "encoder": "resnet34",
    "pretrained": "a1_in1k",
    "decoder": "aspp",
    "image_size": 64,
    "batch_size": 5,
    "learning_rate": 0.06,
    "learning_rate_later": 0.03,
    "learning_rate_one_class": 0.01,
    "sha256": "0" * 64,
    "encoder_args": {"channels": [8, 8, 8, 17]},
    "output_stride": 16,
    "decoder_channels": 9,
    "aspp_rates": (6, 12, 19),
    "resize": 32,
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
    "optimiser": "adamw",
    "momentum": 0.8,
    "nesterov": False,
    "weight_decay": 0.0,
    "poly_power": 1.0,
    "precision": "bf16",
}


@pytest.fixture
def tiny() -> Protocol:
    return load_protocol(protocol_name(), MODEL)


def test_every_field_is_known_to_this_test():
    assert {field.name for field in fields(Protocol)} == {*MEANT, *COSMETIC, "model"}
    assert {field.name for field in fields(ModelPreset)} == {*MEANT_OF_MODEL, *COSMETIC_OF_MODEL}


@pytest.mark.parametrize("field", MEANT)
def test_every_change_of_meaning_changes_the_digest(tiny, field):
    assert replace(tiny, **{field: MEANT[field]}).digest != tiny.digest


@pytest.mark.parametrize("field", MEANT_OF_MODEL)
def test_every_change_of_the_preset_changes_the_digest(tiny, field):
    changed = replace(tiny.model, **{field: MEANT_OF_MODEL[field]})
    assert replace(tiny, model=changed).digest != tiny.digest


@pytest.mark.parametrize("field", COSMETIC)
def test_prose_and_names_leave_the_digest(tiny, field):
    assert replace(tiny, **{field: COSMETIC[field]}).digest == tiny.digest


@pytest.mark.parametrize("field", COSMETIC_OF_MODEL)
def test_prose_and_names_of_the_preset_leave_the_digest(tiny, field):
    changed = replace(tiny.model, **{field: COSMETIC_OF_MODEL[field]})
    assert replace(tiny, model=changed).digest == tiny.digest


def test_the_flip_alone_and_the_order_within_a_step_change_the_digest(tiny):
    flipped = replace(tiny.augmentation, flip=0.25)
    assert replace(tiny, augmentation=flipped).digest != tiny.digest
    assert replace(tiny, steps=((2, 1), *tiny.steps[1:])).digest != tiny.digest


def test_a_weights_file_is_known_by_its_content_alone(tiny):
    def digest(pretrained: str, sha256: str | None) -> str:
        return replace(tiny, model=replace(tiny.model, pretrained=pretrained, sha256=sha256)).digest

    assert digest("/a/w.safetensors", "0" * 64) == digest("b/v.safetensors", "0" * 64)
    assert digest("/a/w.safetensors", "0" * 64) != digest("/a/w.safetensors", "1" * 64)
    assert digest("a1_in1k", "0" * 64) != digest("random", "0" * 64)


def copy(folder: Path, *changes: tuple[str, str], source: Path = FAMILY, name: str = "tiny.toml") -> Path:
    """Write a changed copy of a TOML; each change must find what it changes."""
    text = source.read_text()
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(
    "change",
    [
        ('description = "Tests only"', 'description = "Other words"'),
        ("epochs = 2", "epochs = 2  # two"),
        ('dataset = "msrc"\ndescription = "Tests only"', 'description = "Tests only"\ndataset = "msrc"'),
        ("version = 1", 'version = 1\nname = "other"'),
        ("[aliases]", '[expected_images]\n"2-1-overlapped" = [5, 5, 5]\n\n[aliases]'),
        ("[scenarios]\n", '[scenarios]\n"more" = [[5], [6]]\n'),
        ('joint_method = "fine_tune"', 'joint_method = "mib"'),
        ("[splits.validation]", "[augmentation]\nflip = 0.5\n\n[splits.validation]"),
        ("[splits.validation]", "[augmentation]\nrandom_scale = [0.5, 2]\n\n[splits.validation]"),
    ],
)
def test_how_a_family_is_written_leaves_the_digest(tiny, tmp_path, change):
    changed = copy(tmp_path / "elsewhere", change)
    assert load_protocol(f"{changed}:2-1-overlapped", MODEL).digest == tiny.digest


@pytest.mark.parametrize(
    "change",
    [
        ("learning_rate = 0.05", "learning_rate = 5e-2"),
        ("decoder_channels = 8", "decoder_channels = 8\nweight_decay = 1e-4"),
        ("decoder_channels = 8", "mean = [0.485, 0.456, 0.406]\ndecoder_channels = 8"),
        ("decoder_channels = 8", 'decoder_channels = 8\nname = "other"'),
    ],
)
def test_how_a_preset_is_written_leaves_the_digest(tiny, tmp_path, change):
    changed = copy(tmp_path, change, source=Path(MODEL))
    assert load_protocol(protocol_name(), str(changed)).digest == tiny.digest


def test_a_whole_number_is_a_float_where_one_is_meant(tmp_path):
    whole = copy(tmp_path, ("learning_rate = 0.05", "learning_rate = 1"), source=Path(MODEL), name="a.toml")
    point = copy(tmp_path, ("learning_rate = 0.05", "learning_rate = 1.0"), source=Path(MODEL), name="b.toml")
    digests = {load_protocol(protocol_name(), str(preset)).digest for preset in (whole, point)}
    assert len(digests) == 1


def test_an_alias_is_another_name_of_the_same(tmp_path):
    named, aliased = (load_protocol(protocol_name(s), MODEL) for s in ("2-2-disjoint", "pair-disjoint"))
    assert aliased == named


def test_settings_splits_and_models_have_digests_of_their_own():
    names = ["2-1-sequential", "2-1-disjoint", "2-1-overlapped", "2-2-overlapped", "joint"]
    digests = {load_protocol(protocol_name(name), MODEL).digest for name in names}
    digests.add(load_protocol(protocol_name(), MODEL, "validation").digest)
    digests.add(load_protocol(protocol_name()).digest)
    assert len(digests) == len(names) + 2


def test_no_two_protocols_of_the_project_share_a_digest():
    digests = [load_protocol(name, model).digest for name in protocol_ids() for model in preset_files()]
    assert len(set(digests)) == len(digests)
    with_defaults = {load_protocol(name).digest for name in protocol_ids()}
    assert len(with_defaults) == len(protocol_ids()) and with_defaults <= set(digests)


def test_what_is_resolved_is_what_was_written(tiny):
    assert tiny.id == "tiny-2-1-overlapped"
    assert (tiny.scenario, tiny.setting, tiny.split) == ("2-1", "overlapped", "test")
    assert tiny.steps == ((1, 2), (4,), (3,)) and tiny.order == (1, 2, 4, 3)
    assert tiny.row_names == ("background", "building", "grass", "cow", "tree")
    assert [tiny.outputs(step) for step in range(3)] == [3, 4, 5]
    assert [tiny.channels(step) for step in range(3)] == [(1, 2), (3,), (4,)]
    assert tiny.splits == Splits(("train", "validation"), "test")
    assert (tiny.model.name, tiny.model.image_size) == ("tiny-model", 32)


def test_the_joint_bound_has_all_classes_in_one_step(tiny):
    joint = load_protocol(tiny.joint, MODEL)
    assert (joint.id, joint.joint, joint.scenario) == ("tiny-joint", None, "joint")
    assert joint.steps == (tuple(range(1, 22)),)
    assert load_protocol("msrc-16-5-overlapped").joint == "msrc-joint"


def test_validation_trains_on_the_training_split_alone():
    held_out = load_protocol(protocol_name(), MODEL, "validation")
    assert held_out.splits == Splits(("train",), "validation")


def test_a_preset_beside_a_family_is_found_from_anywhere(tmp_path, monkeypatch):
    copy(tmp_path, source=Path(MODEL), name="mine.toml")
    family = copy(tmp_path, ('model = "cnn-small-cpu"', 'model = "mine.toml"'))
    monkeypatch.chdir("/")
    assert load_protocol(f"{family}:2-1-overlapped").model.decoder_channels == 8


@pytest.mark.parametrize(("step", "new", "rate"), [(0, 1, 0.05), (1, 2, 0.02), (1, 1, 0.001), (2, 1, 0.001)])
def test_the_learning_rate_of_a_step(step, new, rate):
    preset = replace(load_preset(MODEL), learning_rate_one_class=0.001)
    assert preset.rate(step, new) == rate


def test_without_a_rate_of_their_own_steps_of_one_class_take_the_later_rate():
    assert load_preset(MODEL).rate(1, 1) == 0.02


def refusal(name: str, model: str | None = MODEL, split: str = "test") -> str:
    with pytest.raises(ProtocolError) as caught:
        load_protocol(name, model, split)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("epochs = 2", "epochs = 2\nepoch = 3"), "'epoch'"),
        (("epochs = 2", ""), "'epochs'"),
        (("epochs = 2", 'epochs = "2"'), "'epochs'"),
        (("epochs = 2", "epochs = true"), "'epochs'"),
        (("epochs = 2", "epochs = 2.5"), "'epochs'"),
        (("epochs = 2", "epochs = 0"), "'epochs'"),
        (("epochs = 2", "epochs = 2024-01-01"), "'epochs'"),
        (("background = false", "background = 0"), "'background'"),
        (("background = false", 'background = "no"'), "'background'"),
        (("version = 1", 'version = 1\nsettings = ["incremental"]'), "'settings.0'"),
        (("version = 1", "version = 1\nclasses = []"), "not TOML"),
        (("[aliases]", "[augmentation]\nflip = 1.5\n[aliases]"), "'augmentation.flip'"),
        (("[aliases]", "[augmentation]\nflop = 0.5\n[aliases]"), "'augmentation.flop'"),
        (("[aliases]", "[augmentation]\nrandom_scale = [0, 2]\n[aliases]"), "'augmentation.random_scale.0'"),
        (("[aliases]", "[augmentation]\nrandom_scale = [2, 1]\n[aliases]"), "'augmentation.random_scale'"),
        (
            ("[aliases]", "[augmentation]\nrandom_scale = [1, inf]\n[aliases]"),
            "'augmentation.random_scale.1'",
        ),
        (("[aliases]", '[evaluation]\ncrop = "left"\n[aliases]'), "'evaluation.crop'"),
        (("[splits.validation]", "[splits.held_out]"), "'splits.held_out"),
        (('"2-2" = [[1, 2], [3, 4]]', '"2-2" = [[1, 2], [3, "4"]]'), "'scenarios.2-2.1.1'"),
        (
            ('"2-2" = [[1, 2], [3, 4]]', '"2-2" = [[1, 2], [3, 22]]'),
            "scenario '2-2' names class 22; expected 1 to 21",
        ),
        (
            ('"2-2" = [[1, 2], [3, 4]]', '"2-2" = [[0, 2], [3, 4]]'),
            "scenario '2-2' names class 0; expected 1 to 21",
        ),
        (('"2-2" = [[1, 2], [3, 4]]', '"2-2" = [[1, 2], [3, 2]]'), "scenario '2-2' names class 2 twice"),
        (('"2-2" = [[1, 2], [3, 4]]', '"2-2" = [[1, 1], [3, 2]]'), "scenario '2-2' names class 1 twice"),
        (('"2-2" = [[1, 2], [3, 4]]', '"2-2" = [[1, 2], []]'), "scenario '2-2' has an empty step"),
        (('"2-2" = [[1, 2], [3, 4]]', '"2-2" = []'), "scenario '2-2' has an empty step"),
        (('"2-2" = [[1, 2], [3, 4]]', '"2/2" = [[1, 2], [3, 4]]'), "name of a scenario: got '2/2'"),
        (('"pair" = "2-2"', '"pair" = "2-3"'), "alias 'pair': unknown scenario '2-3'; did you mean '2-"),
        (('"pair" = "2-2"', '"2-1" = "2-2"'), "alias '2-1' is the name of a scenario too"),
        (("version = 1", 'version = 1\nname = "../up"'), "'name': got '../up'"),
        (("version = 1", "version = "), "is not TOML"),
    ],
)
def test_a_family_that_is_wrong_is_refused_by_file_and_key(tmp_path, change, expected):
    path = copy(tmp_path, change)
    message = refusal(f"{path}:2-1-overlapped")
    assert message.startswith(f"protocol file {path}") and expected in message


def test_a_family_must_say_what_is_scored(tmp_path):
    text = FAMILY.read_text()
    start, end = text.index("[splits.test]"), text.index("[splits.validation]")
    (tmp_path / "tiny.toml").write_text(text[:start] + text[end:])
    assert "key 'splits' has no 'test'" in refusal(f"{tmp_path / 'tiny.toml'}:2-1-overlapped")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("image_size = 32", "image_size = 32\nsize = 32"), "'size'"),
        (("image_size = 32", "image_size = -32"), "'image_size'"),
        (("image_size = 32", 'image_size = "32"'), "'image_size'"),
        (("learning_rate = 0.05", "learning_rate = 0"), "'learning_rate'"),
        (("learning_rate = 0.05", "learning_rate = nan"), "'learning_rate'"),
        (("learning_rate = 0.05", "learning_rate = inf"), "'learning_rate'"),
        (("learning_rate = 0.05", ""), "'learning_rate'"),
        (('decoder = "conv"', 'decoder = "unet"'), "'decoder'"),
        (("output_stride = 8", "output_stride = 12"), "'output_stride'"),
        (("decoder_channels = 8", "decoder_channels = 8\nmomentum = 1.5"), "'momentum'"),
        (("decoder_channels = 8", "decoder_channels = 8\nmean = [0.5, 0.5]"), "'mean"),
        (("decoder_channels = 8", "decoder_channels = 8\nstd = [0.5, 0.5, 0]"), "'std.2'"),
        (("decoder_channels = 8", "decoder_channels = 8\nmomentum = 0"), "'nesterov'"),
        (("decoder_channels = 8", f'decoder_channels = 8\nsha256 = "{"0" * 64}"'), "'sha256' is given"),
        (('pretrained = "random"', 'pretrained = "w.safetensors"'), "'sha256' is missing"),
    ],
)
def test_a_preset_that_is_wrong_is_refused_by_file_and_key(tmp_path, change, expected):
    path = copy(tmp_path, change, source=Path(MODEL))
    message = refusal(protocol_name(), str(path))
    assert message.startswith(f"model preset {path}: key ") and expected in message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("msrc-16-5-overlaped", "did you mean 'msrc-16-5-overlapped'?"),
        ("msrc-16-6-overlapped", "did you mean 'msrc-1"),
        ("msrc-16-5", "unknown protocol 'msrc-16-5'"),
        ("mscr-16-5-overlapped", "did you mean 'msrc-16-5-overlapped'?"),
        ("", "unknown protocol ''"),
        (f"{FAMILY}", "unknown protocol"),
        (f"{FAMILY}:", "unknown protocol"),
        (f"{FAMILY}:2-3-overlapped", "did you mean 'tiny-2-2-overlapped'?"),
        ("gone.toml:2-1-overlapped", "protocol file gone.toml cannot be read"),
    ],
)
def test_an_unknown_protocol_tells_the_nearest(name, expected):
    message = refusal(name)
    assert expected in message


def test_an_unknown_preset_tells_the_nearest():
    assert "unknown model preset 'cnn-smal-cpu'; did you mean 'cnn-small-cpu'?" in refusal(
        "msrc-joint", "cnn-smal-cpu"
    )
    assert "model preset gone.toml cannot be read" in refusal("msrc-joint", "gone.toml")


def test_a_setting_or_a_split_the_family_does_not_have_is_refused(tmp_path):
    path = copy(
        tmp_path,
        ("version = 1", 'version = 1\nsettings = ["disjoint"]'),
        ("[splits.validation]", "[splits.x]"),
    )
    assert "'splits.x" in refusal(f"{path}:2-1-disjoint")
    text = FAMILY.read_text()
    start, end = text.index("[splits.validation]"), text.index("[scenarios]")
    path = tmp_path / "narrow.toml"
    path.write_text('settings = ["disjoint"]\n' + text[:start] + text[end:])
    assert "unknown protocol" in refusal(f"{path}:2-1-overlapped")
    assert "has no split 'validation'; it has: test" in refusal(f"{path}:2-1-disjoint", split="validation")


def test_all_protocols_of_the_project_resolve_and_name_a_joint_bound_that_resolves():
    for name in protocol_ids():
        protocol = load_protocol(name)
        assert protocol.id == name
        assert sorted(protocol.order) == list(range(1, len(protocol.classes) + 1))
        assert protocol.joint is None or load_protocol(protocol.joint).joint is None
    for name in preset_files():
        assert load_preset(name).name == name
