"""Peak memory by area: ``python -m benchmarks.memory 10x10 10x40``.

Each area, in kilometres (west to east x south to north), is mapped at 1 m in a separate process,
from a Parquet file of streets 250 m apart with a measurement every 2 m. All steps that process
whole rasters are enabled: regression kriging, the combination with IDW, the preview. The method is
a fast one, since memory does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.reading import peak_mb


def street_drive(width_m: float, height_m: float, gap_m: float = 250.0, step_m: float = 2.0):
    """Return measurements of one cell along streets in both directions."""
    from pyproj import CRS

    from rm_geo.measurements.model import Measurements

    rng = np.random.default_rng(0)
    xs, ys = [], []
    for street in np.arange(0.0, height_m + 1.0, gap_m):
        along = np.arange(0.0, width_m, step_m)
        xs.append(along)
        ys.append(np.full_like(along, street))
    for street in np.arange(0.0, width_m + 1.0, gap_m):
        along = np.arange(0.0, height_m, step_m)
        xs.append(np.full_like(along, street))
        ys.append(along)
    x, y = np.concatenate(xs), np.concatenate(ys)
    distance = np.hypot(x - 0.4 * width_m, y - 0.6 * height_m)
    level = -50.0 - 25.0 * np.log10(1.0 + distance / 5.0) + 6.0 * np.sin(x / 70.0)
    level += rng.normal(0.0, 3.0, x.size)
    return Measurements(
        x=500_000.0 + x,
        y=5_400_000.0 + y,
        rsrp_dbm=level.clip(-140, -44).astype(np.float32),
        cell=np.array(["1"] * x.size, dtype=object),
        crs=CRS.from_epsg(32633),
    )


class Flat:
    """Estimator with constant maps, so that only the rest of the pipeline is measured."""

    name = "flat"
    maps_buildings = True
    provenance: dict[str, str] = {}  # noqa: RUF012 - a protocol's attribute

    def estimate(self, batch):
        from rm_geo.estimators.base import Estimate

        level, buildings, std = (
            np.full(batch.rsrp_dbm.shape, value, np.float32) for value in (-95.0, 0.25, 6.0)
        )
        return Estimate(level, buildings, std)


def write_drive(path: Path, width_km: float, height_km: float) -> None:
    """Write the measurements of an area as Parquet without geometry."""
    import pyarrow as pa
    from pyarrow import parquet

    points = street_drive(1000.0 * width_km, 1000.0 * height_km)
    cell = pa.array(["1"]).take(pa.array(np.zeros(len(points), np.int32)))
    columns = {"x": points.x, "y": points.y, "rsrp": points.rsrp_dbm, "cell": cell}
    parquet.write_table(pa.table(columns), path, row_group_size=1 << 16)


def measure(drive: Path, area: str, method: str) -> None:
    """Map one area in this process and print time and memory as JSON."""
    from rm_geo.inference.method_spec import MethodRecipe
    from rm_geo.inference.methods import OpenMethod
    from rm_geo.inference.runner import Clock
    from rm_geo.options import PredictOptions
    from rm_geo.pipeline import predict

    clock = Clock()
    network = {"device": "cpu"} if method == "radiocycle" else {"method_weight": 0.5}
    options = PredictOptions(
        method=method, max_tiles=10**6, uncertainty=True, crs="EPSG:32633", **network
    )
    if method == "flat":
        MethodRecipe.opened = lambda _: OpenMethod(Flat(), "cpu", 16)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        (result,) = predict.predict(drive, folder, options, clock=clock)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    print(
        json.dumps(
            {
                "area_km2": round(float(np.prod([float(side) for side in area.split("x")])), 3),
                "pixels": result.rows * result.cols,
                "points": result.measurements,
                "tiles": result.tiles,
                "method": method,
                "wall_s": round(time.perf_counter() - begun, 1),
                "estimator_s": round(clock.forward_s, 1),
                "peak_mb": round(peak_mb()),
                "output_mb": round(size / 1e6),
            }
        )
    )


def run(areas: list[str], method: str = "flat") -> list[dict[str, object]]:
    """Measure areas, each in a separate process."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for area in areas:
            drive = Path(folder) / "drive.parquet"
            write_drive(drive, *(float(side) for side in area.split("x")))
            command = [
                sys.executable,
                "-m",
                "benchmarks.memory",
                area,
                "--measure",
                str(drive),
                "--method",
                method,
            ]
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found.append(json.loads(out.splitlines()[-1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("areas", nargs="*", default=["1x1", "2x2", "2x8"])
    parser.add_argument("--method", default="flat")
    parser.add_argument("--measure", metavar="FILE", type=Path)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.measure, chosen.areas[0], chosen.method)
        return
    for row in run(chosen.areas, chosen.method):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
