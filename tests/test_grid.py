"""A grid knows where its pixels are, and its tiles lose none of them."""

import dataclasses
import itertools

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import CRS

from rm_geo.errors import CrsError, InputError
from rm_geo.grid import Grid, Tile, is_metric, metric_crs_for, tile_starts

UTM = 32633

coordinates = st.floats(-1e6, 1e6)
# Centimetres, many of them on pixel edges: finer is below what any receiver knows.
distances = st.integers(0, 40_000).map(lambda cm: cm / 100.0) | st.integers(0, 400).map(float)
point_lists = st.lists(st.tuples(distances, distances), min_size=1, max_size=20)


def grid_of(rows: int, cols: int, spacing_m: float = 1.0) -> Grid:
    return Grid.create(500_000.0, 5_000_000.0, (rows, cols), spacing_m, UTM)


@settings(deadline=None)
@given(coordinates, coordinates, st.sampled_from([0.5, 1.0, 4.0]))
def test_pixel_and_world_coordinates_are_inverse(row: float, col: float, spacing: float) -> None:
    grid = grid_of(10, 20, spacing)
    back = grid.to_pixel(*grid.to_world(row, col))
    assert (float(back[0]), float(back[1])) == pytest.approx((row, col), abs=1e-6)


def test_first_pixel_is_the_north_west_one_and_its_centre_is_at_one_half() -> None:
    grid = grid_of(10, 20)
    west, _, _, north = grid.bounds
    assert [float(v) for v in grid.to_pixel(west + 0.5, north - 0.5)] == [0.5, 0.5]
    assert [float(v) for v in grid.to_pixel(west + 19.5, north - 9.5)] == [9.5, 19.5]


@settings(deadline=None)
@given(
    point_lists,
    st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    # A library may have switched subnormal numbers off, for it here and not for the next line.
    st.floats(0.0, 50.0, allow_subnormal=False),
)
def test_covering_grid_holds_every_point_and_margin(points, spacing_m, margin_m) -> None:
    x, y = np.array(points).T
    grid = Grid.covering(x, y, UTM, spacing_m=spacing_m, margin_m=margin_m)
    west, south, east, north = grid.bounds
    assert west <= x.min() - margin_m
    assert x.max() + margin_m < east
    assert south < y.min() - margin_m
    assert y.max() + margin_m <= north
    assert west % spacing_m == 0.0
    assert north % spacing_m == 0.0


@settings(deadline=None)
@given(point_lists)
def test_covering_grid_without_margin_has_points_in_its_outermost_pixels(points) -> None:
    x, y = np.array(points).T
    grid = Grid.covering(x, y, UTM)
    row, col = (np.floor(v).astype(int) for v in grid.to_pixel(x, y))
    assert (row.min(), row.max()) == (0, grid.shape[0] - 1)
    assert (col.min(), col.max()) == (0, grid.shape[1] - 1)


def test_points_on_pixel_edges_are_inside() -> None:
    grid = Grid.covering([3.0, 5.0], [7.0, 9.0], UTM)
    row, col = grid.to_pixel([3.0, 5.0], [7.0, 9.0])
    assert grid.shape == (3, 3)
    assert row.tolist() == [2.0, 0.0]
    assert col.tolist() == [0.0, 2.0]


def test_covering_nothing_is_an_input_error() -> None:
    with pytest.raises(InputError):
        Grid.covering([], [], UTM)


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 300), st.data())
def test_tiles_along_an_axis_cover_it_with_the_overlap_asked_for(length, size, data) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    starts = tile_starts(length, size, overlap)
    if length <= size:
        assert len(starts) == 1
        assert starts[0] <= 0
        assert starts[0] + size >= length
        return
    assert starts[0] == 0
    assert starts[-1] + size == length
    assert all(0 < right - left <= size - overlap for left, right in itertools.pairwise(starts))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(2, 40), st.data())
def test_every_pixel_is_in_a_tile(rows, cols, size, data) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    covered = np.zeros((rows, cols), bool)
    for tile in grid_of(rows, cols).tiles(size, overlap):
        covered[tile.clip((rows, cols))[0]] = True
    assert covered.all()


@pytest.mark.parametrize(("length", "count"), [(1, 1), (255, 1), (256, 1), (257, 2), (512, 2)])
def test_number_of_tiles_without_overlap(length: int, count: int) -> None:
    assert len(tile_starts(length, 256, 0)) == count


@pytest.mark.parametrize("overlap", [-1, 256])
def test_overlap_as_large_as_a_tile_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        tile_starts(600, 256, overlap)


