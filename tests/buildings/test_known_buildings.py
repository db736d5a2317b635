"""Known buildings as an input of the RadioCycle generator, from the file to the map."""

import json
from dataclasses import replace

import geopandas
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from rm_geo.buildings.mask import Outlines
from rm_geo.cli.group import rm_geo
from rm_geo.distributed.packing import PackedTiles
from rm_geo.errors import InputError, UsageError
from rm_geo.estimators.base import TileBatch
from rm_geo.estimators.registry import get_method
from rm_geo.grid import Grid, Tile
from rm_geo.inference.batches import tile_batches
from rm_geo.io.cog import read_raster, write_raster
from rm_geo.networks import DriveTestRadioCycle, RadioCycle
from rm_geo.networks.features import SparseTiles
from rm_geo.options import PredictOptions
from rm_geo.pipeline.predict import predict
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo
from tests.support.measurements import CORNER, drive_frame, write_frame

FAST = PredictOptions(tile_size_px=64, overlap_px=16, reach_m=20.0, preview=False, crs="EPSG:4326")


def batch_of(seed: int, shape=(2, 64, 64), *, buildings: bool = True) -> TileBatch:
    rng = np.random.default_rng(seed)
    level = rng.uniform(-110.0, -60.0, shape).astype(np.float32)
    level[rng.random(shape) > 0.1] = np.nan
    return TileBatch(
        level,
        1.0,
        np.full((shape[0], 2), 20.0, np.float32),
        np.full(shape[0], -40.0, np.float32),
        buildings=rng.random(shape) < 0.3 if buildings else None,
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 20), st.booleans())
def test_tiles_travel_with_their_walls(seed, count, side, buildings) -> None:
    batch = batch_of(seed, (count, side, side), buildings=buildings)
    back = PackedTiles.of(batch).unpacked()
    np.testing.assert_array_equal(back.rsrp_dbm, batch.rsrp_dbm)
    if buildings:
        np.testing.assert_array_equal(back.buildings, batch.buildings)
        assert back.buildings.dtype == np.bool_
    else:
        assert back.buildings is None


@settings(max_examples=20, deadline=None)
@given(st.integers(-20, 60), st.integers(-20, 60))
def test_tile_has_the_buildings_inside_it(row, col) -> None:
    grid = Grid.create(500_000.0, 5_400_000.0, (80, 80), 1.0, 32633)
    house = box(500_010.0, 5_399_960.0, 500_030.0, 5_399_980.0)  # rows 20-39, columns 10-29
    level = np.full(grid.shape, np.nan, np.float32)
    level[50, 50] = -80.0
    sparse = SparseRaster.from_levels(grid, level)
    facts = SiteInfo(buildings=Outlines([house]))
    (batch,) = tile_batches(sparse, [Tile(row, col, 32)], facts, 4)
    whole = np.zeros((160, 160), bool)
    whole[60:80, 50:70] = True
    np.testing.assert_array_equal(
        batch.buildings[0], whole[row + 40 : row + 72, col + 40 : col + 72]
    )


def test_a_cell_does_not_say_where_its_buildings_come_from() -> None:
    with_buildings = SiteInfo(buildings=Outlines([box(0, 0, 1, 1)]))
    assert repr(with_buildings) == repr(SiteInfo())
    assert with_buildings == SiteInfo()


@pytest.mark.parametrize("symmetries", [1, 8])
def test_building_map_equals_known_buildings_and_changes_the_radio_map(symmetries) -> None:
    batch = batch_of(0)
    estimator = get_method("radiocycle", device="cpu", symmetries=symmetries)
    aware = estimator.estimate(batch)
    np.testing.assert_allclose(aware.building_probability, batch.buildings, atol=1e-5)
    unaware = estimator.estimate(replace(batch, buildings=None))
    assert np.abs(aware.rsrp_dbm - unaware.rsrp_dbm).max() > 1.0
    assert 0.0 < unaware.building_probability.mean() < 1.0


def test_default_model_takes_buildings_in_both_engines() -> None:
    pytest.importorskip("onnxruntime")
    batch = batch_of(0, (2, 256, 256))
    ours, theirs = (
        get_method("radiocycle", device="cpu", engine=engine).estimate(batch)
        for engine in ("onnx", "torch")
    )
    np.testing.assert_allclose(ours.rsrp_dbm, theirs.rsrp_dbm, atol=2e-3)
    np.testing.assert_allclose(ours.building_probability, batch.buildings, atol=1e-5)
    np.testing.assert_allclose(ours.std_db, theirs.std_db, rtol=1e-3, atol=1e-3)


