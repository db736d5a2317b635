"""A method is believed as far as measurements held back from it say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from rm_geo.buildings.mask import Outlines
from rm_geo.estimators.base import Estimate
from rm_geo.geostat.idw import SmoothMap, fit_idw_baseline
from rm_geo.geostat.regression_kriging import RegressionKrigingOptions
from rm_geo.grid import Grid
from rm_geo.inference.methods import OpenMethod
from rm_geo.pipeline.method_weight import (
    KNOWN_BUILDINGS_PRIOR_WEIGHT,
    PRIOR_WEIGHT,
    MethodWeight,
    TrustOptions,
    combine_rows,
    judge,
    stack,
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


def mix(method_dbm, observed_dbm, trust):
    """Mix a whole map with its partner, as the second pass does band by band."""
    if trust.alone:
        return method_dbm
    grid = Grid.create(0.0, 0.0, method_dbm.shape, 1.0, 32631)
    partner = fit_idw_baseline(
        SparseRaster.from_levels(grid, observed_dbm), RegressionKrigingOptions()
    )
    rows, everywhere = slice(0, len(method_dbm)), np.ones(method_dbm.shape, dtype=np.bool_)
    return combine_rows(method_dbm, partner.on_rows(rows, observed_dbm, everywhere), trust)


def judged(estimator, facts=None, **options):
    one = sparse()
    tiles = one.grid.tiles(SIDE, 0)
    method = OpenMethod(estimator, "cpu", 4)
    return judge(one, tiles, facts or SiteInfo(), method, np.inf, TrustOptions(**options))


def test_a_method_that_is_right_is_believed():
    assert judged(Oracle()).method > 0.8


def test_an_offset_is_no_reason_for_distrust():
    # assimilation takes it away, in the judgement as in the map
    assert judged(Oracle(error_db=7.0)).method > 0.8


def test_a_method_that_invents_is_not_believed():
    trust = judged(Oracle(seed=1))
    assert trust.method < 0.3
    assert trust.rmse_db[0] > trust.rmse_db[1]


def test_a_method_that_is_told_the_buildings_is_believed_more_but_not_whatever_it_says():
    told = SiteInfo(buildings=Outlines([box(500_010.0, 4_999_950.0, 500_020.0, 4_999_990.0)]))
    assert judged(Oracle(seed=1), told).method > judged(Oracle(seed=1)).method
    assert judged(Oracle(seed=1), told).method < 0.4
    assert judged(Oracle(), told).method > 0.9


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_whom_one_believes_more_beforehand_one_believes_no_less_afterwards(one, other):
    rng = np.random.default_rng(0)
    held_out = rng.normal(-90.0, 10.0, (3, 40)).astype(np.float32)
    low, high = (stack(held_out, share).method for share in sorted((one, other)))
    assert low <= high + 1e-6


def test_the_judgement_is_the_same_every_time():
    assert judged(Oracle(seed=1)) == judged(Oracle(seed=1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.floats(0.0, 20.0))
def test_shares_are_shares_and_the_mixture_is_no_worse_than_the_prior(seed, number, spread):
    rng = np.random.default_rng(seed)
    level = rng.normal(-90.0, 10.0, number)
    maps = level + rng.normal(0.0, [[spread], [3.0]], (2, number))
    trust = stack(np.concatenate([level[None], maps]).astype(np.float32))
    shares = np.array([trust.method, trust.idw])
    assert (shares >= 0.0).all()
    assert shares.sum() == pytest.approx(1.0)
    errors = np.clip(maps - level, -20.0, 20.0)
    cautious = np.sqrt(
        np.mean(np.square(PRIOR_WEIGHT * errors[0] + (1 - PRIOR_WEIGHT) * errors[1]))
    )
    assert trust.rmse_db[2] <= cautious + 1e-3


def test_without_evidence_the_method_gets_half():
    assert stack(np.full((3, 5), np.nan, dtype=np.float32)) == MethodWeight.given(0.5)


def test_a_method_alone_is_left_as_it_is():
    one = sparse()
    level = truth()
    assert mix(level, one.rsrp_dbm, MethodWeight()) is level


@pytest.mark.parametrize(
    "trust", [MethodWeight.given(0.4), MethodWeight(0.9, 0.1), MethodWeight(0.0, 1.0)]
)
def test_mixtures_agree_with_the_measurements(trust):
    one = sparse()
    mixed = mix(truth(), one.rsrp_dbm, trust)
    seen = one.observed
    assert mixed.shape == (SIDE, SIDE)
    assert np.allclose(mixed[seen], one.rsrp_dbm[seen], atol=1e-2)


def test_where_the_method_is_silent_the_others_speak():
    one = sparse()
    level = truth()
    level[:, :20] = np.nan
    assert np.isfinite(mix(level, one.rsrp_dbm, MethodWeight(0.5, 0.5))).all()


def test_the_tags_say_what_was_believed():
    tags = judged(Oracle()).tags
    assert tags["trust"] == f"method {judged(Oracle()).method:.3f}, idw {judged(Oracle()).idw:.3f}"
    assert int(tags["trust_held_out"]) > 20
    assert len(tags["trust_rmse_db"].split()) == 3


def test_few_measurements_are_kriged_beside_inverse_distances():
    few, everywhere = sparse(0.01), np.ones((SIDE, SIDE), bool)
    smooth = SmoothMap.of(few)
    assert smooth.kriged is not None
    rows = slice(0, SIDE)
    alone = SmoothMap(smooth.distances, smooth.shape).on_rows(rows, everywhere)
    both = smooth.on_rows(rows, everywhere)
    kriged = np.float32(smooth.mean_dbm) + smooth.kriged.on_rows(rows)
    np.testing.assert_allclose(both, (alone + kriged) / 2, atol=1e-4)
    assert np.std(both - truth()) < np.std(alone - truth())
    assert SmoothMap.of(sparse(0.5)).kriged is None


def test_the_partner_is_judged_as_it_maps_with_the_transmitter_where_it_is_known():
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
        judge(one, grid.tiles(SIDE, 0), facts, method, np.inf) for facts in (site, SiteInfo())
    )
    assert known.held_out == unknown.held_out
    assert known.rmse_db[1] < 0.7 * unknown.rmse_db[1]


def test_who_is_told_the_buildings_is_believed_where_nothing_can_be_held_back():
    nothing = np.full((3, 5), np.nan, dtype=np.float32)
    assert stack(nothing, KNOWN_BUILDINGS_PRIOR_WEIGHT) == MethodWeight.given(
        KNOWN_BUILDINGS_PRIOR_WEIGHT
    )
    doubtful = np.array([[-90.0], [-85.0], [-86.0]], dtype=np.float32)
    assert (
        stack(doubtful, PRIOR_WEIGHT).method
        < 0.5
        < stack(doubtful, KNOWN_BUILDINGS_PRIOR_WEIGHT).method
        < 1.0
    )
