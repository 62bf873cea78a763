"""Windows over large images, against counting by hand and pixel by pixel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from spine_toys import FAMILY, MODEL, protocol_name

from benchmark.errors import ProtocolError
from benchmark.protocol import Evaluation
from benchmark.protocols import load_family, load_protocol
from benchmark.record import Record
from benchmark.recording import RunSpec
from benchmark.run import execute, resolve
from benchmark.windows import Windows, starts


@pytest.mark.parametrize(
    ("side", "size", "stride", "expected"),
    [
        (10, 4, 3, [0, 3, 6]),
        (11, 4, 3, [0, 3, 6, 7]),
        (9, 4, 4, [0, 4, 5]),
        (8, 4, 4, [0, 4]),
        (4, 4, 1, [0]),
        (3, 4, 2, [0]),
        (6, 4, 1, [0, 1, 2]),
    ],
)
def test_windows_start_at_every_stride_and_end_at_the_end(
    side: int, size: int, stride: int, expected: list[int]
) -> None:
    assert starts(side, size, stride) == expected


def dependent(image: torch.Tensor) -> torch.Tensor:
    """Logits that depend on a pixel and on all of the window it is shown in."""
    value = image.float()
    whole = value.mean(dim=(1, 2, 3), keepdim=True)
    return torch.cat([value[:, :1] + whole, value[:, 1:2] * whole, value[:, 2:]], dim=1)


def brute_force(image: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """Every pixel's mean over all windows that hold it, one pixel at a time."""
    count, _, height, width = image.shape
    out = torch.zeros(count, 3, height, width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            seen = []
            for top in starts(height, size, stride):
                for left in starts(width, size, stride):
                    if top <= row < top + size and left <= column < left + size:
                        window = image[..., top : top + size, left : left + size]
                        seen.append(dependent(window)[..., row - top, column - left].double())
            out[..., row, column] = torch.stack(seen).mean(dim=0)
    return out


@pytest.mark.parametrize("at_once", [1, 2, 5, 100])
@pytest.mark.parametrize(
    ("shape", "size", "stride"), [((9, 13), 5, 3), ((4, 13), 5, 2), ((13, 5), 5, 5), ((7, 7), 5, 1)]
)
def test_logits_are_the_mean_over_the_windows_that_hold_a_pixel(
    shape: tuple[int, int], size: int, stride: int, at_once: int
) -> None:
    image = torch.randint(0, 256, (2, 3, *shape), dtype=torch.uint8)
    found = Windows(dependent, size, stride, at_once)(image)
    assert found.shape == (2, 3, *shape)
    torch.testing.assert_close(found.double(), brute_force(image, size, stride), rtol=1e-5, atol=1e-3)


def test_a_hand_made_row_of_windows() -> None:
    """Three pixels, windows of two: the one in the middle has the mean of both means."""
    image = torch.tensor([0, 2, 10], dtype=torch.uint8).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    found = Windows(lambda seen: seen.float().mean(dim=3, keepdim=True).expand(-1, -1, -1, 2), 2, 1, 8)(image)
    assert found[0, 0, 0].tolist() == [1, 3.5, 6]


def test_smaller_logits_are_enlarged_to_the_window() -> None:
    image = torch.zeros(1, 3, 4, 8, dtype=torch.uint8)
    found = Windows(
        lambda seen: torch.tensor([0.0, 4.0]).view(1, 1, 1, 2).expand(len(seen), 1, 1, 2), 4, 4, 1
    )(image)
    assert found[0, 0].tolist() == [[0, 1, 3, 4, 0, 1, 3, 4]] * 4


@pytest.mark.parametrize("shape", [(5, 5), (3, 5), (1, 1)])
def test_what_is_no_larger_than_a_window_is_shown_whole(shape: tuple[int, int]) -> None:
    shown = []

    def forward(image: torch.Tensor) -> torch.Tensor:
        shown.append(tuple(image.shape))
        return image.float()[..., ::2, ::2]

    image = torch.zeros(3, 3, *shape, dtype=torch.uint8)
    found = Windows(forward, 5, 2, 1)(image)
    assert shown == [(3, 3, *shape)] and torch.equal(found, forward(image))


def test_windows_are_shown_in_batches_of_a_bounded_size() -> None:
    shown = []

    def forward(image: torch.Tensor) -> torch.Tensor:
        shown.append(tuple(image.shape))
        return image.float()

    Windows(forward, 4, 2, 4)(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    assert shown == [(4, 3, 4, 4), (4, 3, 4, 4), (1, 3, 4, 4)] * 2


def test_the_digest_knows_of_windows_only_where_there_are_any() -> None:
    plain = load_protocol(protocol_name(), MODEL)
    assert plain.evaluation == Evaluation()
    windowed = [replace(plain, evaluation=Evaluation(window_stride=part)) for part in (0.5, 1.0)]
    assert len({plain.digest, *(protocol.digest for protocol in windowed)}) == 3
    assert plain.evaluation.meaning() == {"crop": "whole"}


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ("window_stride = 0.0", "key 'evaluation.window_stride': Input should be greater than 0, got '0.0'"),
        ("window_stride = 1.5", "key 'evaluation.window_stride': Input should be less than or equal to 1"),
        (
            'crop = "centre"\nwindow_stride = 0.5',
            "key 'evaluation.window_stride' is given with crop 'centre'; expected it with whole images",
        ),
    ],
)
def test_windows_that_make_no_sense_are_refused(tmp_path: Path, evaluation: str, message: str) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(FAMILY.read_text().replace("[scenarios]", f"[evaluation]\n{evaluation}\n\n[scenarios]"))
    with pytest.raises(ProtocolError) as caught:
        load_protocol(f"{path}:2-1-overlapped", MODEL)
    assert message in str(caught.value)


def test_a_run_scores_through_windows(tiny_root: Path, tmp_path: Path) -> None:
    """Images of 24 x 32 in windows of 24: another prediction, but every labelled pixel is scored once."""

    def run(evaluation: str) -> Record:
        family, model = tmp_path / "tiny.toml", tmp_path / "small.toml"
        family.write_text(
            FAMILY.read_text().replace("[scenarios]", f"[evaluation]\n{evaluation}\n[scenarios]")
        )
        model.write_text(Path(MODEL).read_text().replace("image_size = 32", "image_size = 24"))
        given = {"data_root": tiny_root, "results": tmp_path / "results", "device": "cpu", "quiet": True}
        load_family.cache_clear()
        return execute(resolve(RunSpec("fine_tune", f"{family}:2-2-overlapped", str(model), **given))).record

    whole, windowed = run('crop = "whole"'), run("window_stride = 0.5")
    assert (windowed.status, windowed.error) == ("ok", None)
    assert windowed.protocol_digest != whole.protocol_digest
    for one, other in zip(whole.steps, windowed.steps, strict=True):
        assert [sum(row) for row in one.confusion] == [sum(row) for row in other.confusion]
    assert [step.confusion for step in whole.steps] != [step.confusion for step in windowed.steps]
