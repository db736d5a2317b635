"""A block of rows of the maps of a cell."""

from __future__ import annotations

from dataclasses import dataclass

from rm_geo._types import FloatArray


@dataclass(frozen=True)
class CellRows:
    """Consecutive rows of the maps of a cell; arrays of shape (rows, W), NaN where unknown.

    Attributes
    ----------
    rows : slice
        Rows of the grid.
    measured_dbm : ndarray of float32
        Measured RSRP.
    rsrp_dbm : ndarray of float32
        The radio map.
    building_probability, std_db : ndarray of float32 or None
        None for methods that do not estimate it.
    reported_probability : ndarray of float32 or None
        Probability that the cell is reported; None where the log does not show it.
    """

    rows: slice
    measured_dbm: FloatArray
    rsrp_dbm: FloatArray
    building_probability: FloatArray | None = None
    std_db: FloatArray | None = None
    reported_probability: FloatArray | None = None
