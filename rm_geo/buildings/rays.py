"""Rasters of the straight lines from sites to measurements, of all cells of a place together.

A level near that of free space shows that nothing stands in the straight line from the site to the
measurement, and a level far below it that something does. Lines of many cells cross, as in
tomography. The rasters sum up all lines. Their number depends neither on the number of cells nor
on their order. The line from a site above the roofs shows little of buildings far from the
measurement: each part of a line counts by the share of buildings that reach up to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo.units import LEVEL_SCALE_DB

RAY_PX: Final = 2
"""Side of a pixel of the rasters of lines, in pixels of the map."""

POINT_CHANNELS: Final = 3
"""Rasters of measurements: visited pixels, mean and largest excess over free space."""

RAY_CHANNELS: Final = 11
"""Rasters of lines, see :class:`RayRasters`."""

CLEAR_DB: Final = -4.0
"""Excess over free space at which a line is as likely clear as not."""

_CLEAR_WIDTH_DB: Final = 1.5
_LOWEST_EXCESS: Final = -3.0
_HIGHEST_EXCESS: Final = 0.5
_ENVELOPE_PERCENT: Final = 95.0
_LEAST: Final = 0.02
_NEAR_M: Final = 40.0
"""Scale of the distance from a measurement within which a line is below the roofs, even if the
height of the site is wrong."""

_RECEIVER_M: Final = 1.5
_ROOF_M: Final = 14.0
"""Height that half of the buildings reach."""


@dataclass(frozen=True)
class CellSamples:
    """Measurements of one cell on a tile.

    Attributes
    ----------
    rows, cols : ndarray of int, shape (N,)
        Pixels of the measurements.
    level_dbm : ndarray of float32, shape (N,)
        RSRP in dBm.
    site_rc : (float, float)
        Row and column of the site, which may be outside the tile. NaN if unknown.
    intercept_dbm : float
        Free-space level at 1 m. NaN if unknown.
    height_m : float
        Height of the antenna over ground.
    """

    rows: NDArray[np.integer]
    cols: NDArray[np.integer]
    level_dbm: FloatArray
    site_rc: tuple[float, float]
    intercept_dbm: float = float("nan")
    height_m: float = 25.0

    @property
    def is_located(self) -> bool:
        """Whether the site is known and there are measurements."""
        return bool(np.isfinite(self.site_rc).all() and len(self.rows))


class RayRasters(NamedTuple):
    """Rasters of the measurements of all cells on a tile.

    Attributes
    ----------
    points : ndarray of float32, shape (3, H, W)
        Visited pixels (1 or 0), and mean and largest excess over free space over the cells, in
        units of 20 dB.
    rays : ndarray of float32, shape (11, ceil(H / 2), ceil(W / 2))
        Number of lines below roofs through the pixel and of clear ones, as logarithms; share of
        clear lines; mean excess; over the cells the largest share of clear lines, and largest and
        smallest mean excess; obstruction, which each obstructed line distributes over the pixels
        that no clear line crosses, as a logarithm and per line; share of obstructed lines near
        their measurements; logarithm of the number of cells with lines.
    """

    points: FloatArray
    rays: FloatArray


def ray_rasters(
    cells: Sequence[CellSamples], shape: tuple[int, int], spacing_m: float = 1.0
) -> RayRasters:
    """Compute the rasters of the lines of all cells on a tile.

    Parameters
    ----------
    cells : sequence of CellSamples
        Measurements of each cell, in any order. Cells without a site contribute their visited
        pixels.
    shape : (int, int)
        Rows and columns of the tile.
    spacing_m : float
        Side of a pixel in metres.

    Returns
    -------
    RayRasters
        All 0 without measurements.

    Examples
    --------
    >>> level_dbm = np.array([-78.0], np.float32)
    >>> cell = CellSamples(np.array([4]), np.array([30]), level_dbm, (4.5, 0.5), -48.0, 1.5)
    >>> rasters = ray_rasters([cell], (8, 32))
    >>> rasters.points.shape, rasters.rays.shape
    ((3, 8, 32), (11, 4, 16))
    >>> bool(rasters.rays[2, 2, :15].min() > 0.9)  # a clear line along the row of the site
    True
    """
    points = _point_rasters(cells, shape, spacing_m)
    size = (-(-shape[0] // RAY_PX), -(-shape[1] // RAY_PX))
    located = [cell for cell in cells if cell.is_located]
    lines = [_Lines.of(cell, size, spacing_m) for cell in located]
    return RayRasters(points, _line_rasters(lines, size))


def excess_over_free_space(cell: CellSamples, spacing_m: float) -> FloatArray:
    """Compute levels relative to free space, in units of 20 dB.

    Parameters
    ----------
    cell : CellSamples
        Measurements of a cell with a known site. If the intercept is unknown, it is estimated by
        the 95th percentile of the levels, corrected to 1 m by free-space loss.
    spacing_m : float
        Side of a pixel in metres.

    Returns
    -------
    ndarray of float32, shape (N,)
        Between -3 and 0.5.
    """
    row, col = cell.site_rc
    distance_m = spacing_m * np.hypot(cell.rows + 0.5 - row, cell.cols + 0.5 - col)
    at_1_m = cell.level_dbm + 20.0 * np.log10(np.maximum(distance_m, 1.0))
    intercept = cell.intercept_dbm
    if not np.isfinite(intercept):
        intercept = float(np.percentile(at_1_m, _ENVELOPE_PERCENT))
    excess = (at_1_m - intercept) / LEVEL_SCALE_DB
    return np.asarray(np.clip(excess, _LOWEST_EXCESS, _HIGHEST_EXCESS), dtype=np.float32)


def _point_rasters(
    cells: Sequence[CellSamples], shape: tuple[int, int], spacing_m: float
) -> FloatArray:
    """Compute the rasters of the measured pixels."""
    visited = np.zeros(shape, dtype=np.float32)
    total, count = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    largest = np.full(shape, _LOWEST_EXCESS, dtype=np.float32)
    for cell in cells:
        visited[cell.rows, cell.cols] = 1.0
        if cell.is_located:
            excess = excess_over_free_space(cell, spacing_m)
            total[cell.rows, cell.cols] += excess
            count[cell.rows, cell.cols] += 1.0
            largest[cell.rows, cell.cols] = np.maximum(largest[cell.rows, cell.cols], excess)
    heard = count > 0.0
    mean = total / np.maximum(count, 1.0)
    return np.stack([visited, mean, np.where(heard, largest, np.float32(0.0))])


class _Lines(NamedTuple):
    """Lines of one cell, cut to the tile, as steps of about one pixel of the rasters."""

    pixel: NDArray[np.intp]  # flat index of the pixel of each step
    line: NDArray[np.intp]  # line of each step
    low: NDArray[np.float64]  # share of buildings that reach up to the line, of each step
    near: NDArray[np.float64]  # weight of each step by its distance from the measurement
    excess: NDArray[np.float64]  # of each line
    clear: NDArray[np.float64]  # probability that the line is clear, of each line

    @classmethod
    def of(cls, cell: CellSamples, size: tuple[int, int], spacing_m: float) -> _Lines:
        """Draw the lines of a cell."""
        excess = excess_over_free_space(cell, spacing_m).astype(np.float64)
        margin_db = LEVEL_SCALE_DB * excess - CLEAR_DB
        clear = 1.0 / (1.0 + np.exp(-margin_db / _CLEAR_WIDTH_DB))
        end = np.stack([cell.rows + 0.5, cell.cols + 0.5], 1) / RAY_PX
        way = end - np.asarray(cell.site_rc, dtype=np.float64) / RAY_PX
        length = np.hypot(way[:, 0], way[:, 1])
        inside = _share_inside(end, way, size)
        steps = np.maximum(np.ceil(inside * length), 1.0).astype(np.intp)
        line = np.repeat(np.arange(len(steps)), steps)
        number = np.arange(len(line)) - np.repeat(np.cumsum(steps) - steps, steps)
        back = inside[line] * (number + 0.5) / steps[line]
        at = end[line] - back[:, None] * way[line]
        row, col = (np.clip(at[:, axis].astype(np.intp), 0, size[axis] - 1) for axis in (0, 1))
        near = np.exp(-back * length[line] * RAY_PX * spacing_m / _NEAR_M)
        height_m = _RECEIVER_M + back * (cell.height_m - _RECEIVER_M)
        low = 1.0 / (1.0 + (height_m / _ROOF_M) ** 4)
        return cls(row * size[1] + col, line, low, near, excess, clear)


def _share_inside(
    end: NDArray[np.float64], way: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float64]:
    """Compute which share of each line, seen from its end in the tile, lies in the tile."""
    share = np.ones(len(end))
    for axis in (0, 1):
        # Going back from the end, the line leaves at 0 if it came from there, else at the far side.
        room = np.where(way[:, axis] > 0.0, end[:, axis], size[axis] - end[:, axis])
        move = np.maximum(np.abs(way[:, axis]), 1e-9)
        share = np.minimum(share, room / move)
    return share


def _line_rasters(lines: Sequence[_Lines], size: tuple[int, int]) -> FloatArray:
    """Sum up the lines of all cells."""
    pixels = size[0] * size[1]
    count, clear, excess, near, near_obstructed, hearing = (np.zeros(pixels) for _ in range(6))
    best_clear = np.zeros(pixels)
    best, worst = np.full(pixels, _LOWEST_EXCESS), np.full(pixels, _HIGHEST_EXCESS)
    for cell in lines:

        def summed(weights: NDArray[np.float64], cell: _Lines = cell) -> NDArray[np.float64]:
            return np.asarray(np.bincount(cell.pixel, weights, pixels), dtype=np.float64)

        own, own_clear, own_excess = (
            summed(cell.low * weight)
            for weight in (1.0, cell.clear[cell.line], cell.excess[cell.line])
        )
        has = own > _LEAST
        number = np.maximum(own, _LEAST)
        count, clear, excess = count + own, clear + own_clear, excess + own_excess
        hearing += has
        near += summed(cell.near)
        near_obstructed += summed(cell.near * (1.0 - cell.clear[cell.line]))
        best_clear = np.where(has, np.maximum(best_clear, own_clear / number), best_clear)
        mean = own_excess / number
        best = np.where(has, np.maximum(best, mean), best)
        worst = np.where(has, np.minimum(worst, mean), worst)
    crossed = hearing > 0.0
    number = np.maximum(count, _LEAST)
    obstruction = _obstruction(lines, 1.0 / (1.0 + clear))
    rasters = np.stack(
        [
            np.log1p(count) / 5.0,
            np.log1p(clear) / 5.0,
            clear / number,
            excess / number,
            best_clear,
            np.where(crossed, best, 0.0),
            np.where(crossed, worst, 0.0),
            np.log1p(obstruction),
            np.minimum(obstruction / number, 1.0),
            near_obstructed / np.maximum(near, _LEAST),
            np.log1p(hearing) / 3.0,
        ]
    )
    return np.asarray(rasters, dtype=np.float32).reshape(RAY_CHANNELS, *size)


def _obstruction(lines: Sequence[_Lines], doubtful: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distribute what obstructs each line over its pixels, by how little is known of them."""
    total = np.zeros(len(doubtful))
    for cell in lines:
        weight = cell.low * doubtful[cell.pixel]
        whole = np.bincount(cell.line, weight, len(cell.clear))
        share = (1.0 - cell.clear) / np.maximum(whole, 1e-6)
        total += np.bincount(cell.pixel, weight * share[cell.line], len(doubtful))
    return total
