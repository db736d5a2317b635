"""Losses of the training tasks."""

import pytest
import torch

from rm_geo.training.losses import (
    dice_bce,
    focal_loss,
    gradient_loss,
    mars_loss,
    masked_mse,
    masked_nll,
    relative_mse,
)


def images(seed, shape=(2, 1, 16, 16)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_dice_bce_is_smallest_for_the_truth():
    target = (images(0) > 0.5).float()
    right, wrong = 20.0 * (2.0 * target - 1.0), -20.0 * (2.0 * target - 1.0)
    assert dice_bce(right, target) == pytest.approx(0.0, abs=1e-4)
    assert dice_bce(wrong, target) > 10.0


def test_masked_mse_ignores_pixels_of_weight_zero():
    target, weight = images(1), (images(2) > 0.5).float()
    spoilt = target + 100.0 * (1.0 - weight)
    assert masked_mse(spoilt, target, weight) == 0.0
    assert masked_mse(target + 2.0, target, weight) == pytest.approx(4.0, rel=1e-5)
    assert masked_mse(target + 2.0, target, torch.zeros_like(weight)) == 0.0


def test_relative_mse_does_not_depend_on_the_size_of_the_base_error():
    target = torch.zeros(2, 1, 8, 8)
    base = torch.ones_like(target)
    base[1] = 20.0
    weight = torch.ones_like(target)
    assert relative_mse(base, target, base, weight) == pytest.approx(1.0, rel=1e-3)
    half = 0.5 * base
    assert relative_mse(half, target, base, weight) == pytest.approx(0.25, rel=1e-3)
    one_better = base.clone()
    one_better[0] = 0.0
    assert relative_mse(one_better, target, base, weight) == pytest.approx(0.5, rel=1e-3)


def test_nll_is_smallest_at_the_true_standard_deviation():
    error = 0.3 * torch.randn((1, 1, 200, 200), generator=torch.Generator().manual_seed(0))
    weight = torch.ones_like(error)
    spreads = [0.1, 0.3, 0.9]
    values = [
        float(masked_nll(error, torch.full_like(error, spread).log(), weight)) for spread in spreads
    ]
    assert values[1] == min(values)


def test_nll_has_no_gradient_with_respect_to_the_error():
    error = torch.ones((1, 1, 2, 2), requires_grad=True)
    log_std = torch.zeros((1, 1, 2, 2), requires_grad=True)
    masked_nll(error, log_std, torch.ones((1, 1, 2, 2))).backward()
    assert error.grad is None
    assert log_std.grad is not None


def test_gradient_loss_does_not_depend_on_offset_and_scale():
    image = images(3)
    assert gradient_loss(image, image) == pytest.approx(0.0, abs=1e-4)
    assert gradient_loss(2.0 * image + 1.0, image) == pytest.approx(0.0, abs=1e-4)
    assert gradient_loss(-image, image) == pytest.approx(2.0, abs=1e-3)


def test_focal_loss_weights_buildings_by_twenty():
    target, error = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    inside = focal_loss(error, target, torch.ones_like(target))
    outside = focal_loss(error, target, torch.zeros_like(target))
    assert inside == pytest.approx(20.0 * float(outside))


def test_mars_loss_has_the_weights_of_the_paper():
    p, t, b = images(4), images(5), (images(6) > 0.5).float()
    expected = (p - t).square().mean() + 0.01 * gradient_loss(p, t) + 0.1 * focal_loss(p, t, b)
    assert torch.allclose(mars_loss(p, t, b), expected)


def test_mars_loss_with_an_outdoor_weight():
    p, t, b = images(7), images(8), (images(9) > 0.5).float()
    plain = mars_loss(p, t, b, gradient_weight=0.0, focal_weight=0.0)
    weighed = mars_loss(p, t, b, gradient_weight=0.0, focal_weight=0.0, outdoor_weight=2.0)
    assert torch.allclose(weighed - plain, 2.0 * masked_mse(p, t, 1.0 - b))
