"""Throughput of tiles, writing, resumed runs, and of jobs and tiles on several workers."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.memory import street_drive
from rm_geo.grid import Grid
from rm_geo.inference.batches import tile_batches
from rm_geo.inference.methods import open_method
from rm_geo.inference.runner import Clock, run_tiles
from rm_geo.io.cog import write_raster
from rm_geo.options import PredictOptions
from rm_geo.pipeline.predict import predict
from rm_geo.progress import SilentProgress
from rm_geo.raster.binning import bin_measurements
from rm_geo.sites.facts import SiteInfo

Rows = list[dict[str, object]]
_OVERLAP_PX = 32
_STEP_M = 256.0 - _OVERLAP_PX  # of neighbouring tiles


def tiles_by_batch(
    device: str, sizes: tuple[int, ...] = (1, 2, 4, 8), count: int = 16, model: Path | None = None
) -> Rows:
    """Measure tiles/s and km2/s of a model by engine and batch size.

    ``bare`` is the estimator alone, on prepared tiles; ``pipeline`` is :func:`rm_geo.predict` from
    measurements to files.
    """
    engines = ("torch",) if device != "cpu" else ("torch", "onnx")
    # n tiles along a side cover n steps and one overlap, including a margin of 20 m at each end.
    side_m = _STEP_M * np.sqrt(count) + _OVERLAP_PX - 2 * 20.0 - 2.0
    points = street_drive(side_m, side_m, gap_m=60.0)
    grid = Grid.covering(points.x, points.y, points.crs, margin_m=20.0)
    sparse = bin_measurements(points, grid)
    tiles = grid.tiles(256, _OVERLAP_PX)
    rows: Rows = []
    for engine in engines:
        label = engine if model is None else f"{engine}, {model.parent.name}"
        for size in sizes:
            options = {"engine": engine}
            try:
                method = open_method(
                    "radiocycle", device=device, batch_size=size, model=model, options=options
                )
                batches = list(tile_batches(sparse, tiles, SiteInfo(), size))
                method.estimator.estimate(batches[0])  # allocation and compilation
            except Exception as error:
                rows.append({"engine": label, "batch": size, "fault": str(error)})
                break
            clock = Clock()
            list(run_tiles(method.estimator, batches, clock=clock))
            bare = clock.tiles / clock.forward_s
            with tempfile.TemporaryDirectory() as folder:
                clock, begun = Clock(), time.perf_counter()
                (result,) = predict(
                    points,
                    folder,
                    PredictOptions(
                        device=device,
                        batch_size=size,
                        reach_m=20.0,
                        model=model,
                        method_options=options,
                        method_weight=0.5,
                    ),
                    clock=clock,
                )
                wall = time.perf_counter() - begun
            rows.append(
                {
                    "engine": label,
                    "batch": size,
                    "tiles": result.tiles,
                    "bare_tiles_per_s": round(bare, 2),
                    "pipeline_tiles_per_s": round(result.tiles / wall, 2),
                    "share_of_bare": round(result.tiles / wall / bare, 3),
                    "outside_estimator": round(1.0 - clock.forward_s / wall, 3),
                    "km2_per_s": round(result.rows * result.cols / wall / 1e6, 4),
                    "s_per_km2": round(1e6 * wall / (result.rows * result.cols), 2),
                }
            )
    return rows


def full_size(device: str, sizes: tuple[int, ...], count: int) -> Rows:
    """Measure the full-size drive-test network with untrained weights."""
    from rm_geo.networks import build
    from rm_geo.training.builtin_recipes import network_of_size
    from rm_geo.zoo.catalog import find_model, verified
    from rm_geo.zoo.onnx_export import export_onnx
    from rm_geo.zoo.onnx_files import export_path
    from rm_geo.zoo.weights import save_model

    kind = "radiocycle-drive"
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, RM_GEO_ONNX=folder):
        path = Path(folder) / "full size" / "model.safetensors"
        config = network_of_size(kind, "full")
        save_model(path, build(kind, config), kind, config)
        record = verified(find_model(path))
        if device == "cpu":
            export_onnx(record, export_path(record.sha256 or "", 256))
        return tiles_by_batch(device, sizes, count, path)


def writing(sides_px: tuple[int, ...] = (1024, 4096)) -> Rows:
    """Measure pixels/s of a cloud-optimised GeoTIFF with overviews and compression."""
    rows: Rows = []
    for side in sides_px:
        rng = np.random.default_rng(0)
        coarse = rng.normal(-95.0, 12.0, (side // 64 + 2, side // 64 + 2))
        values = np.kron(coarse, np.ones((64, 64)))[:side, :side].astype(np.float32)
        values += rng.normal(0.0, 0.5, values.shape).astype(np.float32)
        grid = Grid.create(500_000.0, 5_400_000.0, values.shape, 1.0, 32633)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "map.tif"
            begun = time.perf_counter()
            write_raster(path, (values[row : row + 256] for row in range(0, side, 256)), grid)
            wall = time.perf_counter() - begun
            rows.append(
                {
                    "pixels": side * side,
                    "seconds": round(wall, 2),
                    "mpixels_per_s": round(side * side / wall / 1e6, 4),
                    "mb": round(path.stat().st_size / 1e6, 1),
                }
            )
    return rows


class _CutOff(BaseException):
    """Interruption that no handler of the pipeline catches."""


class _StopAfterTiles(SilentProgress):
    """Progress that interrupts a run after a number of tiles."""

    def __init__(self, tiles: int) -> None:
        self.left = tiles

    def advance(self, amount: int = 1) -> None:
        self.left -= amount
        if self.left < 0:
            raise _CutOff


def resuming(side_m: float = 1200.0) -> Rows:
    """Measure a run, and both parts of one that is interrupted after half of its tiles."""
    from rm_geo.pipeline import predict as predict_module
    from rm_geo.pipeline import tile_pass

    points = street_drive(side_m, side_m, gap_m=60.0)
    options = PredictOptions(method="idw", method_weight=0.5, max_tiles=10**6)
    rows: Rows = []
    kept = tile_pass.MIN_KEPT_S
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        (whole,) = predict(points, Path(folder) / "whole", options)
        rows.append({"run": "uninterrupted", "seconds": round(time.perf_counter() - begun, 2)})
        resumable = predict_module.MIN_RESUMABLE_S
        predict_module.MIN_RESUMABLE_S = tile_pass.MIN_KEPT_S = 0.0
        try:
            begun = time.perf_counter()
            with contextlib.suppress(_CutOff):
                predict(points, Path(folder) / "cut", options, _StopAfterTiles(whole.tiles // 2))
            middle = time.perf_counter()
            clock = Clock()
            predict(points, Path(folder) / "cut", options, clock=clock)
            end = time.perf_counter()
        finally:
            predict_module.MIN_RESUMABLE_S, tile_pass.MIN_KEPT_S = resumable, kept
        rows.append({"run": "until cut off", "seconds": round(middle - begun, 2)})
        rows.append(
            {
                "run": "resumed",
                "seconds": round(end - middle, 2),
                "tiles_of": f"{clock.tiles} of {whole.tiles}",
            }
        )
    return rows


def scaling(workers: tuple[int, ...] = (1, 2), jobs: int = 4, side_m: float = 500.0) -> Rows:
    """Measure a batch by number of local workers, without their start."""
    from rm_geo.distributed.batch import run_batch
    from rm_geo.distributed.cluster import open_cluster
    from rm_geo.distributed.jobs import read_jobs

    rows: Rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "drives").mkdir()
        points = street_drive(side_m, side_m, gap_m=50.0)
        table = np.column_stack([points.x, points.y, points.rsrp_dbm])
        for job in range(jobs):
            np.savetxt(
                root / "drives" / f"d{job}.csv",
                table,
                delimiter=",",
                header="x,y,rsrp",
                comments="",
                fmt="%.2f",
            )
        options = PredictOptions(method="idw", crs="EPSG:32633", preview=False, device="cpu")
        for number in workers:
            with open_cluster(workers=number, device="cpu") as client:
                client.run(__import__, "rm_geo.pipeline.predict")  # imports are not measured
                begun = time.perf_counter()
                run_batch(
                    read_jobs([root / "drives"], root / f"out{number}", options),
                    root / f"out{number}",
                    client,
                )
                wall = time.perf_counter() - begun
            rows.append(
                {
                    "workers": number,
                    "jobs": jobs,
                    "seconds": round(wall, 2),
                    "jobs_per_s": round(jobs / wall, 3),
                }
            )
    return rows


class _TileClock(SilentProgress):
    """Progress that measures the duration of the tile stage."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begun = 0.0
        self._is_tiles = False

    def start(self, total: int, unit: str, label: str) -> None:
        self._is_tiles = unit == "tiles"
        self._begun = time.perf_counter()

    def finish(self) -> None:
        if self._is_tiles:
            self.seconds += time.perf_counter() - self._begun


