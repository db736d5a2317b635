"""Every command that does not train works without PyTorch, or says what to install."""

import json
import subprocess
import sys

import geopandas
import numpy as np
import pytest
import rasterio
from shapely.geometry import Point, box

from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from tests.support.measurements import CORNER, drive_frame, write_frame
from tests.support.without_torch import environment_without_torch

RUN_COMMANDS = """
import json, sys
from click.testing import CliRunner
from rm_geo.cli.group import rm_geo
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(rm_geo, arguments, prog_name="rm-geo")
    print(json.dumps([arguments[0], result.exit_code, result.output]), flush=True)
print(json.dumps(["torch", int("torch" in sys.modules), ""]))
"""


def outcomes(commands, folder):
    """Run commands in one process without PyTorch; gives (name, exit code, output) of each."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_COMMANDS, json.dumps(commands)],
        env=environment_without_torch(folder / "site"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture
def inputs(tmp_path):
    """A drive test, a coarse raster, buildings and a site table."""
    for name in ("drive.csv", "drive.gpkg"):
        write_frame(drive_frame(200, cells=("7",)), tmp_path / name)
    grid = Grid.create(CORNER[0], CORNER[1] + 80.0, (20, 25), 4.0, 32633)
    level = np.linspace(-110.0, -70.0, 500, dtype=np.float32).reshape(20, 25)
    write_raster(tmp_path / "coarse.tif", level, grid)
    east, north = CORNER
    houses = [box(east + 20, north + 20, east + 45, north + 50)]
    frame = geopandas.GeoDataFrame({"height": [12.0]}, geometry=houses, crs="EPSG:32633")
    frame.to_file(tmp_path / "houses.gpkg")
    sites = geopandas.GeoDataFrame(
        {"cell": ["7"], "height_m": [20.0], "eirp_dbm": [15.0], "frequency_mhz": [1800.0]},
        geometry=[Point(east + 5, north + 5)],
        crs="EPSG:32633",
    )
    sites.to_file(tmp_path / "sites.gpkg")
    return tmp_path


def test_planners_commands_work_without_pytorch(inputs):
    def path(name):
        return str(inputs / name)

    unweighed = ["--method-weight", "0.5"]  # the first command estimates the weight
    few = ["--block", "50", "--folds", "2"]
    drive, houses, coarse = path("drive.csv"), path("houses.gpkg"), path("coarse.tif")
    commands = [
        ["predict", drive, "-o", path("maps"), "--device", "cpu"],
        ["predict", drive, "-o", path("known"), "--buildings", houses, *unweighed],
        ["batch", path("drive.gpkg"), "-o", path("batch"), "--workers", "1", *unweighed],
        ["superres", coarse, "-o", path("fine.tif")],
        ["superres", coarse, "-o", path("fine-8.tif"), "--scale", "8"],
        ["superres", coarse, "-o", path("walls.tif"), "--buildings", houses],
        ["superres", coarse, "-o", path("walls-8.tif"), "--scale", "8", "--buildings", houses],
        ["rasterize", drive, "-o", path("bins")],
        ["validate", drive, "-o", path("validation"), "--methods", "idw,pipeline:radiocycle", *few],
        ["models", "list"],
        ["models", "verify"],
        ["info"],
        ["doctor"],
    ]
    found = outcomes(commands, inputs)
    assert [(name, code) for name, code, _ in found] == [
        *((arguments[0], 0) for arguments in commands),
        ("torch", 0),
    ], [entry for entry in found if entry[1]]
    with rasterio.open(inputs / "maps" / "7_rsrp.tif") as dataset:
        assert dataset.tags()["engine"] == "onnx"
        assert dataset.tags()["precision"] == "float32"
    with rasterio.open(inputs / "walls-8.tif") as dataset:
        assert dataset.tags()["super_resolution_engine"] == "onnx"
    outputs = {name: output for name, _, output in found}
    assert "rm-geo[torch]" in outputs["doctor"]


def test_the_simulator_works_without_pytorch(inputs):
    pytest.importorskip("numba")
    command = ["simulate", str(inputs / "houses.gpkg"), "--sites", str(inputs / "sites.gpkg")]
    found = outcomes([[*command, "-o", str(inputs / "simulated")]], inputs)
    assert [code for _, code, _ in found] == [0, 0], found


def test_what_needs_pytorch_says_so(inputs):
    drive = str(inputs / "drive.csv")
    needing = [
        ["export", "radiocycle-drive-s"],
        ["predict", drive, "-o", str(inputs / "gpu"), "--device", "cuda"],
        ["predict", drive, "-o", str(inputs / "size"), "--tile-size", "96", "--overlap", "32"],
        ["predict", drive, "-o", str(inputs / "bf16"), "-O", "precision=bfloat16"],
        ["train", "radiocycle-drive", "--data", str(inputs), "--out", str(inputs / "run")],
    ]
    for name, code, output in outcomes(needing, inputs)[:-1]:
        assert code == 1, (name, output)
        assert "needs PyTorch, which is not installed" in output, (name, output)
        assert 'pip install "rm-geo[torch]"' in output, (name, output)
        assert "Traceback" not in output
