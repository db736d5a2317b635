"""Overshooters: medians and far areas against plain numpy."""

import numpy as np
import pytest

from rm_geo.grid import Grid
from rm_geo.planning.map_set import CellMap, RadioMapSet
from rm_geo.planning.overshoot import PRODUCTS, FarAreas, ReachHistograms
from rm_geo.planning.product import PlanContext
from rm_geo.planning.ranking import rank_cells
from rm_geo.planning.settings import OverlapSettings, PlanSettings
from rm_geo.products.radio_map import RadioMap
from rm_geo.sites.site import Site

(PRODUCT,) = PRODUCTS
GRID = Grid.create(500_000, 5_000_000, (100, 300), 10.0, 32633)
ROW, COL = np.indices(GRID.shape)
X, Y = GRID.to_world(ROW + 0.5, COL + 0.5)
SITES = [Site(500_300.0, 4_999_500.0), Site(502_000.0, 4_999_500.0)]


def level(site):
    return (-50 - 30 * np.log10(np.hypot(X - site.x, Y - site.y) / 10)).astype(np.float32)


def maps(spill=True, known=(True, True)):
    """Two cells; the first is also strong in a patch of 100 m by 200 m near the second."""
    first, second = (level(site) for site in SITES)
    if spill:
        first[20:40, 240:250] = -40.0
    return RadioMapSet.of(
        [
            CellMap.of(str(n), RadioMap(GRID, values, site=site if tell else None))
            for n, (values, site, tell) in enumerate(
                zip((first, second), SITES, known, strict=True)
            )
        ]
    )


def result(made, max_bytes=2**20, **options):
    context = PlanContext(made, PlanSettings(**options))
    assert PRODUCT.refusal(context) is None
    stream = PRODUCT.stream(context)
    for band in made.bands(max_bytes):
        stream.add(band, rank_cells(band))
    return stream.finish()


def test_the_reach_is_the_median_distance_of_the_served_pixels():
    made = maps()
    reach = ReachHistograms(GRID, [(s.x, s.y) for s in SITES], OverlapSettings())
    for band in made.bands(300_000):
        reach.add(band, rank_cells(band))
    levels = np.stack([cell.radio_map.rsrp_dbm for cell in made.cells])
    for number, site in enumerate(SITES):
        away = np.hypot(X - site.x, Y - site.y)
        serves = (levels.argmax(0) == number) & (levels.max(0) >= -115)
        assert reach.median_m()[number] == pytest.approx(np.median(away[serves]), abs=10.0)
        near = (levels[number] >= np.maximum(levels.max(0) - 6.0, -115)) & (levels.max(0) >= -115)
        assert reach.farthest_m[number] == pytest.approx(away[near].max())


def test_a_far_patch_is_found_with_its_area_and_a_line_to_it():
    made = result(maps())
    (row,) = made.tables["overshooters.csv"]
    assert row["cell"] == "0"
    assert row["far_served_km2"] == pytest.approx(0.02)
    assert row["far_polluted_km2"] == 0.0
    assert row["areas"] == 1
    (table,) = made.features["overshooters.gpkg"]
    (line,) = table.geometry
    assert line.coords[0] == (500_300.0, 4_999_500.0)
    assert line.coords[1] == pytest.approx((500_000 + 2450.0, 5_000_000 - 300.0))
    assert table.columns["served_m2"][0] == pytest.approx(20_000.0)


@pytest.mark.parametrize("max_bytes", [10_000, 400_000, 2**28])
def test_areas_do_not_depend_on_the_bands(max_bytes):
    assert result(maps(), max_bytes).tables == result(maps()).tables


def test_where_it_only_pollutes_the_area_is_polluted():
    first, second = (level(site) for site in SITES)
    first[20:40, 240:250] = second[20:40, 240:250] - 3.0
    cells = [
        CellMap.of(str(n), RadioMap(GRID, values, site=site))
        for n, (values, site) in enumerate(zip((first, second), SITES, strict=True))
    ]
    (row,) = result(RadioMapSet.of(cells)).tables["overshooters.csv"]
    assert (row["far_served_km2"], row["far_polluted_km2"]) == pytest.approx((0.0, 0.02))
    assert not result(RadioMapSet.of(cells), overlap={"margin_db": 2.0}).tables["overshooters.csv"]


def test_small_areas_and_near_ones_are_no_overshooters():
    assert not result(maps(spill=False)).tables["overshooters.csv"]
    assert not result(maps(), overshoot={"min_area_m2": 20_001.0}).tables["overshooters.csv"]
    limit = result(maps(), overshoot={"max_km": 2.1, "max_times_median": 99.0})
    (row,) = limit.tables["overshooters.csv"]
    assert row["limit_m"] == 2100.0
    far = FarAreas(GRID, [(s.x, s.y) for s in SITES], [700.0, 700.0], PlanSettings())
    assert far.areas() == ()


def test_cells_without_a_site_are_not_judged():
    made = result(maps(known=(False, True)))
    assert not made.tables["overshooters.csv"]
    assert "'0'" in made.warnings[0]
    (table,) = made.features["overshooters.gpkg"]
    assert len(table) == 0
    assert "site table" in PRODUCT.refusal(PlanContext(maps(known=(False, False))))
