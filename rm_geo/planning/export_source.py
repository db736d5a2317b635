"""A raster as an export reads it: band by band, with its colours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo.errors import DependencyError, OutputError
from rm_geo.grid import Grid
from rm_geo.io.raster_reader import GDAL_ERRORS, RasterFile, gdal_reason, open_raster
from rm_geo.products.layer_style import LayerStyle, style_of
from rm_geo.units import NODATA_DBM

_BAND_ROWS: Final = 256
_NOT_SUPPORTED: Final = 6  # CPLE_NotSupported


@dataclass(frozen=True)
class ExportSource:
    """A raster to be exported.

    Attributes
    ----------
    file : RasterFile
        The opened band.
    style : LayerStyle
        Its colours.
    """

    file: RasterFile
    style: LayerStyle

    @property
    def grid(self) -> Grid:
        """Geometry of the raster."""
        return self.file.grid

    @property
    def has_classes(self) -> bool:
        """Whether the values are numbers of classes, not a quantity."""
        return self.style.ramp is None

    @property
    def column(self) -> str:
        """Name of the values in tables: ``rsrp_dbm``, or the name of the file."""
        if self.file.unit == "dBm" and self.file.path.stem.endswith("rsrp"):
            return "rsrp_dbm"
        name = "".join(c if c.isalnum() else "_" for c in self.file.path.stem.lower())
        return f"{name}_{self.file.unit.lower()}" if self.file.unit in {"dB", "dBm"} else name

    def bands(self) -> Iterator[tuple[int, FloatArray]]:
        """Read the raster from north to south.

        Yields
        ------
        row : int
            First row.
        values : ndarray of float32, shape (rows, W)
            NaN where unknown.
        """
        height, width = self.grid.shape
        for row in range(0, height, _BAND_ROWS):
            yield row, self.file.read(slice(row, min(row + _BAND_ROWS, height)), slice(0, width))

    def write_scratch(self, path: Path, *, integer: bool = False) -> Path:
        """Write the values as a plain GeoTIFF, from which GDAL's drivers copy.

        Parameters
        ----------
        path : Path
            The file to write.
        integer : bool
            Round to 16-bit integers instead of 32-bit floating point.

        Returns
        -------
        Path
        """
        dtype = "int16" if integer else "float32"
        profile = self._profile(count=1, dtype=dtype, nodata=NODATA_DBM)
        with rasterio.open(path, "w", **profile) as dataset:
            for row, values in self.bands():
                filled = np.where(np.isfinite(values), values, np.float32(NODATA_DBM))
                if integer:
                    filled = np.rint(np.clip(filled, -32768, 32767))
                _write_rows(dataset, row, filled.astype(dtype)[None])
        return path

    def write_indices(self, path: Path) -> Path:
        """Write the colours as a GeoTIFF of palette indices.

        Parameters
        ----------
        path : Path
            The file to write.

        Returns
        -------
        Path
        """
        profile = self._profile(count=1, dtype="uint8", nodata=255)
        with rasterio.open(path, "w", **{**profile, "photometric": "palette"}) as dataset:
            palette = self.style.palette().tolist()
            dataset.write_colormap(1, {n: tuple(colour) for n, colour in enumerate(palette)})
            for row, values in self.bands():
                _write_rows(dataset, row, self.style.indices(values)[None])
        return path

    def write_rgba(self, path: Path) -> Path:
        """Write the colours as a GeoTIFF of red, green, blue and opacity.

        Parameters
        ----------
        path : Path
            The file to write.

        Returns
        -------
        Path
        """
        profile = self._profile(count=4, dtype="uint8", nodata=None)
        colours = {"photometric": "RGB", "alpha": "YES", "interleave": "pixel"}
        with rasterio.open(path, "w", **{**profile, **colours}) as dataset:
            for row, values in self.bands():
                _write_rows(dataset, row, np.moveaxis(self.style.rgba(values), -1, 0))
        return path

    def _profile(self, *, count: int, dtype: str, nodata: float | None) -> dict[str, Any]:
        """Keywords for creating a scratch file."""
        height, width = self.grid.shape
        return {
            "driver": "GTiff",
            "height": height,
            "width": width,
            "count": count,
            "dtype": dtype,
            "nodata": nodata,
            "crs": rasterio.crs.CRS.from_user_input(self.grid.crs),
            "transform": self.grid.transform,
            "tiled": True,
            "compress": "lzw",
            "BIGTIFF": "IF_SAFER",
        }


def open_export_source(path: str | os.PathLike[str]) -> ExportSource:
    """Open a raster for an export.

    Parameters
    ----------
    path : path-like
        A radio map, or a raster of classes or of another quantity.

    Returns
    -------
    ExportSource

    Raises
    ------
    InputError, CrsError
        As of :func:`rm_geo.io.raster_reader.open_raster`.
    """
    return ExportSource(open_raster(path, classes=True), style_of(path))


def copy_with_driver(source: Path, target: Path, driver: str, **options: str) -> None:
    """Convert a raster with a driver of GDAL.

    Parameters
    ----------
    source : Path
        A raster that GDAL reads.
    target : Path
        The file to write.
    driver : str
        Short name of the driver.
    **options : str
        Its creation options.

    Raises
    ------
    DependencyError
        If this GDAL has no such driver, or cannot write with it.
    OutputError
        If the file cannot be written.
    """
    import rasterio.shutil

    with rasterio.Env() as environment:
        if driver not in environment.drivers():
            raise missing_driver(driver)
    try:
        rasterio.shutil.copy(source, target, driver=driver, **options)
    except GDAL_ERRORS as error:
        if getattr(error, "errno", None) == _NOT_SUPPORTED:
            raise missing_driver(driver) from error
        raise OutputError(
            f"Cannot write {target.name} with GDAL's driver {driver}: {gdal_reason(error)}",
            hint="Choose another folder, disk or format.",
            path=target,
        ) from error


def missing_driver(driver: str) -> DependencyError:
    """Create the error for a driver that this GDAL does not have, or that cannot write.

    Parameters
    ----------
    driver : str
        Short name of the driver.

    Returns
    -------
    DependencyError

    Examples
    --------
    >>> print(missing_driver("NWT_GRD").message)
    This GDAL cannot write with its driver NWT_GRD.
    """
    return DependencyError(
        f"This GDAL cannot write with its driver {driver}.",
        hint=f"rasterio has GDAL {rasterio.__gdal_version__} without it: install a build that has "
        "it, or choose another format.",
    )


def _write_rows(dataset: Any, row: int, layers: NDArray[Any]) -> None:  # noqa: ANN401 - rasterio
    """Write rows of all bands."""
    window = rasterio.windows.Window(0, row, layers.shape[2], layers.shape[1])
    dataset.write(layers, window=window)
