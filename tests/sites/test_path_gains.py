"""Path gains of candidate sites around known buildings."""

import numpy as np
import pytest
from shapely.geometry import box

from rm_geo.buildings.mask import Outlines
from rm_geo.geostat.averaged_distance_law import AveragedDistanceLaw
from rm_geo.geostat.street_map import StreetMap
from rm_geo.grid import Grid
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites import path_gains
from rm_geo.sites.facts import SiteInfo
from rm_geo.sites.path_gains import CandidatePathGains, LogPathGains, candidate_path_gains

pytest.importorskip("numba")

WEST, NORTH = 500_000.0, 5_000_000.0
GRID = Grid.create(WEST, NORTH, (120, 120), 1.0, 32633)
WALL = Outlines([box(WEST + 50, NORTH - 110, WEST + 70, NORTH - 10)])
"""A building from north to south, through the middle of the grid."""


def gains_of(xy=None, grid=GRID, buildings=WALL):
    row, col = np.array([0, grid.shape[0] - 1]), np.array([0, grid.shape[1] - 1])
    return candidate_path_gains(
        buildings, grid, row, col, transmitter_xy=xy, height_m=10.0, frequency_mhz=2000.0
    )


def test_gain_of_a_known_site_is_lower_behind_a_building():
    gains = gains_of((WEST + 20.0, NORTH - 60.0))
    beside, behind = gains.at(np.array([[30.0, 10.0], [60.0, 100.0]]))
    assert len(gains) == 1
    assert beside[0] > behind[0] + 10.0


def test_gain_in_a_building_is_that_of_a_street_beside_it():
    gains = gains_of((WEST + 20.0, NORTH - 60.0))
    indoors, street = gains.at(np.array([[60.0, 52.0], [60.0, 48.0]]))
    assert indoors[0] == pytest.approx(street[0], abs=3.0)


def test_positions_of_another_origin_have_the_same_gains():
    gains, at_m = gains_of(), np.array([[30.0, 10.0], [60.0, 100.0]])
    moved = gains.moved(np.array([5.0, -7.0]))
    assert len(gains) > 20
    assert np.array_equal(moved.at(at_m - [5.0, -7.0]), gains.at(at_m))


def test_wide_areas_and_areas_without_buildings_have_no_gains():
    wide = Grid.create(WEST, NORTH, (3000, 3000), 1.0, 32633)
    assert gains_of(grid=wide) is None
    assert gains_of(buildings=Outlines([box(0, 0, 10, 10)])) is None


def test_work_can_be_cancelled_between_sites():
    def cancel():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        candidate_path_gains(
            WALL,
            GRID,
            np.array([0, 119]),
            np.array([0, 119]),
            transmitter_xy=None,
            height_m=10.0,
            frequency_mhz=2000.0,
            check=cancel,
        )


def test_law_of_gains_finds_the_site_that_made_the_levels():
    rng = np.random.default_rng(0)
    gain_db = rng.uniform(-120.0, -70.0, (3, 40, 40)).astype(np.float32)
    gains = CandidatePathGains(gain_db, np.zeros(2), 5.0, np.zeros((3, 2)))
    position_m = rng.uniform(0.0, 200.0, (150, 2))
    level_dbm = 5.0 + 0.8 * gains.at(position_m)[:, 1]
    law = AveragedDistanceLaw.fit(position_m, level_dbm, path_gains=gains)
    assert law.weight.max() > 0.9
    assert np.corrcoef(law.at(position_m), level_dbm)[0, 1] > 0.8


def measured():
    """Levels of a transmitter west of the wall, measured on a street beside it and one south."""
    truth_db = gains_of((WEST + 20.0, NORTH - 60.0))
    level_dbm = np.full(GRID.shape, np.nan)
    along = np.arange(0, 120, 2)
    level_dbm[along, 40] = 20.0 + truth_db.at(np.column_stack([along, np.full(60, 40)]))[:, 0]
    level_dbm[116, along] = 20.0 + truth_db.at(np.column_stack([np.full(60, 116), along]))[:, 0]
    return SparseRaster.from_levels(GRID, level_dbm), truth_db


