"""One building map of an area, from the building maps of its cells.

Each cell's map is the estimate of one network from one cell's levels. They are fused as
independent opinions of equal reliability: the mean of their log odds (logarithmic opinion pool;
Genest and Zidek, "Combining probability distributions", Statistical Science 1, 1986).

The fused map is little better than the best of its members: the maps of several cells along the
same streets share what they know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.errors import RmGeoError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.raster_reader import RasterFile, open_raster
from rm_geo.products.summary import CellResult

FILE_NAME: Final = "buildings.tif"
MASK_NAME: Final = "buildings_mask.tif"

BUILDINGS_ENDING: Final = "_buildings.tif"

EXPECTED_QUALITY: Final = (
    "from drives, AUC 0.6 against footprints of a campus, 0.7 to 0.8 in simulated cities"
)
"""Measured with all cells of a drive test; 0.5 would be chance."""

BAND_NAME: Final = "building probability"

QUALITY_TAG: Final = "expected_quality"
_LEAST: Final = 0.01
"""Probabilities are cut to this and its complement, so that one cell cannot decide alone."""

_BAND_BYTES: Final = 64 << 20


def write_area_buildings(
    files: Sequence[Path], target: Path, check: Callable[[], None] = lambda: None
) -> bool:
    """Fuse building maps of cells into one raster, band by band.

    Its tags are those that all maps share, the number of cells and the expected quality. Where
    there is nothing to fuse, the raster of an earlier run is removed.

    Parameters
    ----------
    files : sequence of Path
        GeoTIFFs of building probability of one run: of one CRS and pixel lattice.
    target : Path
        The raster of the area that all of them cover together.
    check : callable
        Called between bands; raises to stop the work.

    Returns
    -------
    bool
        Whether it was written: not of one cell, nor of cells that lie far apart.

    Raises
    ------
    InputError
        If a file cannot be read.
    OutputError
        If the raster cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from rm_geo.io.raster_reader import read_raster
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [Path(folder, name) for name in ("1_buildings.tif", "2_buildings.tif")]
    ...     for file, west in zip(files, (0.0, 1.0)):
    ...         write_raster(file, np.float32([[0.2, 0.8]]),
    ...                      Grid.create(500_000 + west, 5_000_000, (1, 2), 1.0, 32633))
    ...     _ = write_area_buildings(files, Path(folder, "buildings.tif"))
    ...     read_raster(Path(folder, "buildings.tif")).values.round(2).tolist()
    [[0.20000000298023224, 0.5, 0.800000011920929]]
    """
    area = BuildingArea.of(files)
    if area is None:
        remove_earlier(target)
        return False
    write_raster(
        target,
        _bands(area.rasters, area.offsets, area.grid.shape, check),
        area.grid,
        tags={**area.tags, QUALITY_TAG: EXPECTED_QUALITY},
        band_descriptions=[BAND_NAME],
        unit="1",
    )
    return True


@dataclass(frozen=True)
class BuildingArea:
    """Area that the building maps of the cells of a run cover together.

    Attributes
    ----------
    rasters : sequence of RasterFile
        The maps.
    grid : Grid
        Smallest grid that covers all of them.
    offsets : sequence of (int, int)
        Row and column of the corner of each map in that grid.
    tags : mapping of str to str
        Tags that all maps share, and the number of cells.
    """

    rasters: Sequence[RasterFile]
    grid: Grid
    offsets: Sequence[tuple[int, int]]
    tags: Mapping[str, str]

    @classmethod
    def of(cls, files: Sequence[Path]) -> BuildingArea | None:
        """Open the building maps of a run.

        Parameters
        ----------
        files : sequence of Path
            GeoTIFFs of building probability, of one CRS and pixel lattice.

        Returns
        -------
        BuildingArea or None
            None for fewer than two maps, or maps that lie far apart.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        rasters = [open_raster(file) for file in files]
        if len(rasters) < 2:
            return None
        grid, offsets = _covering([raster.grid for raster in rasters])
        if math.prod(grid.shape) > sum(math.prod(raster.grid.shape) for raster in rasters):
            return None
        common = set.intersection(*(set(raster.tags.items()) for raster in rasters))
        tags = {name: value for name, value in rasters[0].tags.items() if (name, value) in common}
        return cls(rasters, grid, offsets, {**tags, "cells": str(len(files))})