def test_both_pairs_give_g_the_known_buildings() -> None:
    torch.manual_seed(0)
    z = (torch.rand(1, 1, 64, 64) < 0.3).float()
    x, t = torch.rand(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    paper = RadioCycle(0.1).eval()
    logits, gain = paper(x, t, z)
    assert torch.equal(logits > 0, z > 0)
    assert torch.equal(gain, paper.radio_map(z, t))
    field = DriveTestRadioCycle((8, 8, 8, 8), g_widths=(8, 8, 8, 8)).eval()
    tiles = SparseTiles(-80.0 * z, z, torch.full((1, 2), 30.0), torch.full((1,), -40.0), 1.0)
    maps = field(tiles, z)
    assert torch.equal(maps.rsrp_dbm, field.radio_map(field.features(tiles), z)[0])
    assert torch.equal(maps.building_logits > 0, z > 0)


@pytest.fixture
def files(tmp_path):
    """A drive test, and outlines of two houses in its area."""
    write_frame(drive_frame(), tmp_path / "drive.gpkg")
    x, y = CORNER
    houses = [box(x + 10, y + 20, x + 30, y + 40), box(x + 60, y + 30, x + 75, y + 50)]
    frame = geopandas.GeoDataFrame(geometry=houses, crs="EPSG:32633")
    frame.to_file(tmp_path / "houses.gpkg", layer="houses")
    frame.iloc[:1].to_file(tmp_path / "houses.gpkg", layer="one")
    return tmp_path


def test_predict_uses_known_buildings(files) -> None:
    options = FAST.replace(buildings=files / "houses.gpkg", buildings_layer="houses", mask=True)
    (cell, *_) = predict(files / "drive.gpkg", files / "known", options)
    made = read_raster(files / "known" / f"{cell.cell}_buildings.tif")
    expected = Outlines(
        list(geopandas.read_file(files / "houses.gpkg", layer="houses").geometry)
    ).mask(made.grid)
    known = np.isfinite(made.values)
    assert expected[known].any()
    np.testing.assert_allclose(made.values[known], expected[known], atol=1e-5)
    tags = read_raster(files / "known" / f"{cell.cell}_rsrp.tif").tags
    assert tags["buildings_input"] == "houses.gpkg"
    assert tags["engine"] == "torch"  # there is no export for tiles of this size
    predict(files / "drive.gpkg", files / "plain", FAST)
    plain = read_raster(files / "plain" / f"{cell.cell}_rsrp.tif")
    assert "buildings_input" not in plain.tags


def test_building_raster_equals_footprints(files) -> None:
    outlines = FAST.replace(buildings=files / "houses.gpkg", buildings_layer="houses")
    predict(files / "drive.gpkg", files / "a", outlines)
    grid = read_raster(next((files / "a").glob("*_rsrp.tif"))).grid
    houses = Outlines(list(geopandas.read_file(files / "houses.gpkg", layer="houses").geometry))
    write_raster(files / "b.tif", houses.mask(grid), grid, dtype="uint8", nodata=None)
    predict(files / "drive.gpkg", files / "b", FAST.replace(buildings=files / "b.tif"))
    for first in (files / "a").glob("*_rsrp.tif"):
        again = read_raster(files / "b" / first.name).values
        np.testing.assert_array_equal(read_raster(first).values, again)


def test_methods_without_building_input_refuse_buildings(files) -> None:
    options = FAST.replace(method="knn", buildings=files / "houses.gpkg")
    with pytest.raises(UsageError, match="does not read buildings"):
        predict(files / "drive.gpkg", files / "out", options)
    assert not (files / "out").exists()


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("none.gpkg", "no file of buildings"),
        ("drive.gpkg", "no polygons"),
        ("far.gpkg", "no building where the map is"),
    ],
)
def test_files_without_buildings_in_the_area_are_refused(files, name, match) -> None:
    far = geopandas.GeoDataFrame(geometry=[box(0, 0, 9, 9)], crs="EPSG:32633")
    far.to_file(files / "far.gpkg")
    with pytest.raises(InputError, match=match):
        predict(files / "drive.gpkg", files / "out", FAST.replace(buildings=files / name))
    assert not list(files.glob("out/*.tif"))


def test_missing_building_file_is_an_error_before_any_output(files) -> None:
    with pytest.raises(InputError, match="no file of buildings"):
        predict(files / "drive.gpkg", files / "out", FAST.replace(buildings=files / "none.gpkg"))
    assert not (files / "out").exists()


