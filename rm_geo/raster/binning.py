"""Points to a sparse raster: one value per pixel that was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from rm_geo._util.disk_columns import BLOCK_ROWS, DiskColumn, iter_blocks
from rm_geo._util.external_sort import sorted_parts
from rm_geo.errors import InputError
from rm_geo.grid import Grid
from rm_geo.measurements.model import Measurements
from rm_geo.raster.sparse import SparseRaster

__all__ = ["SparseRaster", "Statistic", "bin_measurements"]

Statistic = Literal["mean", "median", "max"]

_MAX_PIXELS: Final = 2**32  # pixel numbers share 64-bit keys with the values
_VALUE_BITS: Final = 32
_SIGN: Final = np.uint32(0x80000000)


def bin_measurements(
    measurements: Measurements,
    grid: Grid,
    statistic: Statistic = "mean",
    *,
    chunk: int = BLOCK_ROWS,
) -> SparseRaster:
    """Gather measurements in the pixels of a grid.

    Points outside the grid are left out. A pixel holds its west and north edge. The result
    does not depend on the order of the points, to the last bit.

    Parameters
    ----------
    measurements : Measurements
        Points in the grid's CRS.
    grid : Grid
        Geometry of the result.
    statistic : {"mean", "median", "max"}
        What a pixel gets. The mean is that of the power in milliwatts, as a local mean is
        defined; the median is less moved by a single strong reading.
    chunk : int
        Points that are worked on at a time, which bounds the memory for temporaries.

    Returns
    -------
    SparseRaster
        Level, number of measurements and standard deviation of each measured pixel.

    Raises
    ------
    InputError
        If the CRS differ, or the grid has more than 2**32 pixels.
    ValueError
        If there is no such statistic.

    Examples
    --------
    >>> grid = Grid.create(0, 0, (1, 3), 1.0, 32633)
    >>> drive = Measurements(
    ...     x=np.array([0.5, 0.6, 2.5]),
    ...     y=np.array([-0.5, -0.4, -0.5]),
    ...     rsrp_dbm=np.array([-80.0, -80.0, -90.0], dtype=np.float32),
    ...     cell=np.full(3, "7"),
    ...     crs=grid.crs,
    ... )
    >>> sparse = bin_measurements(drive, grid)
    >>> sparse.dense_rsrp_dbm().tolist(), sparse.dense_count().tolist()
    ([[-80.0, nan, -90.0]], [[2, 0, 1]])
    """
    if not measurements.crs.equals(grid.crs, ignore_axis_order=True):
        raise InputError(
            f"The measurements are in {measurements.crs.name!r}, the grid in {grid.crs.name!r}.",
            hint="Read the measurements with the grid's CRS as the target.",
        )
    pixels = grid.shape[0] * grid.shape[1]
    if pixels > _MAX_PIXELS:
        raise InputError(
            f"A grid of {grid.shape[0]:,} x {grid.shape[1]:,} pixels is too large to fill.",
            hint="Take a smaller area or coarser pixels.",
        )
    if statistic not in ("mean", "median", "max"):
        raise ValueError(f"statistic must be mean, median or max, not {statistic!r}")
    columns: dict[str, DiskColumn[Any]] = {
        "pixel": DiskColumn(np.int64),
        "level_dbm": DiskColumn(np.float32),
        "count": DiskColumn(np.int32),
        "std_db": DiskColumn(np.float32),
    }
    keys = _keys(measurements, grid, chunk)
    for ordered in sorted_parts(keys, group_bits=_VALUE_BITS):
        for part in _whole_pixels(ordered, chunk):
            pixel, values = _unpacked(part)
            starts = np.flatnonzero(np.concatenate([[True], pixel[1:] != pixel[:-1]]))
            sizes = np.diff(np.append(starts, pixel.size))
            std_db = np.where(sizes > 1, _std(values, starts, sizes), np.nan)
            columns["pixel"].append(pixel[starts])
            columns["level_dbm"].append(_STATISTICS[statistic](values, starts, sizes))
            columns["count"].append(sizes)
            columns["std_db"].append(std_db)
    return SparseRaster(grid, **{name: column.finish() for name, column in columns.items()})


def _keys(measurements: Measurements, grid: Grid, chunk: int) -> Iterator[NDArray[np.uint64]]:
    """Pixel number and value of the points inside as 64-bit keys, the pixel above the value.

    One sort of such keys is several times as fast as an argsort by two criteria.
    """
    rows, cols = grid.shape
    for x, y, rsrp_dbm in iter_blocks(
        measurements.x, measurements.y, measurements.rsrp_dbm, rows=chunk
    ):
        row, col = (np.floor(axis) for axis in grid.to_pixel(x, y))
        inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
        inside &= np.isfinite(rsrp_dbm)
        pixel = row[inside].astype(np.uint64) * np.uint64(cols) + col[inside].astype(np.uint64)
        bits = np.ascontiguousarray(rsrp_dbm[inside]).view(np.uint32)
        # Order of IEEE floats as order of integers: flip all bits of negative numbers, the
        # sign of the others.
        ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
        yield (pixel << np.uint64(_VALUE_BITS)) | ordered


def _whole_pixels(keys: NDArray[np.uint64], count: int) -> Iterator[NDArray[np.uint64]]:
    """Cut sorted keys into parts of some ``count``, none of which ends within a pixel."""
    start = 0
    while start < keys.size:
        end = min(start + count, keys.size)
        if end < keys.size:
            following = (keys[end - 1] >> np.uint64(_VALUE_BITS)) + np.uint64(1)
            end = int(np.searchsorted(keys, following << np.uint64(_VALUE_BITS)))
            if following == _MAX_PIXELS:  # beyond the last pixel there is no key
                end = keys.size
        yield keys[start:end]
        start = end


def _unpacked(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixel number and value of keys."""
    ordered = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    bits = np.where(ordered & _SIGN, ordered & ~_SIGN, ~ordered)
    return (keys >> np.uint64(_VALUE_BITS)).astype(np.int64), bits.view(np.float32).astype(
        np.float64
    )


def _mean(
    values: NDArray[np.float64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Level of the mean power of each run; relative to its top, so that one level is exact."""
    top = _max(values, starts, sizes)
    power = 10.0 ** ((values - np.repeat(top, sizes)) / 10.0)
    return np.asarray(top + 10.0 * np.log10(np.add.reduceat(power, starts) / sizes))


def _median(
    values: NDArray[np.float64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Median of each run in dB."""
    return np.asarray(0.5 * (values[starts + (sizes - 1) // 2] + values[starts + sizes // 2]))


def _max(
    values: NDArray[np.float64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Strongest level of each run."""
    return np.asarray(values[starts + sizes - 1])


def _std(
    values: NDArray[np.float64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sample standard deviation of each run in dB; runs of one get 0."""
    means = np.add.reduceat(values, starts) / sizes
    squares = np.add.reduceat((values - np.repeat(means, sizes)) ** 2, starts)
    return np.asarray(np.sqrt(squares / np.maximum(sizes - 1, 1)))


_STATISTICS: Final = {"mean": _mean, "median": _median, "max": _max}
