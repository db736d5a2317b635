"""The plugin in a real QGIS: by ``qgis_process``, and unit tests in QGIS's own Python."""

import csv
import json
import subprocess
from pathlib import Path

import geopandas
import numpy as np
import pandas
import psutil
import pytest
from click.testing import CliRunner
from pyproj import CRS
from shapely.geometry import LineString, box

from rm_geo.cli.group import rm_geo
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from tests.support.measurements import CORNER, drive_frame, write_frame
from tests.support.qgis import CHECKS, QGIS_PYTHON, install_plugin
from tests.support.radio_maps import write_cones
from tests.support.waiting import HANG_S, wait_until

FAST = {
    "METHOD": "nearest",
    "TILE_SIZE": 64,
    "OVERLAP": 16,
    "REACH": 10,
    "ASSIMILATE": False,
    "PREVIEW": False,
}
ARGUMENTS = [
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
]


@pytest.fixture(scope="module")
def qgis(tmp_path_factory):
    return install_plugin(tmp_path_factory.mktemp("qgis profile ü") / "config")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Small layers of every kind, below a folder with a space and an umlaut."""
    folder = tmp_path_factory.mktemp("data ü")
    write_frame(drive_frame(), folder / "drive.gpkg")
    write_frame(drive_frame(), folder / "two.gpkg")
    drive_frame(seed=1).to_file(folder / "two.gpkg", layer="second")
    log = drive_frame(90, cells=("7", "8", "9"))
    log["Kanal"] = [1300 if row % 2 else 6300 for row in range(90)]
    log["Zeit"] = [f"2024-05-01T10:{row // 60:02d}:{row % 60:02d}" for row in range(90)]
    log["speed"] = [float(row % 10) for row in range(90)]
    write_frame(log, folder / "log.gpkg")
    far = drive_frame(20, cells=("7",))
    far = pandas.concat([far, far.set_geometry(far.geometry.translate(xoff=0.2))])
    write_frame(far, folder / "far.gpkg")
    x, y = CORNER
    metres = "EPSG:32633"
    line = LineString([(x, y), (x + 50, y + 50)])
    geopandas.GeoDataFrame({"rsrp": [-80.0]}, geometry=[line], crs=metres).to_file(
        folder / "lines.gpkg"
    )
    houses = [box(x + 20, y + 20, x + 40, y + 40), box(x + 60, y + 30, x + 75, y + 50)]
    geopandas.GeoDataFrame({"height": [12.0, 20.0]}, geometry=houses, crs=metres).to_file(
        folder / "buildings.gpkg"
    )
    nameless = drive_frame().rename(columns={"rsrp": "what"}).astype({"what": str})
    nameless["what"] = "text"
    write_frame(nameless, folder / "nameless.gpkg")
    (folder / "sites.csv").write_text("pci,longitude,latitude,height_m\n7,15.0,48.75,20\n")
    grid = Grid.covering([x, x + 90], [y, y + 70], CRS.from_epsg(32633), spacing_m=4.0)
    levels = np.linspace(-120, -60, grid.shape[0] * grid.shape[1], dtype=np.float32)
    write_raster(folder / "coarse.tif", levels.reshape(grid.shape), grid)
    write_cones(folder / "maps ü")
    write_cones(folder / "later", shift_db=30.0)
    write_cones(folder / "plain", std_db=None)
    return folder


def bytes_in(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def command(*arguments):
    result = CliRunner().invoke(rm_geo, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def test_the_provider_is_listed_with_all_its_algorithms(qgis):
    listed = qgis.call("list").stdout
    for name in (
        "estimate",
        "superresolve",
        "inspect",
        "rasterize",
        "simulate",
        "validate",
        "demo_data",
        "sites_layer",
        "plan",
        "best_server",
        "coverage_classes",
        "coverage_probability",
        "coverage_holes",
        "interference",
        "compare",
        "export_map",
        "report",
        "check_environment",
        "Drive test to fine radio map",
        "Drive test to plan and report",
    ):
        assert f"rm_geo:{name}\t" in listed


def test_estimate_gives_the_bytes_of_predict(qgis, data, tmp_path):
    command("predict", data / "drive.gpkg", "-o", tmp_path / "cli", *ARGUMENTS)
    answer = qgis.run(
        "rm_geo:estimate",
        INPUT=data / "drive.gpkg",
        OUTPUT=tmp_path / "a ü",
        RSRP=tmp_path / "one.tif",
        **FAST,
    )
    assert bytes_in(tmp_path / "a ü") == bytes_in(tmp_path / "cli") != {}
    results = answer["results"]
    assert results["MAPPED_CELLS"] == 2
    assert [Path(path).name for path in results["RADIO_MAPS"]] == ["7_rsrp.tif", "8_rsrp.tif"]
    assert (tmp_path / "one.tif").read_bytes() == (tmp_path / "cli" / "7_rsrp.tif").read_bytes()


def test_a_network_gives_the_bytes_of_predict(qgis, data, tmp_path):
    command(
        "predict",
        data / "drive.gpkg",
        "-o",
        tmp_path / "cli",
        "--cell",
        "8",
        "--uncertainty",
        "--mask",
        "--sites",
        data / "sites.csv",
        "--resolution",
        "2",
    )
    answer = qgis.run(
        "rm_geo:estimate",
        INPUT=data / "drive.gpkg",
        OUTPUT=tmp_path / "qgis",
        CELLS="8",
        MASK=True,
        SITES=data / "sites.csv",
        RESOLUTION=2,
        BUILDINGS=tmp_path / "b.tif",
        UNCERTAINTY=tmp_path / "u.tif",
    )
    assert bytes_in(tmp_path / "qgis") == bytes_in(tmp_path / "cli")
    assert answer["results"]["BUILDINGS"] == str(tmp_path / "b.tif")
    assert (tmp_path / "u.tif").read_bytes() == (tmp_path / "cli/8_uncertainty.tif").read_bytes()


def test_rasterize_gives_the_bytes_of_the_command(qgis, data, tmp_path):
    command(
        "rasterize",
        data / "drive.gpkg",
        "-o",
        tmp_path / "cli",
        "--statistic",
        "median",
        "--resolution",
        "5",
    )
    qgis.run(
        "rm_geo:rasterize",
        INPUT=data / "drive.gpkg",
        OUTPUT=tmp_path / "qgis",
        STATISTIC="median",
        RESOLUTION=5,
    )
    assert bytes_in(tmp_path / "qgis") == bytes_in(tmp_path / "cli") != {}


def test_reading_options_give_the_bytes_of_the_command(qgis, data, tmp_path):
    command(
        "rasterize",
        data / "log.gpkg",
        "-o",
        tmp_path / "cli",
        "--carrier-column",
        "Kanal",
        "--time-column",
        "Zeit",
        "--where",
        "speed > 2",
        "--time-from",
        "2024-05-01T10:00:10",
        "--channels",
        "1300,6300",
        "--min-points",
        "2",
        "--top",
        "2",
        "--strict",
    )
    qgis.run(
        "rm_geo:rasterize",
        INPUT=data / "log.gpkg",
        OUTPUT=tmp_path / "qgis",
        CARRIER_FIELD="Kanal",
        TIME_FIELD="Zeit",
        WHERE="speed > 2",
        TIME_FROM="2024-05-01T10:00:10",
        CHANNELS="1300,6300",
        MIN_POINTS=2,
        TOP=2,
        STRICT=True,
    )
    made = bytes_in(tmp_path / "qgis")
    assert made == bytes_in(tmp_path / "cli")
    assert len(made) == 2


def test_inspect_reports_fields_cells_and_warnings(qgis, data, tmp_path):
    report = tmp_path / "reports ü" / "far.html"
    answer = qgis.run("rm_geo:inspect", INPUT=data / "far.gpkg", OUTPUT=report)
    results = answer["results"]
    assert (results["ROWS"], results["USED"], results["CELLS"], results["WARNINGS"]) == (
        40,
        40,
        1,
        1,
    )
    page = report.read_text("utf-8")
    assert "km apart" in page
    assert "the parameter &#x27;Cell field&#x27;" in page
    assert "<td>RSRP</td><td>rsrp</td>" in page
    assert "<td>7</td><td>40</td>" in page
    assert list(report.parent.iterdir()) == [report]
    results = qgis.run(
        "rm_geo:inspect",
        INPUT=data / "log.gpkg",
        OUTPUT=report,
        CARRIER_FIELD="Kanal",
        TOP=1,
    )["results"]
    assert results["CELLS"] == 1
    assert "earfcn" in report.read_text("utf-8")
    said = qgis.fail(
        "rm_geo:inspect", INPUT=data / "far.gpkg", OUTPUT=tmp_path / "no.html", STRICT=True
    )
    assert "mix up cells" in said
    assert not (tmp_path / "no.html").exists()


def test_superresolve_gives_the_bytes_of_the_command(qgis, data, tmp_path):
    command("superres", data / "coarse.tif", "-o", tmp_path / "cli" / "fine.tif")
    qgis.run("rm_geo:superresolve", INPUT=data / "coarse.tif", OUTPUT=tmp_path / "fine.tif")
    assert (tmp_path / "fine.tif").read_bytes() == (tmp_path / "cli/fine.tif").read_bytes()
    outlines = data / "buildings.gpkg"
    command(
        "superres",
        data / "coarse.tif",
        "-o",
        tmp_path / "cli" / "known.tif",
        "--buildings",
        outlines,
    )
    qgis.run(
        "rm_geo:superresolve",
        INPUT=data / "coarse.tif",
        OUTPUT=tmp_path / "known.tif",
        OUTLINES=outlines,
    )
    known = (tmp_path / "known.tif").read_bytes()
    assert known == (tmp_path / "cli/known.tif").read_bytes()
    assert known != (tmp_path / "fine.tif").read_bytes()


def test_known_buildings_give_the_bytes_of_the_command(qgis, data, tmp_path):
    small = ["--reach", "10", "--no-preview", "--method-weight", "0.5", "--cell", "7"]
    command(
        "predict",
        data / "drive.gpkg",
        "-o",
        tmp_path / "cli",
        *small,
        "--buildings",
        data / "buildings.gpkg",
    )
    qgis.run(
        "rm_geo:estimate",
        REACH=10,
        PREVIEW=False,
        METHOD_WEIGHT=0.5,
        CELLS="7",
        INPUT=data / "drive.gpkg",
        OUTPUT=tmp_path / "qgis",
        OUTLINES=data / "buildings.gpkg",
    )
    assert bytes_in(tmp_path / "qgis") == bytes_in(tmp_path / "cli") != {}


def test_plan_gives_the_files_of_the_command(qgis, data, tmp_path):
    command("plan", data / "maps ü", "-o", tmp_path / "cli", "--threshold", "-100", "--no-report")
    answer = qgis.run(
        "rm_geo:plan",
        MAPS=data / "maps ü",
        OUTPUT=tmp_path / "qgis",
        THRESHOLD=-100,
        WITH_REPORT=False,
        HOLES=tmp_path / "ü.gpkg",
    )
    mine, theirs = bytes_in(tmp_path / "qgis"), bytes_in(tmp_path / "cli")
    assert set(mine) == set(theirs)
    for name in mine:
        if not name.endswith(".gpkg"):  # has the time of its last change
            assert mine[name] == theirs[name], name
    holes = geopandas.read_file(tmp_path / "ü.gpkg")
    assert len(holes) == answer["results"]["NUMBER_OF_HOLES"] > 0
    assert holes.equals(geopandas.read_file(tmp_path / "cli" / "holes.gpkg"))


def test_the_model_goes_from_a_drive_test_to_a_report(qgis, data, tmp_path):
    answer = qgis.run(
        "rm_geo:Drive test to plan and report",
        **{
            "measurements": data / "drive.gpkg",
            "method": "nearest",
            "technology": "lte",
            "plan:Best server": tmp_path / "server.tif",
            "plan:Coverage classes": tmp_path / "classes.tif",
            "plan:Coverage holes": tmp_path / "holes.gpkg",
            "plan:RSRP of the best server": tmp_path / "best.tif",
            "report:Report": tmp_path / "report.html",
        },
    )
    assert answer["results"]["report:Report"] == str(tmp_path / "report.html")
    made = {path.name for path in tmp_path.iterdir()}
    assert {"server.tif", "classes.tif", "holes.gpkg", "best.tif", "report.html"} <= made
    assert "<html" in (tmp_path / "report.html").read_text("utf-8")


def test_simulate_gives_the_bytes_of_the_command(qgis, data, tmp_path):
    pytest.importorskip("numba")
    more = ["--eirp", "15", "--resolution", "2", "--frequency", "2600"]
    command(
        "simulate",
        data / "buildings.gpkg",
        "--sites",
        data / "sites.csv",
        "-o",
        tmp_path / "cli",
        *more,
    )
    qgis.run(
        "rm_geo:simulate",
        BUILDINGS=data / "buildings.gpkg",
        SITES=data / "sites.csv",
        OUTPUT=tmp_path / "qgis",
        EIRP=15,
        RESOLUTION=2,
        FREQUENCY=2600,
    )
    assert bytes_in(tmp_path / "qgis") == bytes_in(tmp_path / "cli") != {}
    answer = qgis.run(
        "rm_geo:simulate",
        BUILDINGS=data / "buildings.gpkg",
        RADIO_MAP=tmp_path / "here.tif",
        POSITION=f"{CORNER[0] + 50},{CORNER[1] + 10} [EPSG:32633]",
        EIRP=15,
        RESOLUTION=2,
        OUTPUT=tmp_path / "one",
    )
    assert answer["results"]["RADIO_MAP"] == str(tmp_path / "here.tif")
    assert list(bytes_in(tmp_path / "one")) == ["site_rsrp.tif"]


def test_methods_are_validated_on_held_out_blocks(qgis, data, tmp_path):
    table = tmp_path / "tables" / "errors.csv"
    sparse = drive_frame(8, cells=("9",))
    write_frame(pandas.concat([drive_frame(), sparse]), tmp_path / "sparse.gpkg")
    results = qgis.run(
        "rm_geo:validate",
        INPUT=tmp_path / "sparse.gpkg",
        POINTS=tmp_path / "points.gpkg",
        OUTPUT=table,
        FOLDER=tmp_path / "folder ü",
        FOLDS=3,
        METHODS="nearest,knn,joint",
        BLOCK=20,
    )["results"]
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["cell"], row["method"]) for row in rows} == {
        (cell, method)
        for cell in ("7", "8", "all")
        for method in ("pipeline:nearest", "pipeline:knn", "joint")
    }
    overall = {row["method"]: float(row["rmse_db"]) for row in rows if row["cell"] == "all"}
    assert results["BEST"] == min(overall, key=overall.get).removeprefix("pipeline:")
    assert results["RMSE"] == pytest.approx(min(overall.values()), abs=1e-3)
    assert 0.0 < results["RMSE"] < 15.0
    points = geopandas.read_file(tmp_path / "points.gpkg")
    assert set(points.cell) == {"7", "8"}, "the sparse cell is left out"
    error = points.estimate_dbm - points.measured_dbm
    assert np.allclose(points.error_db, error, atol=0.02)
    assert np.sqrt((points.error_db**2).mean()) == pytest.approx(results["RMSE"], abs=0.5)
    assert [path.name for path in table.parent.iterdir()] == ["errors.csv"]
    page = qgis.run(
        "rm_geo:report", VALIDATION=tmp_path / "folder ü", OUTPUT=tmp_path / "report.html"
    )
    assert "Blocks of 20 m held out" in Path(page["results"]["OUTPUT"]).read_text("utf-8")


def test_the_environment_is_checked(qgis):
    results = qgis.run("rm_geo:check_environment")["results"]
    assert results["DEVICE"] in {"cpu", "cuda", "mps"}
    assert "radiocycle-drive-s" in results["MODELS"]


def test_the_example_model_runs(qgis, data, tmp_path):
    qgis.run(
        "rm_geo:Drive test to fine radio map",
        measurements=data / "drive.gpkg",
        method="knn",
        **{
            "estimate:Coarse radio map": tmp_path / "coarse.tif",
            "superresolve:Fine radio map": tmp_path / "fine.tif",
        },
    )
    assert (tmp_path / "fine.tif").is_file()
    assert (tmp_path / "coarse.tif").is_file()


def nothing_in(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("layer", "parameters", "words"),
    [
        ("lines.gpkg", {}, ["lines", "Extract vertices"]),
        ("nothing.gpkg", {}, ["nothing.gpkg"]),
        ("drive.gpkg", {"RSRP_FIELD": "wrong"}, ["wrong"]),
    ],
)
def test_invalid_input_gives_a_message_and_leaves_no_files(
    qgis, data, tmp_path, layer, parameters, words
):
    said = qgis.fail(
        "rm_geo:estimate", INPUT=data / layer, OUTPUT=tmp_path / "out", **{**FAST, **parameters}
    )
    for word in words:
        assert word in said
    assert nothing_in(tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("/no/such/python", ["does not exist", "RM_GEO_PYTHON"]),
        ("/usr/bin/python3", ["has no rm_geo", "pip install"]),
        ("/bin/echo", ["ended unexpectedly"]),
        ("/etc/passwd", ["cannot be run"]),
    ],
)
def test_wrong_interpreter_gives_a_message(qgis, data, tmp_path, python, words):
    said = qgis.fail(
        "rm_geo:estimate",
        INPUT=data / "drive.gpkg",
        OUTPUT=tmp_path / "out",
        variables={"RM_GEO_PYTHON": python},
    )
    for word in (*words, "Options"):
        assert word in said


def test_unwritable_folder_gives_a_message(qgis, data, tmp_path):
    (tmp_path / "file").write_text("no folder")
    said = qgis.fail(
        "rm_geo:estimate", INPUT=data / "drive.gpkg", OUTPUT=tmp_path / "file" / "x", **FAST
    )
    assert "Cannot write" in said
    said = qgis.fail(
        "rm_geo:estimate",
        INPUT=data / "drive.gpkg",
        OUTPUT=tmp_path / "out",
        RSRP=tmp_path / "file" / "x.tif",
        **FAST,
    )
    assert "Cannot write" in said
    assert not (tmp_path / "out").exists(), "refused before the work"
    said = qgis.fail("rm_geo:estimate", INPUT=data / "drive.gpkg", OUTPUT="/proc/no", **FAST)
    assert "/proc/no" in said


def test_a_killed_qgis_leaves_no_worker_and_no_files(qgis, data, tmp_path):
    arguments = {
        "INPUT": data / "drive.gpkg",
        "OUTPUT": tmp_path / "out",
        "REACH": 100,
        "METHOD": "random-forest",
        "RESOLUTION": 0.1,
        "MAX_TILES": 100_000,
    }
    process = subprocess.Popen(
        [
            qgis.process,
            "run",
            "rm_geo:estimate",
            "--",
            *(f"{name}={value}" for name, value in arguments.items()),
        ],
        env=qgis.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: (tmp_path / "out").exists(), "the output folder")
    (worker,) = psutil.Process(process.pid).children()
    assert "rm_geo.worker" in worker.cmdline()
    process.kill()
    process.wait()
    wait_until(
        lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE,
        "the worker to end",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["check_inputs.py", "check_planning.py", "check_results.py", "check_runs.py"]
)
def test_unit_tests_in_qgis_own_python(qgis, data, name):
    qgis.run_checks(name, RM_GEO_TEST_DATA=str(data))


def test_the_plugin_keeps_rm_geo_out_of_qgis_process(qgis, data, tmp_path):
    code = (
        "import sys, os; sys.argv = ['x']; sys.path.insert(0, os.environ['CHECKS'])\n"
        "import harness\n"
        "loaded = {'rm_geo', 'torch', 'rasterio', 'geopandas', 'numpy.typing'} & set(sys.modules)\n"
        "print(sorted(loaded - {'numpy.typing'})); sys.stdout.flush(); os._exit(0)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [QGIS_PYTHON, str(script)],
        text=True,
        capture_output=True,
        timeout=HANG_S,
        env=qgis.environment(RM_GEO_TEST_DATA=str(data), CHECKS=str(CHECKS)),
    )
    assert json.loads(done.stdout.splitlines()[-1].replace("'", '"')) == [], done.stderr
