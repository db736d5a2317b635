"""Population rasters and road layers, placed on the grid of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import Geod
from rasterio.io import DatasetReader
from rasterio.warp import Resampling, reproject, transform_bounds
from rasterio.windows import Window, from_bounds

from rm_geo._types import Float64Array, FloatArray
from rm_geo.errors import CrsError, InputError
from rm_geo.grid import Grid
from rm_geo.io.features import read_layer
from rm_geo.io.raster_reader import opened_raster

_MARGIN_PX: Final = 2


def population_on(path: Path, grid: Grid) -> FloatArray:
    """Spread the persons of a population raster over the pixels of a grid.

    The persons of each pixel of the raster are taken to live evenly over its area, so that the
    number of persons in an area does not depend on the pixels or the CRS.

    Parameters
    ----------
    path : Path
        Raster of persons for each of its pixels, in any CRS, such as WorldPop's.
    grid : Grid
        Pixels of the result.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Persons for each pixel; 0 where the raster has no data or ends.

    Raises
    ------
    InputError
        If the raster cannot be read, or has negative values.
    CrsError
        If it has no CRS.
    """
    values: FloatArray = np.zeros(grid.shape, dtype=np.float32)
    with _opened(path) as dataset:
        bounds = transform_bounds(
            rasterio.crs.CRS.from_user_input(grid.crs), dataset.crs, *grid.bounds, densify_pts=21
        )
        window = _window(dataset, bounds)
        if window is None:
            return values
        persons = dataset.read(1, window=window, masked=True).astype(np.float64).filled(0.0)
        persons[~np.isfinite(persons)] = 0.0
        if (persons < 0.0).any():
            raise InputError(
                f"{path} is no population raster: it has values of {persons.min():g}.",
                hint="Give persons for each pixel; declare the nodata value (gdal_edit.py "
                "-a_nodata).",
                path=path,
            )
        transform = dataset.window_transform(window)
        density = persons / _pixel_areas_m2(dataset, transform, persons.shape)
        reproject(
            density.astype(np.float64),
            values,
            src_transform=transform,
            src_crs=dataset.crs,
            dst_transform=grid.transform,
            dst_crs=rasterio.crs.CRS.from_user_input(grid.crs),
            resampling=_resampling(dataset, grid),
            init_dest_nodata=True,
        )
    return np.asarray(values * np.float32(grid.spacing_m**2), dtype=np.float32)


def require_population(path: Path, grid: Grid) -> None:
    """Check a population raster before the work.

    Parameters
    ----------
    path : Path
        The raster.
    grid : Grid
        Grid of the plan.

    Raises
    ------
    InputError
        If it cannot be read, has several bands, or lies elsewhere.
    CrsError
        If it has no CRS.
    """
    with _opened(path) as dataset:
        crs = rasterio.crs.CRS.from_user_input(grid.crs)
        bounds = transform_bounds(crs, dataset.crs, *grid.bounds, densify_pts=21)
        if _window(dataset, bounds) is None:
            raise InputError(
                f"{path} does not reach into the area of the maps.",
                hint="Check its CRS, or give the raster of this area.",
                path=path,
            )


def read_roads(path: Path, grid: Grid) -> NDArray[np.object_]:
    """Read the lines of a road layer that reach into a grid.

    Parameters
    ----------
    path : Path
        Layer of lines in any CRS; of several layers the first of lines.
    grid : Grid
        Area, and CRS of the result.

    Returns
    -------
    ndarray of object, shape (n,)
        Shapely lines in the CRS of the grid.

    Raises
    ------
    InputError
        If the file cannot be read or has no lines.
    CrsError
        If it has no CRS.
    """
    lines = read_layer(path, grid.crs, "lines").geometry
    return np.asarray(lines[shapely.intersects(lines, shapely.box(*grid.bounds))], dtype=object)


def length_within(lines: NDArray[np.object_], areas: NDArray[np.object_]) -> Float64Array:
    """Give the length of lines in each area.

    Parameters
    ----------
    lines : ndarray of object, shape (n,)
        Shapely lines.
    areas : ndarray of object, shape (m,)
        Shapely polygons.

    Returns
    -------
    ndarray of float64, shape (m,)
        In the unit of the coordinates.

    Examples
    --------
    >>> line = np.array([shapely.LineString([(0, 0), (10, 0)])], dtype=object)
    >>> length_within(line, np.array([shapely.box(2, -1, 5, 1)], dtype=object)).tolist()
    [3.0]
    """
    length: Float64Array = np.zeros(len(areas))
    if not len(lines) or not len(areas):
        return length
    area, line = shapely.STRtree(lines).query(areas, predicate="intersects")
    parts = shapely.length(shapely.intersection(areas[area], lines[line]))
    np.add.at(length, area, parts)
    return length


@contextmanager
def _opened(path: Path) -> Iterator[DatasetReader]:
    """Open a raster of one band with a CRS."""
    with opened_raster(path) as dataset:
        if dataset.crs is None:
            raise CrsError(
                f"{path} has no CRS.", hint="Assign one first (gdal_edit.py -a_srs).", path=path
            )
        if dataset.count != 1:
            raise InputError(
                f"{path} has {dataset.count} bands.", hint="Give one of them.", path=path
            )
        yield dataset


def _window(dataset: DatasetReader, bounds: tuple[float, float, float, float]) -> Window | None:
    """Give the pixels of a raster in some bounds, with a margin; None if there are none."""
    found = from_bounds(*bounds, dataset.transform)
    first_row, first_col = int(found.row_off) - _MARGIN_PX, int(found.col_off) - _MARGIN_PX
    end_row = int(found.row_off + found.height) + 1 + _MARGIN_PX
    end_col = int(found.col_off + found.width) + 1 + _MARGIN_PX
    rows = max(first_row, 0), min(end_row, dataset.height)
    cols = max(first_col, 0), min(end_col, dataset.width)
    if rows[1] - rows[0] < 1 or cols[1] - cols[0] < 1:
        return None
    return Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])


def _pixel_areas_m2(
    dataset: DatasetReader, transform: rasterio.Affine, shape: tuple[int, int]
) -> Float64Array:
    """Give the areas of the pixels of each row in square metres, shape (rows, 1)."""
    rows, _ = shape
    if not dataset.crs.is_geographic:
        factor = float(dataset.crs.linear_units_factor[1])
        return np.full((rows, 1), abs(transform.a * transform.e) * factor**2)
    edges = transform.f + transform.e * np.arange(rows + 1)
    geod = Geod(ellps="WGS84")
    west, east = transform.c, transform.c + transform.a
    areas = [
        abs(geod.polygon_area_perimeter([west, east, east, west], [a, a, b, b])[0])
        for a, b in pairwise(edges)
    ]
    return np.array(areas)[:, None]


def _resampling(dataset: DatasetReader, grid: Grid) -> Resampling:
    """Choose means for pixels that are finer than those of the grid."""
    size = abs(dataset.transform.a)
    if dataset.crs.is_geographic:
        size *= 111_320.0
    else:
        size *= float(dataset.crs.linear_units_factor[1])
    return Resampling.average if size < grid.spacing_m else Resampling.nearest
