"""Evaluation of super-resolution of rasters from planning tools, compared with GIS resampling.

This is not a protocol of a paper. A coarse value is the mean of the outdoor pixels of a block, as
in rasters of planning tools or measurement grids, and blocks in buildings are nodata. The complete
workflow :func:`rm_geo.superresolve` is run, including its files. The alternative is resampling as
by ``gdalwarp``.
"""

from __future__ import annotations

import math
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
from rm_geo.evaluation.cases import SPACING_M, select_scenes, unit_scene
from rm_geo.evaluation.examples import typical_and_bad
from rm_geo.evaluation.intervals import ratio_interval
from rm_geo.grid import Grid
from rm_geo.io.cog import read_raster, write_raster
from rm_geo.progress import Progress, SilentProgress
from rm_geo.units import GAIN_SPAN_DB, gain_to_unit, unit_to_gain
from rm_geo.validation.figures import draw_maps
from rm_geo.validation.metrics import ErrorSums
from rm_geo.workflows.superresolve import superresolve
from rm_geo.zoo.catalog import default_model
from rm_geo.zoo.superres_models import refining_model

SuperresMethod: TypeAlias = Callable[[Path, Path, int], None]
"""Function that writes the second raster, finer by an integer factor, from the first."""

_CRS: Final = 32633
_WALL_PX: Final = 3
_BUILDINGS_NAME: Final = "buildings.tif"


@dataclass(frozen=True)
class SuperresRow:
    """Row of the table. Errors are of outdoor pixels in blocks with a value.

    Attributes
    ----------
    method : str
        Name of the method.
    scale : int
        Upscaling factor.
    maps : int
        Number of maps.
    rmse_db : float
        RMSE in dB.
    rmse_low_db, rmse_high_db : float
        Interval of 90 % of ``rmse_db``, from a bootstrap over the scenes.
    near_walls_db : float
        RMSE in dB of the pixels within 3 pixels of a building.
    maximum_db : float
        Largest error in dB.
    seconds_per_map : float
        Computing time, including files and, for networks, loading of the model.
    """

    method: str
    scale: int
    maps: int
    rmse_db: float
    rmse_low_db: float
    rmse_high_db: float
    near_walls_db: float
    maximum_db: float
    seconds_per_map: float


