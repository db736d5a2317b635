"""Levels at visited places where a cell was not reported."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import truncnorm

from rm_geo.geostat.covariance import NestedExponentialCovariance
from rm_geo.geostat.local_kriging import LocalKriging
from rm_geo.geostat.selection import ReportModel, strongest_others, unreported_levels
from rm_geo.raster.log_bins import LogBins

_COVARIANCE = NestedExponentialCovariance((30.0, 35.0), (60.0, 400.0), 4.0)


def _rmse(error_db: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error_db**2)))


def _drive(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels of one cell along the streets of a grid of blocks of 100 m."""
    along, across = np.arange(0.0, 600.0, 5.0), np.arange(0.0, 600.0, 100.0)
    first = np.stack(np.meshgrid(along, across), -1).reshape(-1, 2)
    place = np.unique(np.concatenate([first, first[:, ::-1]]), axis=0)
    apart = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
    covariance = 30.0 * np.exp(-apart / 60.0) + 35.0 * np.exp(-apart / 400.0)
    rng = np.random.default_rng(seed)
    shadow = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(place))) @ rng.normal(
        size=len(place)
    )
    law = -40.0 - 30.0 * np.log10(np.hypot(*(place - rng.uniform(0, 600, 2)).T) + 30.0)
    return place, law + shadow + rng.normal(0.0, 2.0, len(place))