def tile_scaling(workers: tuple[int, ...] = (1, 2, 4), side_m: float = 1200.0) -> Rows:
    """Measure one cell with its tiles on local workers; 0 workers means a single process.

    The method is loaded in the workers beforehand. ``tiles_per_s`` refers to the tile stage,
    ``seconds`` to the whole cell.
    """
    from rm_geo.distributed.cluster import open_cluster
    from rm_geo.distributed.tiles import DaskTiles

    points = street_drive(side_m, side_m, gap_m=60.0)
    options = PredictOptions(method="idw", preview=False, device="cpu", max_tiles=10**6)
    rows: Rows = []
    for number in (0, *workers):
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            tiles = None
            if number:
                client = stack.enter_context(open_cluster(workers=number, device="cpu"))
                tiles = stack.enter_context(DaskTiles(client, options))
                client.run(__import__, "rm_geo.estimators.idw")  # imports are not measured
            watch, begun = _TileClock(), time.perf_counter()
            (result,) = predict(points, folder, options, watch, tile_executor=tiles)
            rows.append(
                {
                    "workers": number,
                    "tiles": result.tiles,
                    "seconds": round(time.perf_counter() - begun, 2),
                    "tile_seconds": round(watch.seconds, 2),
                    "tiles_per_s": round(result.tiles / watch.seconds, 2),
                }
            )
    return rows


def machine() -> str:
    """Describe this machine in one line."""
    import os
    import platform

    info = Path("/proc/cpuinfo")
    name = platform.processor()
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    return f"{name}, {cores}, load {load:.1f} when the measurement began"