def coarse_raster(rsrp_dbm: FloatArray, outdoor: BoolArray, scale: int) -> FloatArray:
    """Average the outdoor pixels of each block.

    Parameters
    ----------
    rsrp_dbm : ndarray of float32, shape (H, W)
        Levels in dBm.
    outdoor : ndarray of bool, shape (H, W)
        Outdoor pixels.
    scale : int
        Side of a block in pixels, a divisor of H and W.

    Returns
    -------
    ndarray of float32, shape (H / scale, W / scale)
        Mean levels in dBm, NaN if less than half of a block is outdoors.

    Examples
    --------
    >>> coarse_raster(np.full((4, 4), -80.0, np.float32), np.ones((4, 4), bool), 2).tolist()
    [[-80.0, -80.0], [-80.0, -80.0]]
    """
    rows, cols = (length // scale for length in rsrp_dbm.shape)
    cells = (rows, scale, cols, scale)
    count = outdoor.reshape(cells).sum((1, 3))
    total = np.where(outdoor, rsrp_dbm, 0.0).reshape(cells).sum((1, 3), dtype=np.float64)
    mean = np.where(2 * count >= scale**2, total / np.maximum(count, 1), np.nan)
    return np.asarray(mean, dtype=np.float32)


def resample(coarse: Path, fine: Path, scale: int, *, how: Resampling) -> None:
    """Resample a raster as ``gdalwarp`` does, without regard to nodata, which stays nodata.

    Parameters
    ----------
    coarse, fine : Path
        Input and output raster.
    scale : int
        Upscaling factor.
    how : rasterio.enums.Resampling
        Resampling method.
    """
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


def superres_methods(
    model: str | Path | None = None, device: str = "auto", scales: Sequence[int] = (4,)
) -> dict[str, SuperresMethod]:
    """Return the methods of the table: resampling, and the network with 1 and 8 orientations.

    A network with known buildings is included if its default models exist for all scales.

    Parameters
    ----------
    model : str or Path, optional
        Name or file of a model. Default: the default models.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    scales : sequence of int
        Upscaling factors.

    Returns
    -------
    dict of str to callable
        Methods by name.

    Raises
    ------
    ModelError
        If there is no model for a scale.
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
        **{f"gdalwarp, {name}": partial(resample, how=how) for name, how in ways.items()},
        "rm-geo superres": partial(network, symmetries=1),
        "rm-geo superres, 8 turns": partial(network, symmetries=8),
        **with_buildings,
    }


def score_superres(
    data: SimulatedSet,
    methods: Mapping[str, SuperresMethod],
    *,
    scales: Sequence[int] = (4,),
    maps: Sequence[int] | None = None,
    transmitters: int = 1,
    progress: Progress | None = None,
) -> list[SuperresRow]:
    """Evaluate methods of super-resolution of rasters.

    Parameters
    ----------
    data : SimulatedSet
        Set of the recipe ``paper``, whose maps must not be training data of the networks.
    methods : mapping of str to callable
        Methods by name, see :func:`superres_methods`.
    scales : sequence of int
        Upscaling factors.
    maps : sequence of int, optional
        Map numbers. Default: all.
    transmitters : int
        Number of transmitters of each map.
    progress : Progress, optional
        Receiver of the progress in scenes, which may also cancel.

    Returns
    -------
    list of SuperresRow

    Raises
    ------
    UsageError
        If the set has none of the maps.
    ModelError
        If there is no model for a scale.
    """
    listener = progress or SilentProgress()
    scenes = select_scenes(data, maps)
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
                        sums[name, scale] = sums[name, scale].add(index, case, refine)
            listener.advance()
    listener.finish()
    return [of_method.row(name, scale) for (name, scale), of_method in sums.items()]


def draw_superres(
    data: SimulatedSet,
    methods: Mapping[str, SuperresMethod],
    path: Path,
    *,
    scale: int,
    maps: Sequence[int] | None = None,
) -> None:
    """Draw a typical and a bad raster of the last method: of median and of largest RMSE.

    Parameters
    ----------
    data : SimulatedSet
        Set of the recipe ``paper``.
    methods : mapping of str to callable
        Methods by name.
    path : Path
        PNG to write.
    scale : int
        Upscaling factor.
    maps : sequence of int, optional
        Map numbers. Default: all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="rm_geo-") as folder:

        def case_of(index: int) -> _Case:
            _write_buildings(data.scene(index).buildings, Path(folder))
            ((truth_dbm, indoor),) = _maps(data, index, 1)
            return _Case.of(truth_dbm, indoor, scale, Path(folder))

        def rmse_db(case: _Case, level_dbm: FloatArray) -> float:
            return ErrorSums.of(level_dbm, case.truth_dbm, case.scored).scores().rmse

        last = list(methods.values())[-1]
        ranked = []
        for index in select_scenes(data, maps):
            case = case_of(index)
            ranked.append((rmse_db(case, case.refined(last)), index))
        ranked.sort()
        panels: dict[str, FloatArray] = {}
        for title, (_, index) in typical_and_bad(ranked).items():
            case = case_of(index)
            coarse = gain_to_unit(read_raster(case.coarse).values)
            panels[f"{title}, {data.scene(index).scene_id}: raster"] = coarse
            outdoors = np.where(case.scored, gain_to_unit(case.truth_dbm), np.float32(np.nan))
            panels[f"{title}: truth"] = np.asarray(outdoors, dtype=np.float32)
            for name, refine in methods.items():
                level_dbm = case.refined(refine)
                panels[f"{title}: {name}, {rmse_db(case, level_dbm):.2f} dB"] = np.asarray(
                    np.where(case.scored, gain_to_unit(level_dbm), np.float32(np.nan))
                )
    draw_maps(path, panels, title=f"super-resolution {scale}x: level, 1.0 = {GAIN_SPAN_DB:g} dB")


