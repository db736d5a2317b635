"""Planning products against hand-made and brute-force oracles."""

import shutil
import subprocess

import numpy as np
import pyogrio
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from rm_geo.errors import UsageError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.planning.best_server import server_numbers, server_with_hysteresis
from rm_geo.planning.coverage import classify, probability_of_coverage
from rm_geo.planning.holes import label_holes
from rm_geo.planning.map_set import MapSetBand, RadioMapSet
from rm_geo.planning.outlines import isolines, merge_small, outline, read_reduced
from rm_geo.planning.overlap import count_servers, dominance_db
from rm_geo.planning.ranking import rank_cells
from rm_geo.planning.registry import all_products, chosen_products
from rm_geo.planning.settings import CoverageSettings, PlanSettings
from rm_geo.products.radio_map import RadioMap

GRID = Grid.create(500_000.0, 5_000_000.0, (12, 17), 5.0, 32633)


@st.composite
def bands(draw, shape=(7, 9)):
    """A band of a few cells, with unknown pixels and equal levels."""
    count = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    level = rng.integers(-125, -70, (count, *shape)).astype(np.float32)
    level[rng.random(level.shape) < 0.3] = np.nan
    reported = rng.random(level.shape).astype(np.float32)
    reported[rng.random(level.shape) < 0.3] = np.nan
    cells = np.sort(rng.choice(20, count, replace=False)).astype(np.int64)
    rows, cols = slice(3, 3 + shape[0]), slice(1, 1 + shape[1])
    return MapSetBand(rows, cols, cells, level, np.full_like(level, 6.0), reported)


@given(bands(), st.integers(1, 4))
def test_the_ranking_is_that_of_sorting(band, ranks):
    ranking = rank_cells(band, ranks)
    filled = np.where(np.isnan(band.rsrp_dbm), -np.inf, band.rsrp_dbm)
    order = np.argsort(-filled, axis=0, kind="stable")[:ranks]
    sorted_ = np.take_along_axis(filled, order, axis=0)
    for rank in range(len(order)):
        known = np.isfinite(sorted_[rank])
        np.testing.assert_array_equal(ranking.level_dbm[rank][known], sorted_[rank][known])
        np.testing.assert_array_equal(ranking.cell[rank][known], band.cells[order[rank]][known])
        assert (ranking.cell[rank][~known] == -1).all()
        assert np.isnan(ranking.level_dbm[rank][~known]).all()
    assert (ranking.cell[len(order) :] == -1).all()


@given(bands())
def test_the_best_server_is_an_argmax(band):
    number = server_numbers(rank_cells(band), minimum_dbm=-110.0)
    strongest = np.fmax.reduce(band.rsrp_dbm, axis=0)
    for row, col in np.ndindex(band.shape):
        if number[row, col] == 0:
            assert not strongest[row, col] >= -110.0
        else:
            place = np.flatnonzero(band.cells == number[row, col] - 1)[0]
            assert band.rsrp_dbm[place, row, col] == strongest[row, col] >= -110.0


@given(bands(), st.floats(0.0, 0.9))
def test_cells_that_are_not_reported_give_way_only_to_others(band, least):
    ranking = rank_cells(band, min_reported=least)
    plain = rank_cells(band)
    np.testing.assert_array_equal(np.isnan(ranking.best_dbm), np.isnan(plain.best_dbm))
    for row, col in np.ndindex(band.shape):
        place = ranking.place[0, row, col]
        if place >= 0 and band.reported[place, row, col] < least:
            known = np.isfinite(band.rsrp_dbm[:, row, col])
            assert (band.reported[known, row, col] < least).all()


@given(bands(), st.floats(0.0, 20.0), st.floats(-120.0, -80.0))
def test_servers_are_counted(band, margin, floor):
    found = count_servers(band, rank_cells(band), margin_db=margin, floor_dbm=floor)
    best = np.fmax.reduce(band.rsrp_dbm, axis=0)
    near = band.rsrp_dbm >= np.maximum(best - np.float32(margin), np.float32(floor))
    expected = np.where(np.isnan(best), 255, near.sum(axis=0))
    np.testing.assert_array_equal(found, expected)