def test_a_layer_without_a_file_is_refused() -> None:
    with pytest.raises(UsageError, match="needs the file"):
        PredictOptions(buildings_layer="houses")


def test_commands_and_tables_take_buildings(files) -> None:
    options = ["--tile-size", "64", "--overlap", "16", "--reach", "20", "--no-preview"]
    run = CliRunner()
    result = run.invoke(
        rm_geo,
        [
            "predict",
            str(files / "drive.gpkg"),
            "-o",
            str(files / "cli"),
            *options,
            "--buildings",
            str(files / "houses.gpkg"),
            "--buildings-layer",
            "one",
            "--json",
        ],
    )
    assert result.exit_code == 0, result.output
    rehearsed = run.invoke(
        rm_geo,
        [
            "predict",
            str(files / "drive.gpkg"),
            "-o",
            str(files / "dry"),
            *options,
            "--dry-run",
            "--buildings",
            str(files / "houses.gpkg"),
            "--buildings-layer",
            "one",
        ],
    )
    assert rehearsed.exit_code == 0, rehearsed.output
    (files / "jobs.csv").write_text(
        "measurements,buildings,buildings_layer\ndrive.gpkg,houses.gpkg,one\n"
    )
    batch = run.invoke(
        rm_geo,
        [
            "batch",
            str(files / "jobs.csv"),
            "-o",
            str(files / "batch"),
            *options,
            "--workers",
            "1",
        ],
    )
    assert batch.exit_code == 0, batch.output
    for path in (files / "cli").glob("*.tif"):
        assert (files / "batch/drive" / path.name).read_bytes() == path.read_bytes()
    assert list((files / "cli").glob("*.tif"))


def test_other_buildings_are_another_job(files) -> None:
    from rm_geo.distributed.batch_state import BatchRecord
    from rm_geo.distributed.jobs import Job

    options = FAST.replace(buildings=files / "houses.gpkg", buildings_layer="one")
    job = Job("a", (files / "drive.gpkg",), files / "out", options)

    def key() -> str:
        return BatchRecord(files / "state.json", fresh=True).restored(job).key

    before = key()
    assert key() == before
    data = (files / "houses.gpkg").read_bytes()
    (files / "houses.gpkg").write_bytes(data + b"\0")
    assert key() != before


def test_journals_of_other_buildings_are_refused(files, monkeypatch) -> None:
    from rm_geo.errors import JournalError

    class BrokenError(Exception):
        pass

    def fail(*_args, **_kwargs):
        raise BrokenError

    one = FAST.replace(buildings=files / "houses.gpkg", buildings_layer="one")
    with monkeypatch.context() as patch:
        patch.setattr("rm_geo.pipeline.cell._write_results", fail)
        patch.setattr("rm_geo.pipeline.predict.MIN_RESUMABLE_S", 0.0)
        with pytest.raises(BrokenError):
            predict(files / "drive.gpkg", files / "out", one)
    assert list((files / "out").glob(".*rmgeo-journal"))
    frame = geopandas.read_file(files / "houses.gpkg", layer="one")
    frame.to_file(files / "other.gpkg", layer="one")
    with pytest.raises(JournalError) as refusal:
        predict(files / "drive.gpkg", files / "out", one.replace(buildings=files / "other.gpkg"))
    assert "buildings" in json.dumps(str(refusal.value))


def test_predictions_with_known_buildings_are_validated(files) -> None:
    run = CliRunner()
    arguments = [
        "validate",
        str(files / "drive.gpkg"),
        "-o",
        str(files / "out"),
        "--cells",
        "7",
        "--folds",
        "2",
        "--block",
        "10",
    ]
    known = ["--buildings", str(files / "houses.gpkg"), "--buildings-layer", "houses"]
    done = run.invoke(
        rm_geo,
        [*arguments, "--methods", "pipeline:radiocycle,pipeline:radiocycle+buildings", *known],
    )
    assert done.exit_code == 0, done.output
    table = (files / "out/validation.csv").read_text().splitlines()
    scores = {line.split(",")[0]: line for line in table[1:]}
    assert set(scores) == {"pipeline:radiocycle", "pipeline:radiocycle+buildings"}
    for methods, more, words in (
        ("pipeline:radiocycle+buildings", [], "--buildings"),
        ("pipeline:knn+buildings", known, "does not read buildings"),
        ("pipeline:radiocycle", known, "None of these methods reads buildings"),
    ):
        refused = run.invoke(rm_geo, [*arguments, "--methods", methods, *more])
        assert refused.exit_code != 0
        assert words in refused.output
