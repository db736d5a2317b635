"""Scores of maps: definitions, pooling, and which pixels are judged."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rm_geo.validation.image_quality import ImageQuality
from rm_geo.validation.metrics import BuildingCounts, ErrorSums, Pixels

SHAPE = (12, 9)
masks = hnp.arrays(np.bool_, SHAPE)
maps = hnp.arrays(np.float64, SHAPE, elements=st.floats(-150, 0))


@settings(deadline=None, max_examples=30)
@given(masks, masks)
def test_pixels_unobserved_are_outdoor_and_these_are_among_all(buildings, observed):
    everything, outdoor, unobserved = (kind.select(buildings, observed) for kind in Pixels)
    assert everything.all()
    assert not (outdoor & buildings).any()
    assert not (unobserved & ~outdoor).any()
    assert not (unobserved & observed).any()
    assert ((outdoor & ~unobserved) <= observed).all()


@settings(deadline=None, max_examples=30)
@given(masks, masks)
def test_building_scores_are_their_definitions(said, truth):
    scores = BuildingCounts.of(said.astype(np.float32), truth).scores()
    both, either = (said & truth).sum(), (said | truth).sum()
    if either:
        assert scores.jaccard == pytest.approx(both / either)
        assert scores.f1 == pytest.approx(2 * scores.jaccard / (1 + scores.jaccard))
    assert scores.accuracy == pytest.approx((said == truth).mean())


def test_building_threshold_belongs_to_the_buildings_and_nan_does_not():
    counts = BuildingCounts.of([0.5, 0.49, math.nan], [True, True, True])
    assert counts == BuildingCounts(true_positive=1, false_negative=2)
    assert BuildingCounts.of([0.3], [True], threshold=0.3).true_positive == 1


def test_scores_of_nothing_are_nan_not_zero():
    assert math.isnan(BuildingCounts().scores().f1)
    assert math.isnan(ErrorSums().scores().rmse)
    assert math.isnan(ImageQuality().ssim)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(maps, maps, masks), min_size=1, max_size=4))
def test_pooled_sums_are_those_of_all_pixels_at_once(items):
    pooled = sum((ErrorSums.of(*item) for item in items), ErrorSums())
    together = ErrorSums.of(*(np.concatenate(parts) for parts in zip(*items, strict=True)))
    assert (pooled.pixels, pooled.missing) == (together.pixels, together.missing)
    # Sums, not scores: a quotient by a variance that rounds to 0 may be anything.
    for name in ("error", "absolute", "squared", "truth_mean", "truth_deviation"):
        assert getattr(pooled, name) == pytest.approx(getattr(together, name), rel=1e-6, abs=1e-9)


def test_error_scores_of_known_numbers():
    scores = ErrorSums.of([1.0, 3.0, 2.0], [1.0, 1.0, 4.0]).scores()
    assert scores.rmse == pytest.approx(math.sqrt(8 / 3))
    assert scores.mae == pytest.approx(4 / 3)
    assert scores.bias == pytest.approx(0.0)
    assert scores.nmse_energy == pytest.approx(8 / 18)
    assert scores.nmse_variance == pytest.approx(8 / 6)


def test_pixels_without_an_estimate_are_counted_and_not_judged():
    scores = ErrorSums.of([math.nan, 2.0], [1.0, 1.0]).scores()
    assert (scores.pixels, scores.missing, scores.rmse) == (1, 1, 1.0)


def test_maps_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        ErrorSums.of(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="shapes"):
        BuildingCounts.of(np.zeros((2, 2)), np.zeros((2, 3), bool))


def test_psnr_and_ssim_are_means_over_maps():
    pytest.importorskip("torchmetrics")
    truth = np.random.default_rng(0).random((32, 32))
    near, far = truth + 0.01, truth + 0.1
    a, b = ImageQuality.of(near, truth), ImageQuality.of(far, truth)
    assert a.psnr_db == pytest.approx(40.0, abs=1e-3)
    assert (a + b).psnr_db == pytest.approx(30.0, abs=1e-3)
    assert (a + b).ssim == pytest.approx((a.ssim + b.ssim) / 2)


def test_image_quality_judges_the_selected_pixels_only():
    pytest.importorskip("torchmetrics")
    truth = np.random.default_rng(1).random((40, 40))
    wrong_half = truth.copy()
    wrong_half[:20] = 0.0
    judged = np.zeros(truth.shape, bool)
    judged[30:] = True  # beyond half of SSIM's window
    quality = ImageQuality.of(wrong_half, truth, judged)
    assert quality.ssim == pytest.approx(1.0)
    assert math.isinf(quality.psnr_db)
    assert ImageQuality.of(wrong_half, truth).ssim < 0.9
    assert ImageQuality.of(truth, truth, np.zeros_like(judged)).maps == 0
