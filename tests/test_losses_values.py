"""Loss terms on examples small enough to be worked out by hand; the working stands in the comments.

Probabilities are chosen first and logits are their logarithms: softmax of log(1, 3) is (1/4, 3/4).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import e, log, sqrt

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import losses


def per_pixel(*pixels: Sequence[float]) -> Tensor:
    """Return one image one pixel high, (1, C, 1, W), from the channels of each pixel."""
    return torch.tensor(pixels, dtype=torch.float32).t()[None, :, None, :]


def logits(*pixels: Sequence[float]) -> Tensor:
    return per_pixel(*pixels).log()


def labels(*values: int) -> Tensor:
    return torch.tensor([[values]])


def test_cross_entropy_is_a_mean_over_labelled_pixels() -> None:
    # p of the labels: 1/2 and 1/4; the third pixel is ignored. (ln 2 + ln 4) / 2 = 1.5 ln 2
    z = logits((2, 1, 1), (1, 2, 1), (1, 1, 100))
    assert losses.cross_entropy(z, labels(0, 2, 255)).item() == pytest.approx(1.5 * log(2))


def test_unbiased_cross_entropy_sums_old_classes_for_background_and_old_labels() -> None:
    # Three old outputs, one new. p = (1, 2, 3, 2) / 8: background is 6/8, the new class 2/8.
    # Pixels: background, old label 2 (taken as background), new, ignored. (2 ln 8/6 + ln 8/2) / 3
    z = logits(*[(1, 2, 3, 2)] * 4)
    value = losses.unbiased_cross_entropy(z, labels(0, 2, 3, 255), 3)
    assert value.item() == pytest.approx((2 * log(8 / 6) + log(4)) / 3)


def test_output_distillation_looks_at_old_outputs_only_and_divides_by_their_number() -> None:
    # Student's old outputs (1, 3) / 4 whatever the new one is; teacher (1/2, 1/2), then (1, 3) / 4.
    z, previous = logits((1, 3, 96), (1, 3, 0.5)), logits((1, 1), (1, 3))
    first = -(log(1 / 4) + log(3 / 4)) / 2 / 2
    second = -(log(1 / 4) / 4 + log(3 / 4) * 3 / 4) / 2
    assert losses.output_distillation(z, previous).item() == pytest.approx((first + second) / 2)
    only_second = torch.tensor([[[False, True]]])
    assert losses.output_distillation(z, previous, only_second).item() == pytest.approx(second)


def test_unbiased_distillation_gives_the_background_the_new_classes() -> None:
    # p = (1, 3, 4) / 8: to the previous model (5, 3) / 8. Teacher (1/2, 1/2), then (1, 3) / 4.
    z, previous = logits((1, 3, 4), (1, 3, 4)), logits((1, 1), (1, 3))
    first = -(log(5 / 8) + log(3 / 8)) / 2 / 2
    second = -(log(5 / 8) / 4 + log(3 / 8) * 3 / 4) / 2
    assert losses.unbiased_distillation(z, previous).item() == pytest.approx((first + second) / 2)
    only_first = torch.tensor([[[True, False]]])
    assert losses.unbiased_distillation(z, previous, only_first).item() == pytest.approx(first)


def test_entropy_weighted_distillation() -> None:
    # Teacher (1/2, 1/2): 1 bit, weight 2. Student over all outputs (1, 3, 4) / 8. The sum over classes is
    # not divided by their number, nor the mean by the weights. Teacher sure (1, 0): 0 bit, weight 1.
    z, previous = logits((1, 3, 4), (1, 3, 4)), logits((1, 1), (1, 1e-20))
    first, second = -2 * (log(1 / 8) + log(3 / 8)) / 2, -log(1 / 8)
    assert losses.entropy_weighted_distillation(z, previous).item() == pytest.approx((first + second) / 2)
    mask = torch.tensor([[[1, 0]]])
    assert losses.entropy_weighted_distillation(z, previous, mask).item() == pytest.approx(first)


def test_sigmoid_distillation() -> None:
    # One old output: student logit 0 (1/2), teacher ln 3 (3/4): -(3/4 + 1/4) ln 1/2 = ln 2 at any label.
    # One new: student ln 4 (4/5). Pixel of the new class: -ln 4/5; background pixel: -ln 1/5; third ignored.
    z, previous = per_pixel(*[(0, log(4))] * 3), per_pixel(*[(log(3),)] * 3)
    value = losses.sigmoid_distillation(z, previous, labels(1, 0, 255))
    assert value.item() == pytest.approx(log(2) + (log(5 / 4) + log(5)) / 2)
    # At the first step the background is a label like the others: ln 2 for output 0 again, in both pixels.
    first_step = losses.sigmoid_distillation(z, None, labels(1, 0, 255))
    assert first_step.item() == pytest.approx(log(2) + (log(5 / 4) + log(5)) / 2)


def test_feature_distillation_over_all_and_over_a_mask_of_another_size() -> None:
    # Squared differences of the two pixels, two channels: (1, 9) and (4, 0).
    f, previous = per_pixel((1, 3), (2, 0)), per_pixel((0, 0), (0, 0))
    assert losses.feature_distillation(f, previous).item() == pytest.approx(14 / 4)
    # Of a mask four wide, columns 0 and 2 count: only the second pixel is in.
    mask = torch.tensor([[[False, True, True, False]]])
    assert losses.feature_distillation(f, previous, mask).item() == pytest.approx(4 / 2)


def test_similarity_distillation() -> None:
    # Images (1, 0) and (1, 1): Gram rows (1, 1) and (1, 2), of lengths sqrt 2 and sqrt 5.
    # Teacher: (1, 0) and (0, 1), the identity. The difference over B^2 = 4 entries.
    student = torch.tensor([[1.0, 0], [1, 1]]).view(2, 1, 1, 2)
    teacher = torch.eye(2).view(2, 2, 1, 1)
    entries = [1 / sqrt(2) - 1, 1 / sqrt(2), 1 / sqrt(5), 2 / sqrt(5) - 1]
    expected = sum(x * x for x in entries) / 4
    assert losses.similarity_distillation(student, teacher).item() == pytest.approx(expected)


def test_sparsity() -> None:
    # Class 1: (2, 0) and (1, 1), largest 2, so (1, 0) and (1/2, 1/2): (e + 1) / 1 and 2 sqrt(e) / 1.
    # Background (0, 3): (e + 1) / 1. Class 2 is 0 everywhere and 255 is ignored: both left out.
    f = per_pixel((2, 0), (1, 1), (0, 3), (0, 0), (9, 9))
    value = losses.sparsity(f, labels(1, 1, 0, 2, 255))
    assert value.item() == pytest.approx((2 * (e + 1) + 2 * sqrt(e)) / 3)


def test_gradient_of_sparsity_flows_through_the_largest_activation() -> None:
    # One pixel (2, 1), v = (1, x), x = f2 / f1 = 1/2: (e + exp(x)) / (1 + x).
    # Its derivative by x: exp(x) / (1 + x) - (e + exp(x)) / (1 + x)^2; dx/df1 = -1/4, dx/df2 = 1/2.
    f = per_pixel((2, 1)).requires_grad_()
    losses.sparsity(f, labels(1)).backward()
    slope = sqrt(e) / 1.5 - (e + sqrt(e)) / 1.5**2
    assert f.grad is not None
    assert f.grad.flatten().tolist() == pytest.approx([-slope / 4, slope / 2])


def test_prototype_matching_compares_class_means_and_leaves_background_out() -> None:
    # Class 1: mean of (0, 2) and (4, 4) is (2, 3), to (1, 1): (1 + 4) / 2. Class 2: (1, 1), to (4, 1): 9 / 2.
    # Background would give 100, class 3 is absent, class 4 has no prototype. (5/2 + 9/2) / 2
    f = per_pixel((0, 2), (4, 4), (1, 1), (10, 10), (7, 7), (8, 8))
    prototypes = torch.tensor([[0.0, 0], [1, 1], [4, 1], [50, 50]])
    value = losses.prototype_matching(f, labels(1, 1, 2, 0, 255, 4), prototypes)
    assert value.item() == pytest.approx((5 / 2 + 9 / 2) / 2)


def test_attraction_weighs_classes_equally_and_keeps_background() -> None:
    # Class 1 to (1, 1): (0, 2) gives (1 + 1) / 2, (4, 4) gives (9 + 9) / 2: mean 5.
    # Background (3, 4) to (0, 0): 25 / 2. Class 4 has no prototype. (5 + 25/2) / 2
    f = per_pixel((0, 2), (4, 4), (3, 4), (7, 7), (8, 8))
    prototypes = torch.tensor([[0.0, 0], [1, 1], [4, 1], [50, 50]])
    value = losses.attraction(f, labels(1, 1, 0, 255, 4), prototypes)
    assert value.item() == pytest.approx((5 + 25 / 2) / 2)


def test_repulsion_is_the_mean_inverse_distance_of_pairs() -> None:
    # Means: background (0, 0) of (1, -1) and (-1, 1); class 1 (3, 4); class 7 (3, 0). Distances 5, 3 and 4.
    f = per_pixel((1, -1), (-1, 1), (3, 4), (3, 0), (99, 99))
    value = losses.repulsion(f, labels(0, 0, 1, 7, 255))
    assert value.item() == pytest.approx((1 / 5 + 1 / 3 + 1 / 4) / 3)


def test_repulsion_leaves_pairs_without_a_distance_out() -> None:
    # Classes 1 and 2 share their mean; each is at 5 from class 3.
    f = per_pixel((0, 0), (0, 0), (3, 4))
    assert losses.repulsion(f, labels(1, 2, 3)).item() == pytest.approx(1 / 5)


def test_local_pod() -> None:
    # [[1, 2], [3, 4]] against 0. Whole map: rows 1.5, 3.5, columns 2, 3: 2.25 + 12.25 + 4 + 9 = 27.5.
    # 2 x 2 cells of one pixel, each as its row and as its column: 2 (1 + 4 + 9 + 16) = 60.
    # Squared first: rows 2.5, 12.5, columns 5, 10: 287.5, and 2 (1 + 16 + 81 + 256) = 708.
    f = torch.tensor([[[[1.0, 2], [3, 4]]]])
    none = torch.zeros_like(f)
    assert losses.local_pod(f, none, (1, 2), square=False).item() == pytest.approx(sqrt(87.5))
    assert losses.local_pod(f, none, (1, 2)).item() == pytest.approx(sqrt(287.5 + 708))
    # A scale of 4 does not fit two rows. Mean over images: the second one does not differ.
    two = torch.cat([f, f]), torch.cat([none, f])
    assert losses.local_pod(*two).item() == pytest.approx(sqrt(287.5 + 708) / 2)


def test_local_pod_divides_height_and_width_on_their_own() -> None:
    # 3 x 5 ones. Whole map: 3 rows and 5 columns of mean 1. Scale 2: cells of 1 row and 2 columns; the last
    # row and column are in none. Four cells, each 1 row and 2 columns of mean 1: 12. In all 20.
    ones = torch.ones(1, 1, 3, 5)
    assert losses.local_pod(ones, torch.zeros_like(ones), (1, 2)).item() == pytest.approx(sqrt(20))
    # What is in no cell is seen by the whole map alone: its row's and its column's mean differ.
    corner = torch.zeros(1, 1, 3, 5)
    corner[0, 0, 2, 4] = 1
    expected = sqrt((1 / 5) ** 2 + (1 / 3) ** 2)
    assert losses.local_pod(corner, torch.zeros_like(corner), (1, 2)).item() == pytest.approx(expected)


def test_merge_new_into_background_adds_logits() -> None:
    merged = losses.merge_new_into_background(per_pixel((1, 2, 3, 4)), 2)
    assert merged.flatten().tolist() == [1 + 3 + 4, 2]


def test_nearest_labels_takes_row_floor_of_i_height_over_h() -> None:
    # 5 to 2: floor(0 * 5 / 2) = 0 and floor(1 * 5 / 2) = 2. 2 to 3: rows 0, 0, 1.
    grid = torch.arange(25).view(1, 5, 5)
    assert losses.nearest_labels(grid, (2, 2)).tolist() == [[[0, 2], [10, 12]]]
    assert losses.nearest_labels(grid[:, :2, :1], (3, 1)).flatten().tolist() == [0, 0, 5]


def test_nearest_labels_is_exact_where_floating_point_is_not() -> None:
    # interpolate multiplies by a rounded H / h and can fall below the whole number it should reach.
    wrong = 0
    for height in range(1, 70):
        column = torch.arange(height).view(1, height, 1)
        for h in range(1, 70):
            exact = [i * height // h for i in range(h)]
            assert losses.nearest_labels(column, (h, 1)).flatten().tolist() == exact
            found = F.interpolate(column[None].float(), (h, 1)).flatten().tolist()
            wrong += found != exact
    assert wrong > 0


def test_class_sums_counts_and_adds_each_class() -> None:
    f = per_pixel((1, 2), (3, 4), (5, 6), (7, 8))
    sums, counts = losses.class_sums(f, labels(2, 0, 2, 255), 3)
    assert sums.tolist() == [[3, 4], [0, 0], [6, 8]]
    assert counts.tolist() == [1, 0, 2]
    assert counts.dtype == torch.int64


def test_normalised_entropy_is_between_nothing_and_one() -> None:
    # Uniform over three: 1. (1/2, 1/2, 0): ln 2 / ln 3. Sure: 0.
    values = losses.normalised_entropy(logits((1, 1, 1), (1, 1, 1e-30), (1, 1e-30, 1e-30)))
    assert values.flatten().tolist() == pytest.approx([1, log(2) / log(3), 0], abs=1e-6)


def test_a_model_with_the_background_alone_is_sure() -> None:
    assert losses.normalised_entropy(per_pixel((3,), (-1,))).tolist() == [[[0, 0]]]


def test_pseudo_labels_keep_what_is_below_the_threshold() -> None:
    # Background pixels: guess 1 (entropy of (1, 3)), 0 (of (3, 1), the same), 1 (sure); a new class; ignored.
    previous = logits((1, 3), (3, 1), (1e-9, 1), (1, 1), (1, 1))
    target = labels(0, 0, 0, 2, 255)
    everything = losses.pseudo_labels(previous, target)
    assert everything.target.flatten().tolist() == [1, 0, 1, 2, 255]
    assert everything.share.tolist() == [1]
    # Entropy of (1/4, 3/4) over ln 2 is 0.811: class 0 passes 0.9, class 1 does not pass 0.5 but where sure.
    some = losses.pseudo_labels(previous, target, torch.tensor([0.9, 0.5]))
    assert some.target.flatten().tolist() == [255, 0, 1, 2, 255]
    assert some.share.tolist() == pytest.approx([2 / 3])
    # Below means below: a pixel at the threshold itself is not kept.
    at = losses.normalised_entropy(previous)[0, 0, 0]
    assert losses.pseudo_labels(previous, target, at.expand(2)).target.flatten().tolist()[:2] == [255, 255]


def test_pseudo_labels_of_an_image_without_background_weigh_fully() -> None:
    done = losses.pseudo_labels(logits((1, 3), (1, 3)), labels(2, 255), torch.zeros(2))
    assert done.target.flatten().tolist() == [2, 255]
    assert done.share.tolist() == [1]


def test_pseudo_label_cross_entropy_divides_by_all_pixels() -> None:
    # p of the labels 1/4 and 3/4, one pixel of three ignored, share 1/2: (ln 4 + ln 4/3) / 3 / 2.
    given = losses.PseudoLabels(labels(0, 1, 255), torch.tensor([0.5]))
    value = losses.pseudo_label_cross_entropy(logits((1, 3), (1, 3), (1, 3)), given)
    assert value.item() == pytest.approx((log(4) + log(4 / 3)) / 6)


def test_entropy_medians() -> None:
    # Class 1 in five background pixels of known entropies; class 0 in none; a labelled pixel does not count.
    previous = logits((1, 3), (1, 9), (1, 99), (1, 1e4), (1, 1e6), (1, 1.1))
    target = labels(0, 0, 0, 0, 0, 1)
    histogram = losses.entropy_histogram(previous, target)
    assert histogram.sum(1).tolist() == [0, 5]
    middle = losses.normalised_entropy(previous)[0, 0, 2].item()
    assert losses.entropy_medians(histogram).tolist() == pytest.approx([0, middle], rel=2e-3)


def test_entropy_medians_of_a_model_that_knows_nothing() -> None:
    # Entropy 1 is the upper end of the last bin, of class 0 (the first of equals) and not of the next one.
    histogram = losses.entropy_histogram(logits((1, 1), (1, 1)), labels(0, 0), bins=10)
    assert histogram.tolist() == [[0] * 9 + [2], [0] * 10]
    # The median lies in the middle of that bin: 0.95 in the fourth root.
    assert losses.entropy_medians(histogram).tolist() == pytest.approx([0.95**4, 0])


def test_entropy_medians_are_fine_where_models_are_sure() -> None:
    # Entropies of about 3e-5 and 3e-4 would share the first of 100 even bins.
    previous = logits((1e-6, 1), (2e-6, 1), (2e-5, 1), (3e-5, 1), (4e-5, 1))
    found = losses.entropy_medians(losses.entropy_histogram(previous, labels(0, 0, 0, 0, 0)))
    assert found[1].item() == pytest.approx(losses.normalised_entropy(previous)[0, 0, 2].item(), rel=5e-3)


def test_quadratic_penalty() -> None:
    # 2 * 1^2 + 0.5 * 2^2 in the first tensor, 3 * 3^2 in the second.
    new = [torch.tensor([2.0, 3.0]), torch.tensor([[4.0]])]
    old = [torch.tensor([1.0, 1.0]), torch.tensor([[1.0]])]
    weights = [torch.tensor([2.0, 0.5]), torch.tensor([[3.0]])]
    assert losses.quadratic_penalty(new, old, weights).value.item() == pytest.approx(2 + 2 + 27)


def test_scaled_importance() -> None:
    assert losses.scaled_importance(torch.tensor([3.0, 1, 2])).tolist() == [1, 0, 0.5]
    assert losses.scaled_importance(torch.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]
