"""Comparison of maps: hand-made oracles, no shift, significance at its rate, files."""

import json

import geopandas
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import Transformer

from rm_geo.cli.group import rm_geo
from rm_geo.errors import InputError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.planning.comparison import (
    ComparisonOptions,
    DifferenceSums,
    Sides,
    change_classes,
    change_polygons,
)
from rm_geo.planning.map_set import RadioMapSet
from rm_geo.products.radio_map import RadioMap
from rm_geo.workflows.compare import compare

GRID = Grid.create(500_000, 5_000_000, (60, 80), 5.0, 32633)
LEVELS = hnp.arrays(
    np.float32,
    (5, 7),
    elements=st.one_of(st.just(float("nan")), st.floats(-130, -50, width=32)),
)


def level(seed=0, grid=GRID):
    values = np.random.default_rng(seed).normal(-95, 12, grid.shape).astype(np.float32)
    values[np.random.default_rng(seed + 100).random(grid.shape) < 0.1] = np.nan
    return values


def by_hand(first, second):
    known = np.isfinite(first) & np.isfinite(second)
    a, b = first[known].astype(float), second[known].astype(float)
    d = b - a
    return {
        "pixels": d.size,
        "first_mean_dbm": a.mean(),
        "second_mean_dbm": b.mean(),
        "bias_db": d.mean(),
        "mae_db": np.abs(d).mean(),
        "rmse_db": np.sqrt((d**2).mean()),
        "std_db": d.std(),
        "share_within_6_db": (np.abs(d) <= 6).mean(),
    }


@settings(max_examples=60, deadline=None)
@given(LEVELS, LEVELS)
def test_statistics_are_those_of_plain_numpy_however_they_are_pooled(first, second):
    options = ComparisonOptions()
    whole, one, other = (DifferenceSums(options) for _ in range(3))
    whole.add(Sides(first, second, None, None))
    one.add(Sides(first[:2], second[:2], None, None))
    other.add(Sides(first[2:], second[2:], None, None))
    other.add(Sides(first[:0], second[:0], None, None))
    pooled = (one + other).statistics(pixel_m2=25.0)
    assert pooled["pixels"] == np.count_nonzero(np.isfinite(first) & np.isfinite(second))
    if not pooled["pixels"]:
        return
    for name, value in by_hand(first, second).items():
        assert pooled[name] == pytest.approx(value, abs=1e-6)
        assert whole.statistics(pixel_m2=25.0)[name] == pytest.approx(value, abs=1e-6)
    known = np.isfinite(first) & np.isfinite(second)
    a, b = first[known].astype(float), second[known].astype(float)
    if a.std() > 0.1 and b.std() > 0.1:
        assert pooled["correlation"] == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-6)
    middle = np.percentile(b - a, 50, method="inverted_cdf")
    assert pooled["p50_db"] == pytest.approx(middle, abs=0.06)
    cover = pooled["coverage"]
    assert cover["gained_km2"] == pytest.approx(((a < -110) & (b >= -110)).sum() * 25e-6)
    assert cover["lost_km2"] == pytest.approx(((a >= -110) & (b < -110)).sum() * 25e-6)
    assert cover["second_share"] - cover["first_share"] == pytest.approx(
        (cover["gained_km2"] - cover["lost_km2"]) / pooled["area_km2"]
    )


@settings(max_examples=30, deadline=None)
@given(LEVELS)
def test_a_map_does_not_differ_from_itself(values):
    if np.isnan(values).all():
        return
    grid = Grid.create(500_000, 5_000_000, values.shape, 5.0, 32633)
    radio_map = RadioMap(grid, values, std_db=np.ones_like(values))
    found = compare(radio_map, radio_map).pooled
    assert (found["bias_db"], found["rmse_db"], found["share_within_6_db"]) == (0.0, 0.0, 1.0)
    assert found["changes"]["share_lower"] == found["changes"]["share_higher"] == 0.0


def test_the_other_way_round_the_difference_changes_its_sign():
    std = np.full(GRID.shape, 4.0)
    one, other = (RadioMap(GRID, level(seed), std_db=std) for seed in (0, 1))
    forth, back = compare(one, other).pooled, compare(other, one).pooled
    assert forth["bias_db"] == pytest.approx(-back["bias_db"])
    assert forth["rmse_db"] == pytest.approx(back["rmse_db"])
    assert forth["changes"]["share_lower"] == back["changes"]["share_higher"]
    assert forth["coverage"]["gained_km2"] == back["coverage"]["lost_km2"]


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_without_a_change_as_many_pixels_are_significant_as_by_chance(confidence):
    rng = np.random.default_rng(3)
    grid = Grid.create(500_000, 5_000_000, (400, 500), 5.0, 32633)
    truth = rng.normal(-95, 12, grid.shape)
    maps = [
        RadioMap(grid, truth + rng.normal(0, std, grid.shape), std_db=np.full(grid.shape, std))
        for std in (3.0, 5.0)
    ]
    found = compare(*maps, options=ComparisonOptions(confidence=confidence)).pooled["changes"]
    share = found["share_lower"] + found["share_higher"]
    assert share == pytest.approx(found["share_by_chance"], abs=0.003)
    assert found["share_lower"] == pytest.approx(found["share_higher"], abs=0.003)