@given(bands())
def test_dominance_is_not_negative_and_needs_two_cells(band):
    found = dominance_db(rank_cells(band))
    several = np.isfinite(band.rsrp_dbm).sum(axis=0) > 1
    np.testing.assert_array_equal(np.isfinite(found), several)
    assert (found[several] >= 0.0).all()


@given(st.lists(st.floats(-160, -40, width=32), min_size=1, max_size=50))
def test_every_level_is_in_the_class_of_its_breaks(levels):
    classes = CoverageSettings().classes
    values = np.array(levels, np.float32)
    for value, number in zip(values, classify(values, classes), strict=True):
        low = classes[number - 1].from_dbm
        assert low is None or value >= low
        assert number == 1 or value < classes[number - 2].from_dbm


@given(bands(), st.floats(-120.0, -80.0))
def test_the_probability_is_that_of_the_best_cell(band, threshold):
    found = probability_of_coverage(band, threshold_dbm=threshold)
    each = norm.sf(threshold, loc=band.rsrp_dbm, scale=band.std_db)
    np.testing.assert_allclose(found, np.fmax.reduce(each, axis=0), atol=2e-6)
    assert np.isnan(
        probability_of_coverage(
            MapSetBand(band.rows, band.cols, band.cells, band.rsrp_dbm), threshold_dbm=threshold
        )
    ).all()


def noisy_maps(seed=0, shape=(60, 80), count=4):
    grid = Grid.create(500_000.0, 5_000_000.0, shape, 5.0, 32633)
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(shape)
    maps = {}
    for cell in range(count):
        row, col = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        level = -70.0 - 0.8 * np.hypot(rows - row, cols - col) + rng.normal(0, 2, shape)
        maps[f"c{cell}"] = RadioMap(grid, level.astype(np.float32))
    return RadioMapSet.of(maps)


def hysteresis_of(maps, part, hysteresis=4.0):
    return server_with_hysteresis(
        maps, *part, hysteresis_db=hysteresis, radius_px=4, minimum_dbm=-105.0
    )


def test_hysteresis_gives_fewer_changes_within_its_margin_in_any_parts():
    maps = noisy_maps()
    height, width = maps.grid.shape
    whole = hysteresis_of(maps, (slice(0, height), slice(0, width)))
    (band,) = maps.bands()
    ranking = rank_cells(band)
    plain = server_numbers(ranking, minimum_dbm=-105.0)
    chosen = np.take_along_axis(band.rsrp_dbm, np.maximum(whole - 1, 0)[None], axis=0)[0]
    served = whole > 0
    np.testing.assert_array_equal(served, plain > 0)
    assert (chosen[served] >= ranking.best_dbm[served] - 4.0).all()

    def changes(server):
        return (np.diff(server, axis=0) != 0).sum() + (np.diff(server, axis=1) != 0).sum()

    assert changes(whole) < 0.5 * changes(plain)
    np.testing.assert_array_equal(
        hysteresis_of(maps, (slice(0, height), slice(0, width)), hysteresis=0.0), plain
    )
    for rows in (slice(0, 17), slice(17, 60)):
        for cols in (slice(0, 33), slice(33, 80)):
            np.testing.assert_array_equal(hysteresis_of(maps, (rows, cols)), whole[rows, cols])


def random_labels(seed, shape=(40, 50), count=4):
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(count + 1, *shape)), (0, 2, 2))
    return smooth.argmax(axis=0).astype(np.int32)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_outlines_cover_exactly_the_pixels(seed):
    labels = random_labels(seed)
    grid = Grid.create(500_000.0, 5_000_000.0, labels.shape, 5.0, 32633)
    areas = outline(labels, grid)
    back = rasterio.features.rasterize(
        [(area, label) for label, area in areas.items()],
        out_shape=labels.shape,
        transform=grid.transform,
        dtype="int32",
    )
    np.testing.assert_array_equal(back, labels)
    for label, area in areas.items():
        assert area.area == (labels == label).sum() * 25.0
        assert area.is_valid


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_simplified_outlines_leave_no_gaps(seed):
    labels = random_labels(seed) + 1
    grid = Grid.create(0.0, 0.0, labels.shape, 5.0, 32633)
    areas = list(outline(labels, grid, simplify_m=7.5).values())
    assert shapely.coverage_is_valid(areas)
    whole = shapely.union_all(areas)
    assert shapely.get_num_interior_rings(whole) == 0
    assert whole.area == pytest.approx(sum(area.area for area in areas))
    assert whole.area == pytest.approx(labels.size * 25.0, rel=0.01)  # corners are cut off
    exact = list(outline(labels, grid).values())
    for area, before in zip(areas, exact, strict=True):
        assert shapely.get_num_coordinates(area) < shapely.get_num_coordinates(before)
        assert area.symmetric_difference(before).area < 0.4 * before.area


