"""Standard deviations of maps, judged by further measurements of the same field."""

from __future__ import annotations

import numpy as np
import pytest

from rm_geo import Grid, SparseRaster
from rm_geo.geostat.intervals import coverage, spread_db
from rm_geo.geostat.map_deviation import MapDeviation
from rm_geo.geostat.street_ensemble import Bins, StreetEnsemble
from rm_geo.sites.facts import SiteInfo

_SIDE_M = 600


def _field(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels along streets 100 m apart, in both directions, with an exponential covariance."""
    along, across = np.arange(2.0, _SIDE_M, 7.0), np.arange(50.0, _SIDE_M, 100.0)
    first = np.stack(np.meshgrid(along, across), -1).reshape(-1, 2)
    place = np.unique(np.concatenate([first, first[:, ::-1]]), axis=0)
    apart = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
    covariance = 40.0 * np.exp(-apart / 60.0) + 30.0 * np.exp(-apart / 400.0)
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(place)))
    return place, -95.0 + root @ rng.normal(size=len(place)) + rng.normal(0.0, 1.5, len(place))


def _sparse(place: np.ndarray, level: np.ndarray) -> SparseRaster:
    level_dbm = np.full((_SIDE_M, _SIDE_M), np.nan)
    level_dbm[place[:, 0].astype(int), place[:, 1].astype(int)] = level
    return SparseRaster.from_levels(
        Grid.create(500_000.0, 5_000_000.0, level_dbm.shape, 1.0, 32633), level_dbm
    )


def test_intervals_of_90_percent_hold_what_was_never_given() -> None:
    held = []
    for seed in range(3):
        place, level = _field(seed)
        hidden = (np.floor(place / 75.0).sum(axis=1) % 4) == 0
        sparse = _sparse(place[~hidden], level[~hidden])
        deviation = MapDeviation.fit(sparse, SiteInfo())
        bins = Bins.of_raster(sparse)
        ensemble = StreetEnsemble.fit(bins.position_m, bins.level_dbm, bins.noise_db2)
        at = np.floor(place[hidden]) + 0.5
        held.append(coverage(ensemble.at(at) - level[hidden], deviation.at(at)))
    assert 0.85 <= np.mean(held) <= 0.95


def test_deviations_rise_with_the_distance_and_stay_below_the_spread_of_the_levels() -> None:
    place, level = _field(5)
    sparse = _sparse(place, level)
    deviation = MapDeviation.fit(sparse, SiteInfo())
    rows = deviation.on_rows(slice(0, 40), np.ones((40, _SIDE_M), dtype=bool))
    assert (np.diff(deviation.curve.std_db) >= 0.0).all()
    assert float(rows.max()) <= spread_db(sparse.level_dbm) + 1e-4
    assert rows[0, 300] > rows[39, 52]  # the street of column 50 is measured


def test_a_pixel_is_less_certain_than_a_mean_over_20_m() -> None:
    place, level = _field(6)
    noisy = level + np.random.default_rng(1).normal(0.0, 4.0, level.size)
    sparse = _sparse(place, noisy)
    pixel, mean = (MapDeviation.fit(sparse, SiteInfo(), side) for side in (0.0, 20.0))
    near = np.array([[52.5, 200.5]])
    assert pixel.at(near) > mean.at(near)
    assert (pixel.tags["std_support_m"], mean.tags["std_support_m"]) == ("0", "20")


def test_a_map_that_errs_less_than_the_ensemble_has_smaller_deviations() -> None:
    sparse = _sparse(*_field(7))
    full, part = (MapDeviation.fit(sparse, SiteInfo(), scale=scale) for scale in (1.0, 0.8))
    assert part.curve.std_db[0] == pytest.approx(0.8 * full.curve.std_db[0], rel=1e-6)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_few_measurements_give_deviations(number: int) -> None:
    place, level = _field(8)
    deviation = MapDeviation.fit(_sparse(place[:number], level[:number]), SiteInfo())
    assert np.isfinite(deviation.at(np.array([[1.0, 1.0]]))).all()


def test_deviations_of_a_method_are_those_of_its_own_errors() -> None:
    place, level = _field(6)
    sparse = _sparse(place, level)
    asked = []

    def mean_of_all(part: SparseRaster, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        asked.append(row.size)
        assert len(part) < len(sparse)
        assert part.grid.shape == sparse.grid.shape
        inside = (row >= 0) & (row <= _SIDE_M) & (col >= 0) & (col <= _SIDE_M)
        assert inside.all()
        return np.full(row.size, np.float32(part.level_dbm.mean()))

    own = MapDeviation.fit(sparse, SiteInfo(), estimate=mean_of_all)
    ensemble = MapDeviation.fit(sparse, SiteInfo())
    near = np.array([[50.5, 50.5]])
    assert max(asked) <= 200
    assert own.at(near)[0] > 1.5 * ensemble.at(near)[0]
    assert own.at(near)[0] == pytest.approx(spread_db(sparse.level_dbm), rel=0.2)