def _write_buildings(buildings: BoolArray, folder: Path) -> None:
    """Write the building map of a scene to the folder of its coarse rasters."""
    grid = Grid.create(0.0, float(buildings.shape[0]), buildings.shape, SPACING_M, _CRS)
    write_raster(folder / _BUILDINGS_NAME, buildings, grid, dtype="uint8", nodata=None)


def _maps(
    data: SimulatedSet, index: int, transmitters: int
) -> Iterator[tuple[FloatArray, BoolArray]]:
    """Yield levels in dBm and the mask of buildings, (H, W) each, of the first transmitters."""
    scene = data.scene(index)
    cases = unit_scene(scene, np.arange(min(transmitters, len(scene.gains_db))))
    yield from zip(unit_to_gain(cases.truth_unit), cases.indoor, strict=True)


@dataclass(frozen=True)
class _Case:
    """Coarse raster on disk, and the fine map from which it is computed."""

    coarse: Path
    scale: int
    truth_dbm: FloatArray
    scored: BoolArray
    near_walls: BoolArray

    @classmethod
    def of(cls, truth_dbm: FloatArray, indoor: BoolArray, scale: int, folder: Path) -> _Case:
        """Write the coarse raster of a map."""
        values = coarse_raster(truth_dbm, ~indoor, scale)
        grid = Grid.create(0.0, float(truth_dbm.shape[0]), values.shape, scale * SPACING_M, _CRS)
        write_raster(folder / "coarse.tif", values, grid)
        known = np.repeat(np.repeat(np.isfinite(values), scale, axis=0), scale, axis=1)
        scored = known & ~indoor
        near = scored & ndimage.binary_dilation(indoor, iterations=_WALL_PX)
        return cls(folder / "coarse.tif", scale, truth_dbm, scored, near)

    def refined(self, refine: SuperresMethod) -> FloatArray:
        """Apply a method to the raster, and read its result."""
        fine = self.coarse.with_name("fine.tif")
        refine(self.coarse, fine, self.scale)
        return read_raster(fine).values


@dataclass(frozen=True)
class _Sums:
    """Sums of the errors of one method at one scale."""

    maps: int = 0
    seconds: float = 0.0
    outdoors: ErrorSums = field(default_factory=ErrorSums)
    near_walls: ErrorSums = field(default_factory=ErrorSums)
    maximum_db: float = 0.0
    scenes: Mapping[int, ErrorSums] = field(default_factory=dict)

    def add(self, scene: int, case: _Case, refine: SuperresMethod) -> _Sums:
        """Apply a method to a raster and add its errors."""
        begun = time.perf_counter()
        level_dbm = case.refined(refine)
        seconds = time.perf_counter() - begun
        error_db = np.abs(level_dbm - case.truth_dbm)[case.scored]
        outdoors = ErrorSums.of(level_dbm, case.truth_dbm, case.scored)
        return _Sums(
            self.maps + 1,
            self.seconds + seconds,
            self.outdoors + outdoors,
            self.near_walls + ErrorSums.of(level_dbm, case.truth_dbm, case.near_walls),
            max(self.maximum_db, float(error_db.max(initial=0.0))),
            {**self.scenes, scene: self.scenes.get(scene, ErrorSums()) + outdoors},
        )

    def row(self, name: str, scale: int) -> SuperresRow:
        """Return the row of the table."""
        sums = self.scenes.values()
        low, high = ratio_interval([s.squared for s in sums], [float(s.pixels) for s in sums])
        return SuperresRow(
            name,
            scale,
            self.maps,
            self.outdoors.scores().rmse,
            math.sqrt(low),
            math.sqrt(high),
            self.near_walls.scores().rmse,
            self.maximum_db,
            self.seconds / max(self.maps, 1),
        )
