"""Super-resolution of planners' rasters, judged against what a GIS does with them.

Not a protocol of a paper: a coarse value is the mean of a cell's outdoor pixels, as a planning
tool or a measurement grid has it, cells that lie in buildings are nodata, and the whole road of
:func:`rm_geo.superresolve` is run, files included. Resampling by ``gdalwarp`` is the alternative.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy import ndimage

from rm_geo._types import BoolArray, FloatArray
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.errors import ModelError
from rm_geo.evaluation.cases import SPACING_M, chosen_scenes, unit_scene
from rm_geo.grid import Grid
from rm_geo.io.cog import read_raster, write_raster
from rm_geo.progress import Progress, SilentProgress
from rm_geo.units import unit_to_gain
from rm_geo.validation.metrics import ErrorSums
from rm_geo.workflows.superresolve import superresolve
from rm_geo.zoo.catalog import default_model
from rm_geo.zoo.superres_models import refining_model

Refiner: TypeAlias = Callable[[Path, Path, int], None]
"""Makes the second file, finer by a whole factor, of the first."""

_CRS: Final = 32633
_WALL_PX: Final = 3
_BUILDINGS_NAME: Final = "buildings.tif"


@dataclass(frozen=True)
class SuperresRow:
    """A line of the table; errors in dB, outdoors, in pixels of cells that have a value.

    Attributes
    ----------
    method : str
    scale : int
    maps : int
    rmse_db : float
    near_walls_db : float
        Within 3 pixels of a building.
    maximum_db : float
        Largest error.
    seconds_per_map : float
        Files and, of networks, the loading of the model included.
    """

    method: str
    scale: int
    maps: int
    rmse_db: float
    near_walls_db: float
    maximum_db: float
    seconds_per_map: float


def coarse_raster(rsrp_dbm: FloatArray, outdoor: BoolArray, scale: int) -> FloatArray:
    """Mean over each cell's outdoor pixels; NaN where less than half of it is outdoors.

    Parameters
    ----------
    rsrp_dbm : ndarray of float32, shape (H, W)
    outdoor : ndarray of bool, shape (H, W)
    scale : int
        Pixels along a cell; divides H and W.
    """
    rows, cols = (length // scale for length in rsrp_dbm.shape)
    cells = (rows, scale, cols, scale)
    count = outdoor.reshape(cells).sum((1, 3))
    total = np.where(outdoor, rsrp_dbm, 0.0).reshape(cells).sum((1, 3), dtype=np.float64)
    mean = np.where(2 * count >= scale**2, total / np.maximum(count, 1), np.nan)
    return np.asarray(mean, dtype=np.float32)


def resampled(coarse: Path, fine: Path, scale: int, *, how: Resampling) -> None:
    """Resample as ``gdalwarp`` does: nodata takes no part, and stays nodata."""
    raster = read_raster(coarse)
    grid = raster.grid.scaled(scale)
    values = np.full(grid.shape, np.nan, dtype=np.float32)
    reproject(
        raster.values,
        values,
        src_transform=raster.grid.transform,
        src_crs=raster.grid.crs,
        src_nodata=np.nan,
        dst_transform=grid.transform,
        dst_crs=grid.crs,
        dst_nodata=np.nan,
        resampling=how,
    )
    write_raster(fine, values, grid)


def refiners(
    model: str | Path | None = None, device: str = "auto", scales: Sequence[int] = (4,)
) -> dict[str, Refiner]:
    """Give the lines of the table: resampling, and the network in one and eight orientations.

    Where a model that is told the buildings comes for all scales, it has a line of its own.
    """
    for scale in scales:
        refining_model(scale, model, takes_buildings=False)  # before any work

    def network(
        coarse: Path, fine: Path, scale: int, symmetries: int, *, known_buildings: bool = False
    ) -> None:
        buildings = coarse.with_name(_BUILDINGS_NAME) if known_buildings else None
        superresolve(
            coarse,
            fine,
            scale,
            model=None if known_buildings else model,
            device=device,
            symmetries=symmetries,
            buildings=buildings,
        )

    ways = {
        "nearest": Resampling.nearest,
        "bilinear": Resampling.bilinear,
        "cubic spline": Resampling.cubic_spline,
    }
    with_buildings = {}
    with suppress(ModelError):
        for scale in scales:
            default_model(f"superres-{scale}-buildings")
        with_buildings["rm-geo superres --buildings"] = partial(
            network, symmetries=1, known_buildings=True
        )
    return {
        **{f"gdalwarp, {name}": partial(resampled, how=how) for name, how in ways.items()},
        "rm-geo superres": partial(network, symmetries=1),
        "rm-geo superres, 8 turns": partial(network, symmetries=8),
        **with_buildings,
    }


def judge_superres(
    data: SimulatedSet,
    methods: Mapping[str, Refiner],
    *,
    scales: Sequence[int] = (4,),
    maps: Sequence[int] | None = None,
    transmitters: int = 1,
    progress: Progress | None = None,
) -> list[SuperresRow]:
    """Judge ways to refine coarse rasters.

    Parameters
    ----------
    data : SimulatedSet
        Of the recipe ``paper``; a network must not have learnt from its maps.
    methods : mapping of str to callable
        As :func:`refiners` gives them.
    scales : sequence of int
        Fine pixels along a coarse one.
    maps : sequence of int, optional
        Map numbers; all if not given.
    transmitters : int
        Of each map.
    progress : Progress, optional
        Counts maps, and can stop the work.

    Raises
    ------
    UsageError
        If the set has none of the maps.
    ModelError
        If there is no model for a scale.
    """
    listener = progress or SilentProgress()
    scenes = chosen_scenes(data, maps)
    sums = {(name, scale): _Sums() for scale in scales for name in methods}
    listener.start(len(scenes), "scenes", "super-resolution of rasters")
    with tempfile.TemporaryDirectory(prefix="rm_geo-") as folder:
        for index in scenes:
            buildings = data.scene(index).buildings
            _write_buildings(buildings, Path(folder))
            for truth_dbm, indoor in _maps(data, index, transmitters):
                for scale in scales:
                    case = _Case.of(truth_dbm, indoor, scale, Path(folder))
                    for name, refine in methods.items():
                        listener.check()
                        sums[name, scale] = sums[name, scale].add(case, refine)
            listener.advance()
    listener.finish()
    return [of_method.row(name, scale) for (name, scale), of_method in sums.items()]


def _write_buildings(buildings: BoolArray, folder: Path) -> None:
    """Write a building map beside the coarse rasters that are made of its scene."""
    grid = Grid.create(0.0, float(buildings.shape[0]), buildings.shape, SPACING_M, _CRS)
    write_raster(folder / _BUILDINGS_NAME, buildings, grid, dtype="uint8", nodata=None)


def _maps(
    data: SimulatedSet, index: int, transmitters: int
) -> Iterator[tuple[FloatArray, BoolArray]]:
    """Levels in dBm of a scene's first transmitters, and where buildings are; (H, W) each."""
    scene = data.scene(index)
    cases = unit_scene(scene, np.arange(min(transmitters, len(scene.gains_db))))
    yield from zip(unit_to_gain(cases.truth_unit), cases.indoor, strict=True)


