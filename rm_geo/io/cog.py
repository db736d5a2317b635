"""Cloud-optimised GeoTIFFs, written complete or not at all."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import Compression, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, DatasetWriter, MemoryFile
from rasterio.windows import Window

from rm_geo._util.atomic import full_disk_error, is_full, replacing
from rm_geo._util.threads import available_threads
from rm_geo.errors import OutputError
from rm_geo.grid import Grid
from rm_geo.io.raster_reader import GDAL_ERRORS, Raster, gdal_reason, read_raster
from rm_geo.units import NODATA_DBM

__all__ = ["Raster", "RasterSink", "raster_sink", "read_raster", "write_raster"]

Colour: TypeAlias = tuple[int, int, int]
OverviewResampling: TypeAlias = Literal["average", "mode", "nearest"]

_BLOCK_PX: Final = 256
_SCRATCH: Final = ".scratch.tif"
_CACHE_BYTES: Final = 64 * 2**20  # GDAL's own default is a twentieth of the machine's memory
_COMPRESSION_LEVEL: Final = "3"  # within 2 % of the default levels' size at half their time


class RasterSink:
    """Writes the rows of a raster from north to south; created by :func:`raster_sink`."""

    def __init__(self, dataset: DatasetWriter, path: Path) -> None:
        self._dataset = dataset
        self._path = path
        self._next_row = 0

    def write_rows(self, row: int, values: NDArray[Any]) -> None:
        """Write the next rows.

        Parameters
        ----------
        row : int
            Grid row of the first one; rows come without gaps.
        values : ndarray, shape (rows, W) or (bands, rows, W)
            NaN and infinity become nodata. In integer files values are rounded.

        Raises
        ------
        OutputError
            If the disk is full or fails.
        ValueError
            If rows are out of order or have another shape.
        """
        layers = values[None] if values.ndim == 2 else values
        count = layers.shape[1]
        if row != self._next_row or row + count > self._dataset.height:
            raise ValueError(f"rows {row}..{row + count - 1} cannot follow row {row - 1}")
        if layers.shape != (self._dataset.count, count, self._dataset.width):
            raise ValueError(f"rows of shape {values.shape} do not fit the raster")
        encoded = _encode(layers, np.dtype(self._dataset.dtypes[0]), self._dataset.nodata)
        with _as_output_error(self._path):
            self._dataset.write(encoded, window=Window(0, row, self._dataset.width, count))
        self._next_row += count

    def require_all_rows(self) -> None:
        """Raise ``ValueError`` if rows are missing."""
        if self._next_row != self._dataset.height:
            raise ValueError(f"{self._next_row} rows written of {self._dataset.height}")


@contextmanager
def raster_sink(
    path: str | os.PathLike[str],
    grid: Grid,
    *,
    bands: int = 1,
    dtype: str = "float32",
    nodata: float | None = NODATA_DBM,
    tags: Mapping[str, str] | None = None,
    band_descriptions: Sequence[str] | None = None,
    unit: str | None = None,
    resampling: OverviewResampling = "average",
    colormap: Mapping[int, Colour] | None = None,
) -> Iterator[RasterSink]:
    """Write a cloud-optimised GeoTIFF row by row; memory does not grow with its size.

    The file appears when the block ends without an error; otherwise a file of this name stays
    unchanged. The same input gives the same bytes: the file contains no time and no version.

    Parameters
    ----------
    path : path-like
        The file to create or replace.
    grid : Grid
        Shape and georeferencing.
    bands : int
        Number of bands.
    dtype : str
        Type in the file, such as ``float32`` or ``uint8``.
    nodata : float or None
        Written in place of NaN and infinity, and declared in the file.
    tags : mapping of str to str, optional
        Metadata, such as the method and its parameters.
    band_descriptions : sequence of str, optional
        One name per band.
    unit : str, optional
        Unit of all bands, such as ``dBm``.
    resampling : {"average", "mode", "nearest"}
        How overviews are made: average for levels, mode for masks and classes.
    colormap : mapping of int to (red, green, blue), optional
        Colours of the values of a single ``uint8`` band; a TIFF's have no alpha.

    Yields
    ------
    RasterSink
        Takes all rows, from north to south.

    Raises
    ------
    OutputError
        If the file cannot be written, or the disk is full.
    ValueError
        If rows are missing at the end.
    """
    target = Path(path)
    profile: dict[str, Any] = {
        **_georeferencing(grid),
        "count": bands,
        "dtype": dtype,
        "nodata": nodata,
        **({"photometric": "palette"} if colormap else {}),
    }
    with (
        replacing(target) as part,
        rasterio.Env(
            GDAL_PAM_ENABLED="NO",
            GDAL_NUM_THREADS=str(available_threads()),
            GDAL_CACHEMAX=_CACHE_BYTES,
        ),
    ):
        scratch = part.with_name(_SCRATCH)
        _require_space(target, profile)
        with _as_output_error(target):
            dataset = _create_scratch(scratch, profile)
        with dataset:
            if tags:
                dataset.update_tags(**tags)
            for band in range(1, bands + 1):
                if band_descriptions:
                    dataset.set_band_description(band, band_descriptions[band - 1])
                if unit:
                    dataset.set_band_unit(band, unit)
            if colormap:
                dataset.write_colormap(1, dict(colormap))
            sink = RasterSink(dataset, target)
            yield sink
            sink.require_all_rows()
            with _as_output_error(target):
                _build_overviews(dataset, resampling)
        with _as_output_error(target):
            _require_whole(scratch)
            _compress(scratch, part)
            _require_whole(part)


def write_raster(
    path: str | os.PathLike[str],
    values: NDArray[Any] | Iterable[NDArray[Any]],
    grid: Grid,
    *,
    bands: int | None = None,
    dtype: str | None = None,
    nodata: float | None = NODATA_DBM,
    tags: Mapping[str, str] | None = None,
    band_descriptions: Sequence[str] | None = None,
    unit: str | None = None,
    resampling: OverviewResampling = "average",
    colormap: Mapping[int, Colour] | None = None,
) -> None:
    """Write an array, or blocks of rows, as a cloud-optimised GeoTIFF.

    Parameters
    ----------
    path : path-like
        The file to create or replace.
    values : ndarray or iterable of ndarray
        The raster, shape (H, W) or (bands, H, W), or its rows in blocks of such shapes from
        north to south.
    grid : Grid
        Shape and georeferencing.
    bands : int, optional
        Number of bands; for blocks, 1 unless given.
    dtype : str, optional
        Type in the file. Floating point is written as ``float32``, truth values as ``uint8``;
        blocks are written as ``float32`` unless given.
    nodata : float or None
        Written in place of NaN and infinity, and declared in the file.
    tags : mapping of str to str, optional
        Metadata, such as the method and its parameters.
    band_descriptions : sequence of str, optional
        One name per band.
    unit : str, optional
        Unit of all bands, such as ``dBm``.
    resampling : {"average", "mode", "nearest"}
        How overviews are made: average for levels, mode for masks and classes.
    colormap : mapping of int to (red, green, blue), optional
        Colours of the values of a single ``uint8`` band.

    Raises
    ------
    OutputError
        If the file cannot be written, or the disk is full.
    ValueError
        If the values do not fit the grid.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     grid = Grid.create(500_000.0, 5_000_000.0, (1, 2), 1.0, 32633)
    ...     write_raster(Path(folder, "a.tif"), np.array([[-80.0, np.nan]], np.float32), grid)
    ...     read_raster(Path(folder, "a.tif")).values.tolist()
    [[-80.0, nan]]
    """
    whole = isinstance(values, np.ndarray)
    if isinstance(values, np.ndarray):
        bands = bands or (1 if values.ndim == 2 else values.shape[0])
        dtype = dtype or _file_dtype(values.dtype)
    blocks: Iterable[NDArray[Any]] = [values] if whole else values  # type: ignore[list-item]
    with raster_sink(
        path,
        grid,
        bands=bands or 1,
        dtype=dtype or "float32",
        nodata=nodata,
        tags=tags,
        band_descriptions=band_descriptions,
        unit=unit,
        resampling=resampling,
        colormap=colormap,
    ) as sink:
        row = 0
        for block in blocks:
            sink.write_rows(row, block)
            row += block.shape[-2]


def _georeferencing(grid: Grid) -> dict[str, Any]:
    """Creation keywords that place a file on a grid."""
    height, width = grid.shape
    crs = rasterio.crs.CRS.from_user_input(grid.crs)
    return {"height": height, "width": width, "crs": crs, "transform": grid.transform}


def _require_space(target: Path, profile: Mapping[str, Any]) -> None:
    """Check before the work that the disk has room for the scratch file."""
    pixels = int(profile["height"]) * int(profile["width"]) * int(profile["count"])
    needed = pixels * np.dtype(profile["dtype"]).itemsize * 4 // 3  # a third for overviews
    if shutil.disk_usage(target.parent).free < needed:
        raise full_disk_error(target)


def _create_scratch(path: Path, profile: Mapping[str, Any]) -> DatasetWriter:
    """Uncompressed tiled GeoTIFF that takes rows in any amount at any time."""
    with warnings.catch_warnings():
        # A grid of 1 m whose corner is the CRS's origin looks like no georeferencing.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(
            path,
            "w+",
            driver="GTiff",
            tiled=True,
            blockxsize=_BLOCK_PX,
            blockysize=_BLOCK_PX,
            interleave="band",
            BIGTIFF="IF_SAFER",
            **profile,
        )


def _build_overviews(dataset: DatasetWriter, resampling: OverviewResampling) -> None:
    """Reduce the raster by powers of two.

    The COG driver would make them too, through a compressed temporary file of its own beside the
    target, in twice the time.
    """
    dataset.build_overviews(_overview_factors(dataset.shape), Resampling[resampling])


def _compress(scratch: Path, target: Path) -> None:
    """Copy a raster and its overviews into a cloud-optimised GeoTIFF."""
    rasterio.shutil.copy(scratch, target, driver="COG", **_cog_options())


def _overview_factors(shape: tuple[int, int]) -> list[int]:
    """Halve until the raster fits in one block."""
    factors = []
    factor = 1
    while max(shape) > factor * _BLOCK_PX:
        factor *= 2
        factors.append(factor)
    return factors


def _cog_options() -> dict[str, str]:
    """Creation options of GDAL's COG driver."""
    return {
        "BLOCKSIZE": str(_BLOCK_PX),
        "COMPRESS": "ZSTD" if _has_zstd() else "DEFLATE",
        "LEVEL": _COMPRESSION_LEVEL,
        "PREDICTOR": "YES",  # 3 for floating point, 2 for integers
        "BIGTIFF": "IF_SAFER",
        "OVERVIEWS": "FORCE_USE_EXISTING",
        "NUM_THREADS": str(available_threads()),
    }


