"""COST-231 Hata and the standard propagation model as estimators: fitted per tile."""

import numpy as np
import pytest

from rm_geo.estimators.base import Estimator, TileBatch
from rm_geo.estimators.registry import get_method
from rm_geo.propagation.hata import hata_path_loss_db

NAMES = ("cost231-hata", "spm")
SITE_RC = (40.5, 60.5)


def distances_m(shape=(80, 100)) -> np.ndarray:
    rows, cols = np.indices(shape) + 0.5
    return np.hypot(rows - SITE_RC[0], cols - SITE_RC[1])


def batch_of(*tiles, site=SITE_RC, spacing_m=1.0, height_m=30.0) -> TileBatch:
    tiles = np.stack(tiles).astype(np.float32)
    return TileBatch(
        tiles,
        spacing_m,
        np.full((len(tiles), 2), site, np.float32),
        np.full(len(tiles), np.nan, np.float32),
        frequency_mhz=1800.0,
        transmitter_height_m=height_m,
    )


def thinned(field, share=0.05) -> np.ndarray:
    keep = np.random.default_rng(0).random(field.shape) < share
    return np.where(keep, field, np.nan)


@pytest.mark.parametrize("name", NAMES)
class TestBothModels:
    def test_is_an_estimator(self, name):
        assert isinstance(get_method(name), Estimator)
        assert get_method(name).provenance["method"] == name

    def test_a_tile_without_samples_is_nan(self, name):
        full = thinned(-60.0 - 30.0 * np.log10(np.maximum(distances_m(), 20.0)))
        rsrp_dbm = get_method(name).estimate(batch_of(full, np.full_like(full, np.nan))).rsrp_dbm
        assert np.isfinite(rsrp_dbm[0]).all()
        assert np.isnan(rsrp_dbm[1]).all()

    @pytest.mark.parametrize("site", [SITE_RC, (np.nan, np.nan), (-5000.0, 300.0)])
    @pytest.mark.parametrize("count", [1, 2, 30])
    def test_few_samples_and_any_site_give_a_finite_map(self, name, site, count):
        tile = np.full((80, 100), np.nan)
        rng = np.random.default_rng(count)
        tile[rng.integers(0, 80, count), rng.integers(0, 100, count)] = rng.normal(-90, 5, count)
        assert np.isfinite(get_method(name).estimate(batch_of(tile, site=site)).rsrp_dbm).all()

    def test_one_sample_is_met_and_levels_fall_with_distance(self, name):
        tile = np.full((80, 100), np.nan)
        tile[10, 10] = -95.0
        rsrp_dbm = get_method(name).estimate(batch_of(tile)).rsrp_dbm[0]
        assert rsrp_dbm[10, 10] == pytest.approx(-95.0, abs=1e-3)
        by_distance = rsrp_dbm.ravel()[np.argsort(distances_m().ravel())]
        assert (np.diff(by_distance) <= 1e-4).all()

    def test_levels_never_rise_with_distance_even_if_the_samples_do(self, name):
        rising = thinned(-120.0 + 10.0 * np.log10(np.maximum(distances_m(), 20.0)))
        rsrp_dbm = get_method(name).estimate(batch_of(rising)).rsrp_dbm[0]
        assert rsrp_dbm.max() - rsrp_dbm[0, 0] > 1.0

    def test_an_unknown_site_is_found_from_the_samples(self, name):
        truth = -40.0 - 35.0 * np.log10(np.maximum(distances_m(), 20.0))
        unknown = batch_of(thinned(truth, 0.2), site=(np.nan, np.nan), height_m=1.5)
        error = get_method(name).estimate(unknown).rsrp_dbm[0] - truth
        assert np.sqrt(np.mean(error**2)) < 0.5 * truth.std()


def test_hata_recovers_its_own_law_whatever_the_power():
    loss_db = hata_path_loss_db(distances_m() * 10.0, frequency_mhz=1800.0, base_height_m=30.0)
    samples = thinned(17.0 - loss_db)
    estimate = get_method("cost231-hata").estimate(batch_of(samples, spacing_m=10.0))
    np.testing.assert_allclose(estimate.rsrp_dbm[0], 17.0 - loss_db, atol=1e-3)


def test_hata_is_not_moved_by_a_few_outliers():
    loss_db = hata_path_loss_db(distances_m(), frequency_mhz=1800.0, base_height_m=30.0)
    samples = thinned(17.0 - loss_db, 0.2)
    rows, cols = np.nonzero(np.isfinite(samples))
    samples[rows[::20], cols[::20]] += 60.0
    estimate = get_method("cost231-hata").estimate(batch_of(samples)).rsrp_dbm[0]
    np.testing.assert_allclose(estimate, 17.0 - loss_db, atol=0.01)


def test_spm_recovers_any_slope():
    truth = -35.0 - 27.0 * np.log10(np.maximum(distances_m(), 20.0))
    estimate = get_method("spm").estimate(batch_of(thinned(truth))).rsrp_dbm[0]
    np.testing.assert_allclose(estimate, truth, atol=1e-3)
