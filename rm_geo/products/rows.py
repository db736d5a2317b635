"""A band of rows of a cell's maps."""

from __future__ import annotations

from dataclasses import dataclass

from rm_geo._types import FloatArray


@dataclass(frozen=True)
class CellRows:
    """Some rows of a cell's maps; arrays have shape (rows, W), NaN where nothing is known.

    Attributes
    ----------
    rows : slice
        Rows of the grid.
    measured_dbm : ndarray of float32
        What was measured.
    rsrp_dbm : ndarray of float32
        The radio map.
    building_probability, std_db : ndarray of float32 or None
        From methods that know.
    """

    rows: slice
    measured_dbm: FloatArray
    rsrp_dbm: FloatArray
    building_probability: FloatArray | None = None
    std_db: FloatArray | None = None