@cache
def _has_zstd() -> bool:
    """Whether this GDAL can compress with Zstandard; some builds cannot."""
    try:
        with MemoryFile() as memory:
            georeferencing = rasterio.transform.from_origin(0.0, 0.0, 2.0, 2.0)
            with memory.open(
                driver="GTiff",
                width=1,
                height=1,
                count=1,
                dtype="uint8",
                transform=georeferencing,
                compress="ZSTD",
            ) as dataset:
                return bool(dataset.compression == Compression.zstd)
    except GDAL_ERRORS:
        return False


def _encode(layers: NDArray[Any], dtype: np.dtype[Any], nodata: float | None) -> NDArray[Any]:
    """Put nodata in place of NaN and infinity, and convert to the file's type."""
    if layers.dtype.kind != "f":
        return layers.astype(dtype, copy=False)
    finite = np.isfinite(layers)
    if dtype.kind != "f":
        layers = np.rint(layers)
    if not finite.all():
        if nodata is None:
            raise ValueError("values are missing, and the raster has no nodata value")
        layers = np.where(finite, layers, layers.dtype.type(nodata))
    return layers.astype(dtype, copy=False)


def _file_dtype(dtype: np.dtype[Any]) -> str:
    """Type in the file for an array's type."""
    return {"f": "float32", "b": "uint8"}.get(dtype.kind, str(dtype))


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    """Say what GDAL's error while writing means for the user."""
    try:
        yield
    except GDAL_ERRORS as error:
        if is_full(path.parent):
            raise full_disk_error(path) from error
        raise OutputError(
            f"Cannot write {path}: {gdal_reason(error)}",
            hint="Choose another folder or disk.",
            path=path,
        ) from error