@settings(deadline=None)
@given(st.integers(-40, 40), st.integers(-40, 40), st.integers(1, 30))
def test_clip_pairs_the_same_pixels_of_raster_and_tile(row, col, size) -> None:
    shape = (25, 17)
    (rows, cols), (inner_rows, inner_cols) = Tile(row, col, size).clip(shape)
    raster = np.arange(25 * 17).reshape(shape)
    full = np.full((120, 120), -1)
    full[45 : 45 + 25, 45 : 45 + 17] = raster
    tile = full[45 + row : 45 + row + size, 45 + col : 45 + col + size]
    assert np.array_equal(raster[rows, cols], tile[inner_rows, inner_cols])
    assert raster[rows, cols].size == (tile >= 0).sum()


@settings(deadline=None)
@given(st.integers(1, 8))
def test_scaling_keeps_the_area(factor: int) -> None:
    grid = grid_of(12, 34, 4.0)
    finer = grid.scaled(factor)
    assert finer.bounds == pytest.approx(grid.bounds)
    assert finer.shape == (12 * factor, 34 * factor)


def test_window_lies_where_its_slices_say() -> None:
    grid = grid_of(10, 20, 2.0)
    window = grid.window(slice(-1, 3), slice(4, 9))
    west, _, _, north = grid.bounds
    assert window.shape == (4, 5)
    assert (window.bounds[0], window.bounds[3]) == (west + 8.0, north + 2.0)


def test_grid_is_an_immutable_value() -> None:
    assert grid_of(3, 4) == grid_of(3, 4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        grid_of(3, 4).geobox = grid_of(1, 1).geobox  # type: ignore[misc]


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2263", "EPSG:4978"])
def test_crs_without_metres_is_refused(crs: str) -> None:
    with pytest.raises(CrsError, match="metres"):
        Grid.create(0.0, 0.0, (2, 2), 1.0, crs)


def test_missing_crs_is_refused() -> None:
    with pytest.raises(CrsError, match="no CRS"):
        Grid(GeoBox((2, 2), Affine(1, 0, 0, 0, -1, 0), None))


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.9, 0.1, 0, 0.1, -0.9, 0),
        Affine(1, 0, 0, 0, -2, 0),
        Affine(1, 0, 0, 0, 1, 0),
    ],
    ids=["rotated", "oblong pixels", "south up"],
)
def test_transform_that_is_not_north_up_and_square_is_refused(transform: Affine) -> None:
    with pytest.raises(InputError, match="rotated"):
        Grid(GeoBox((2, 2), transform, "EPSG:32633"))


@pytest.mark.parametrize(
    ("longitude", "latitude", "epsg"),
    [
        (-78.94, 36.0, 32617),
        (151.2, -33.9, 32756),
        (180.0, 10.0, 32601),
        (-180.0, 10.0, 32601),
        (179.999, 0.0, 32660),
        (10.0, 85.0, 32661),
        (10.0, -85.0, 32761),
    ],
)
def test_metric_crs_of_a_place(longitude: float, latitude: float, epsg: int) -> None:
    assert metric_crs_for(longitude, latitude).to_epsg() == epsg


def test_metric_crs_across_the_antimeridian_is_a_zone_beside_it() -> None:
    crs = metric_crs_for([179.9, 179.95, -179.9], [0.0, 0.1, 0.1])
    assert crs.to_epsg() in {32660, 32601}


@settings(deadline=None)
@given(st.floats(-180.0, 180.0), st.floats(-90.0, 90.0))
def test_metric_crs_always_has_metres(longitude: float, latitude: float) -> None:
    assert is_metric(metric_crs_for(longitude, latitude))


def test_metric_crs_ignores_positions_that_are_not_finite() -> None:
    assert metric_crs_for([np.nan, 15.0], [0.0, 52.0]).to_epsg() == 32633
    with pytest.raises(CrsError):
        metric_crs_for([np.nan], [0.0])


def test_grid_keeps_its_crs() -> None:
    assert grid_of(2, 2).crs == CRS.from_epsg(UTM)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 9999)), min_size=1, max_size=4),
    st.sampled_from([0.1, 0.2, 0.3, 0.7]),
)
def test_no_point_of_a_lattice_is_lost_to_rounding(nodes, spacing_m) -> None:
    x, y = np.array(nodes).T * 0.1 + np.array([[500_000.0], [5_000_000.0]])
    grid = Grid.covering(x, y, UTM, spacing_m=spacing_m)
    row, col = (np.floor(value) for value in grid.to_pixel(x, y))
    assert (row >= 0).all()
    assert (row < grid.shape[0]).all()
    assert (col >= 0).all()
    assert (col < grid.shape[1]).all()
