"""Method weights by leave-block-out cross-validation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from rm_geo.buildings.mask import Outlines
from rm_geo.estimators.base import Estimate
from rm_geo.geostat.block_folds import leave_block_out
from rm_geo.geostat.classical_baseline import SmoothMap, fit_classical_baseline
from rm_geo.geostat.regression_kriging import RegressionKrigingOptions
from rm_geo.geostat.street_map import StreetMap
from rm_geo.grid import Grid
from rm_geo.inference.methods import OpenMethod
from rm_geo.pipeline.log_weight import MAX_CELLS as LARGEST_POOL
from rm_geo.pipeline.method_weight import (
    KNOWN_BUILDINGS_PRIOR_WEIGHT,
    LIMIT_PX,
    PRIOR_WEIGHT,
    MethodWeight,
    MethodWeightOptions,
    WeighedCell,
    combine_rows,
    estimate_method_weight,
    stacking_weight,
)
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo

SIDE = 128


def truth():
    rows, cols = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    level = -90.0 + 12.0 * np.sin(rows / 9.0) * np.cos(cols / 7.0) - 0.1 * cols
    return np.asarray(level, dtype=np.float32)


class Oracle:
    """Says the truth, plus an error."""

    name = "oracle"
    maps_buildings = False
    provenance: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, error_db=0.0, seed=None):
        self.error_db, self.seed = error_db, seed

    def estimate(self, batch):
        level = np.repeat(truth()[None], len(batch), 0) + np.float32(self.error_db)
        if self.seed is not None:
            rng = np.random.default_rng(self.seed)
            blocks = rng.normal(0.0, 25.0, (1, SIDE // 8, SIDE // 8)).astype(np.float32)
            level = level + blocks.repeat(8, 1).repeat(8, 2)
        return Estimate(level)


def sparse(share=0.01):
    rng = np.random.default_rng(0)
    seen = rng.random((SIDE, SIDE)) < share
    grid = Grid.create(500_000.0, 5_000_000.0, (SIDE, SIDE), 1.0, 32633)
    level = np.where(seen, truth(), np.float32(np.nan)).astype(np.float32)
    return SparseRaster.from_dense(grid, level, seen.astype(np.int32), np.full_like(level, np.nan))


def mix(method_dbm, observed_dbm, weight):
    """Mix a whole map with the baseline, as the second pass does band by band."""
    if weight.alone:
        return method_dbm
    grid = Grid.create(0.0, 0.0, method_dbm.shape, 1.0, 32631)
    baseline = fit_classical_baseline(
        SparseRaster.from_levels(grid, observed_dbm), RegressionKrigingOptions(), SiteInfo()
    )
    rows, everywhere = slice(0, len(method_dbm)), np.ones(method_dbm.shape, dtype=np.bool_)
    return combine_rows(method_dbm, baseline.on_rows(rows, observed_dbm, everywhere), weight)


def weight_of(estimator, facts=None, **options):
    one = sparse()
    tiles = one.grid.tiles(SIDE, 0)
    method = OpenMethod(estimator, "cpu", 4)
    cell = WeighedCell(one, tiles, facts or SiteInfo())
    return estimate_method_weight([cell], method, np.inf, MethodWeightOptions(**options))


def test_accurate_method_has_a_large_weight():
    assert weight_of(Oracle()).method > 0.8


def test_offset_does_not_reduce_the_weight():
    # Regression kriging removes it, in the cross-validation as in the map.
    assert weight_of(Oracle(error_db=7.0)).method > 0.8


def test_inaccurate_method_has_a_small_weight():
    weight = weight_of(Oracle(seed=1))
    assert weight.method < 0.3
    assert weight.rmse_db[0] > weight.rmse_db[1]


def test_known_buildings_raise_the_weight_of_an_accurate_method():
    known = SiteInfo(buildings=Outlines([box(500_010.0, 4_999_950.0, 500_020.0, 4_999_990.0)]))
    assert weight_of(Oracle(seed=1), known).method > weight_of(Oracle(seed=1)).method
    assert weight_of(Oracle(seed=1), known).method < 0.5
    assert weight_of(Oracle(), known).method > 0.9


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_prior_weight_raises_the_weight(one, other):
    rng = np.random.default_rng(0)
    held_out = rng.normal(-90.0, 10.0, (3, 40)).astype(np.float32)
    low, high = (stacking_weight(held_out, share).method for share in sorted((one, other)))
    assert low <= high + 1e-6


def test_weight_is_reproducible():
    assert weight_of(Oracle(seed=1)) == weight_of(Oracle(seed=1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.floats(0.0, 20.0))
def test_weights_sum_to_one_and_the_combination_is_no_worse_than_the_prior(seed, number, spread):
    rng = np.random.default_rng(seed)
    level = rng.normal(-90.0, 10.0, number)
    maps = level + rng.normal(0.0, [[spread], [3.0]], (2, number))
    weight = stacking_weight(np.concatenate([level[None], maps]).astype(np.float32))
    weights = np.array([weight.method, weight.idw])
    assert (weights >= 0.0).all()
    assert weights.sum() == pytest.approx(1.0)
    errors = np.clip(maps - level, -20.0, 20.0)
    cautious = np.sqrt(
        np.mean(np.square(PRIOR_WEIGHT * errors[0] + (1 - PRIOR_WEIGHT) * errors[1]))
    )
    assert weight.rmse_db[2] <= cautious + 1e-3


def test_one_block_does_not_decide():
    one = np.float32([[-90.0], [-90.0], [-80.0]])
    assert stacking_weight(one).method < 0.5
    assert stacking_weight(one.repeat(2000, axis=1)).method > 0.85


def test_blocks_of_all_cells_count_alike():
    one, method = sparse(), OpenMethod(Oracle(seed=1), "cpu", 4)
    cell = WeighedCell(one, one.grid.tiles(SIDE, 0), SiteInfo())
    alone, twice = (estimate_method_weight([cell] * number, method, np.inf) for number in (1, 2))
    assert twice.held_out == 2 * alone.held_out
    assert twice.rmse_db[:2] == pytest.approx(alone.rmse_db[:2])
    assert twice.method <= alone.method  # more evidence against the prior


def test_tiles_that_weigh_a_log_do_not_grow_with_its_cells():
    tiles = [n * MethodWeightOptions.for_cells(n).max_tiles for n in range(1, LARGEST_POOL + 1)]
    assert max(tiles) <= 8
    assert tiles[0] == 4


def test_weight_without_evidence_is_one_half():
    assert stacking_weight(np.full((3, 5), np.nan, dtype=np.float32)) == MethodWeight.given(0.5)


def test_method_without_baseline_is_unchanged():
    one = sparse()
    level = truth()
    assert mix(level, one.dense_rsrp_dbm(), MethodWeight()) is level


@pytest.mark.parametrize(
    "weight", [MethodWeight.given(0.4), MethodWeight(0.9, 0.1), MethodWeight(0.0, 1.0)]
)
def test_combination_agrees_with_the_measurements(weight):
    one = sparse()
    mixed = mix(truth(), one.dense_rsrp_dbm(), weight)
    seen = one.dense_observed()
    assert mixed.shape == (SIDE, SIDE)
    assert np.allclose(mixed[seen], one.dense_rsrp_dbm()[seen], atol=1e-2)


def test_baseline_fills_missing_estimates():
    one = sparse()
    level = truth()
    level[:, :20] = np.nan
    assert np.isfinite(mix(level, one.dense_rsrp_dbm(), MethodWeight(0.5, 0.5))).all()


def test_weight_falls_far_from_measurements_and_not_with_known_buildings():
    known = SiteInfo(buildings=Outlines([box(500_010.0, 4_999_950.0, 500_020.0, 4_999_990.0)]))
    near, far = np.float32([0.0, LIMIT_PX]), np.float32([2.0 * LIMIT_PX, 4.0 * LIMIT_PX])
    weight, same = weight_of(Oracle()), weight_of(Oracle(), known)
    assert weight.at_distance(near) == pytest.approx([weight.method] * 2)
    assert weight.at_distance(far) == pytest.approx([weight.method / 4.0, weight.method / 16.0])
    assert same.at_distance(far) == pytest.approx([same.method] * 2)


def test_combination_far_from_measurements_is_the_baseline():
    method_dbm, baseline_dbm = np.full(3, -70.0, np.float32), np.full(3, -90.0, np.float32)
    distance_px = np.float32([0.0, LIMIT_PX, 100.0 * LIMIT_PX])
    weight = MethodWeight(1.0, 0.0, limit_px=LIMIT_PX)
    combined = combine_rows(method_dbm, baseline_dbm, weight, distance_px)
    assert not weight.alone
    assert combined == pytest.approx([-70.0, -70.0, -90.0], abs=0.01)


def test_tags_contain_the_weights():
    tags = weight_of(Oracle()).tags
    assert (
        tags["trust"]
        == f"method {weight_of(Oracle()).method:.3f}, idw {weight_of(Oracle()).idw:.3f}"
    )
    assert int(tags["trust_held_out"]) > 20
    assert len(tags["trust_rmse_db"].split()) == 3


def test_few_measurements_are_kriged_as_well():
    few, everywhere = sparse(0.01), np.ones((SIDE, SIDE), bool)
    smooth = SmoothMap.fit(few)
    assert smooth.kriged is not None
    rows = slice(0, SIDE)
    alone = SmoothMap(smooth.idw, smooth.shape).on_rows(rows, everywhere)
    both = smooth.on_rows(rows, everywhere)
    kriged = np.float32(smooth.mean_dbm) + smooth.kriged.on_rows(rows)
    np.testing.assert_allclose(both, (alone + kriged) / 2, atol=1e-4)
    assert np.std(both - truth()) < np.std(alone - truth())
    assert SmoothMap.fit(sparse(0.5)).kriged is None


def test_baseline_uses_the_trend_of_a_known_transmitter():
    row, col = np.mgrid[:SIDE, :SIDE] + 0.5
    law = (-50.0 - 45.0 * np.log10(np.hypot(row - 10.0, col + 30.0))).astype(np.float32)
    seen = np.zeros((SIDE, SIDE), bool)
    seen[[20, 100]] = True  # two streets
    grid = Grid.create(500_000.0, 5_000_000.0, (SIDE, SIDE), 1.0, 32633)
    one = SparseRaster.from_levels(grid, np.where(seen, law, np.nan))
    method = OpenMethod(Oracle(), "cpu", 4)
    x, y = grid.to_world(10.0, -30.0)
    site = SiteInfo((float(x), float(y)), transmitter_height_m=1.5)
    known, unknown = (
        estimate_method_weight([WeighedCell(one, grid.tiles(SIDE, 0), facts)], method, np.inf)
        for facts in (site, SiteInfo())
    )
    assert known.held_out == unknown.held_out
    assert known.rmse_db[1] < 0.7 * unknown.rmse_db[1]


def test_prior_weight_with_known_buildings():
    nothing = np.full((3, 5), np.nan, dtype=np.float32)
    assert stacking_weight(nothing, KNOWN_BUILDINGS_PRIOR_WEIGHT) == MethodWeight.given(
        KNOWN_BUILDINGS_PRIOR_WEIGHT
    )
    doubtful = np.array([[-90.0], [-85.0], [-86.0]], dtype=np.float32)
    assert (
        stacking_weight(doubtful, PRIOR_WEIGHT).method
        < 0.5
        < stacking_weight(doubtful, KNOWN_BUILDINGS_PRIOR_WEIGHT).method
        < 1.0
    )


def test_a_part_is_judged_by_the_baseline_of_the_whole(monkeypatch):
    # Without a fold the coverage falls below the limit of the street ensemble; the map has the
    # interpolation all the same.
    fitted = []
    fit = StreetMap.fit
    monkeypatch.setattr(StreetMap, "fit", lambda *given: fitted.append(given) or fit(*given))
    dense, thin = sparse(share=0.06), sparse(share=0.01)
    for cell, folds in ((dense, 0), (thin, 4)):
        fitted.clear()
        weighed = WeighedCell(cell, cell.grid.tiles(SIDE, 0), SiteInfo())
        estimate_method_weight([weighed], OpenMethod(Oracle(), "cpu", 4), np.inf)
        assert len(fitted) == folds
    assert (
        dense.coverage
        > 0.05
        > min(part.coverage for part in leave_block_out(dense, 4.0, 4, limits_px=(4, 100)))
    )