def test_map_with_known_buildings_errs_less_behind_them():
    sparse, truth_db = measured()
    facts = SiteInfo(transmitter_xy=(WEST + 20.0, NORTH - 60.0), buildings=WALL)
    place = np.column_stack([np.arange(25.0, 100.0, 5.0), np.full(15, 78.0)])
    truth = 20.0 + truth_db.at(place)[:, 0]
    plain, informed = (
        np.sqrt(np.mean((StreetMap.fit(sparse, given, 4).at(*place.T) - truth) ** 2))
        for given in (facts, facts.with_path_gains(GRID, sparse.row, sparse.col))
    )
    assert informed < 0.7 * plain


def test_gains_are_left_out_where_buildings_are_not_known():
    sparse, _ = measured()
    facts = SiteInfo(transmitter_xy=(WEST + 20.0, NORTH - 60.0))
    assert facts.with_path_gains(GRID, sparse.row, sparse.col) is facts


def of_log(west=WEST, east=WEST + 120.0, buildings=WALL):
    return LogPathGains.over((west, NORTH - 120.0, east, NORTH), GRID.crs, lambda _: buildings)


def test_cells_of_a_log_share_the_gains_around_their_measurements(monkeypatch):
    computed = []

    def counted(*given):
        computed.append(given)
        return found(*given)

    found = path_gains._gains
    monkeypatch.setattr(path_gains, "_gains", counted)
    shared = of_log(WEST - 300.0, WEST + 500.0)
    east = Grid.create(WEST + 60.0, NORTH - 20.0, (50, 30), 2.0, 32633)
    first = shared.of_cell(GRID, np.array([0, 119]), np.array([0, 119]), height_m=10.0)
    second = shared.of_cell(east, np.array([0, 30]), np.array([0, 20]), height_m=10.0)
    assert len(computed) == 1
    assert 25 <= len(second) < 15 * 15
    # One place, in metres down and right of each corner.
    place = np.array([[70.0, 110.0]])
    here, there = (
        dict(zip(map(tuple, gains.site_m.tolist()), gains.at(at)[0].tolist(), strict=True))
        for gains, at in ((first, place), (second, place - [20.0, 60.0]))
    )
    common = here.keys() & there.keys()
    assert len(common) > 10
    assert all(here[site] == there[site] for site in common)
    shared.of_cell(GRID, np.array([0, 119]), np.array([0, 119]), height_m=20.0)
    assert len(computed) == 2


def test_shared_gains_serve_cells_of_unknown_transmitters_only():
    sparse, _ = measured()
    shared = of_log()
    for facts, sites in (
        (SiteInfo(transmitter_xy=(WEST + 20.0, NORTH - 60.0), buildings=WALL), 1),
        (SiteInfo(buildings=WALL), 225),
    ):
        found = facts.with_path_gains(GRID, sparse.row, sparse.col, of_log=shared)
        assert len(found.path_gains) == sites
    assert len(shared.of_height) == 1


def test_shared_gains_fit_levels_behind_a_building():
    sparse, truth_db = measured()
    facts = SiteInfo(buildings=WALL).with_path_gains(GRID, sparse.row, sparse.col, of_log=of_log())
    place = np.column_stack([np.arange(25.0, 100.0, 5.0), np.full(15, 78.0)])
    truth = 20.0 + truth_db.at(place)[:, 0]
    plain, informed = (
        np.sqrt(np.mean((StreetMap.fit(sparse, given, 4).at(*place.T) - truth) ** 2))
        for given in (SiteInfo(), facts)
    )
    assert informed < 0.8 * plain


def test_wide_logs_and_logs_without_buildings_share_nothing():
    assert of_log(WEST, WEST + 3000.0) is None
    nowhere = of_log(buildings=Outlines([box(0, 0, 10, 10)]))
    assert nowhere.of_cell(GRID, np.array([0]), np.array([0]), height_m=10.0) is None
