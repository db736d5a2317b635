"""``rm-geo predict`` and ``rasterize`` on files: every format in, every bad input refused.

Bad input: the exit code (2 for usage, 1 for failure), one message that names the file and the
way out, no traceback, no partial output, an existing result untouched.
"""

import json
import os
import shutil

import geopandas
import numpy as np
import pandas
import pytest
from click.testing import CliRunner
from pyproj import Transformer
from shapely.geometry import LineString, Point

from rm_geo.cli.group import rm_geo
from rm_geo.io.cog import read_raster
from rm_geo.measurements.cell_names import safe_file_name
from tests.support.measurements import CORNER, drive_frame, write_frame

FAST = (
    "--method",
    "nearest",
    "--tile-size",
    "64",
    "--overlap",
    "16",
    "--reach",
    "10",
    "--no-assimilate",
    "--no-preview",
)


def predict(path, output, *more, fast=FAST):
    return CliRunner().invoke(
        rm_geo, ["predict", str(path), "-o", str(output), *fast, *more], prog_name="rm-geo"
    )


@pytest.fixture
def precious(tmp_path):
    """An output folder with an earlier result."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "7_rsrp.tif").write_text("precious")
    return folder


def refused(result, folder, *words, code=1):
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert result.stderr.count("Error: ") == 1
    for word in words:
        assert str(word) in result.stderr, result.stderr
    assert [path.name for path in folder.iterdir()] == ["7_rsrp.tif"]
    assert (folder / "7_rsrp.tif").read_text() == "precious"


@pytest.mark.parametrize("suffix", [".shp", ".gpkg", ".geojson", ".fgb", ".parquet", ".csv"])
def test_every_format_gives_the_same_maps(tmp_path, suffix):
    path = write_frame(drive_frame(), tmp_path / f"drive{suffix}")
    result = predict(path, tmp_path / "out")
    assert result.exit_code == 0, result.output
    reference = write_frame(drive_frame(), tmp_path / "reference.gpkg")
    assert predict(reference, tmp_path / "expected").exit_code == 0
    for cell in ("7", "8"):
        made = read_raster(tmp_path / "out" / f"{cell}_rsrp.tif")
        expected = read_raster(tmp_path / "expected" / f"{cell}_rsrp.tif")
        assert made.grid == expected.grid
        np.testing.assert_allclose(made.values, expected.values, atol=0.01)


def test_machines_get_progress_and_a_result(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    result = predict(path, tmp_path / "out", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert {"start", "progress", "log", "finish", "result"} <= {event["event"] for event in events}
    assert [cell["cell"] for cell in events[-1]["cells"]] == ["7", "8"]
    assert result.stderr == ""


def test_quiet_is_quiet(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    result = predict(path, tmp_path / "out", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_a_dry_run_tells_cells_tiles_and_time_and_writes_nothing(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    result = predict(path, tmp_path / "out", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "tiles/s" in result.stdout
    assert not (tmp_path / "out").exists()


def test_values_that_mean_nothing_are_counted_and_left_out(tmp_path):
    frame = drive_frame()
    frame.loc[:2, "rsrp"] = [-200.0, 5.0, np.nan]
    path = write_frame(frame, tmp_path / "drive.gpkg")
    result = predict(path, tmp_path / "out")
    assert result.exit_code == 0
    assert "57 of 60 rows used" in result.stderr
    assert read_raster(tmp_path / "out" / "7_rsrp.tif").tags["measurements_dropped"] == "3"


def test_columns_can_be_named(tmp_path):
    frame = drive_frame().rename(columns={"pci": "who", "rsrp": "how"})
    path = write_frame(frame, tmp_path / "drive.gpkg")
    result = predict(path, tmp_path / "out", "--rsrp-column", "how", "--cell-column", "who")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "8_rsrp.tif").exists()


def test_parameters_reach_the_method(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    result = predict(path, tmp_path / "out", "--method", "knn", "-O", "neighbors=3")
    assert result.exit_code == 0, result.output
    assert read_raster(tmp_path / "out" / "7_rsrp.tif").tags["neighbors"] == "3"


def with_small_cells(frame, count):
    """A drive test with cells beside it that were measured in one pixel each."""
    small = [drive_frame(1, cells=(f"few{number}",), seed=number) for number in range(count)]
    return pandas.concat([frame, *small], ignore_index=True)


def test_a_cell_that_fails_is_reported_and_the_others_are_made(tmp_path):
    far = drive_frame(6, cells=("far",))
    far.geometry = geopandas.points_from_xy(far.geometry.x + np.arange(6) * 0.5, far.geometry.y)
    far = far.set_crs("EPSG:4326", allow_override=True)
    frame = pandas.concat([with_small_cells(drive_frame(), 2), far], ignore_index=True)
    path = write_frame(frame, tmp_path / "drive.gpkg")
    result = predict(path, tmp_path / "out")
    assert result.exit_code == 1
    assert "1 of 5 cells could not be mapped. The area" in result.stderr
    assert "Traceback" not in result.output
    assert (tmp_path / "out" / "7_rsrp.tif").exists()
    text = (tmp_path / "out" / "summary.csv").read_text()
    assert [text.count(f",{status},") for status in ("mapped", "failed", "skipped")] == [2, 1, 2]


def test_cells_that_are_too_small_are_one_line_and_no_failure(tmp_path):
    path = write_frame(with_small_cells(drive_frame(), 30), tmp_path / "drive.gpkg")
    result = predict(path, tmp_path / "out")
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if "few" in line]
    assert line.startswith("30 cells were skipped")
    assert line.endswith("and 25 more.")
    document = json.loads((tmp_path / "out" / "summary.json").read_text())
    small = [row for row in document["cells"] if row["cell"].startswith("few")]
    assert {row["status"] for row in small} == {"skipped"}
    assert "1 pixel only" in small[0]["message"]
    plan = predict(path, tmp_path / "out", "--dry-run")
    assert plan.exit_code == 0, plan.output
    assert [line for line in plan.output.splitlines() if "few" in line] == [line]


def test_a_file_of_which_no_cell_is_large_enough_fails(tmp_path, precious):
    path = write_frame(with_small_cells(drive_frame(2, cells=("7",)), 3), tmp_path / "drive.gpkg")
    refused(predict(path, precious), precious, "2 pixels only", "drive.gpkg")


def test_the_drive_test_of_the_campus_is_a_normal_one(tmp_path, shared_data):
    path = shared_data / "duke_cbrs" / "measurements.shp"
    result = predict(path, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "skipped" in result.stdout


@pytest.mark.parametrize("name", ["a/b", "../../up", "x" * 300, "tab\tbell\x07"])
def test_cell_names_become_harmless_file_names(tmp_path, name):
    path = write_frame(drive_frame(cells=(name,)), tmp_path / "drive.csv")
    result = predict(path, tmp_path / "out", "--cell-column", "pci")
    assert result.exit_code == 0, result.output
    (raster,) = (tmp_path / "out").glob("*_rsrp.tif")
    assert raster.parent == tmp_path / "out"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["drive.csv", "out"]


def test_duplicate_positions_are_averaged(tmp_path):
    frame = drive_frame()
    path = write_frame(pandas.concat([frame, frame], ignore_index=True), tmp_path / "drive.gpkg")
    assert predict(path, tmp_path / "out").exit_code == 0
    once = write_frame(frame, tmp_path / "once.gpkg")
    assert predict(once, tmp_path / "expected").exit_code == 0
    np.testing.assert_allclose(
        read_raster(tmp_path / "out" / "7_rsrp.tif").values,
        read_raster(tmp_path / "expected" / "7_rsrp.tif").values,
        atol=1e-4,
    )


@pytest.mark.parametrize(("longitude", "latitude"), [(180.0, -17.0), (25.0, 84.9), (-60.0, -82.0)])
def test_antimeridian_and_polar_positions_work(tmp_path, longitude, latitude):
    rng = np.random.default_rng(0)
    metre = 1.0 / 111_320.0
    lon = longitude + rng.uniform(-40, 40, 50) * metre / np.cos(np.radians(latitude))
    lon = (lon + 180.0) % 360.0 - 180.0
    lat = latitude + rng.uniform(-40, 40, 50) * metre
    frame = geopandas.GeoDataFrame(
        {"rsrp": rng.uniform(-120, -70, 50)},
        geometry=geopandas.points_from_xy(lon, lat),
        crs="EPSG:4326",
    )
    result = predict(write_frame(frame, tmp_path / "drive.gpkg"), tmp_path / "out")
    assert result.exit_code == 0, result.output
    rows, cols = read_raster(tmp_path / "out" / "all_rsrp.tif").grid.shape
    assert max(rows, cols) < 140


def test_rasterize_writes_what_was_measured(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    result = CliRunner().invoke(rm_geo, ["rasterize", str(path), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    counts = [
        np.nansum(read_raster(tmp_path / "out" / f"{cell}_measured.tif", band=2).values)
        for cell in ("7", "8")
    ]
    assert counts == [30, 30]


# Bad input ---------------------------------------------------------------------------------


def test_a_missing_file(tmp_path, precious):
    refused(predict(tmp_path / "gone.gpkg", precious), precious, "gone.gpkg")


def test_a_file_that_is_no_table(tmp_path, precious):
    path = tmp_path / "noise.gpkg"
    path.write_bytes(os.urandom(2000))
    refused(predict(path, precious), precious, "noise.gpkg")


def test_a_truncated_shapefile(tmp_path, precious):
    path = write_frame(drive_frame(), tmp_path / "drive.shp")
    path.write_bytes(path.read_bytes()[:400])
    refused(predict(path, precious), precious, "drive.shp")


def test_a_layer_without_geometry(tmp_path, precious):
    import pandas
    import pyogrio

    path = tmp_path / "plain.gpkg"
    pyogrio.write_dataframe(pandas.DataFrame({"rsrp": [-90.0], "pci": [7]}), path)
    refused(predict(path, precious), precious, "plain.gpkg")


def test_lines_instead_of_points(tmp_path, precious):
    frame = geopandas.GeoDataFrame(
        {"rsrp": [-90.0]}, geometry=[LineString([(0, 0), (1, 1)])], crs="EPSG:4326"
    )
    refused(predict(write_frame(frame, tmp_path / "lines.gpkg"), precious), precious, "lines.gpkg")


def test_no_crs(tmp_path, precious):
    frame = drive_frame(crs="EPSG:32633").set_crs(None, allow_override=True)
    path = write_frame(frame, tmp_path / "nowhere.shp")
    refused(predict(path, precious), precious, "nowhere.shp", "--crs")
    assert predict(path, tmp_path / "ok", "--crs", "EPSG:32633").exit_code == 0


@pytest.mark.parametrize("command", ["predict", "rasterize"])
def test_a_crs_of_the_files_own_is_kept(tmp_path, command):
    """A map six degrees away would be the alternative."""
    path = write_frame(drive_frame(cells=("7",), crs="EPSG:32633"), tmp_path / "one.gpkg")
    fast = FAST if command == "predict" else ()
    result = CliRunner().invoke(
        rm_geo, [command, str(path), "-o", str(tmp_path / "out"), *fast, "--crs", "EPSG:32632"]
    )
    assert result.exit_code == 0, result.output
    assert "warning" in result.stderr
    assert "WGS 84 / UTM zone 32N" in result.stderr
    (made,) = (tmp_path / "out").glob("7_*.tif")
    assert read_raster(made, band=1)[1].crs.to_epsg() == 32633


def test_a_crs_that_is_none(tmp_path, precious):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    refused(predict(path, precious, "--crs", "EPSG:1"), precious, "EPSG:1")
    refused(predict(path, precious, "--target-crs", "EPSG:4326"), precious, "metres")


def test_no_rsrp_column_and_several(tmp_path, precious):
    frame = drive_frame().rename(columns={"rsrp": "shoe_size"})
    path = write_frame(frame, tmp_path / "none.gpkg")
    refused(predict(path, precious), precious, "none.gpkg", "--rsrp-column")
    frame = drive_frame()
    frame["RSRP (dBm)"] = frame["rsrp"]
    path = write_frame(frame, tmp_path / "several.gpkg")
    refused(predict(path, precious), precious, "several.gpkg", "--rsrp-column")


def test_a_column_that_is_not_there(tmp_path, precious):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    result = predict(path, precious, "--rsrp-column", "nothing")
    refused(result, precious, "nothing", "drive.gpkg", code=2)


def test_text_in_a_numeric_column(tmp_path, precious):
    frame = drive_frame()
    frame["rsrp"] = ["strong" if i % 2 else "-90" for i in range(len(frame))]
    refused(predict(write_frame(frame, tmp_path / "words.csv"), precious), precious, "words.csv")


def test_an_empty_layer(tmp_path, precious):
    path = write_frame(drive_frame().iloc[:0], tmp_path / "empty.gpkg")
    refused(predict(path, precious), precious, "empty.gpkg")


@pytest.mark.parametrize("value", [-200.0, np.nan, np.inf])
def test_all_values_invalid(tmp_path, precious, value):
    path = write_frame(drive_frame().assign(rsrp=value), tmp_path / "invalid.csv")
    refused(predict(path, precious), precious, "invalid.csv")


def test_one_point(tmp_path, precious):
    path = write_frame(drive_frame(1), tmp_path / "one.gpkg")
    refused(predict(path, precious), precious, "one.gpkg", "1 pixel")


def test_two_points_400_km_apart(tmp_path, precious):
    frame = geopandas.GeoDataFrame(
        {"rsrp": [-90.0, -80.0]},
        geometry=[Point(500_000, 5_400_000), Point(500_000, 5_800_000)],
        crs="EPSG:32633",
    )
    path = write_frame(frame, tmp_path / "far.gpkg")
    result = predict(path, precious, fast=("--method", "nearest"))
    refused(result, precious, "far.gpkg", "400.2 km", "--max-tiles")


def test_an_output_folder_that_is_a_file(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    (tmp_path / "taken").write_text("precious")
    result = predict(path, tmp_path / "taken")
    assert result.exit_code == 1
    assert str(tmp_path / "taken") in result.stderr
    assert (tmp_path / "taken").read_text() == "precious"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_folder_that_cannot_be_written(tmp_path, precious):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    precious.chmod(0o500)
    refused(predict(path, precious), precious, precious)


def test_a_full_disk(tmp_path, precious, monkeypatch):
    from rm_geo.errors import OutputError
    from rm_geo.products import writer

    def full(path, *_, **__):
        path.write_bytes(b"half of it")
        raise OutputError(f"Cannot write {path}: the disk is full.", hint="Free some space.")

    monkeypatch.setattr(writer, "write_raster", full)
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    refused(predict(path, precious), precious, "disk is full", "Free some space")


def test_a_model_that_is_damaged_or_of_another_kind(tmp_path, precious):
    from rm_geo.networks import build
    from rm_geo.zoo.catalog import find_model
    from rm_geo.zoo.weights import save_model

    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    network = ("--method", "radiocycle", "--device", "cpu", "--tile-size", "64", "--overlap", "16")
    config = {"width": 16, "blocks": 1, "repeats": 1}
    other = tmp_path / "other.safetensors"
    save_model(other, build("mars", config), "mars", config)
    result = predict(path, precious, "--model", str(other), fast=network)
    refused(result, precious, "mars")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(find_model("radiocycle-drive-s").path.read_bytes()[:-100])
    result = predict(path, precious, "--model", str(damaged), fast=network)
    refused(result, precious, "damaged.safetensors")
    result = predict(path, precious, "--model", "no-such-model", fast=network)
    refused(result, precious, "no-such-model")
    result = predict(path, precious, "--model", str(tmp_path / "weights.pt"), fast=network)
    refused(result, precious, "weights.pt", "safetensors")


def test_cuda_asked_for_and_absent(tmp_path, precious, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    refused(predict(path, precious, "--device", "cuda"), precious, "cuda", "--device cpu")


@pytest.mark.parametrize(
    "wrong",
    [
        ("--method", "knnn"),
        ("-O", "colour=blue"),
        ("--device", "gpu"),
        ("--overlap", "64"),
        ("--model", "x"),
        ("--cell", "unknown"),
    ],
)
def test_usage_errors(tmp_path, precious, wrong):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    refused(predict(path, precious, *wrong), precious, code=2)


def test_a_missing_site_table(tmp_path, precious):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    refused(predict(path, precious, "--sites", str(tmp_path / "s.csv")), precious, "s.csv")


def test_a_site_table_is_used(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    lon, lat = Transformer.from_crs(32633, 4326, always_xy=True).transform(*CORNER)
    sites = tmp_path / "sites.csv"
    sites.write_text(f"pci,longitude,latitude,height_m,eirp_dbm\n7,{lon},{lat},30,18\n")
    result = predict(path, tmp_path / "out", "--sites", str(sites))
    assert result.exit_code == 0, result.output
    tags = read_raster(tmp_path / "out" / "7_rsrp.tif").tags
    assert (tags["transmitter"], tags["intercept"]) == ("site table", "eirp")
    x, y = (float(value) for value in tags["transmitter_xy"].split())
    assert (x, y) == pytest.approx(CORNER, abs=0.01)
    assert "does not name it" in result.stderr


@pytest.mark.parametrize("suffix", [".gpkg", ".csv"])
def test_a_site_table_in_metres(tmp_path, suffix):
    """With --sites-crs; a table of measurements that needs --crs lends it to the sites."""
    degrees = suffix == ".gpkg"
    frame = drive_frame(cells=("7",), crs="EPSG:4326" if degrees else "EPSG:32633")
    path = write_frame(frame, tmp_path / f"drive{suffix}")
    if not degrees:
        text = path.read_text().replace("longitude,latitude", "x,y")
        path.write_text(text)
    sites = tmp_path / "sites.csv"
    sites.write_text(f"pci,x,y,height_m,eirp_dbm\n7,{CORNER[0]},{CORNER[1]},30,18\n")
    more = ("--sites-crs", "EPSG:32633") if degrees else ("--crs", "EPSG:32633")
    out = tmp_path / "out"
    for stage in (("--dry-run",), ()):
        result = predict(path, out, "--sites", str(sites), *more, *stage)
        assert result.exit_code == 0, result.output
    tags = read_raster(out / "7_rsrp.tif").tags
    place = tuple(float(value) for value in tags["transmitter_xy"].split())
    assert place == pytest.approx(CORNER, abs=0.01)
    if degrees:
        result = predict(path, tmp_path / "none", "--sites", str(sites))
        assert result.exit_code == 1
        assert "--sites-crs" in result.stderr


def test_a_cell_whose_name_no_file_can_have(tmp_path):
    """The cell can be selected by its own name or by its file name; messages give both."""
    own = "310-26/1"
    name = safe_file_name(own)
    path = write_frame(drive_frame(cells=(own, "8")), tmp_path / "drive.gpkg")
    for asked in (own, name):
        out = tmp_path / asked.replace("/", "")
        planned = predict(path, out, "--cell", asked, "--dry-run", "--json")
        assert f'"cell_name": "{own}"' in planned.output
        result = predict(path, out, "--cell", asked)
        assert result.exit_code == 0, result.output
        assert f"{name} ({own})" in result.stdout
        (cell,) = json.loads((out / "summary.json").read_text())["cells"]
        assert (cell["cell"], cell["cell_name"]) == (name, own)
        tags = read_raster(out / f"{name}_rsrp.tif").tags
        assert (tags["cell"], tags["cell_name"]) == (name, own)
    result = predict(path, tmp_path / "none", "--cell", "9")
    assert result.exit_code == 2
    assert own in result.stderr


def test_binned_rasters_say_the_names_of_their_cells(tmp_path):
    path = write_frame(drive_frame(cells=("310-26/1", "8")), tmp_path / "drive.gpkg")
    result = CliRunner().invoke(rm_geo, ["rasterize", str(path), "-o", str(tmp_path / "out")])
    assert "(cell 310-26/1)" in result.stdout
    (made,) = (tmp_path / "out").glob("310*.tif")
    assert read_raster(made, band=1).tags["cell_name"] == "310-26/1"


def test_results_can_be_moved_and_read_anywhere(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    assert predict(path, tmp_path / "out").exit_code == 0
    shutil.move(tmp_path / "out", tmp_path / "moved")
    tags = read_raster(tmp_path / "moved" / "7_rsrp.tif").tags
    assert tags["input"] == "drive.gpkg"
    assert str(tmp_path) not in json.dumps(tags)


def test_a_bounding_box_maps_what_is_inside(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    whole = geopandas.read_file(path)
    west, south, east, north = whole.total_bounds
    middle = (west + east) / 2
    half = predict(path, tmp_path / "half", "--bbox", f"{west},{south},{middle},{north}")
    assert half.exit_code == 0, half.output
    cells = json.loads((tmp_path / "half" / "summary.json").read_text())["cells"]
    inside = int((whole.geometry.x <= middle).sum())
    assert 0 < sum(cell["measurements"] for cell in cells) <= inside < len(whole)
    for wrong, message in (
        ("1,2,3", "--bbox must be four numbers"),
        ("a,b,c,d", "--bbox must be a valid number"),
        ("3,0,1,2", "--bbox must be in the order west"),
    ):
        result = predict(path, tmp_path / "none", "--bbox", wrong)
        assert result.exit_code == 2
        assert message in result.output