def test_small_parts_are_merged_and_unknown_pixels_stay():
    labels = random_labels(3)
    grid = Grid.create(0.0, 0.0, labels.shape, 5.0, 32633)
    merged = merge_small(labels, grid, 500.0)
    np.testing.assert_array_equal(merged == 0, labels == 0)
    assert len(rasterio_parts(merged)) < len(rasterio_parts(labels))


def rasterio_parts(labels):
    return list(rasterio.features.shapes(labels, mask=labels != 0))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 2000.0))
def test_holes_are_the_uncovered_areas_that_are_large_enough(seed, least):
    missing = random_labels(seed, count=1) == 1
    grid = Grid.create(0.0, 0.0, missing.shape, 5.0, 32633)
    labels = label_holes(missing, grid, min_area_m2=least)
    assert not (labels > 0)[~missing].any()
    every = label_holes(missing, grid)
    np.testing.assert_array_equal(every > 0, missing)
    sizes = np.bincount(every.ravel()) * 25.0
    assert set(np.unique(every[labels > 0])) == {
        number for number in range(1, len(sizes)) if sizes[number] >= least
    }
    numbers = np.unique(labels[labels > 0])
    np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))


def test_closing_joins_parts_over_narrow_gaps():
    missing = np.zeros((20, 20), bool)
    missing[5:15, 2:8] = missing[5:15, 10:16] = True
    grid = Grid.create(0.0, 0.0, missing.shape, 1.0, 32633)
    assert label_holes(missing, grid).max() == 2
    assert label_holes(missing, grid, close_m=4.0).max() == 1


@pytest.mark.skipif(
    shutil.which("gdal_polygonize.py") is None, reason="GDAL's programs are not there"
)
def test_outlines_and_holes_are_those_of_gdal_polygonize(tmp_path):
    labels = random_labels(5)
    grid = Grid.create(500_000.0, 5_000_000.0, labels.shape, 5.0, 32633)
    holes = label_holes(labels == 0, grid, min_area_m2=200.0)
    for name, numbers in (("classes", labels + 1), ("holes", holes)):
        raster, file = tmp_path / f"{name}.tif", tmp_path / f"{name}.gpkg"
        write_raster(raster, numbers.astype(np.uint8), grid, nodata=0)
        command = ["gdal_polygonize.py", "-q", raster, "-f", "GPKG", file, name, "number"]
        subprocess.run(command, check=True)
        read = pyogrio.raw.read(file)
        geometry, number = shapely.make_valid(shapely.from_wkb(read[2])), read[3][0]
        ours = outline(numbers, grid)
        assert set(number) == set(ours)
        for value, area in ours.items():
            theirs = shapely.union_all(geometry[number == value])
            assert theirs.symmetric_difference(area).area == 0.0
    assert sorted(number) == list(range(1, holes.max() + 1)), "one polygon a hole"


@pytest.mark.skipif(shutil.which("gdal_contour") is None, reason="GDAL's programs are not there")
def test_isolines_are_those_of_gdal(tmp_path):
    from scipy import ndimage

    grid = Grid.create(500_000.0, 5_000_000.0, (60, 80), 5.0, 32633)
    noise = np.random.default_rng(0).normal(size=grid.shape)
    values = (-95.0 + 40.0 * ndimage.gaussian_filter(noise, 4)).astype(np.float32)
    write_raster(tmp_path / "a.tif", values, grid, nodata=None)
    levels = ["-100.01", "-95.01", "-90.01"]
    command = ["gdal_contour", "-q", "-a", "level", "-fl", *levels]
    subprocess.run([*command, tmp_path / "a.tif", tmp_path / "a.gpkg"], check=True)
    read = pyogrio.raw.read(tmp_path / "a.gpkg")
    geometry, level = shapely.from_wkb(read[2]), read[3][list(read[0]["fields"]).index("level")]
    found = isolines(values, grid, [float(text) for text in levels])
    inner = shapely.box(*grid.bounds).buffer(-2.6)  # GDAL continues lines to the edge
    for text in levels:
        theirs = shapely.union_all(geometry[np.isclose(level, float(text))]).intersection(inner)
        ours = found[float(text)]
        assert ours.length == pytest.approx(theirs.length, rel=0.01)
        assert shapely.hausdorff_distance(ours, theirs) < 2.5


