"""Zonal statistics against numpy and shapely, pixel by pixel."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.errors import CrsError, InputError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.raster_reader import open_raster
from rm_geo.planning import zonal
from rm_geo.planning.map_set import RadioMapSet
from rm_geo.planning.product import PlanContext, PlanInputs
from rm_geo.planning.settings import CoverageSettings, PlanSettings
from rm_geo.planning.zonal import (
    PRODUCTS,
    RoadWeights,
    Zones,
    read_zones,
    square_zones,
    statistics_table,
    zonal_statistics,
)
from rm_geo.products.radio_map import RadioMap

(PRODUCT,) = PRODUCTS
CLASSES = CoverageSettings().classes
GRID = Grid.create(500_000, 5_000_000, (30, 40), 10.0, 32633)
LEVELS = np.random.default_rng(0).normal(-95, 15, GRID.shape).astype(np.float32)
LEVELS[np.random.default_rng(1).random(GRID.shape) < 0.2] = np.nan


class ArrayWeights:
    def __init__(self, values):
        self.values = values

    def read(self, rows, cols):
        return self.values[rows, cols]


@pytest.fixture(scope="module")
def level(tmp_path_factory):
    path = tmp_path_factory.mktemp("level") / "composite_rsrp.tif"
    write_raster(path, LEVELS, GRID)
    return open_raster(path)


def coverage_of(polygon, grid=GRID):
    """Share of each pixel in a polygon, by shapely."""
    row, col = np.indices(grid.shape)
    x, y = grid.to_world(row, col)
    squares = shapely.box(x, y - grid.spacing_m, x + grid.spacing_m, y)
    return shapely.area(shapely.intersection(squares, polygon)) / grid.spacing_m**2


def by_hand(polygon, weights=None):
    """Statistics from the definitions."""
    known = np.isfinite(LEVELS)
    share = coverage_of(polygon) * known
    count = share if weights is None else share * weights
    values, counts = LEVELS[known].astype(float), count[known]
    classes = np.zeros(len(CLASSES))
    for number, (high, low) in enumerate(
        zip(
            [np.inf] + [c.from_dbm for c in CLASSES[:-1]],
            [c.from_dbm for c in CLASSES],
            strict=True,
        )
    ):
        classes[number] = counts[
            (values < high) & (values >= (-np.inf if low is None else low))
        ].sum()
    order = np.argsort(values)
    reached = np.cumsum(counts[order]) / counts.sum()
    percentiles = [values[order][np.searchsorted(reached, q - 1e-9)] for q in (0.05, 0.5, 0.95)]
    return (
        share.sum() * 100 / polygon.area,
        (values * counts).sum() / counts.sum(),
        classes / counts.sum(),
        percentiles,
    )


POLYGONS = [
    shapely.box(500_003, 4_999_801, 500_217, 4_999_993),
    shapely.Point(500_200, 4_999_850).buffer(93.0),
    shapely.Polygon([(500_010, 4_999_990), (500_390, 4_999_900), (500_100, 4_999_710)]),
    shapely.Point(500_395, 4_999_995).buffer(60.0),  # reaches beyond the map
    shapely.box(500_101, 4_999_901, 500_104, 4_999_902),  # inside one pixel
]


def zones_of(polygons):
    return Zones("z", np.array(polygons, dtype=object), {}, GRID.crs)


@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_of_polygons_are_those_of_plain_numpy(level, weighted):
    weights = np.random.default_rng(2).exponential(3.0, GRID.shape).astype(np.float32)
    found = zonal_statistics(
        level, zones_of(POLYGONS), CLASSES, weights=ArrayWeights(weights) if weighted else None
    )
    for place, polygon in enumerate(POLYGONS):
        known, mean, classes, percentiles = by_hand(polygon, weights if weighted else None)
        assert found.known_share[place] == pytest.approx(known, abs=1e-5)
        assert found.mean_dbm[place] == pytest.approx(mean, abs=1e-3)
        np.testing.assert_allclose(found.shares[place], classes, atol=1e-5)
        np.testing.assert_allclose(found.percentiles_dbm[place], percentiles, atol=0.11)
        assert found.shares[place].sum() == pytest.approx(1.0)
        if weighted:
            share = coverage_of(polygon)
            assert found.weight[place] == pytest.approx((share * weights).sum(), rel=1e-5)
            known = (share * weights)[np.isfinite(LEVELS)].sum()
            assert found.known_weight[place] == pytest.approx(known, rel=1e-5)


@pytest.mark.parametrize("block", [1, 100, 1 << 21])
def test_results_do_not_depend_on_the_blocks_that_are_read(level, monkeypatch, block):
    expected = zonal_statistics(level, zones_of(POLYGONS), CLASSES)
    monkeypatch.setattr(zonal, "_BLOCK_PX", block)
    monkeypatch.setattr(zonal, "_CELLS_IN_MEMORY", 200)
    found = zonal_statistics(level, zones_of(POLYGONS[::-1]), CLASSES)
    np.testing.assert_allclose(found.mean_dbm[::-1], expected.mean_dbm)
    np.testing.assert_allclose(found.shares[::-1], expected.shares)
    np.testing.assert_allclose(found.percentiles_dbm[::-1], expected.percentiles_dbm)


def test_squares_of_whole_pixels_are_block_means(level):
    zones = square_zones(GRID, 50.0)
    found = zonal_statistics(level, zones, CLASSES)
    blocks = LEVELS.reshape(6, 5, 8, 5).astype(float)
    np.testing.assert_allclose(
        found.mean_dbm.reshape(6, 8), np.nanmean(blocks, axis=(1, 3)), atol=1e-4
    )
    np.testing.assert_allclose(
        found.known_share.reshape(6, 8), np.isfinite(blocks).mean(axis=(1, 3)), atol=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(st.floats(-3000, 3000), st.floats(-3000, 3000), st.sampled_from([10.0, 70.0, 500.0]))
def test_squares_cover_the_area_once_and_lie_on_multiples_of_their_side(dx, dy, side):
    grid = Grid.create(500_000 + dx, 5_000_000 + dy, (7, 9), 10.0, 32633)
    zones = square_zones(grid, side)
    bounds = shapely.bounds(zones.geometry)
    np.testing.assert_allclose(bounds[:, 0] % side, 0, atol=1e-6)
    inside = shapely.area(shapely.intersection(zones.geometry, shapely.box(*grid.bounds)))
    assert inside.sum() == pytest.approx(70.0 * 90.0)


def test_too_many_squares_are_refused():
    with pytest.raises(UsageError, match=r"statistics\.grid_m"):
        square_zones(Grid.create(0, 0, (30_000, 30_000), 1.0, 32633), 10.0)


def test_roads_keep_their_length_on_the_pixels():
    rng = np.random.default_rng(3)
    middle = np.array([500_200, 4_999_850])
    steps = rng.normal(0, 30, (5, 20, 2))
    lines = [shapely.LineString(middle + np.cumsum(own, axis=0)) for own in steps]
    roads = RoadWeights.of(np.array(lines, dtype=object), GRID)
    whole = roads.read(slice(0, 30), slice(0, 40))
    box = shapely.box(*GRID.bounds)
    assert whole.sum() == pytest.approx(
        sum(line.intersection(box).length for line in lines), rel=0.01
    )
    part = roads.read(slice(3, 11), slice(5, 17))
    np.testing.assert_array_equal(part, whole[3:11, 5:17])
    x, y = GRID.to_world(12, 20)
    pixel = shapely.box(float(x), float(y) - 10, float(x) + 10, float(y))
    by_shapely = sum(line.intersection(pixel).length for line in lines)
    assert whole[12, 20] == pytest.approx(by_shapely, abs=2.5 * len(lines))


def layer(path: Path, polygons, crs="EPSG:32633", **columns):
    geopandas.GeoDataFrame(columns, geometry=polygons, crs=crs).to_file(path)
    return path


def context_of(tmp_path, polygons=None, roads=None, **options):
    write_raster(tmp_path / "composite_rsrp.tif", LEVELS, GRID)
    maps = RadioMapSet.of({"a": RadioMap(GRID, LEVELS)})
    inputs = PlanInputs(polygons=polygons, roads=roads)
    return PlanContext(maps, PlanSettings(**options), inputs, tmp_path, {"made": "here"})


def test_polygons_of_another_crs_keep_their_attributes(tmp_path):
    names = [f"district {n}" for n in range(5)]
    frame = geopandas.GeoDataFrame({"name": names}, geometry=POLYGONS, crs=GRID.crs)
    frame.to_crs(4326).to_file(tmp_path / "districts.gpkg")
    made = PRODUCT.derive(context_of(tmp_path, tmp_path / "districts.gpkg"))
    (table,) = made.features["statistics_polygons.gpkg"]
    assert table.columns["name"].tolist() == names
    found = zonal_statistics(
        open_raster(tmp_path / "composite_rsrp.tif"), zones_of(POLYGONS), CLASSES
    )
    np.testing.assert_allclose(table.columns["mean_dbm"], found.mean_dbm, atol=0.01)
    rows = made.tables["statistics_polygons.csv"]
    assert rows[1]["name"] == "district 1"
    assert sum(value for name, value in rows[1].items() if name.startswith("share_")) == (
        pytest.approx(1.0, abs=1e-5)
    )
    assert made.statistics["statistics_polygons"] == {"zones": 5}


def test_invalid_polygons_are_repaired_and_those_outside_named(tmp_path):
    bow_tie = shapely.Polygon(
        [(500_010, 4_999_990), (500_110, 4_999_890), (500_110, 4_999_990), (500_010, 4_999_890)]
    )
    path = layer(tmp_path / "p.gpkg", [bow_tie, shapely.box(0, 0, 1, 1)], n=[1, 2])
    zones = read_zones(path, GRID)
    assert zones.columns["n"].tolist() == [1]
    assert zones.geometry[0].area == pytest.approx(5000.0)
    assert "1 invalid" in zones.warnings[0]
    assert "1 of 2 polygons" in zones.warnings[1]


def test_polygons_of_no_use_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_zones(tmp_path / "none.gpkg", GRID)
    outside = layer(tmp_path / "outside.gpkg", [shapely.box(0, 0, 1, 1)])
    with pytest.raises(InputError, match="reaches into the area"):
        read_zones(outside, GRID)
    points = layer(tmp_path / "points.gpkg", [shapely.Point(500_010, 4_999_990)])
    with pytest.raises(InputError, match="no polygons"):
        read_zones(points, GRID)
    with pytest.raises(CrsError, match="has no CRS"):
        read_zones(layer(tmp_path / "nowhere.gpkg", POLYGONS, crs=None), GRID)
    (tmp_path / "text.gpkg").write_text("no layer")
    with pytest.raises(InputError, match="cannot be read"):
        read_zones(tmp_path / "text.gpkg", GRID)


def test_road_weighted_shares_are_those_of_the_road(tmp_path):
    road = shapely.LineString([(500_000, 4_999_995), (500_400, 4_999_995)])
    roads = layer(tmp_path / "roads.gpkg", [road])
    context = context_of(tmp_path, roads=roads, statistics={"weight": "roads", "grid_m": 500.0})
    assert PRODUCT.refusal(context) is None
    made = PRODUCT.derive(context)
    (table,) = made.features["statistics_grid.gpkg"]
    assert table.columns["mean_dbm"] == pytest.approx(np.nanmean(LEVELS[0].astype(float)), abs=1e-3)
    assert table.columns["roads_m"] == pytest.approx(400.0)
    known = np.isfinite(LEVELS[0]).sum() * 10.0
    assert table.columns["roads_m_known"] == pytest.approx(known)
    assert "`roads`" in PRODUCT.refusal(context_of(tmp_path, statistics={"weight": "roads"}))


def test_zones_where_nothing_is_known_are_left_out(level):
    unknown = ~np.isfinite(LEVELS)
    row, col = np.argwhere(unknown)[0]
    x, y = GRID.to_world(row, col)
    hole = shapely.box(float(x) + 1, float(y) - 9, float(x) + 9, float(y) - 1)
    zones = zones_of([hole, POLYGONS[0]])
    table = statistics_table(zones, zonal_statistics(level, zones, CLASSES), CLASSES, [5, 50, 95])
    assert len(table) == 1