def _require_whole(path: Path) -> None:
    """Raise if blocks of a GeoTIFF are missing, as after a failed flush at its closing.

    GDAL reports errors while closing to its log alone, and reads missing blocks as nodata.
    """
    size = path.stat().st_size
    with rasterio.open(path) as dataset:
        overviews = range(len(dataset.overviews(1)))
        levels = [None, *overviews]
        shapes = [dataset.shape, *(_overview_shape(path, level) for level in overviews)]
        blocks = [tuple(-(-n // _BLOCK_PX) for n in shape) for shape in shapes]
        for band in dataset.indexes:
            for level, (rows, cols) in zip(levels, blocks, strict=True):
                for row in range(rows):
                    for col in range(cols):
                        _require_block(dataset, (col, row), band, level, size)


def _overview_shape(path: Path, level: int) -> tuple[int, int]:
    """Rows and columns of one of a file's overviews.

    Its factor does not tell: in a raster of one column GDAL has it from the columns alone, as 1.
    """
    with rasterio.open(path, overview_level=level) as dataset:
        rows, cols = dataset.shape
    return int(rows), int(cols)


def _require_block(
    dataset: DatasetReader,
    block: tuple[int, int],
    band: int,
    level: int | None,
    size: int,
) -> None:
    """Raise unless a block's bytes lie inside the file."""
    place = "_".join(str(index) for index in block)
    offset, count = (
        int(dataset.get_tag_item(f"BLOCK_{what}_{place}", "TIFF", bidx=band, ovr=level) or 0)
        for what in ("OFFSET", "SIZE")
    )
    if offset == 0 or count == 0 or offset + count > size:
        raise RasterioError("the file is incomplete")