@dataclass(frozen=True)
class _Case:
    """One coarse raster on disk, and the fine map that it was made of."""

    coarse: Path
    scale: int
    truth_dbm: FloatArray
    judged: BoolArray
    near_walls: BoolArray

    @classmethod
    def of(cls, truth_dbm: FloatArray, indoor: BoolArray, scale: int, folder: Path) -> _Case:
        """Write the coarse raster of a map."""
        values = coarse_raster(truth_dbm, ~indoor, scale)
        grid = Grid.create(0.0, float(truth_dbm.shape[0]), values.shape, scale * SPACING_M, _CRS)
        write_raster(folder / "coarse.tif", values, grid)
        known = np.repeat(np.repeat(np.isfinite(values), scale, axis=0), scale, axis=1)
        judged = known & ~indoor
        near = judged & ndimage.binary_dilation(indoor, iterations=_WALL_PX)
        return cls(folder / "coarse.tif", scale, truth_dbm, judged, near)


@dataclass(frozen=True)
class _Sums:
    """Sums of one method at one scale over the maps so far."""

    maps: int = 0
    seconds: float = 0.0
    outdoors: ErrorSums = field(default_factory=ErrorSums)
    near_walls: ErrorSums = field(default_factory=ErrorSums)
    maximum_db: float = 0.0

    def add(self, case: _Case, refine: Refiner) -> _Sums:
        """Refine a raster and add the errors of what comes out."""
        fine = case.coarse.with_name("fine.tif")
        begun = time.perf_counter()
        refine(case.coarse, fine, case.scale)
        seconds = time.perf_counter() - begun
        level_dbm = read_raster(fine).values
        error_db = np.abs(level_dbm - case.truth_dbm)[case.judged]
        return _Sums(
            self.maps + 1,
            self.seconds + seconds,
            self.outdoors + ErrorSums.of(level_dbm, case.truth_dbm, case.judged),
            self.near_walls + ErrorSums.of(level_dbm, case.truth_dbm, case.near_walls),
            max(self.maximum_db, float(error_db.max(initial=0.0))),
        )

    def row(self, name: str, scale: int) -> SuperresRow:
        """Give the line of the table."""
        return SuperresRow(
            name,
            scale,
            self.maps,
            self.outdoors.scores().rmse,
            self.near_walls.scores().rmse,
            self.maximum_db,
            self.seconds / max(self.maps, 1),
        )
