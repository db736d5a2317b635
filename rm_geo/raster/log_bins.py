"""All cells of a log on one set of square bins: the levels, and the places that were visited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray, Float64Array, FloatArray
from rm_geo._util.disk_columns import iter_blocks
from rm_geo.errors import InputError
from rm_geo.measurements.model import CellPart, Measurements

BIN_M: Final = 5.0
"""Side of a bin in metres: a local mean of LTE bands (Lee: 40 wavelengths)."""

MAX_ENTRIES: Final = 1 << 27
"""Largest number of bins times cells; 128 million take 1 GiB."""


@dataclass(frozen=True)
class LogBins:
    """Levels of C cells in the M bins that a drive visited.

    Attributes
    ----------
    position_m : ndarray of float64, shape (M, 2)
        Mean position of the visits of each bin, x and y in the CRS of the measurements.
    level_dbm : ndarray of float32, shape (M, C)
        Mean of the readings in dB; NaN where the cell was not reported.
    count : ndarray of int32, shape (M, C)
        Readings; 0 where the cell was not reported.
    visits : ndarray of int32, shape (M,)
        Distinct times and positions in each bin, at least 1.
    cells : tuple of str
        Names of the cells.
    bin_m : float
        Side of a bin in metres.

    Examples
    --------
    >>> from pyproj import CRS
    >>> drive = Measurements(np.array([0.0, 6.0, 6.0]), np.zeros(3),
    ...                      np.array([-90, -80, -95], np.float32), ["1", "1", "2"],
    ...                      CRS.from_epsg(32633))
    >>> bins = LogBins.of(drive)
    >>> bins.cells, bins.level_dbm.tolist(), bins.visits.tolist()
    (('1', '2'), [[-90.0, nan], [-80.0, -95.0]], [1, 1])
    """

    position_m: Float64Array
    level_dbm: FloatArray
    count: NDArray[np.int32]
    visits: NDArray[np.int32]
    cells: tuple[str, ...]
    bin_m: float = BIN_M

    @classmethod
    def of(
        cls,
        measurements: Measurements,
        cells: Sequence[str] | None = None,
        *,
        bin_m: float = BIN_M,
    ) -> LogBins:
        """Bin all cells of a log.

        Parameters
        ----------
        measurements : Measurements
            Rows of all cells.
        cells : sequence of str, optional
            Cells of the matrix, by the names of :meth:`Measurements.by_cell`; all, those with
            the most rows first, if not given. Rows of the others count as visits only.
        bin_m : float
            Side of a bin in metres.

        Raises
        ------
        InputError
            If the matrix would be too large.
        """
        grouped, parts = measurements.grouped()
        return cls.of_parts(grouped, parts, cells, bin_m=bin_m)

    @classmethod
    def of_parts(
        cls,
        grouped: Measurements,
        parts: Mapping[str, CellPart],
        cells: Sequence[str] | None = None,
        *,
        bin_m: float = BIN_M,
    ) -> LogBins:
        """Bin measurements that are sorted by cell.

        Parameters
        ----------
        grouped : Measurements
            Measurements in the order of :meth:`Measurements.grouped`.
        parts : mapping of str to CellPart
            Rows of each cell in ``grouped``.
        cells : sequence of str, optional
            Cells of the columns; all if not given.
        bin_m : float
            Side of a bin in metres.

        Returns
        -------
        LogBins
            The visited bins, with a column for each cell.

        Raises
        ------
        InputError
            If the matrix would be too large.
        """
        names = tuple(parts) if cells is None else tuple(cells)
        places = grouped.visits()
        key, visits, x, y = _visited_bins(places.x, places.y, bin_m)
        if key.size * len(names) > MAX_ENTRIES:
            raise InputError(
                f"{key.size:,} bins of {bin_m:g} m times {len(names):,} cells are too many.",
                hint="Take larger bins, fewer cells or a smaller area.",
            )
        level_dbm = np.full((key.size, len(names)), np.nan, dtype=np.float32)
        count = np.zeros((key.size, len(names)), dtype=np.int32)
        for column, name in enumerate(names):
            rows = parts[name].rows
            number = np.zeros(key.size, dtype=np.int64)
            total = np.zeros(key.size)
            for block_x, block_y, level in iter_blocks(
                grouped.x[rows], grouped.y[rows], grouped.rsrp_dbm[rows]
            ):
                index = np.searchsorted(key, _bin_keys(block_x, block_y, bin_m))
                number += np.bincount(index, minlength=key.size)
                total += np.bincount(index, level.astype(np.float64), minlength=key.size)
            heard = number > 0
            level_dbm[heard, column] = total[heard] / number[heard]
            count[:, column] = number
        return cls(np.column_stack([x, y]), level_dbm, count, visits, names, bin_m)

    def __len__(self) -> int:
        return int(self.position_m.shape[0])

    @property
    def reported(self) -> BoolArray:
        """Where each cell was reported, shape (M, C)."""
        return np.asarray(self.count > 0)

    @property
    def strongest_dbm(self) -> FloatArray:
        """Level of the strongest cell of each bin, shape (M,); NaN where none was reported."""
        known = np.where(self.reported, self.level_dbm, np.float32(-np.inf))
        strongest = known.max(axis=1, initial=np.float32(-np.inf))
        return np.asarray(np.where(np.isfinite(strongest), strongest, np.float32(np.nan)))

    def hidden(self, mask: BoolArray) -> LogBins:
        """Leave out entries of the matrix; the bins stay visited.

        Parameters
        ----------
        mask : ndarray of bool, shape (M, C)
            Entries to leave out, such as those that a validation holds out.

        Returns
        -------
        LogBins
            The same bins, with NaN and a count of 0 in the entries.
        """
        level_dbm = np.where(mask, np.float32(np.nan), self.level_dbm)
        count = np.where(mask, np.int32(0), self.count)
        return LogBins(self.position_m, level_dbm, count, self.visits, self.cells, self.bin_m)


def _bin_keys(x: NDArray[Any], y: NDArray[Any], bin_m: float) -> NDArray[np.int64]:
    """Give each position the key of its bin: row in the upper, column in the lower 32 bits."""
    col = np.floor(x / bin_m).astype(np.int64)
    row = np.floor(y / bin_m).astype(np.int64)
    return np.asarray((row << 32) + (col + (1 << 31)))


def _visited_bins(
    x: Float64Array, y: Float64Array, bin_m: float
) -> tuple[NDArray[np.int64], NDArray[np.int32], Float64Array, Float64Array]:
    """Keys of the bins, ascending, with the number and mean position of their visits."""
    keys = np.empty(0, dtype=np.int64)
    sums = np.empty((0, 3))
    for block_x, block_y in iter_blocks(x, y):
        found, inverse = np.unique(_bin_keys(block_x, block_y, bin_m), return_inverse=True)
        inverse = inverse.reshape(-1)
        # Relative to the south-west corner: sums of UTM coordinates lose digits.
        col, row = (found & 0xFFFFFFFF) - (1 << 31), found >> 32
        own = np.column_stack(
            [
                np.bincount(inverse),
                np.bincount(inverse, block_x - bin_m * col[inverse]),
                np.bincount(inverse, block_y - bin_m * row[inverse]),
            ]
        )
        merged = np.union1d(keys, found)
        total = np.zeros((merged.size, 3))
        total[np.searchsorted(merged, keys)] += sums
        total[np.searchsorted(merged, found)] += own
        keys, sums = merged, total
    col, row = (keys & 0xFFFFFFFF) - (1 << 31), keys >> 32
    number = np.maximum(sums[:, 0], 1.0)
    return (
        keys,
        sums[:, 0].astype(np.int32),
        bin_m * col + sums[:, 1] / number,
        bin_m * row + sums[:, 2] / number,
    )
