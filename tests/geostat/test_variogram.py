"""Robust variograms: recovered from simulated fields, unmoved by outliers."""

import numpy as np
import pytest

from rm_geo.geostat.variogram import Variogram, fit_variogram, robust_semivariance


def field(variogram: Variogram, n=500, side_m=300.0, seed=0):
    """Gaussian field of a known variogram at random positions."""
    rng = np.random.default_rng(seed)
    position_m = rng.uniform(0.0, side_m, (n, 2))
    lag_m = np.linalg.norm(position_m[:, None] - position_m[None], axis=-1)
    covariance = variogram.partial_sill_db2 * np.exp(-3.0 * lag_m / variogram.range_m)
    covariance += variogram.nugget_db2 * np.eye(n)
    return position_m, np.linalg.cholesky(covariance + 1e-9 * np.eye(n)) @ rng.normal(size=n)


def test_a_known_variogram_is_recovered():
    truth = Variogram(nugget_db2=4.0, partial_sill_db2=30.0, range_m=60.0)
    fits = [fit_variogram(*field(truth, seed=seed)) for seed in range(4)]
    assert np.mean([fit.nugget_db2 for fit in fits]) == pytest.approx(4.0, abs=3.0)
    assert np.mean([fit.partial_sill_db2 for fit in fits]) == pytest.approx(30.0, rel=0.4)
    assert np.mean([fit.range_m for fit in fits]) == pytest.approx(60.0, rel=0.4)


def test_one_percent_of_outliers_hardly_moves_it():
    position_m, value_db = field(Variogram(1.0, 30.0, 60.0))
    spoiled = value_db.copy()
    spoiled[::100] += 60.0
    clean, robust = fit_variogram(position_m, value_db), fit_variogram(position_m, spoiled)
    # The classical estimator would add the outliers' variance of 36 dB^2 to every lag.
    assert robust.nugget_db2 < clean.nugget_db2 + 12.0
    assert robust.partial_sill_db2 < 2.0 * clean.partial_sill_db2


def test_constant_values_have_no_sill():
    position_m = np.random.default_rng(0).uniform(0, 10, (20, 2))
    assert fit_variogram(position_m, np.full(20, -90.0)).partial_sill_db2 == 0.0


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_samples_still_give_a_variogram(count):
    position_m = np.arange(count * 2, dtype=float).reshape(count, 2)
    fit = fit_variogram(position_m, np.arange(count, dtype=float))
    assert fit.partial_sill_db2 > 0.0
    assert fit.range_m > 0.0


def test_more_samples_than_the_limit_are_thinned_the_same_way_each_time():
    samples = field(Variogram(1.0, 30.0, 60.0))
    assert fit_variogram(*samples, max_samples=200) == fit_variogram(*samples, max_samples=200)


def test_lags_rise_and_their_pairs_cover_half_of_the_extent():
    position_m, value_db = field(Variogram(1.0, 30.0, 60.0), n=200)
    lag_m, semivariance, pairs = robust_semivariance(position_m, value_db)
    assert (np.diff(lag_m) > 0).all()
    assert (semivariance > 0).all()
    assert lag_m.max() <= 300.0 * np.sqrt(2) / 2
    assert pairs.sum() > 0.4 * 200 * 199 / 2


def test_semivariance_is_nugget_at_zero_and_sill_far_away():
    variogram = Variogram(2.0, 8.0, 30.0)
    np.testing.assert_allclose(variogram(np.array([0.0, 1e6])), [2.0, 10.0])
