"""Comparison with other tools on the same measurements and grid.

Each tool runs in a separate process, so that its time and peak memory include its imports and
files. Blocks of measurements are held out, and the error is that of the map at these places.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio

from benchmarks.memory import street_drive
from rm_geo.grid import Grid
from rm_geo.raster.binning import bin_measurements
from rm_geo.raster.sparse import SparseRaster

OURS = ("nearest", "idw", "radiocycle")
PYTHON_TOOLS = ("pykrige", "scipy-rbf", "sklearn-knn", "sklearn-rf")
GDAL_ALGORITHMS = {
    "gdal_grid linear": "linear:radius=-1",
    "gdal_grid invdistnn": "invdistnn:power=2.0:max_points=16:radius=100",
    "gdal_grid nearest": "nearest:radius1=100:radius2=100",
}
_BLOCK_M = 40
_HELD_SHARE = 0.25


def scene(side_m: float) -> tuple[SparseRaster, np.ndarray]:
    """Return measured pixels of streets 60 m apart, and the mask of those held out."""
    points = street_drive(side_m, side_m, gap_m=60.0, step_m=1.5)
    grid = Grid.covering(points.x, points.y, points.crs)
    sparse = bin_measurements(points, grid)
    blocks = np.random.default_rng(1).random(
        (grid.shape[0] // _BLOCK_M + 1, grid.shape[1] // _BLOCK_M + 1)
    )
    return sparse, blocks[sparse.row // _BLOCK_M, sparse.col // _BLOCK_M] < _HELD_SHARE


def compare(side_m: float, tools: list[str] | None = None) -> list[dict[str, object]]:
    """Run all installed tools and evaluate their maps.

    Parameters
    ----------
    side_m : float
        Side of the square in metres and in pixels.
    tools : list of str, optional
        Names of the tools. Default: all.
    """
    sparse, held = scene(side_m)
    kept = sparse.select(~held)
    names = [*OURS, *PYTHON_TOOLS, *(GDAL_ALGORITHMS if shutil.which("gdal_grid") else ())]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_points(kept, work / "points.csv")
        (work / "points.vrt").write_text(_VRT.format(path=work / "points.csv"))
        for name in tools or names:
            target = work / "map.tif"
            target.unlink(missing_ok=True)
            before = children_cpu_s()
            seconds, peak_mb, fault = run_watched(command_of(name, sparse.grid, work))
            row: dict[str, object] = {
                "tool": name,
                "points": len(kept),
                "km2": round(side_m**2 / 1e6, 3),
                "seconds": round(seconds, 2),
                "s_per_km2": round(seconds / side_m**2 * 1e6, 2),
                "cpu_s": round(children_cpu_s() - before, 2),
                "peak_mb": round(peak_mb),
                "rmse_db": None,
                "fault": fault,
            }
            if not fault:
                row["rmse_db"] = round(rmse_db(target, sparse, held), 2)
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


_VRT = """<OGRVRTDataSource><OGRVRTLayer name="points">
<SrcDataSource>{path}</SrcDataSource><GeometryType>wkbPoint</GeometryType>
<LayerSRS>EPSG:32633</LayerSRS>
<GeometryField encoding="PointFromColumns" x="x" y="y" z="rsrp"/>
</OGRVRTLayer></OGRVRTDataSource>"""


def write_points(sparse: SparseRaster, path: Path) -> None:
    """Write pixel centres and levels as CSV."""
    x, y = sparse.grid.to_world(sparse.row + 0.5, sparse.col + 0.5)
    table = np.column_stack([x, y, sparse.level_dbm])
    np.savetxt(
        path, table, fmt=("%.2f", "%.2f", "%.3f"), delimiter=",", header="x,y,rsrp", comments=""
    )


def command_of(name: str, grid: Grid, work: Path) -> list[str]:
    """Return the command that computes ``map.tif`` from ``points.csv``."""
    west, south, east, north = grid.bounds
    rows, cols = grid.shape
    if name in GDAL_ALGORITHMS:
        return [
            "gdal_grid",
            "-q",
            "-a",
            GDAL_ALGORITHMS[name],
            "-txe",
            str(west),
            str(east),
            "-tye",
            str(north),
            str(south),
            "-outsize",
            str(cols),
            str(rows),
            "-ot",
            "Float32",
            "-l",
            "points",
            str(work / "points.vrt"),
            str(work / "map.tif"),
        ]
    return [
        sys.executable,
        "-m",
        "benchmarks.rivals",
        "--tool",
        name,
        "--work",
        str(work),
        "--grid",
        json.dumps([west, north, rows, cols]),
    ]


def children_cpu_s() -> float:
    """Return the processor seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_watched(command: list[str], limit_s: float = 300.0) -> tuple[float, float, str]:
    """Run a command; return seconds, peak memory in MB, and the error message if it failed."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    status = Path(f"/proc/{process.pid}/status")
    peak_kb = 0
    while process.poll() is None:
        try:
            lines = status.read_text().splitlines()
            peak_kb = max([peak_kb, *(int(x.split()[1]) for x in lines if x.startswith("VmHWM"))])
        except OSError:
            pass
        if time.perf_counter() - begun > limit_s:
            process.kill()
            process.wait()
            return time.perf_counter() - begun, peak_kb / 1000.0, f"not done after {limit_s:g} s"
        time.sleep(0.02)
    assert process.stderr is not None
    errors = process.stderr.read().decode().strip().splitlines()
    fault = "" if process.returncode == 0 else (errors[-1] if errors else "failed")
    return time.perf_counter() - begun, peak_kb / 1000.0, fault


def rmse_db(path: Path, sparse: SparseRaster, held: np.ndarray) -> float:
    """Return the RMSE in dB of a map at the held-out pixels."""
    with rasterio.open(path) as dataset:
        values = dataset.read(1).astype(np.float64)
        values[values == (dataset.nodata if dataset.nodata is not None else 0.0)] = np.nan
        bounds, spacing = dataset.bounds, dataset.transform.a
        flipped = dataset.transform.e > 0.0
    if flipped:
        values = values[::-1]
    x, y = sparse.grid.to_world(sparse.row[held] + 0.5, sparse.col[held] + 0.5)
    row = np.floor((max(bounds.top, bounds.bottom) - y) / spacing).astype(int)
    col = np.floor((x - bounds.left) / spacing).astype(int)
    inside = (row >= 0) & (row < values.shape[0]) & (col >= 0) & (col < values.shape[1])
    found = values[row[inside], col[inside]]
    return float(np.sqrt(np.nanmean((found - sparse.level_dbm[held][inside]) ** 2)))


def run_tool(name: str, work: Path, grid: Grid) -> None:
    """Compute the map with one of the Python tools or rm_geo."""
    table = np.loadtxt(work / "points.csv", delimiter=",", skiprows=1)
    if name in OURS:
        from rm_geo.measurements.model import Measurements
        from rm_geo.options import PredictOptions
        from rm_geo.pipeline.predict import predict

        points = Measurements(
            table[:, 0],
            table[:, 1],
            table[:, 2].astype(np.float32),
            np.array(["map"] * len(table), dtype=object),
            grid.crs,
        )
        options = PredictOptions(method=name, device="cpu", preview=False)
        predict(points, work / "ours", options)
        shutil.move(work / "ours" / "map_rsrp.tif", work / "map.tif")
        return
    rows, cols = grid.shape
    xs = grid.to_world(0.5, np.arange(cols) + 0.5)[0]
    ys = grid.to_world(np.arange(rows) + 0.5, 0.5)[1]
    where = np.column_stack([np.tile(xs, rows), np.repeat(ys, cols)])
    values = interpolate(name, table[:, :2], table[:, 2], where)
    from rm_geo.io.cog import write_raster

    write_raster(work / "map.tif", values.reshape(rows, cols).astype(np.float32), grid)


def interpolate(name: str, places: np.ndarray, levels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Interpolate with usual settings of a tool for this number of points."""
    chunks = np.array_split(where, max(1, len(where) // 20_000))
    if name == "scipy-rbf":
        from scipy.interpolate import RBFInterpolator

        # Points along a street are collinear, for which thin plate splines have no solution.
        model = RBFInterpolator(places, levels, neighbors=50, kernel="linear")
        return np.concatenate([model(chunk) for chunk in chunks])
    if name == "sklearn-knn":
        from sklearn.neighbors import KNeighborsRegressor

        knn = KNeighborsRegressor(16, weights="distance").fit(places, levels)
        return np.concatenate([knn.predict(chunk) for chunk in chunks])
    if name == "sklearn-rf":
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(100, random_state=0).fit(places, levels)
        return np.concatenate([forest.predict(chunk) for chunk in chunks])
    from pykrige.ok import OrdinaryKriging

    # The variogram of all pairs would exceed the memory; kriging uses all points.
    chosen = np.random.default_rng(0).choice(len(places), min(2000, len(places)), replace=False)
    fitted = OrdinaryKriging(*places[chosen].T, levels[chosen], variogram_model="exponential")
    parameters = list(fitted.variogram_model_parameters)
    model = OrdinaryKriging(
        *places.T, levels, variogram_model="exponential", variogram_parameters=parameters
    )
    # One call for all positions, since each call computes the matrix of all points.
    return np.asarray(model.execute("points", *where.T, n_closest_points=16, backend="C")[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=float, default=1024.0, help="metres")
    parser.add_argument("--tool")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--grid")
    chosen = parser.parse_args()
    if chosen.work is not None:
        west, north, rows, cols = json.loads(chosen.grid)
        run_tool(chosen.tool, chosen.work, Grid.create(west, north, (rows, cols), 1.0, 32633))
        return
    compare(chosen.side, [chosen.tool] if chosen.tool else None)


if __name__ == "__main__":
    main()