def remove_earlier(target: Path) -> None:
    """Remove a raster of an earlier run, not one of footprints that a user put there.

    Parameters
    ----------
    target : Path
        The building map of an area, or its mask.
    """
    try:
        is_own = target.exists() and QUALITY_TAG in open_raster(target, classes=True).tags
    except RmGeoError:
        return
    if is_own:
        target.unlink(missing_ok=True)


def _covering(grids: Sequence[Grid]) -> tuple[Grid, list[tuple[int, int]]]:
    """Cover all grids by one; the row and column of each one's corner in it."""
    first = grids[0]
    corners = [
        tuple(round(float(value)) for value in first.to_pixel(grid.bounds[0], grid.bounds[3]))
        for grid in grids
    ]
    top, left = (min(corner[axis] for corner in corners) for axis in (0, 1))
    bottom, right = (
        max(corner[axis] + grid.shape[axis] for corner, grid in zip(corners, grids, strict=True))
        for axis in (0, 1)
    )
    return first.window(slice(top, bottom), slice(left, right)), [
        (row - top, col - left) for row, col in corners
    ]


def _bands(
    rasters: Sequence[RasterFile],
    offsets: Sequence[tuple[int, int]],
    shape: tuple[int, int],
    check: Callable[[], None],
) -> Iterator[FloatArray]:
    """Fuse the rasters, some rows at a time."""
    height, width = shape
    rows = max(1, _BAND_BYTES // (8 * width))
    for start in range(0, height, rows):
        check()
        stop = min(start + rows, height)
        total = np.zeros((stop - start, width), dtype=np.float32)
        count = np.zeros((stop - start, width), dtype=np.int16)
        for raster, (top, left) in zip(rasters, offsets, strict=True):
            own_rows, own_cols = raster.grid.shape
            low, high = max(start, top), min(stop, top + own_rows)
            if low >= high:
                continue
            value = raster.read(slice(low - top, high - top), slice(0, own_cols))
            inside = slice(low - start, high - start), slice(left, left + own_cols)
            total[inside] += clipped_log_odds(value)
            count[inside] += np.isfinite(value)
        fused = 1.0 / (1.0 + np.exp(-total / np.maximum(count, 1)))
        yield np.where(count > 0, fused, np.nan).astype(np.float32)


def clipped_log_odds(probability: FloatArray) -> FloatArray:
    """Convert the opinion of one cell to log-odds, of at most 0.99.

    Parameters
    ----------
    probability : ndarray of float
        0..1, NaN where it is not known.

    Returns
    -------
    ndarray of float
        0 where it is not known.

    Examples
    --------
    >>> clipped_log_odds(np.array([0.5, 1.0, np.nan])).round(1).tolist()
    [0.0, 4.6, 0.0]
    """
    cut = np.clip(np.nan_to_num(probability, nan=0.5), _LEAST, 1.0 - _LEAST)
    return np.asarray(np.log(cut / (1.0 - cut)))


def building_files(results: Iterable[CellResult], folder: Path) -> list[Path]:
    """List the building maps of the mapped cells of a run.

    Parameters
    ----------
    results : iterable of CellResult
        The results of the run.
    folder : Path
        Its output folder.

    Returns
    -------
    list of Path
        The files.

    Examples
    --------
    >>> mapped = CellResult("7", "mapped", files=("7_rsrp.tif", "7_buildings.tif"))
    >>> [path.name for path in building_files([mapped], Path("out"))]
    ['7_buildings.tif']
    """
    names = (name for result in results if result.is_mapped for name in result.files)
    return [folder / name for name in names if name.endswith(BUILDINGS_ENDING)]
