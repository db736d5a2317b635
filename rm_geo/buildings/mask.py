"""Building masks of grids, from footprints or from a raster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import geopandas
import numpy as np
import shapely
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from rm_geo._types import BoolArray
from rm_geo.buildings.reader import read_buildings
from rm_geo.errors import CrsError, InputError
from rm_geo.grid import Grid
from rm_geo.io.raster_reader import opened_raster

_BUILT_FROM: Final = 0.5  # probability of a building, as in rm_geo's own building maps


class BuildingSource(Protocol):
    """Source of building masks."""

    def mask(self, grid: Grid) -> BoolArray:
        """Compute the building mask of a grid: pixels whose centre is in a building.

        Parameters
        ----------
        grid : Grid
            Any part of the area.

        Returns
        -------
        ndarray of bool, shape (H, W)
        """


def open_buildings(
    path: str | os.PathLike[str], grid: Grid, *, layer: str | None = None
) -> BuildingSource:
    """Open a file of buildings for the area of a grid.

    Parameters
    ----------
    path : path-like
        Polygons in any CRS (GeoPackage, GeoJSON, FlatGeobuf, shapefile), or a raster: of whole
        numbers, where all but 0 is a building, or of probabilities, such as rm_geo's building
        maps, where 0.5 and more is one. A raster is read by windows, polygons are kept.
    grid : Grid
        Area in which masks will be computed.
    layer : str, optional
        Layer of polygons; required if there are several.

    Returns
    -------
    BuildingSource

    Raises
    ------
    InputError
        If the file cannot be read, or it has no building, or is no raster, of the grid's ground.
    CrsError
        If it has no CRS.
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"There is no file {source}.", path=source)
    if layer is None and _is_raster(source):
        raster = BuildingRaster(source)
        if not raster.reaches(grid):
            raise InputError(
                f"{source} has no building where the map is.",
                hint="Check its CRS; leave the buildings out where there are none.",
                path=source,
            )
        return raster
    buildings = read_buildings(source, layer=layer, near=grid)
    shapes = geopandas.GeoSeries(list(buildings.polygons), crs=buildings.crs).to_crs(grid.crs)
    return Outlines(shapes.array)


def building_mask(
    path: str | os.PathLike[str], grid: Grid, *, layer: str | None = None
) -> BoolArray:
    """Compute the building mask of a grid from a file.

    Parameters
    ----------
    path, grid, layer
        As of :func:`open_buildings`.

    Returns
    -------
    ndarray of bool, shape (H, W)

    Raises
    ------
    InputError
        If the file cannot be read, or it has no building, or is no raster, of the grid's ground.
    CrsError
        If it has no CRS.
    """
    return open_buildings(path, grid, layer=layer).mask(grid)


class Outlines:
    """Building footprints in the CRS of the grids.

    Parameters
    ----------
    polygons : sequence of shapely geometries
    """

    def __init__(self, polygons: Sequence[BaseGeometry]) -> None:
        self._tree = shapely.STRtree(polygons)

    def near(self, grid: Grid) -> list[BaseGeometry]:
        """List the polygons whose bounds intersect a grid, in the order of the file.

        Parameters
        ----------
        grid : Grid
            In the CRS of the polygons.

        Returns
        -------
        list of shapely geometries
        """
        found = np.sort(self._tree.query(box(*grid.bounds)))
        return list(self._tree.geometries.take(found))

    def mask(self, grid: Grid) -> BoolArray:
        """Compute the building mask of a grid.

        Parameters
        ----------
        grid : Grid
            In the CRS of the polygons.

        Returns
        -------
        ndarray of bool, shape (H, W)
        """
        polygons = self.near(grid)
        if not polygons:
            return np.zeros(grid.shape, dtype=np.bool_)
        burnt = rasterize(polygons, grid.shape, transform=grid.transform, dtype=np.uint8)
        return np.asarray(burnt, dtype=np.bool_)


class BuildingRaster:
    """A raster of buildings; opened anew for each window, so by any thread.

    Parameters
    ----------
    path : Path

    Raises
    ------
    CrsError
        If it has no CRS.
    InputError
        If it has several bands.
    """

    def __init__(self, path: Path) -> None:
        with opened_raster(path) as dataset:
            if dataset.crs is None:
                raise CrsError(
                    f"{path} has no CRS.", hint="Set it (gdal_edit.py -a_srs).", path=path
                )
            if dataset.count != 1:
                raise InputError(
                    f"{path} has {dataset.count} bands; which of them are buildings?",
                    hint="Give a raster of one band (gdal_translate -b N).",
                    path=path,
                )
            self._crs, self._bounds = dataset.crs, dataset.bounds
            is_share = np.issubdtype(np.dtype(dataset.dtypes[0]), np.floating)
        self._path = path
        self._least = _BUILT_FROM if is_share else 1

    def reaches(self, grid: Grid) -> bool:
        """Whether the raster and a grid overlap.

        Parameters
        ----------
        grid : Grid
            In any CRS.

        Returns
        -------
        bool
        """
        bounds = transform_bounds(self._crs, grid.crs, *self._bounds)
        return bool(box(*bounds).intersects(box(*grid.bounds)))

    def mask(self, grid: Grid) -> BoolArray:
        """Compute the building mask of a grid by nearest neighbour.

        Parameters
        ----------
        grid : Grid
            In any CRS.

        Returns
        -------
        ndarray of bool, shape (H, W)

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        rows, cols = grid.shape
        with (
            opened_raster(self._path, is_accepted=True) as dataset,
            WarpedVRT(
                dataset,
                crs=grid.crs,
                transform=grid.transform,
                width=cols,
                height=rows,
                resampling=Resampling.nearest,
                add_alpha=False,
            ) as warped,
        ):
            values = warped.read(1, masked=True)
        known = values.filled(0)
        if (known < 0).any():
            raise InputError(
                f"{self._path} is no raster of buildings: it has values of {known.min():g}.",
                hint="0 where there is none, more where there is one, or probabilities.",
                path=self._path,
            )
        return np.asarray(known >= self._least)


def _is_raster(path: Path) -> bool:
    """Whether GDAL reads bands from a file."""
    try:
        with opened_raster(path) as dataset:
            return bool(dataset.count > 0)
    except InputError:
        return False
