"""Points to a sparse raster: one value per pixel that was measured."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rm_geo.errors import InputError
from rm_geo.grid import Grid
from rm_geo.measurements import Measurements
from rm_geo.sparse import FloatArray, SparseRaster

__all__ = ["SparseRaster", "Statistic", "bin_measurements"]

Statistic = Literal["mean", "median", "max"]

_MAX_PIXELS: Final = 2**32  # pixel numbers share 64-bit keys with the values
_SIGN: Final = np.uint32(0x80000000)


def bin_measurements(
    measurements: Measurements,
    grid: Grid,
    statistic: Statistic = "mean",
    *,
    chunk: int = 1_000_000,
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
        Points that are placed at a time, which bounds the memory for temporaries.

    Raises
    ------
    InputError
        If the CRS differ, or the grid has more than 2**32 pixels.
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
    pixel, values = _sorted_values(measurements, grid, chunk)
    if pixel.size == 0:
        nothing: FloatArray = np.empty(0, dtype=np.float32)
        return SparseRaster(grid, pixel, nothing, np.empty(0, dtype=np.int32), nothing)
    starts = np.flatnonzero(np.concatenate([[True], pixel[1:] != pixel[:-1]]))
    sizes = np.diff(np.append(starts, pixel.size))
    spread_db = np.where(sizes > 1, _spread(values, starts, sizes), np.nan)
    return SparseRaster(
        grid,
        pixel[starts],
        _STATISTICS[statistic](values, starts, sizes).astype(np.float32),
        sizes.astype(np.int32),
        spread_db.astype(np.float32),
    )


def _sorted_values(
    measurements: Measurements, grid: Grid, chunk: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixel number and value of the points inside, by pixel and then by value.

    One sort of 64-bit keys (pixel number above, value below) is several times as fast as
    an argsort by two criteria.
    """
    rows, cols = grid.shape
    keys = []
    for start in range(0, len(measurements), chunk):
        part = slice(start, start + chunk)
        row, col = (
            np.floor(axis) for axis in grid.pixel_of(measurements.x[part], measurements.y[part])
        )
        inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
        inside &= np.isfinite(measurements.rsrp_dbm[part])
        pixel = row[inside].astype(np.uint64) * np.uint64(cols) + col[inside].astype(np.uint64)
        bits = np.ascontiguousarray(measurements.rsrp_dbm[part][inside]).view(np.uint32)
        # Order of IEEE floats as order of integers: flip all bits of negative numbers, the
        # sign of the others.
        ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
        keys.append((pixel << np.uint64(32)) | ordered)
    key = np.concatenate(keys) if keys else np.empty(0, dtype=np.uint64)
    key.sort()
    ordered = (key & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    bits = np.where(ordered & _SIGN, ordered & ~_SIGN, ~ordered)
    return (key >> np.uint64(32)).astype(np.int64), bits.view(np.float32).astype(np.float64)


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


def _spread(
    values: NDArray[np.float64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sample standard deviation of each run in dB; runs of one get 0."""
    means = np.add.reduceat(values, starts) / sizes
    squares = np.add.reduceat((values - np.repeat(means, sizes)) ** 2, starts)
    return np.asarray(np.sqrt(squares / np.maximum(sizes - 1, 1)))


_STATISTICS: Final = {"mean": _mean, "median": _median, "max": _max}
