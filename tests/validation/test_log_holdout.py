"""Hold-out of a log of several cells."""

import csv
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from pyproj import CRS

from rm_geo.cli.group import rm_geo as cli
from rm_geo.errors import InputError, TooSmallError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.measurements.model import Measurements
from rm_geo.validation.log_holdout import validate_log
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
    target = pooled(validate_log(drive, ["single", "joint", "default"], block_m=[50], top=2))
    assert target["joint"].rmse_db < 0.6 * target["single"].rmse_db
    assert target["default"].rmse_db < 0.8 * target["single"].rmse_db
    assert target["single"].p_value < 0.05
    assert target["joint"].points == 2 * 240
    everywhere = pooled(
        validate_log(drive, ["single", "joint"], block_m=[50], top=2, hold_out="all")
    )
    assert everywhere["joint"].rmse_db > 0.9 * everywhere["single"].rmse_db


def test_deviations_of_the_joint_estimate_hold_nine_of_ten_truths():
    score = pooled(validate_log(log(noise_db=2.0, places=400), ["joint"], block_m=[50]))["joint"]
    assert 0.8 < score.interval_90 < 0.99


def test_scores_are_of_the_places_that_all_methods_estimated(tmp_path):
    grid = Grid.create(500_000, 5_000_050, (100, 600), 1.0, 32633)
    path = tmp_path / "half.tif"
    write_raster(path, np.full((100, 600), -90, dtype=np.float32), grid, nodata=-9999)
    scores = pooled(validate_log(log(), ["knn", str(path)], block_m=[50], top=1))
    assert scores["knn"].points == scores[str(path)].points == 120
    assert scores[str(path)].missing == 120
    assert scores["knn"].missing == 0


def test_errors_of_means_are_smaller_than_those_of_pixels():
    drive = log(noise_db=5.0)
    pixel, mean = (
        pooled(validate_log(drive, ["knn"], block_m=[100], support=support), 100.0)["knn"]
        for support in ("pixel", "20m")
    )
    assert mean.rmse_db < pixel.rmse_db - 1.0
    assert mean.points < 0.5 * pixel.points


def test_drives_and_days_are_held_out_whole():
    drive = log(passes=3)
    result = validate_log(drive, ["knn"], by="log", folds=3, top=1)
    (score,) = [score for score in result.scores if score.cell == "all"]
    assert score.block_m == 0.0
    assert score.rmse_db < 2.5  # the same places were passed in the other drives


def test_a_hold_out_by_time_needs_times():
    drive = log()
    without = Measurements(drive.x, drive.y, drive.rsrp_dbm, drive.cell, drive.crs)
    with pytest.raises(UsageError, match="needs times"):
        validate_log(without, ["knn"], by="day")


def test_errors_grow_with_the_distance_to_the_nearest_reading():
    drive = log(cells=1, places=800)
    score = pooled(validate_log(drive, ["knn"], block_m=[200]), 200.0)["knn"]
    near, far = score.rmse_by_distance_db["5-15 m"], score.rmse_by_distance_db["60-100 m"]
    assert near < far


def test_cells_with_few_readings_are_left_out_with_the_reason():
    drive = log(cells=2)
    few = np.flatnonzero(np.asarray(drive.cell.tolist()) == "c1")[3:]
    kept = np.setdiff1d(np.arange(len(drive)), few)
    result = validate_log(drive.select(kept), ["knn"], block_m=[50])
    assert {score.cell for score in result.scores} == {"all", "c0"}
    assert result.left_out == {"c1": "readings in 3 bins only"}
    with pytest.raises(TooSmallError):
        validate_log(drive.select(few[:3]), ["knn"])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"methods": ["kn"]}, UsageError, "no method 'kn'"),
        ({"methods": []}, UsageError, "at least one"),
        ({"methods": ["radiocycle"]}, UsageError, "network"),
        ({"methods": ["missing.tif"]}, InputError, "missing.tif"),
        ({"methods": ["knn"], "cells": ["x"]}, UsageError, "no cell 'x'"),
        ({"methods": ["knn"], "block_m": [0]}, UsageError, "above 0 m"),
        ({"methods": ["knn"], "folds": 1}, UsageError, "2 folds"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        validate_log(log(), **options)


def test_the_noise_floor_tells_passes_apart():
    floor = noise_floor(log(cells=1, passes=4, noise_db=2.0))
    assert floor.repeated_bins == 240
    assert floor.between_passes_db == pytest.approx(2.0 * math.sqrt(2.0), rel=0.15)
    assert math.isnan(floor.within_pass_db)


def write_csv(path, drive):
    lines = ["lat,lon,PCI,RSRP"]
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(UTM, 4326, always_xy=True).transform(drive.x, drive.y)
    names = [name[1:] for name in drive.cell.tolist()]
    rows = zip(lat, lon, names, drive.rsrp_dbm, strict=True)
    lines += [f"{a:.8f},{b:.8f},{c},{d:.2f}" for a, b, c, d in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def test_the_command_writes_json_and_csv(tmp_path):
    write_csv(tmp_path / "log.csv", log())
    chosen = ["--methods", "knn,joint", "--block", "50,100", "--top", "2", "--quiet"]
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
    with (tmp_path / "out" / "validation.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * 3


@pytest.mark.parametrize("arguments", [["--methods", "kn"], ["--block", "x"], ["--cells", "9"]])
def test_a_refused_command_leaves_no_folder(tmp_path, arguments):
    write_csv(tmp_path / "log.csv", log(cells=1, places=60))
    run = CliRunner().invoke(
        cli, ["validate", str(tmp_path / "log.csv"), "-o", str(tmp_path / "out"), *arguments]
    )
    assert run.exit_code == 2
    assert not (tmp_path / "out").exists()
