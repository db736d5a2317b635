"""Noise floor of a log: how much readings differ that were taken at one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rm_geo._types import Float64Array
from rm_geo.geostat.block_folds import block_numbers
from rm_geo.measurements.model import Measurements
from rm_geo.raster.log_bins import BIN_M

_PASS_GAP: Final = np.timedelta64(60, "s")


@dataclass(frozen=True)
class NoiseFloor:
    """Spread of the readings of a cell in one bin of 5 m.

    Attributes
    ----------
    within_pass_db : float
        Standard deviation of the readings of one pass; NaN without two readings in a pass.
    between_passes_db : float
        Root mean square difference of the means of two passes; NaN without a repeated pass.
    repeated_bins : int
        Bins and cells that were passed at least twice.
    """

    within_pass_db: float
    between_passes_db: float
    repeated_bins: int


def noise_floor(measurements: Measurements) -> NoiseFloor:
    """Estimate the noise floor from repeated readings.

    Parameters
    ----------
    measurements : Measurements
        The log. Readings of one bin more than a minute apart belong to different passes; without
        times all readings of a bin are one pass.

    Returns
    -------
    NoiseFloor

    Examples
    --------
    >>> from pyproj import CRS
    >>> time = np.array([0, 1, 100, 101], dtype="datetime64[s]").astype("datetime64[ms]")
    >>> drive = Measurements(np.zeros(4), np.zeros(4), np.array([-90, -92, -95, -97], np.float32),
    ...                      ["1"] * 4, CRS.from_epsg(32633), time=time)
    >>> floor = noise_floor(drive)
    >>> round(floor.within_pass_db, 2), floor.between_passes_db, floor.repeated_bins
    (1.41, 5.0, 1)
    """
    number = block_numbers(measurements.y, measurements.x, BIN_M)
    key = number * (int(measurements.cell.codes.max(initial=0)) + 1) + measurements.cell.codes
    level = measurements.rsrp_dbm.astype(np.float64)
    if measurements.time is None:
        order = np.argsort(key, kind="stable")
        new_pass = np.diff(key[order]) != 0
    else:
        order = np.lexsort((measurements.time, key))
        new_pass = (np.diff(key[order]) != 0) | (np.diff(measurements.time[order]) > _PASS_GAP)
    pass_of = np.concatenate([[0], np.cumsum(new_pass)]) if order.size else order
    count = np.bincount(pass_of)
    mean: Float64Array = np.bincount(pass_of, level[order]) / np.maximum(count, 1)
    squares = np.bincount(pass_of, (level[order] - mean[pass_of]) ** 2)
    freedom = int((count - 1).sum()) if count.size else 0
    within = float(np.sqrt(squares.sum() / freedom)) if freedom else float("nan")
    place_of = np.zeros(count.size, dtype=np.int64)
    place_of[pass_of] = key[order]
    _, place, passes = np.unique(place_of, return_inverse=True, return_counts=True)
    centre = np.bincount(place.reshape(-1), mean) / np.maximum(passes, 1)
    spread = np.bincount(place.reshape(-1), (mean - centre[place.reshape(-1)]) ** 2)
    repeated = passes > 1
    between = float("nan")
    if repeated.any():
        variance = float(spread[repeated].sum() / (passes[repeated] - 1).sum())
        between = float(np.sqrt(2.0 * variance))
    return NoiseFloor(within, between, int(repeated.sum()))
