"""Robust variograms: recovered from simulated fields, robust against outliers."""

import numpy as np
import pytest

from rm_geo.geostat.covariance import NestedExponentialCovariance
from rm_geo.geostat.variogram import fit_variogram, robust_semivariance, semivariance

SINGLE = NestedExponentialCovariance.single


def field(model: NestedExponentialCovariance, n=500, side_m=300.0, seed=0):
    """Gaussian field of a known variogram at random positions."""
    rng = np.random.default_rng(seed)
    position_m = rng.uniform(0.0, side_m, (n, 2))
    covariance = model.between(position_m, position_m) + model.nugget * np.eye(n)
    return position_m, np.linalg.cholesky(covariance + 1e-9 * np.eye(n)) @ rng.normal(size=n)


def test_a_known_variogram_is_recovered():
    truth = SINGLE(sill=30.0, range=20.0, nugget=4.0)
    fits = [fit_variogram(*field(truth, seed=seed)) for seed in range(4)]
    assert np.mean([fit.nugget for fit in fits]) == pytest.approx(4.0, abs=3.0)
    assert np.mean([fit.sill for fit in fits]) == pytest.approx(30.0, rel=0.4)
    assert np.mean([fit.longest_range for fit in fits]) == pytest.approx(20.0, rel=0.4)


def test_fit_is_robust_against_one_percent_of_outliers():
    position_m, value_db = field(SINGLE(30.0, 20.0, 1.0))
    spoiled = value_db.copy()
    spoiled[::100] += 60.0
    clean, robust = fit_variogram(position_m, value_db), fit_variogram(position_m, spoiled)
    # The classical estimator would add the outliers' variance of 36 dB^2 to every lag.
    assert robust.nugget < clean.nugget + 12.0
    assert robust.sill < 2.0 * clean.sill


def test_constant_values_have_no_sill():
    position_m = np.random.default_rng(0).uniform(0, 10, (20, 2))
    assert fit_variogram(position_m, np.full(20, -90.0)).sill == 0.0


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_samples_still_give_a_variogram(count):
    position_m = np.arange(count * 2, dtype=float).reshape(count, 2)
    fit = fit_variogram(position_m, np.arange(count, dtype=float))
    assert fit.sill > 0.0
    assert fit.longest_range > 0.0


def test_subset_of_many_samples_is_reproducible():
    samples = field(SINGLE(30.0, 20.0, 1.0))
    assert fit_variogram(*samples, max_samples=200) == fit_variogram(*samples, max_samples=200)


def test_lags_rise_and_their_pairs_cover_half_of_the_extent():
    position_m, value_db = field(SINGLE(30.0, 20.0, 1.0), n=200)
    lag_m, empirical_db2, pairs = robust_semivariance(position_m, value_db)
    assert (np.diff(lag_m) > 0).all()
    assert (empirical_db2 > 0).all()
    assert lag_m.max() <= 300.0 * np.sqrt(2) / 2
    assert pairs.sum() > 0.4 * 200 * 199 / 2


def test_semivariance_is_nugget_at_zero_and_sill_far_away():
    model = SINGLE(sill=8.0, range=10.0, nugget=2.0)
    np.testing.assert_allclose(semivariance(model, np.array([0.0, 1e6])), [2.0, 10.0])