def test_a_real_change_is_found_and_outlined():
    std = np.full(GRID.shape, 2.0)
    before = np.full(GRID.shape, -90.0)
    after = before.copy()
    after[10:20, 30:50] += 15.0
    after[40:44, 5:10] -= 12.0
    after[0, 0] -= 30.0
    classes = change_classes((after - before).astype(np.float32), np.sqrt(2.0) * std)
    table = change_polygons(
        classes, (after - before).astype(np.float32), GRID, cell="40", min_area_m2=400.0
    )
    assert table.columns["change"].tolist() == ["higher", "lower"]
    assert table.columns["area_m2"].tolist() == [200 * 25.0, 20 * 25.0]
    assert table.columns["mean_difference_db"].tolist() == [15.0, -12.0]
    assert [area.area for area in table.geometry] == [5000.0, 500.0]
    x, y = GRID.to_world(10, 30)
    assert table.geometry[0].bounds == (float(x), float(y) - 50.0, float(x) + 100.0, float(y))


def test_one_deviation_is_enough_and_a_stated_one_fills_in():
    before = RadioMap(GRID, np.full(GRID.shape, -90.0), std_db=np.full(GRID.shape, 3.0))
    after = RadioMap(GRID, np.full(GRID.shape, -83.0))
    assert compare(before, after).pooled["changes"]["share_higher"] == 1.0  # 7 dB > 1.96 * 3 dB
    stated = ComparisonOptions(std_db=4.0)  # 7 dB < 1.96 * 5 dB
    assert compare(before, after, options=stated).pooled["changes"]["share_higher"] == 0.0
    without = RadioMap(GRID, np.full(GRID.shape, -90.0))
    found = compare(without, after)
    assert "changes" not in found.pooled
    assert "standard deviation" in found.not_made["change"]


def plane(grid):
    """A level that is linear in the coordinates, which bilinear resampling keeps exactly."""
    rows, cols = np.indices(grid.shape) + 0.5
    x, y = grid.to_world(rows, cols)
    return (-90.0 + (x - 500_000) / 40.0 + (y - 5_000_000) / 30.0).astype(np.float32)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.5, 0.0), (1.3, -3.7), (250.0, 7.0)])
@pytest.mark.parametrize("spacing", [5.0, 3.0, 10.0])
def test_maps_of_other_pixels_are_resampled_and_never_shifted(spacing, shift):
    other = Grid.create(500_000 + shift[0], 5_000_000 + shift[1], (50, 60), spacing, 32633)
    found = compare(RadioMap(GRID, plane(GRID)), RadioMap(other, plane(other)))
    # Resampling is exact inside; at the edge of a map the nearest pixels are extended.
    assert found.pooled["p5_db"] == pytest.approx(0.05, abs=0.1)
    assert found.pooled["p95_db"] == pytest.approx(0.05, abs=0.1)
    assert abs(found.pooled["bias_db"]) < 0.01
    moved = spacing != 5.0 or shift[0] % 5 or shift[1] % 5
    assert any("resampled" in text for text in found.warnings) == bool(moved)


def test_another_crs_is_warped_to_the_right_place():
    change = Transformer.from_crs(32633, 32634, always_xy=True)
    west, north = (round(value) for value in change.transform(500_000, 5_000_000))
    other = Grid.create(west - 150.0, north + 150.0, (180, 200), 5.0, 32634)
    x, y = other.to_world(*(np.indices(other.shape) + 0.5))
    east, north = change.transform(x, y, direction="INVERSE")
    warped = -90.0 + (east - 500_000) / 40.0 + (north - 5_000_000) / 30.0
    found = compare(RadioMap(GRID, plane(GRID)), RadioMap(other, warped))
    assert found.pooled["pixels"] > 0.9 * plane(GRID).size
    assert found.pooled["rmse_db"] < 0.05