def _estimate(
    place: np.ndarray, level_dbm: np.ndarray, reported: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Krige the reported levels to all places, out of fold (blocks of 50 m) where reported."""
    block = (place // 50.0).astype(int) @ np.array([1, 3])
    mean, variance = np.empty(len(place)), np.empty(len(place))
    for fold in range(6):
        known = reported & (block % 5 != fold)
        at = ~reported if fold == 5 else reported & (block % 5 == fold)
        field = LocalKriging(place[known], level_dbm[known], _COVARIANCE)
        mean[at], variance[at] = field.at(place[at])
    return mean, np.sqrt(variance + 4.0)


class TestReportModel:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_levels_of_the_hidden_weak_third_come_nearer(self, seed: int) -> None:
        place, level = _drive(seed)
        reported = level > np.quantile(level, 0.3)
        mean, std = _estimate(place, level, reported)
        none = np.full(len(place), np.nan)
        model = ReportModel.fit(place, mean, std, none, reported)
        found = model.corrected(mean, std, none)
        hidden = ~reported
        before, after = mean[hidden] - level[hidden], found.level_dbm[hidden] - level[hidden]
        assert _rmse(after) < 0.85 * _rmse(before)
        assert abs(after.mean()) < 0.8 * abs(before.mean())

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_nothing_changes_where_reports_do_not_depend_on_the_level(self, seed: int) -> None:
        place, level = _drive(seed)
        block = (place // 50.0).astype(int)
        reported = np.random.default_rng(seed).random((12, 12))[block[:, 0], block[:, 1]] < 0.7
        mean, std = _estimate(place, level, reported)
        none = np.full(len(place), np.nan)
        found = ReportModel.fit(place, mean, std, none, reported).corrected(mean, std, none)
        assert np.mean(mean - found.level_dbm) < 0.5

    def test_absence_is_measured_against_the_strongest_cell(self) -> None:
        rng = np.random.default_rng(0)
        level, strongest = rng.normal(-95.0, 8.0, 4000), rng.normal(-85.0, 8.0, 4000)
        place = rng.uniform(0.0, 20_000.0, (4000, 2))
        estimate, std = level + rng.normal(0.0, 4.0, 4000), np.full(4000, 4.0)
        model = ReportModel.fit(place, estimate, std, strongest, level > strongest - 12.0)
        assert model.strongest_slope == pytest.approx(-model.slope, rel=0.3)
        alone = model.corrected(np.full(1, -95.0), np.full(1, 4.0), np.full(1, -100.0))
        beside = model.corrected(np.full(1, -95.0), np.full(1, 4.0), np.full(1, -75.0))
        assert alone.level_dbm[0] < beside.level_dbm[0] <= -95.0

    def test_a_sharp_threshold_truncates_the_normal_distribution(self) -> None:
        model = ReportModel(0.0, 1e3, 0.0, (-100.0, 0.0), 9.0)
        mean, std = np.linspace(-120.0, -80.0, 9), np.full(9, 6.0)
        found = model.corrected(mean, std, np.full(9, np.nan))
        truth = truncnorm(-np.inf, (-100.0 - mean) / std, loc=mean, scale=std)
        assert np.allclose(found.level_dbm, truth.mean(), atol=0.01)
        wide = truth.std() > np.sqrt(0.06) * std
        assert np.allclose(found.std_db[wide], truth.std()[wide], rtol=0.01)

    def test_probability_follows_the_shares(self) -> None:
        rng = np.random.default_rng(3)
        estimate, std = rng.normal(-100.0, 8.0, 3000), np.full(3000, 4.0)
        reported = estimate + rng.normal(0.0, 4.0, 3000) > -100.0
        none, place = np.full(3000, np.nan), rng.uniform(0.0, 20_000.0, (3000, 2))
        model = ReportModel.fit(place, estimate, std, none, reported)
        found = model.probability(estimate, std, none)
        assert found.mean() == pytest.approx(reported.mean(), abs=0.02)
        assert np.mean((found - reported) ** 2) < 0.13

    @pytest.mark.parametrize("number", [0, 3, 200])
    def test_too_few_readings_or_a_constant_indicator_change_nothing(self, number: int) -> None:
        rng = np.random.default_rng(0)
        place, mean, std = rng.uniform(0, 900, (200, 2)), rng.normal(-90, 9, 200), np.full(200, 5.0)
        none = np.full(200, np.nan)
        model = ReportModel.fit(place, mean, std, none, np.arange(200) < number)
        assert model.corrected(mean, std, none).level_dbm.tolist() == mean.tolist()

    def test_unknown_estimates_stay_unknown(self) -> None:
        rng = np.random.default_rng(0)
        place, mean, std = rng.uniform(0, 900, (200, 2)), rng.normal(-90, 9, 200), np.full(200, 5.0)
        mean[:20] = std[:20] = np.nan
        none = np.full(200, np.nan)
        found = ReportModel.fit(place, mean, std, none, mean > -92.0).corrected(mean, std, none)
        assert np.array_equal(np.isnan(found.level_dbm), np.isnan(mean))

    def test_the_strongest_others_leave_out_the_cell(self) -> None:
        level = np.array([[-70.0, -90.0], [-80.0, np.nan], [np.nan, -95.0]], np.float32)
        count = np.isfinite(level).astype(np.int32)
        bins = LogBins(np.zeros((3, 2)), level, count, np.ones(3, np.int32), ("a", "b"))
        assert np.array_equal(strongest_others(bins, "a"), [-90.0, np.nan, -95.0], equal_nan=True)


class TestUnreportedLevels:
    """Corrected estimates at the bins of a log where a cell was not reported."""

    @staticmethod
    def _bins(reported: np.ndarray, level: np.ndarray, place: np.ndarray) -> LogBins:
        values = np.where(reported, level, np.nan)[:, None].astype(np.float32)
        count = reported[:, None].astype(np.int32)
        return LogBins(place, values, count, np.ones(len(place), np.int32), ("a",))

    def test_estimates_that_are_given_are_corrected_and_the_others_made(self) -> None:
        place, level = _drive(0)
        reported = level > np.quantile(level, 0.3)
        bins = self._bins(reported, level, place)
        none = np.full(len(place), np.nan)
        alone = unreported_levels(bins, "a", none, none)
        given = none.copy()
        given[np.flatnonzero(~reported)[:5]] = -60.0
        mixed = unreported_levels(bins, "a", given, np.full(len(place), 5.0))
        other = np.isfinite(alone.level_dbm) & np.isnan(given)
        assert alone.slope > 0.0
        assert np.array_equal(mixed.level_dbm[other], alone.level_dbm[other])
        assert (mixed.level_dbm[np.isfinite(given)] < -60.0).all()
        assert np.isnan(alone.level_dbm[reported]).all()

    def test_a_cell_of_few_readings_has_none(self) -> None:
        place, level = _drive(1)
        bins = self._bins(np.arange(len(place)) < 20, level, place)
        none = np.full(len(place), np.nan)
        found = unreported_levels(bins, "a", none, none)
        assert found.slope == 0.0
        assert np.isnan(found.level_dbm).all()
