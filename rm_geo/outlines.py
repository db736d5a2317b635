"""Where buildings stand on a grid, by outlines that somebody drew or a raster of them."""

from __future__ import annotations

import os
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.features import rasterize
from rasterio.warp import Resampling, reproject

from rm_geo.errors import CrsError, InputError
from rm_geo.estimators.base import BoolArray
from rm_geo.grid import Grid
from rm_geo.simulation import read_buildings

_BUILT_FROM = 0.5  # probability of a building, as in rm_geo's own building maps


def building_mask(
    path: str | os.PathLike[str], grid: Grid, *, layer: str | None = None
) -> BoolArray:
    """Tell which pixels of a grid are buildings.

    Parameters
    ----------
    path : path-like
        Polygons in any CRS (GeoPackage, GeoJSON, FlatGeobuf, shapefile), or a raster: of whole
        numbers, where all but 0 is a building, or of probabilities, such as rm_geo's building
        maps, where 0.5 and more is one.
    grid : Grid
        The pixels.
    layer : str, optional
        Which layer of polygons, where there are several.

    Returns
    -------
    ndarray of bool, shape (H, W)
        A pixel is a building where its centre is in one.

    Raises
    ------
    InputError
        If the file cannot be read, or no building lies on the grid.
    CrsError
        If it has no CRS.
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"There is no file {source}.")
    is_raster = layer is None and _is_raster(source)
    mask = _of_raster(source, grid) if is_raster else _of_polygons(source, grid, layer)
    if not mask.any():
        raise InputError(
            f"{source} has no building where the map is.",
            hint="Check its CRS; leave the buildings out where there are none.",
        )
    return mask


def _is_raster(path: Path) -> bool:
    """Whether GDAL reads bands from a file."""
    try:
        with rasterio.open(path) as dataset:
            return bool(dataset.count > 0)
    except RasterioIOError:
        return False


def _of_polygons(path: Path, grid: Grid, layer: str | None) -> BoolArray:
    """Burn polygons into the grid."""
    buildings = read_buildings(path, layer=layer)
    shapes = geopandas.GeoSeries(list(buildings.polygons), crs=buildings.crs).to_crs(grid.crs)
    west, south, east, north = grid.bounds
    near = shapes.cx[west:east, south:north]
    if near.empty:
        return np.zeros(grid.shape, dtype=np.bool_)
    burnt = rasterize(near, grid.shape, transform=grid.transform, dtype=np.uint8)
    return np.asarray(burnt, dtype=np.bool_)


def _of_raster(path: Path, grid: Grid) -> BoolArray:
    """Bring the first band of a raster to the grid, pixel by nearest pixel."""
    with rasterio.open(path) as dataset:
        if dataset.crs is None:
            raise CrsError(f"{path} has no CRS.", hint="Set it (gdal_edit.py -a_srs).")
        try:
            values = dataset.read(1, masked=True)
        except RasterioError as error:
            raise InputError(f"{path} cannot be read: {error}.") from error
        least = _BUILT_FROM if np.issubdtype(values.dtype, np.floating) else 1
        built = (values.filled(0) >= least).astype(np.uint8)
        mask = np.zeros(grid.shape, dtype=np.uint8)
        reproject(
            built, mask, src_transform=dataset.transform, src_crs=dataset.crs,
            dst_transform=grid.transform, dst_crs=grid.crs, resampling=Resampling.nearest,
        )  # fmt: skip
    return mask.astype(np.bool_)
