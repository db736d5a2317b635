"""Reading rasters of other programs, with clear errors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import rasterio
from pyproj.exceptions import CRSError as PyprojCrsError
from rasterio._err import CPLE_BaseError  # what a GDAL copy raises; not exported elsewhere
from rasterio._path import _parse_path  # what rasterio.open does first
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rm_geo._types import FloatArray
from rm_geo._util.geobox import GeoBox
from rm_geo.errors import AreaTooLargeError, CrsError, InputError
from rm_geo.grid import Grid
from rm_geo.io.accepted_files import RASTER_DRIVERS, accepted_raster
from rm_geo.io.gdal_environment import allows_remote, raster_options

GDAL_ERRORS: Final = (RasterioError, CPLE_BaseError)
"""The errors of GDAL and rasterio."""

_MOST_PIXELS: Final = 1 << 28


class Raster(NamedTuple):
    """One band of a raster file.

    Attributes
    ----------
    values : ndarray of float32, shape (H, W)
        In the file's unit, scale and offset applied; NaN where the file has no data.
    grid : Grid
        Where the pixels are.
    tags : dict of str to str
        The file's metadata.
    """

    values: FloatArray
    grid: Grid
    tags: dict[str, str]


def read_raster(path: str | os.PathLike[str], *, band: int | None = None) -> Raster:
    """Read one band of a georeferenced raster in a projected CRS with metres.

    Parameters
    ----------
    path : path-like
        Any raster that GDAL reads.
    band : int, optional
        Number of the band, from 1; required if there are several.

    Returns
    -------
    Raster
        Values in the unit of the file, with its grid and tags.

    Raises
    ------
    InputError
        If the file is missing, damaged or no raster, names other files or addresses, has no
        georeferencing, is rotated, has several bands and none is chosen, or holds colours or
        complex numbers.
    AreaTooLargeError
        If it is too large to be read at once.
    CrsError
        If the CRS is missing, geographic, or not in metres.

    Examples
    --------
    >>> import tempfile
    >>> from rm_geo import RadioMap
    >>> radio_map = RadioMap(Grid.create(500_000, 5_000_000, (1, 2), 1.0, 32633), [[-80.0, -90.5]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = radio_map.write(f"{folder}/7_rsrp.tif")
    ...     read_raster(f"{folder}/7_rsrp.tif").values.tolist()
    [[-80.0, -90.5]]
    """
    file = open_raster(path, band=band)
    rows, cols = file.grid.shape
    if rows * cols > _MOST_PIXELS:
        raise AreaTooLargeError(
            f"{file.path} has {rows} x {cols} pixels, too many to be read at once.",
            hint="Cut it into parts (gdal_translate -srcwin).",
            path=file.path,
        )
    return Raster(file.read(slice(0, rows), slice(0, cols)), file.grid, dict(file.tags))


@dataclass(frozen=True)
class RasterFile:
    """One band of a raster file that is read window by window; made by :func:`open_raster`.

    Attributes
    ----------
    path : Path
        The file.
    band : int
        Band, from 1.
    grid : Grid
        Geometry of the whole raster.
    tags : mapping of str to str
        Metadata of the file.
    unit : str
        Unit of the band as the file states it, such as ``dBm``; empty where it states none.
    """

    path: Path
    band: int
    grid: Grid
    tags: Mapping[str, str]
    unit: str = ""

    def read(self, rows: slice, cols: slice) -> FloatArray:
        """Read a window.

        Parameters
        ----------
        rows, cols : slice
            Inside the raster, with start and stop.

        Returns
        -------
        ndarray of float32, shape (rows, cols)
            In the unit of the file, scale and offset applied; NaN where it has no data.

        Raises
        ------
        InputError
            If the file is gone or damaged.
        """
        window = Window.from_slices((rows.start, rows.stop), (cols.start, cols.stop))
        with opened_raster(self.path, is_accepted=True) as dataset:
            return _decode(dataset, self.band, window)


def open_raster(
    path: str | os.PathLike[str], *, band: int | None = None, classes: bool = False
) -> RasterFile:
    """Open one band of a georeferenced raster without reading its values.

    Parameters
    ----------
    path, band
        As for :func:`read_raster`.
    classes : bool
        Accept a band with a colour table: its values are numbers of classes.

    Returns
    -------
    RasterFile

    Raises
    ------
    InputError, CrsError
        As for :func:`read_raster`.
    """
    source = Path(path)
    with opened_raster(source) as dataset:
        index = _chosen_band(dataset, source, band, classes)
        tags = dict(dataset.tags())
        unit = dataset.units[index - 1] or tags.get("units", "")
        return RasterFile(source, index, _grid_of(dataset, source), tags, unit)


@contextmanager
def opened_raster(source: Path, *, is_accepted: bool = False) -> Iterator[DatasetReader]:
    """Open a raster file with the drivers of complete files; errors of GDAL name the file.

    Parameters
    ----------
    source : Path
        The file.
    is_accepted : bool
        Whether the file was opened before, and is not checked again.

    Yields
    ------
    rasterio.DatasetReader

    Raises
    ------
    InputError
        If the file is missing or no raster, names other files or addresses, or the block fails
        to read it.
    """
    if not source.exists():
        raise InputError(f"There is no file {source}.", path=source)
    place = source.absolute() if is_accepted else accepted_raster(source)
    drivers = None if allows_remote() else list(RASTER_DRIVERS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with ExitStack() as opened:
                # The options hold while the file and its tags are opened, and no longer: blocks
                # that end in another order than they began would leave them set.
                with rasterio.Env(**raster_options()):
                    # rasterio.open takes one driver; the class behind it takes a list.
                    dataset = opened.enter_context(
                        DatasetReader(_parse_path(place), driver=drivers)
                    )
                    dataset.tags()
                    overviews = dataset.tags(ns="OVERVIEWS")
                if drivers and "OVERVIEW_FILE" in overviews:
                    raise InputError(
                        f"{source} names another file for its overviews.",
                        hint="Write it again with gdal_translate.",
                        path=source,
                    )
                yield dataset
    except GDAL_ERRORS as error:
        raise InputError(
            f"{source} cannot be read as a raster: {gdal_reason(error)}",
            hint="The file may be damaged, incomplete or of another kind.",
            path=source,
        ) from error


def _chosen_band(dataset: DatasetReader, path: Path, band: int | None, classes: bool) -> int:
    """Choose the band to read, or explain why there is none."""
    if dataset.count == 0:
        raise InputError(
            f"{path} holds no raster band.", hint="Name one of its sub-datasets.", path=path
        )
    if band is None and dataset.count > 1:
        names = ", ".join(
            f"{index} ({name})" if name else str(index)
            for index, name in zip(dataset.indexes, dataset.descriptions, strict=True)
        )
        raise InputError(
            f"{path} has {dataset.count} bands: {names}.", hint="Choose one of them.", path=path
        )
    index = band or 1
    if index not in dataset.indexes:
        raise InputError(f"{path} has no band {index}; it has {dataset.count}.", path=path)
    if dataset.colorinterp[index - 1] == ColorInterp.palette and not classes:
        raise InputError(
            f"{path} holds colour numbers, not levels.",
            hint="Export the raster's data, not its rendered image.",
            path=path,
        )
    if np.dtype(dataset.dtypes[index - 1]).kind == "c":
        raise InputError(f"{path} holds complex numbers.", hint="Export a level in dBm.", path=path)
    return index


def _grid_of(dataset: DatasetReader, path: Path) -> Grid:
    """Grid of an open file; errors name the file."""
    if dataset.transform.is_identity and dataset.crs is None:
        raise InputError(
            f"{path} has no georeferencing.",
            hint="Assign a CRS and corner coordinates first (gdal_translate -a_srs -a_ullr).",
            path=path,
        )
    if dataset.crs is None:
        raise CrsError(
            f"{path} has no CRS.", hint="Assign one first (gdal_edit.py -a_srs).", path=path
        )
    if dataset.transform.is_identity and dataset.gcps[0]:
        raise InputError(
            f"{path} is placed by ground control points alone.",
            hint="Warp it to a projected CRS first (gdalwarp -t_srs).",
            path=path,
        )
    try:
        crs = dataset.crs.to_wkt()
        return Grid(GeoBox(dataset.shape, dataset.transform, crs))
    except CrsError as error:
        raise CrsError(
            f"{path}: {error.message}", hint="Warp it to one first (gdalwarp -t_srs).", path=path
        ) from error
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint, path=path) from error
    except PyprojCrsError as error:
        raise CrsError(f"{path} has a CRS that is not understood.", path=path) from error


def _decode(dataset: DatasetReader, band: int, window: Window) -> FloatArray:
    """Values of a band in its unit; NaN where the file has no data."""
    raw = dataset.read(band, window=window)
    valid = dataset.read_masks(band, window=window) != 0
    scale, offset = dataset.scales[band - 1], dataset.offsets[band - 1]
    values = raw.astype(np.float32)
    if (scale, offset) != (1.0, 0.0):
        values = (raw * float(scale) + float(offset)).astype(np.float32)
    values[~valid | ~np.isfinite(values)] = np.nan
    return np.asarray(values, dtype=np.float32)


def gdal_reason(error: Exception) -> str:
    """Give the message of GDAL for an error of rasterio.

    Parameters
    ----------
    error : Exception
        Its cause is preferred, if it has one.

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> gdal_reason(RasterioError("not recognized"))
    'not recognized.'
    """
    cause = error.__cause__ if error.__cause__ is not None else error
    text = str(getattr(cause, "errmsg", "")) or str(cause)
    return text.strip().rstrip(".") + "."