def test_lines_end_where_the_level_is_unknown():
    grid = Grid.create(0.0, 0.0, (10, 10), 1.0, 32633)
    values = np.tile(np.arange(10, dtype=np.float32), (10, 1))
    values[5:] = np.nan
    (line,) = isolines(values, grid, [4.5]).values()
    assert line.length == pytest.approx(4.0)
    assert isolines(values, grid, [4.5], min_length_m=5.0) == {}


def test_large_rasters_are_reduced_in_place(tmp_path):
    grid = Grid.create(500_000.0, 5_000_000.0, (301, 403), 2.0, 32633)
    rows, cols = np.indices(grid.shape)
    values = (rows + cols).astype(np.float32)
    write_raster(tmp_path / "a.tif", values, grid)
    reduced = read_reduced(tmp_path / "a.tif", 10_000)
    assert reduced.factor == 4
    assert reduced.grid.spacing_m == 8.0
    assert reduced.values.shape == (75, 100)
    assert reduced.grid.bounds[3] == grid.bounds[3]
    blocks = values[:300, :400].reshape(75, 4, 100, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(reduced.values, blocks, atol=1.0)  # overviews are averaged too


def test_products_have_names_files_and_definitions_of_their_own():
    products = all_products()
    assert len({product.name for product in products}) == len(products)
    files = [file for product in products for file in product.files]
    assert len(set(files)) == len(files)
    place = {product.name: number for number, product in enumerate(products)}
    for product in products:
        assert product.definition.endswith(".")
        assert all(place[name] < place[product.name] for name in (*product.needs, *product.uses))


def test_products_are_chosen_with_what_they_need():
    names = [product.name for product in chosen_products(["holes", "best-server"])]
    assert names == ["composite", "best_server", "probability", "holes"]
    with pytest.raises(UsageError, match="Did you mean 'coverage'"):
        chosen_products(["covrage"])


@pytest.mark.parametrize("preset", ["lte", "nr-fr1", "nb-iot", "lora"])
def test_presets_are_consistent(preset):
    chosen = PlanSettings(preset=preset)
    breaks = [one.from_dbm for one in chosen.coverage.classes if one.from_dbm is not None]
    assert chosen.coverage.threshold_dbm in breaks
    assert chosen.servers.minimum_dbm <= chosen.coverage.threshold_dbm
    assert PlanSettings(**chosen.model_dump()) == chosen


def test_settings_are_merged_and_survive_another_preset():
    chosen = PlanSettings(coverage={"std_db": 5.0}, holes={"min_area_m2": 1.0})
    changed = chosen.replace(preset="lora", holes={"close_m": 3.0})
    assert changed.coverage.threshold_dbm == -136.0
    assert changed.coverage.std_db == 5.0
    assert (changed.holes.min_area_m2, changed.holes.close_m) == (1.0, 3.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"coverage": {"shares": [1.5]}}, "coverage.shares.*between 0 and 1"),
        ({"holes": {"rank_by": "size"}}, "holes.rank_by"),
        ({"servers": {"ranks": 0}}, "servers.ranks"),
        ({"servers": {"rank": 2}}, "servers.rank'. Did you mean 'ranks'"),
        ({"coverage": {"threshold_dbm": True}}, "must not be true or false"),
        ({"gaps": {}}, "Unknown setting 'gaps'"),
        ({"coverage": {"classes": [{"name": "a", 7: "x"}]}}, "coverage"),
        (
            {
                "coverage": {
                    "classes": [
                        {"name": "a", "from_dbm": -100, "colour": "#000000"},
                        {"name": "b", "from_dbm": -90, "colour": "#000000"},
                        {"name": "c", "colour": "#000000"},
                    ]
                }
            },
            "coverage.classes' must be in order, the strongest first",
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        PlanSettings(**values)
