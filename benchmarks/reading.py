"""Reading and binning speed by format: ``python benchmarks/reading.py [POINTS ...]``.

Each measurement runs in a separate process, so that its peak memory is that of one file, including
imports. The target is 1,000,000 points of GeoParquet in 3 s and 1 GB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FORMATS = ("parquet", "csv", "csv.gz", "gpkg", "fgb", "shp", "geojson")


def write_points(path: Path, count: int) -> None:
    """Write a simulated drive test: routes over 4 km x 4 km, 20 cells."""
    rng = np.random.default_rng(7)
    steps = rng.normal(0.0, 3e-5, (2, count)).cumsum(axis=1)
    lon = 13.40 + 0.03 * np.sin(30.0 * steps[0])
    lat = 52.52 + 0.02 * np.sin(30.0 * steps[1])
    table = {
        "rsrp": np.round(-95.0 + 12.0 * rng.standard_normal(count), 1).clip(-140, -44),
        "pci": rng.integers(0, 20, count),
        "timestamp": np.datetime64("2024-05-01T08:00:00", "ms") + np.arange(count) * 500,
    }
    if path.suffix in (".csv", ".gz"):
        import pandas as pd

        pd.DataFrame({"longitude": lon, "latitude": lat, **table}).to_csv(path, index=False)
        return
    import geopandas as gpd

    frame = gpd.GeoDataFrame(table, geometry=gpd.points_from_xy(lon, lat), crs=4326)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path, engine="pyogrio")


def measure(path: Path) -> None:
    """Read and bin one file; print seconds and peak memory as JSON."""
    started = time.perf_counter()
    from rm_geo.grid import Grid
    from rm_geo.measurements.reader import read_measurements
    from rm_geo.raster.binning import bin_measurements

    imported, cpu = time.perf_counter(), time.process_time()
    measurements, _ = read_measurements(path)
    read = time.perf_counter()
    grid = Grid.covering(measurements.x, measurements.y, measurements.crs)
    bin_measurements(measurements, grid)
    binned = time.perf_counter()
    cpu_s = time.process_time() - cpu
    result = {
        "import_s": imported - started,
        "read_s": read - imported,
        "bin_s": binned - read,
        "cpu_s": cpu_s,
        "peak_mb": peak_mb(),
        "grid": grid.shape,
    }
    print(json.dumps(result))


def peak_mb() -> float:
    """Return the peak resident memory of this process in MB, from VmHWM if available.

    ``ru_maxrss`` survives exec and therefore includes the memory of the parent at the fork.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1000.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(counts: list[int]) -> None:
    """Print one line for each format and number of points."""
    print(
        f"{'format':8} {'points':>9} {'read s':>7} {'bin s':>7} {'cpu s':>7} "
        f"{'points/s':>10} {'peak MB':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            for name in FORMATS:
                path = Path(folder) / f"drive_{count}.{name}"
                write_points(path, count)
                command = [sys.executable, __file__, "--measure", str(path)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                r = json.loads(out)
                rate = count / (r["read_s"] + r["bin_s"])
                print(
                    f"{name:8} {count:9,} {r['read_s']:7.2f} {r['bin_s']:7.2f} {r['cpu_s']:7.2f} "
                    f"{rate:10,.0f} {r['peak_mb']:8.0f}   grid {r['grid'][0]} x {r['grid'][1]}",
                    flush=True,
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
    else:
        main([int(text) for text in sys.argv[1:]] or [100_000, 1_000_000])
