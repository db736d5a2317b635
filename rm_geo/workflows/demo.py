"""Demonstration: a map of simulated measurements in a synthetic city, compared with the truth.

A generated city and the dominant path model give a drive test of three cells. It is written as a
GeoPackage with the properties of real drive tests: routes along streets, noise, rounding to whole
dBm, and placeholders. :func:`rm_geo.pipeline.predict.predict` maps it. The maps, and those of
nearest neighbours, are compared with the simulation.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
from pyproj import CRS, Transformer

from rm_geo._types import BoolArray, FloatArray
from rm_geo._util.atomic import part_folder, prepare_output_folder, publish_files, replacing
from rm_geo._util.csv_text import csv_text
from rm_geo.datasets.cities import City, generate_city
from rm_geo.datasets.routes import route_order
from rm_geo.datasets.sampling import Corruption
from rm_geo.estimators.base import TileBatch
from rm_geo.estimators.knn import KnnEstimator
from rm_geo.grid import Grid
from rm_geo.io.cog import read_raster, write_raster
from rm_geo.io.provenance import describe_software
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.plan import plan_run
from rm_geo.pipeline.predict import predict
from rm_geo.planning.product import PlanInputs
from rm_geo.planning.settings import PlanSettings
from rm_geo.products.summary import CellResult
from rm_geo.progress import Progress, SilentProgress
from rm_geo.propagation import Antenna, DominantPathModel, Scene, SectorPattern
from rm_geo.raster.binning import bin_measurements
from rm_geo.raster.sparse import SparseRaster
from rm_geo.validation.metrics import BuildingCounts, ErrorSums
from rm_geo.workflows.plan import PlanResult, make_plan, write_plan_report

_CRS: Final = CRS.from_epsg(32633)
_CORNER: Final = (500_000.0, 5_400_000.0)  # a place in the middle of a UTM zone
_EIRP_DBM: Final = 3.0  # per resource element: a small cell, so that the map shows all classes
_FREQUENCY_MHZ: Final = 2600.0
_COVERAGE: Final = 0.06
_ERRORS: Final = Corruption(noise_db=2.0, quantum_db=1.0)
_FAULTY_SHARE: Final = 0.002
_FAINTEST_DBM: Final = -135.0  # sensitivity of the receiver
_COVERED_DBM: Final = -100.0  # outdoors, so that a window is covered too


@dataclass(frozen=True)
class Comparison:
    """Errors of the maps of one cell against the simulation.

    Attributes
    ----------
    cell : str
        The cell.
    measured_share : float
        Share of the outdoor pixels that have measurements.
    rmse_db, knn_rmse_db : float
        Root mean square error in dB of the method and of nearest neighbours, over outdoor pixels
        within reach that have no measurement.
    building_f1 : float or None
        F1 of the building map within reach; None if the method makes none.
    """

    cell: str
    measured_share: float
    rmse_db: float
    knn_rmse_db: float
    building_f1: float | None


@dataclass(frozen=True)
class DemoResult:
    """Files and comparison of the demo.

    Attributes
    ----------
    folder : Path
        Folder of all files.
    cells : tuple of CellResult
        As of :func:`rm_geo.pipeline.predict.predict`.
    comparison : tuple of Comparison
        One for each mapped cell.
    plan : PlanResult
        Planning products of the maps.
    report : Path
        HTML file that shows them.
    """

    folder: Path
    cells: tuple[CellResult, ...]
    comparison: tuple[Comparison, ...]
    plan: PlanResult
    report: Path


@dataclass(frozen=True)
class _World:
    """The city, and the simulated levels of its cells."""

    city: City
    grid: Grid
    antennas: dict[str, Antenna]
    rsrp_dbm: dict[str, FloatArray]
    sampled: dict[str, BoolArray]


def run_demo(
    output_dir: str | os.PathLike[str] = "demo",
    options: PredictOptions | None = None,
    *,
    size_px: int = 448,
    seed: int = 7,
    progress: Progress | None = None,
) -> DemoResult:
    """Simulate a drive test, map it, plan with the maps, and compare them with the simulation.

    Parameters
    ----------
    output_dir : path-like
        Folder for ``drive_test.gpkg``, ``sites.csv``, ``truth/``, ``maps/``, ``plan/``,
        ``comparison.csv`` and ``report.html``.
    options : PredictOptions, optional
        Options of the maps; ``sites`` and ``crs`` are replaced.
    size_px : int
        Side of the city in metres and pixels.
    seed : int
        Seed of the random city and drive test.
    progress : Progress, optional
        Receives the progress.

    Returns
    -------
    DemoResult

    Raises
    ------
    RmGeoError
        As :func:`rm_geo.pipeline.predict.predict`.

    Examples
    --------
    >>> result = run_demo("demo")  # doctest: +SKIP
    >>> result.comparison[0].rmse_db < result.comparison[0].knn_rmse_db  # doctest: +SKIP
    True
    """
    listener = SilentProgress() if progress is None else progress
    folder = prepare_output_folder(output_dir)
    world, drive_test, sites = _write_data(folder, size_px, seed, listener)
    _write_truth(world, folder)
    chosen = (options or PredictOptions()).replace(sites=sites, crs=None)
    maps = folder / "maps"
    results = predict(drive_test, maps, chosen, listener)
    measured = {cell.cell: cell.measurements for cell in plan_run(drive_test, chosen).cells}
    rows = [
        _compare(world, result.cell, maps, measured[result.cell])
        for result in results
        if result.is_mapped
    ]
    _write_comparison(rows, folder / "comparison.csv")
    plan = make_plan(
        maps,
        folder / "plan",
        PlanSettings(coverage={"threshold_dbm": _COVERED_DBM}),
        sites=sites,
        inputs=PlanInputs(measurements=drive_test),
        progress=listener,
    )
    report = write_plan_report(plan.folder, [maps], folder / "report.html", progress=listener)
    return DemoResult(folder, tuple(results), tuple(rows), plan, report)


def write_demo_data(
    output_dir: str | os.PathLike[str],
    *,
    size_px: int = 448,
    seed: int = 7,
    progress: Progress | None = None,
) -> tuple[Path, Path]:
    """Write the drive test and the sites of the demo, and map nothing.

    Parameters
    ----------
    output_dir, size_px, seed, progress
        As of :func:`run_demo`.

    Returns
    -------
    drive_test, sites : Path
        ``drive_test.gpkg`` and ``sites.csv``.

    Raises
    ------
    RmGeoError
        If a package of the simulation is missing, or a file cannot be written.

    Examples
    --------
    >>> drive_test, sites = write_demo_data("demo")  # doctest: +SKIP
    """
    listener = SilentProgress() if progress is None else progress
    folder = prepare_output_folder(output_dir)
    _, drive_test, sites = _write_data(folder, size_px, seed, listener)
    return drive_test, sites


def _write_data(
    folder: Path, size_px: int, seed: int, progress: Progress
) -> tuple[_World, Path, Path]:
    """Simulate the city, and write its drive test and its sites."""
    progress.log(f"Simulating a city of {size_px} m x {size_px} m with three cells")
    world = _simulate(size_px, np.random.default_rng(seed))
    drive_test = _write_drive_test(world, folder, np.random.default_rng(seed + 1))
    return world, drive_test, _write_sites(world, folder)


def _simulate(size_px: int, rng: np.random.Generator) -> _World:
    """Create the city, its cells and their routes."""
    city = generate_city(rng, (size_px, size_px))
    grid = Grid.create(*_CORNER, (size_px, size_px), 1.0, _CRS)
    outdoors = ~city.buildings
    antennas = _antennas(city, rng)
    scene = Scene.from_mask(city.buildings, city.heights_m)
    model = DominantPathModel()
    levels, sampled = {}, {}
    for cell, antenna in antennas.items():
        gain = 0.0 if antenna.pattern is None else antenna.pattern.max_gain_dbi
        levels[cell] = model.path_gain(scene, antenna) + np.float32(_EIRP_DBM - gain)
        order = route_order(rng, city.roads, outdoors, coverage=_COVERAGE)
        sampled[cell] = (order >= 0) & (levels[cell] > _FAINTEST_DBM)
    return _World(city, grid, antennas, levels, sampled)


def _antennas(city: City, rng: np.random.Generator) -> dict[str, Antenna]:
    """Create a small cell in a street and two sectors on roofs, in different parts of the city."""
    rows, cols = city.buildings.shape
    hertz = _FREQUENCY_MHZ * 1e6
    street = _near(city.roads, (0.5 * rows, 0.45 * cols))
    antennas = {"101": Antenna.at_pixel(*street, height_m=6.0, frequency_hz=hertz)}
    for cell, (down, right), azimuth_deg in (
        ("205", (0.25, 0.7), 210.0),
        ("206", (0.8, 0.3), 40.0),
    ):
        row, col = _near(city.buildings, (down * rows, right * cols))
        antennas[cell] = Antenna.at_pixel(
            row,
            col,
            height_m=float(city.heights_m[row, col]) + float(rng.uniform(3.0, 6.0)),
            frequency_hz=hertz,
            pattern=SectorPattern(azimuth_deg=azimuth_deg, downtilt_deg=6.0),
        )
    return antennas


def _near(mask: BoolArray, position: tuple[float, float]) -> tuple[int, int]:
    """Return the pixel of a mask nearest to a position."""
    rows, cols = np.nonzero(mask)
    nearest = int(np.argmin((rows - position[0]) ** 2 + (cols - position[1]) ** 2))
    return int(rows[nearest]), int(cols[nearest])


def _write_drive_test(world: _World, folder: Path, rng: np.random.Generator) -> Path:
    """Write the measurements of all cells as a GeoPackage in degrees."""
    import geopandas

    parts = []
    for cell, sampled in world.sampled.items():
        rows, cols = np.nonzero(sampled)
        # Random positions within the pixels: receivers are not aligned with the grid.
        down, right = rng.uniform(0.05, 0.95, (2, rows.size))
        x, y = world.grid.to_world(rows + down, cols + right)
        levels = _ERRORS.apply(rng, world.rsrp_dbm[cell][rows, cols])
        levels[rng.random(levels.size) < _FAULTY_SHARE] = -200.0
        parts.append((np.full(levels.size, int(cell)), x, y, levels))
    pci, x, y, levels = (np.concatenate(values) for values in zip(*parts, strict=True))
    to_degrees = Transformer.from_crs(_CRS, CRS.from_epsg(4326), always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    frame = geopandas.GeoDataFrame(
        {"PCI": pci, "RSRP (dBm)": levels.astype(np.float64)},
        geometry=geopandas.points_from_xy(longitude, latitude),
        crs="EPSG:4326",
    )
    path = folder / "drive_test.gpkg"
    with part_folder(path) as staging:
        made = staging / path.name
        frame.to_file(made, layer="measurements", driver="GPKG")
        publish_files([made], folder)
    return path


def _write_sites(world: _World, folder: Path) -> Path:
    """Write the site table in a usual form."""
    path = folder / "sites.csv"
    west, _, _, north = world.grid.bounds
    to_degrees = Transformer.from_crs(_CRS, CRS.from_epsg(4326), always_xy=True)
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "cell",
                "longitude",
                "latitude",
                "height_m",
                "azimuth_deg",
                "downtilt_deg",
                "frequency_mhz",
            ]
        )
        for cell, antenna in world.antennas.items():
            lon, lat = to_degrees.transform(west + antenna.x_m, north - antenna.y_m)
            pattern = antenna.pattern
            sector = ("", "") if pattern is None else (pattern.azimuth_deg, pattern.downtilt_deg)
            writer.writerow(
                [
                    cell,
                    f"{lon:.7f}",
                    f"{lat:.7f}",
                    f"{antenna.height_m:.1f}",
                    *sector,
                    _FREQUENCY_MHZ,
                ]
            )
    return path


def _write_truth(world: _World, folder: Path) -> None:
    """Write the simulated maps and buildings."""
    truth = prepare_output_folder(folder / "truth")
    tags = describe_software() | {"method": "dominant path model, generated city"}
    write_raster(
        truth / "buildings.tif",
        world.city.buildings,
        world.grid,
        nodata=None,
        resampling="mode",
        tags=tags,
    )
    for cell, levels in world.rsrp_dbm.items():
        outdoors = np.where(world.city.buildings, np.float32(np.nan), levels)
        write_raster(
            truth / f"{cell}_rsrp.tif",
            outdoors,
            world.grid,
            unit="dBm",
            tags={**tags, "cell": cell},
        )


def _compare(world: _World, cell: str, maps: Path, measured: Measurements) -> Comparison:
    """Compare one cell with the simulation, where both methods have an estimate."""
    level = _on_grid(maps / f"{cell}_rsrp.tif", world.grid)
    knn = _nearest_neighbours(bin_measurements(measured, world.grid))
    outdoors = ~world.city.buildings
    in_reach = np.isfinite(level) & np.isfinite(knn)
    compared = in_reach & outdoors & ~world.sampled[cell]
    truth = world.rsrp_dbm[cell]
    probability_path = maps / f"{cell}_buildings.tif"
    f1 = None
    if probability_path.exists():
        probability = _on_grid(probability_path, world.grid)[in_reach]
        f1 = BuildingCounts.of(probability, world.city.buildings[in_reach]).scores().f1
    return Comparison(
        cell=cell,
        measured_share=float(world.sampled[cell].sum() / outdoors.sum()),
        rmse_db=ErrorSums.of(level, truth, compared).scores().rmse,
        knn_rmse_db=ErrorSums.of(knn, truth, compared).scores().rmse,
        building_f1=f1,
    )


def _nearest_neighbours(sparse: SparseRaster) -> FloatArray:
    """Interpolate by nearest neighbours, the whole city as one tile."""
    unknown = np.full((1, 2), np.nan, dtype=np.float32)
    tile = TileBatch(sparse.dense_rsrp_dbm()[None], sparse.grid.spacing_m, unknown, unknown[:, 0])
    level: FloatArray = KnnEstimator().estimate(tile).rsrp_dbm[0]
    return level


def _on_grid(path: Path, grid: Grid) -> FloatArray:
    """Read a map and place it on another grid with the same pixels; NaN outside of the map."""
    raster = read_raster(path)
    row, col = (
        round(float(value)) for value in grid.to_pixel(raster.grid.bounds[0], raster.grid.bounds[3])
    )
    placed: FloatArray = np.full(grid.shape, np.nan, dtype=np.float32)
    height, width = raster.values.shape
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + height, grid.shape[0]), min(col + width, grid.shape[1])
    placed[top:bottom, left:right] = raster.values[
        top - row : bottom - row, left - col : right - col
    ]
    return placed


def _write_comparison(rows: Sequence[Comparison], path: Path) -> None:
    """Write the comparison as a table."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Comparison)])
        writer.writeheader()
        for row in rows:
            writer.writerow({key: csv_text(value) for key, value in asdict(row).items()})
