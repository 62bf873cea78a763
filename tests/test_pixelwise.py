"""Small tensor helpers against the plain way of writing them."""

import pytest
import torch

from benchmark.pixelwise import nearest_labels, strongest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_strongest_is_argmax_and_the_first_of_equals(dtype):
    """Scores and pseudo-labels rest on it: with few values, most pixels have several largest logits."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(0, 3, (2, 21, 13, 17), generator=generator).to(dtype)
    largest = logits.amax(1, keepdim=True) == logits
    assert (largest.sum(1) > 1).float().mean() > 0.9
    first = [[[column.index(True) for column in zip(*rows, strict=True)] for rows in zip(*image, strict=True)]
             for image in largest.tolist()]  # fmt: skip
    assert strongest(logits).tolist() == first


@pytest.mark.parametrize("size", [(3, 5), (6, 6), (1, 1), (13, 17)])
def test_taking_pixels_first_and_the_strongest_then_is_the_same(size):
    """What SDR does, to look at few pixels rather than at all."""
    logits = torch.randn(2, 5, 13, 17, generator=torch.Generator().manual_seed(1))
    assert torch.equal(strongest(nearest_labels(logits, size)), nearest_labels(strongest(logits), size))


@pytest.mark.parametrize("shape", [(12, 12), (13, 12), (12, 9), (3, 4)])
@pytest.mark.parametrize("size", [(3, 4), (4, 3), (6, 6), (12, 12), (5, 7)])
def test_nearest_labels_take_the_row_and_column_of_the_formula(shape, size):
    """floor(i H / h), whether the sides divide each other or not."""
    labels = torch.arange(shape[0] * shape[1]).view(1, *shape)
    rows = [i * shape[0] // size[0] for i in range(size[0])]
    columns = [j * shape[1] // size[1] for j in range(size[1])]
    expected = [[row * shape[1] + column for column in columns] for row in rows]
    assert nearest_labels(labels, size)[0].tolist() == expected
