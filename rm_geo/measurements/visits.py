"""Places that a measuring device visited, for all cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo._types import Float64Array
from rm_geo.io.crs import in_crs


@dataclass(frozen=True)
class Visits:
    """Positions in metres, with times where the log has them.

    Attributes
    ----------
    x, y : ndarray of float64, shape (M,)
        Positions in the CRS of the measurements.
    time : ndarray of datetime64[ms], shape (M,), optional
        Times; NaT where unknown.
    """

    x: Float64Array
    y: Float64Array
    time: NDArray[np.datetime64] | None = None

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def in_crs(self, crs: CRS, target: CRS, source: str) -> Visits:
        """Convert the positions; those that cannot be converted are left out.

        Parameters
        ----------
        crs, target : pyproj.CRS
            CRS of the positions, and the one to convert to.
        source : str
            The file, for messages.

        Returns
        -------
        Visits

        Raises
        ------
        CrsError
            If no position can be converted.

        Examples
        --------
        >>> visits = Visits(np.array([15.0]), np.array([0.0]))
        >>> visits.in_crs(CRS.from_epsg(4326), CRS.from_epsg(32633), "drive.csv").x.round().tolist()
        [500000.0]
        """
        x, y = in_crs(self.x, self.y, crs, target, source)
        known = np.isfinite(x) & np.isfinite(y)
        return Visits(x[known], y[known], None if self.time is None else self.time[known])

    def joined(self, other: Visits) -> Visits:
        """Concatenate two sets of visits; times are kept if both have them.

        Parameters
        ----------
        other : Visits
            Visits in the same CRS.

        Returns
        -------
        Visits
            Of length M + len(other).

        Examples
        --------
        >>> here = Visits(np.array([1.0]), np.array([5.0]))
        >>> here.joined(here).x.tolist()
        [1.0, 1.0]
        """
        timed = self.time is not None and other.time is not None
        return Visits(
            np.concatenate([self.x, other.x]),
            np.concatenate([self.y, other.y]),
            np.concatenate([self.time, other.time]) if timed else None,
        )

    def distinct(self) -> Visits:
        """Remove repeated positions and times; the order of the first occurrences is kept.

        Returns
        -------
        Visits

        Examples
        --------
        >>> visits = Visits(np.array([1.0, 1.0, 2.0]), np.array([5.0, 5.0, 5.0]))
        >>> visits.distinct().x.tolist()
        [1.0, 2.0]
        """
        columns = [self.x, self.y]
        if self.time is not None:
            columns.append(self.time.astype("datetime64[ms]").view(np.int64))
        order = np.lexsort(columns)  # stable: of equal rows the first occurrence comes first
        differs = [np.diff(values[order]) != 0 for values in columns]
        is_first = np.ones(len(self), dtype=np.bool_)
        is_first[1:] = np.logical_or.reduce(differs)
        first = np.sort(order[is_first])
        time = None if self.time is None else self.time[first]
        return Visits(self.x[first], self.y[first], time)
