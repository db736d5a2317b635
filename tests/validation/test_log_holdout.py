"""Hold-out of a log of several cells."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from pyproj import CRS, Transformer

from rm_geo.cli.group import rm_geo as cli
from rm_geo.errors import InputError, TooSmallError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.visits import Visits
from rm_geo.options import PredictOptions
from rm_geo.progress import SilentProgress
from rm_geo.validation.log_holdout import _Folds, _Split, validate
from rm_geo.validation.repeated_passes import noise_floor

UTM = CRS.from_epsg(32633)


def log(cells=4, places=240, seed=0, passes=1, noise_db=1.0):
    """A street whose cells share their shadowing; passes are ten minutes apart."""
    rng = np.random.default_rng(seed)
    x = np.tile(np.arange(places), passes)
    when = np.repeat(np.arange(passes) * 600, places) + x
    shadow = sum(6 * np.sin(x / period) for period in (4.0, 11.0, 31.0))
    level = -90 - 3 * np.arange(cells)[:, None] + shadow + rng.normal(0, noise_db, (cells, x.size))
    cell, place = np.nonzero(np.isfinite(level))
    return Measurements(
        500_000 + 5.0 * x[place] + 2.5,
        np.full(place.size, 5_000_002.5),
        level[cell, place].astype(np.float32),
        np.array([f"c{number}" for number in cell]),
        UTM,
        time=(1_700_000_000 + when[place]).astype("datetime64[s]").astype("datetime64[ms]"),
    )


def pooled(result, block_m=50.0):
    return {s.method: s for s in result.scores if s.cell == "all" and s.block_m == block_m}


def test_other_cells_help_where_only_the_target_is_held_out():
    drive = log()
    chosen = {"block_m": [50], "top": 2, "folds": 3, "options": PredictOptions(method="idw")}
    target = pooled(validate(drive, ["single", "joint", "default"], **chosen))
    assert target["joint"].rmse_db < 0.6 * target["single"].rmse_db
    assert target["default"].rmse_db < 0.8 * target["single"].rmse_db
    assert target["single"].p_value < 0.05
    assert target["joint"].points == 2 * 240
    alone = ["street-ensemble", "joint"]
    everywhere = pooled(validate(drive, alone, hold_out="all", **{**chosen, "top": 1}))
    assert everywhere["joint"].rmse_db > 0.9 * everywhere["street-ensemble"].rmse_db


@pytest.fixture(scope="module")
def joint_scores():
    """Scores of the joint estimate in two drives, with shares of coverage."""
    options = {
        "block_m": [50],
        "thresholds_dbm": [-100.0, -97.0, -94.0, -91.0, -88.0],
        "folds": 3,
    }
    drives = [log(noise_db=2.0, places=400, seed=seed) for seed in (0, 1)]
    return [pooled(validate(drive, ["knn", "joint"], **options))["joint"] for drive in drives]


def test_deviations_of_the_joint_estimate_hold_nine_of_ten_truths(joint_scores):
    assert 0.8 < joint_scores[0].interval_90 < 0.99


def test_of_held_out_places_with_80_to_90_percent_about_85_are_covered(joint_scores):
    places = covered = 0.0
    for score in joint_scores:
        assert sum(share.places for share in score.coverage) == 5 * score.points
        (share,) = (share for share in score.coverage if share.lowest == 0.8)
        places += share.places
        covered += share.places * share.covered
    assert places > 300
    assert 0.78 < covered / places < 0.92


def test_calibration_needs_thresholds_and_deviations():
    drive = log(cells=3, places=120)
    chosen = {"block_m": [50], "top": 1, "folds": 2}
    scores = pooled(validate(drive, ["knn", "joint"], thresholds_dbm=[-95.0], **chosen))
    assert scores["knn"].coverage == ()
    assert scores["joint"].coverage
    assert pooled(validate(drive, ["joint"], **chosen))["joint"].coverage == ()
    with pytest.raises(UsageError, match="Thresholds must be levels"):
        validate(drive, ["joint"], thresholds_dbm=[math.nan])


def test_scores_are_of_the_places_that_all_methods_estimated(tmp_path):
    grid = Grid.create(500_000, 5_000_050, (100, 600), 1.0, 32633)
    path = tmp_path / "half.tif"
    write_raster(path, np.full((100, 600), -90, dtype=np.float32), grid, nodata=-9999)
    scores = pooled(validate(log(), ["knn", str(path)], block_m=[50], top=1))
    assert scores["knn"].points == scores[str(path)].points == 120
    assert scores[str(path)].missing == 120
    assert scores["knn"].missing == 0


def test_a_raster_in_another_crs_is_read_where_the_readings_are(tmp_path):
    drive = log(cells=1)
    x, y = Transformer.from_crs(UTM, 3857, always_xy=True).transform(drive.x, drive.y)
    grid = Grid.covering(np.asarray(x), np.asarray(y), CRS.from_epsg(3857), margin_m=20)
    path = tmp_path / "mercator.tif"
    write_raster(path, np.full(grid.shape, -90, dtype=np.float32), grid, nodata=-9999)
    score = pooled(validate(drive, [str(path)], block_m=[50]))[str(path)]
    assert (score.points, score.missing) == (240, 0)


def test_a_raster_shows_one_cell_and_a_folder_all(tmp_path):
    grid = Grid.create(500_000, 5_000_050, (100, 1300), 1.0, 32633)
    for cell, level in (("c0", -90), ("c1", -93)):
        values = np.full(grid.shape, level, dtype=np.float32)
        write_raster(tmp_path / f"{cell}_rsrp.tif", values, grid, nodata=-9999)
    folder = str(tmp_path)
    with pytest.raises(UsageError, match="shows one cell, and 2 are judged"):
        validate(log(), [str(tmp_path / "c0_rsrp.tif")], block_m=[50], top=2)
    with pytest.raises(InputError, match="has no c2_rsrp"):
        validate(log(), [folder], block_m=[50], top=3)
    scores = {s.cell: s for s in validate(log(), [folder], block_m=[50], top=2).scores}
    assert scores["all"].points == 480
    assert scores["c0"].bias_db == pytest.approx(scores["c1"].bias_db, abs=0.5)


def test_maps_of_the_pipeline_are_read_at_the_held_out_places():
    drive = log(cells=1, places=120)
    options = PredictOptions(method="idw")
    scores = pooled(
        validate(drive, ["single", "pipeline:idw", "idw"], block_m=[60], options=options), 60.0
    )
    assert scores["single"].rmse_db == scores["pipeline:idw"].rmse_db
    assert scores["single"].rmse_db < 1.1 * scores["idw"].rmse_db
    assert all(score.missing == 0 for score in scores.values())


def test_classical_methods_read_pixels_where_pixels_are_judged():
    drive = log(cells=1)
    pixels, bins = (
        pooled(validate(drive, ["nearest"], block_m=[50], support=support))["nearest"]
        for support in ("pixel", "5m")
    )
    assert pixels.points == bins.points == 240
    assert pixels.rmse_db == pytest.approx(bins.rmse_db, rel=0.1)


def test_errors_of_a_constant_level_are_those_of_its_differences(tmp_path):
    drive = log(cells=2, noise_db=0.0)
    flat = replace(
        drive,
        rsrp_dbm=np.where(np.asarray(drive.cell.tolist()) == "c0", -90, -93).astype(np.float32),
    )
    grid = Grid.create(500_000, 5_000_050, (100, 1300), 1.0, 32633)
    for cell in ("c0", "c1"):
        values = np.full(grid.shape, -87, dtype=np.float32)
        write_raster(tmp_path / f"{cell}_rsrp.tif", values, grid, nodata=-9999)
    scores = {s.cell: s for s in validate(flat, [str(tmp_path)], block_m=[50]).scores}
    assert (scores["c0"].rmse_db, scores["c0"].mae_db, scores["c0"].bias_db) == (3, 3, 3)
    assert scores["all"].rmse_db == pytest.approx(math.sqrt((9 + 36) / 2))
    assert scores["all"].mae_db == scores["all"].bias_db == pytest.approx(4.5)
    assert scores["all"].within_6_db == 1.0


def test_methods_never_read_what_they_are_judged_on(monkeypatch):
    drive, read = log(cells=1), []

    class Spy:
        name = "spy"
        maps_buildings = False
        provenance: dict = {}  # noqa: RUF012

        def estimate_at(self, sparse, row, col, site=None):
            x, _ = sparse.grid.to_world(sparse.row + 0.5, sparse.col + 0.5)
            where, _ = sparse.grid.to_world(row, col)
            read.append((set(np.floor(x / 5)), set(np.floor(where / 5))))
            return np.full(len(row), -90.0)

        def estimate(self, batch):
            raise NotImplementedError

    monkeypatch.setattr("rm_geo.validation.log_methods.get_method", lambda name: Spy())
    validate(drive, ["spy"], block_m=[50])
    assert len(read) == 5
    assert all(not seen & held for seen, held in read)
    assert len(set.union(*(held for _, held in read))) == 240


def test_several_logs_are_judged_together(tmp_path):
    drive = log(cells=3)
    for number, name in enumerate(("monday", "tuesday")):
        rows = np.flatnonzero((drive.x > 500_600) == bool(number))
        write_csv(tmp_path / f"{name}.csv", drive.select(rows))
    files = [tmp_path / "monday.csv", tmp_path / "tuesday.csv"]
    result = validate(files, ["knn"], block_m=[50], top=1)
    assert [path.name for path in result.sources] == ["monday.csv", "tuesday.csv"]
    assert (
        pooled(result)["knn"].points > 0.9 * pooled(validate(drive, ["knn"], top=1))["knn"].points
    )
    chosen = ["-o", str(tmp_path / "out"), "--methods", "knn", "--block", "50", "--top", "1"]
    run = CliRunner().invoke(cli, ["validate", *map(str, files), *chosen, "--quiet"])
    assert run.exit_code == 0, run.output
    document = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert document["provenance"]["input"] == "monday.csv, tuesday.csv"
    assert document["methods"]["knn"]["pooled"]["rmse_db"] == pytest.approx(
        pooled(result)["knn"].rmse_db
    )


def test_a_network_alone_is_judged_at_the_held_out_places():
    drive = log(cells=1, places=60)
    options = PredictOptions(device="cpu", reach_m=20, tile_size_px=128)
    result = validate(drive, ["radiocycle"], block_m=[100], folds=2, options=options)
    assert pooled(result, 100.0)["radiocycle"].points == 60


def test_blocks_that_leave_nothing_are_left_out_beside_others():
    lines = []

    class Log(SilentProgress):
        def log(self, message):
            lines.append(message)

    result = validate(log(cells=1), ["knn"], block_m=[50, 5000], progress=Log())
    assert {score.block_m for score in result.scores} == {50.0}
    assert any("one block of 5000 m" in line for line in lines)


def test_cells_are_named_as_in_the_measurements_or_in_file_names():
    drive = log(cells=2)
    named = replace(drive, cell=np.array([f"site/{name}" for name in drive.cell.tolist()]))
    for name in ("site/c1", next(cell for cell in named.by_cell() if "c1" in cell)):
        scores = validate(named, ["knn"], block_m=[50], cells=[name]).scores
        assert len(scores) == 2
        assert scores[1].cell.startswith("site_c1")


def test_the_probability_of_being_reported_is_scored_at_all_visited_places():
    drive = log(cells=3, places=400)
    first = np.asarray(drive.cell.tolist()) == "c0"
    far = drive.x > 500_000 + 1000.0
    drive = drive.select(np.flatnonzero(~(first & far)))  # c0 is heard in one half of the street
    result = validate(drive, ["knn", "reported"], block_m=[50], top=3)
    scores = {score.cell: score for score in result.scores if score.method == "reported"}
    assert scores["c0"].points == 400
    assert scores["c0"].auc > 0.97
    assert scores["c0"].brier < 0.05
    assert math.isnan(scores["c1"].auc)  # reported everywhere: nothing to rank
    assert scores["c1"].brier == 0.0


def test_no_visited_place_is_known_where_nobody_drove():
    drive = log(cells=2)
    beside = Visits(drive.x[:240] + 0.0, drive.y[:240] + 10.0)
    split = _Split("all", "blocks", 50.0, 5, 0)
    grouped, _ = replace(drive, places=beside).grouped()
    folds = _Folds(grouped, ["c0"], split)
    for fold in range(len(folds)):
        kept, held = folds.kept(fold, ["c0"]), folds.held_out(fold)
        assert len(kept) + len(held) == 480
        blocks = {tuple(block) for block in np.floor(held.position_m / 50)}
        assert not blocks & {tuple(block) for block in np.floor(kept.position_m / 50)}


def test_blocks_that_are_no_multiple_of_a_bin_split_no_bin():
    grouped, _ = log(cells=1).grouped()
    folds = _Folds(grouped, ["c0"], _Split("target", "blocks", 33.0, 5, 0))
    for fold in range(len(folds)):
        held, kept = folds.held_rows(fold, "c0"), folds.kept(fold, ["c0"])
        assert int(kept.count.sum()) == 240 - held.size


def test_errors_of_means_are_smaller_than_those_of_pixels():
    drive = log(noise_db=5.0)
    pixel, mean = (
        pooled(validate(drive, ["knn"], block_m=[100], support=support), 100.0)["knn"]
        for support in ("pixel", "20m")
    )
    assert mean.rmse_db < pixel.rmse_db - 1.0
    assert mean.points < 0.5 * pixel.points


def test_drives_and_days_are_held_out_whole():
    drive = log(passes=3)
    result = validate(drive, ["knn"], by="log", folds=3, top=1)
    (score,) = [score for score in result.scores if score.cell == "all"]
    assert score.block_m == 0.0
    assert score.rmse_db < 2.5  # the same places were passed in the other drives


def test_a_hold_out_by_time_needs_times():
    drive = log()
    without = Measurements(drive.x, drive.y, drive.rsrp_dbm, drive.cell, drive.crs)
    with pytest.raises(UsageError, match="needs times"):
        validate(without, ["knn"], by="day")


def test_errors_grow_with_the_distance_to_the_nearest_reading():
    drive = log(cells=1, places=800)
    score = pooled(validate(drive, ["knn"], block_m=[200]), 200.0)["knn"]
    near, far = score.rmse_by_distance_db["5-15 m"], score.rmse_by_distance_db["60-100 m"]
    assert near < far


def test_cells_with_few_readings_are_left_out_with_the_reason():
    drive = log(cells=2)
    few = np.flatnonzero(np.asarray(drive.cell.tolist()) == "c1")[3:]
    kept = np.setdiff1d(np.arange(len(drive)), few)
    result = validate(drive.select(kept), ["knn"], block_m=[50])
    assert {score.cell for score in result.scores} == {"all", "c0"}
    assert result.left_out == {"c1": "readings in fewer than 20 bins of 5 m"}
    with pytest.raises(TooSmallError):
        validate(drive.select(few[:3]), ["knn"])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"methods": ["kn"]}, UsageError, "no method 'kn'"),
        ({"methods": []}, UsageError, "at least one"),
        ({"methods": ["pipeline:idw+buildings"]}, UsageError, "needs buildings"),
        ({"methods": ["knn"], "block_m": [5000]}, TooSmallError, "nothing to hold out"),
        ({"methods": ["missing.tif"]}, InputError, "missing.tif"),
        ({"methods": ["knn"], "cells": ["x"]}, UsageError, "no cell 'x'"),
        ({"methods": ["knn"], "block_m": [0]}, UsageError, "above 0 m"),
        ({"methods": ["knn"], "folds": 1}, UsageError, "2 folds"),
        ({"methods": "knn"}, UsageError, "in a list"),
        (
            {"methods": ["knn"], "options": PredictOptions(buildings="x.gpkg")},
            UsageError,
            "reads buildings",
        ),
        ({"methods": ["knn"], "options": PredictOptions(model="x")}, UsageError, "uses a model"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        validate(log(), **options)


def test_the_noise_floor_tells_passes_apart():
    floor = noise_floor(log(cells=1, passes=4, noise_db=2.0))
    assert floor.repeated_bins == 240
    assert floor.between_passes_db == pytest.approx(2.0 * math.sqrt(2.0), rel=0.15)
    assert math.isnan(floor.within_pass_db)


def write_csv(path, drive):
    lines = ["lat,lon,PCI,RSRP"]
    lon, lat = Transformer.from_crs(UTM, 4326, always_xy=True).transform(drive.x, drive.y)
    names = [name[1:] for name in drive.cell.tolist()]
    rows = zip(lat, lon, names, drive.rsrp_dbm, strict=True)
    lines += [f"{a:.8f},{b:.8f},{c},{d:.2f}" for a, b, c, d in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def test_the_command_writes_json_and_csv(tmp_path):
    write_csv(tmp_path / "log.csv", log(cells=3, places=120))
    chosen = ["--methods", "knn,joint", "--block", "50,100", "--top", "2", "--folds", "2"]
    chosen += ["--threshold", "-100", "--threshold", "-95"]
    source, out = str(tmp_path / "log.csv"), str(tmp_path / "out")
    run = CliRunner().invoke(cli, ["validate", source, "-o", out, *chosen])
    assert run.exit_code == 0, run.output
    document = json.loads((tmp_path / "out" / "validation.json").read_text())
    joint = document["methods"]["joint"]
    assert joint["pooled"]["rmse_db"] < document["methods"]["knn"]["pooled"]["rmse_db"]
    assert set(joint["pooled_by_block_m"]) == {"50", "100"}
    assert set(joint["cells"]) == {"0", "1"}
    assert document["provenance"]["input"] == "log.csv"
    assert document["settings"]["hold_out"] == "target"
    assert document["settings"]["thresholds_dbm"] == [-100.0, -95.0]
    shares = joint["pooled_by_block_m"]["50"]["coverage"]
    assert sum(share["places"] for share in shares) == 2 * joint["pooled"]["points"]
    assert "coverage" not in document["methods"]["knn"]["pooled"]
    assert "joint: places by their probability of coverage" in run.output
    with (tmp_path / "out" / "validation.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * 3


@pytest.mark.parametrize(
    "arguments", [["--methods", "kn"], ["--block", "x"], ["--threshold", "x"], ["--cells", "9"]]
)
def test_a_refused_command_leaves_no_folder(tmp_path, arguments):
    write_csv(tmp_path / "log.csv", log(cells=1, places=60))
    run = CliRunner().invoke(
        cli, ["validate", str(tmp_path / "log.csv"), "-o", str(tmp_path / "out"), *arguments]
    )
    assert run.exit_code == 2
    assert not (tmp_path / "out").exists()