def test_maps_of_other_places_and_units_are_refused(tmp_path):
    far = Grid.create(500_000, 5_001_000, (60, 80), 5.0, 32633)
    one = RadioMap(GRID, level())
    with pytest.raises(InputError, match="do not overlap"):
        compare(one, RadioMap(far, level()))
    unknown = RadioMap(GRID, np.full(GRID.shape, np.nan))
    with pytest.raises(InputError, match="no pixel where both are known"):
        compare(one, unknown, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_raster(tmp_path / "loss.tif", -level(), GRID, unit="dB")
    with pytest.raises(InputError, match="in dB, not in dBm"):
        compare(one, tmp_path / "loss.tif")
    write_raster(tmp_path / "bare.tif", -level(), GRID)
    with pytest.raises(InputError, match="no RSRP in dBm"):
        compare(one, tmp_path / "bare.tif")


@pytest.mark.parametrize(
    "wrong", [{"within_db": 0.0}, {"confidence": 1.0}, {"std_db": -1.0}, {"min_area_m2": -1.0}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ComparisonOptions(**wrong)


def folder_of(path, names, shift=0.0, std=None):
    path.mkdir()
    for seed, name in enumerate(names):
        deviation = None if std is None else np.full(GRID.shape, std)
        RadioMap(GRID, level(seed) + shift, std_db=deviation).write(path / f"{name}_rsrp.tif")
    return path


def test_two_folders_give_files_for_each_cell(tmp_path):
    first = folder_of(tmp_path / "a", ["40", "41", "x"], std=2.0)
    second = folder_of(tmp_path / "b", ["40", "41", "y"], shift=9.0, std=2.0)
    made = compare(first, second, tmp_path / "out")
    assert sorted(made.cells) == ["40", "41"]
    assert made.pooled["bias_db"] == pytest.approx(9.0, abs=1e-4)
    assert made.pooled["pixels"] == sum(cell["pixels"] for cell in made.cells.values())
    assert [text for text in made.warnings if "'x'" in text]
    assert [text for text in made.warnings if "'y'" in text]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted(made.files)
    assert "40_difference.tif" in names
    with rasterio.open(tmp_path / "out" / "40_difference.tif") as raster:
        difference = raster.read(1, masked=True)
        assert raster.units == ("dB",)
    np.testing.assert_allclose(difference.compressed(), 9.0, atol=1e-4)
    np.testing.assert_array_equal(~difference.mask, np.isfinite(level(0)))
    with rasterio.open(tmp_path / "out" / "41_change.tif") as raster:
        assert set(np.unique(raster.read(1))) == {0, 3}
    areas = geopandas.read_file(tmp_path / "out" / "change.gpkg")
    assert set(areas.cell) == {"40", "41"}
    assert set(areas.change) == {"higher"}
    index = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert index["all"]["bias_db"] == pytest.approx(9.0, abs=1e-4)
    assert sorted(index["files"]) == [n for n in names if n != "comparison.json"]
    table = (tmp_path / "out" / "comparison.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in table] == ["cell", "40", "41", "all"]
    # A further comparison replaces all of them; its rasters are not taken for maps of cells.
    compare(first / "40_rsrp.tif", second / "40_rsrp.tif", tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {
        "difference.tif",
        "change.tif",
        "change.tif.aux.xml",
        "change.gpkg",
        "comparison.csv",
        "comparison.json",
    }
    with pytest.raises(InputError, match="no radio map"):
        compare(tmp_path / "out", second)


def test_folders_without_a_common_cell_are_compared_by_their_composites(tmp_path):
    first = folder_of(tmp_path / "a", ["1", "2"])
    second = folder_of(tmp_path / "b", ["3", "4"], shift=2.0)
    with pytest.raises(InputError, match="no cell in common"):
        compare(first, second)
    found = compare(first, second, composite=True)
    assert list(found.cells) == ["composite"]
    strongest = np.fmax(level(0), level(1))
    expected = by_hand(strongest, strongest + np.float32(2.0))
    assert found.pooled["bias_db"] == pytest.approx(expected["bias_db"], abs=1e-4)
    assert found.pooled["pixels"] == expected["pixels"]


def test_single_maps_are_compared_whatever_their_names(tmp_path):
    write_raster(tmp_path / "other_tool.tif", level() + 3.0, GRID, unit="dBm")
    sets = RadioMapSet.of({"40": RadioMap(GRID, level())})
    found = compare(sets, tmp_path / "other_tool.tif")
    assert found.cells["40"]["bias_db"] == pytest.approx(3.0, abs=1e-4)


def test_the_command_prints_a_table_and_writes_the_files(tmp_path):
    first = folder_of(tmp_path / "a", ["40"], std=2.0)
    second = folder_of(tmp_path / "b", ["40"], shift=-9.0, std=2.0)
    out = tmp_path / "out"
    run = CliRunner().invoke(rm_geo, ["compare", str(first), str(second), "-o", str(out)])
    assert run.exit_code == 0, run.output
    assert "-9.00" in run.output
    assert "100.0%" in run.output
    run = CliRunner().invoke(
        rm_geo, ["compare", str(first), str(second), "-o", str(out), "--json", "--std", "8"]
    )
    printed = json.loads(run.stdout.splitlines()[-1])
    assert printed["cells"]["40"]["rmse_db"] == pytest.approx(9.0, abs=1e-4)
    run = CliRunner().invoke(
        rm_geo, ["compare", str(first), str(tmp_path / "none"), "-o", str(out)]
    )
    assert run.exit_code == 1
    assert "does not exist" in run.output
