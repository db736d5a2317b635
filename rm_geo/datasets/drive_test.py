"""Simulated drive tests in a generated city, as logged by a scanner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rm_geo.datasets.cities import City
from rm_geo.datasets.routes import route_order
from rm_geo.datasets.sampling import Corruption, along_route
from rm_geo.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DriveTest:
    """Rows of a log in order of time, one row for each cell received at a position.

    Attributes
    ----------
    time : ndarray of datetime64[ms], shape (N,)
        Time of the row.
    x, y : ndarray of float64, shape (N,)
        Easting and northing in metres.
    cell : ndarray of str, shape (N,)
        Name of the cell.
    rsrp_dbm : ndarray of float32, shape (N,)
        RSRP in dBm.
    """

    time: NDArray[np.datetime64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    cell: NDArray[np.str_]
    rsrp_dbm: NDArray[np.float32]


def drive_test(
    rng: np.random.Generator,
    city: City,
    gains_db: NDArray[np.floating],
    *,
    cells: Sequence[str] | None = None,
    eirp_dbm: float = 28.0,
    coverage: float = 0.02,
    origin: tuple[float, float] = (0.0, 0.0),
    corruption: Corruption | None = None,
    sensitivity_dbm: float = -125.0,
    position_error_m: float = 0.6,
    speed_m_s: float = 8.0,
    start: str = "2024-05-14T09:00:00",
) -> DriveTest:
    """Simulate a drive through a city and log every cell above the sensitivity.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    city : City
        City with the streets to drive on.
    gains_db : ndarray, shape (C, H, W)
        Path gain of each cell in dB.
    cells : sequence of str, optional
        Names of the cells. Default: "101", "102", ...
    eirp_dbm : float
        Radiated power per resource element of each cell.
    coverage : float
        Fraction of the outdoor pixels that the drive visits, 0..1. It is less if the streets are
        too short.
    origin : (float, float)
        Easting and northing of the north-west corner, in metres.
    corruption : Corruption, optional
        Errors of the levels. Default: 2 dB of noise, 1 dB steps and 0.2 % of outliers.
    sensitivity_dbm : float
        Weaker levels are not logged.
    position_error_m : float
        Standard deviation in metres of the correlated position error.
    speed_m_s : float
        Mean speed, from which the times are computed.
    start : str
        Time of the first row, ISO 8601.

    Returns
    -------
    DriveTest

    Raises
    ------
    ConfigError
        If the sizes of gains, names and city do not match.
    """
    if gains_db.ndim != 3 or gains_db.shape[1:] != city.buildings.shape:
        raise ConfigError(
            f"Path gains of shape {gains_db.shape} do not match a city of {city.buildings.shape}."
        )
    names = [str(101 + i) for i in range(len(gains_db))] if cells is None else list(cells)
    if len(names) != len(gains_db):
        raise ConfigError(f"There are {len(names)} names for {len(gains_db)} cells.")
    errors = Corruption(noise_db=2.0, quantum_db=1.0, outlier_fraction=0.002)
    free = ~city.buildings
    order = route_order(rng, city.roads, free, coverage=coverage)
    visited = np.flatnonzero(along_route(order, round(coverage * int(free.sum()))))
    visited = visited[np.argsort(order.flat[visited])]
    rows, columns = np.divmod(visited, city.buildings.shape[1])
    level = np.stack([gain[rows, columns] for gain in gains_db]).astype(np.float32)
    level = (corruption or errors).apply(rng, level + np.float32(eirp_dbm))
    wander = _slow_error(rng, rows.size, position_error_m)
    x = origin[0] + (columns + 0.5) * city.spacing_m + wander[0]
    y = origin[1] - (rows + 0.5) * city.spacing_m + wander[1]
    # The time per pixel varies with the speed in traffic.
    seconds = np.cumsum(rng.gamma(2.0, city.spacing_m / speed_m_s / 2.0, rows.size))
    time = np.datetime64(start, "ms") + (1000 * seconds).astype("timedelta64[ms]")
    step, cell = np.nonzero((level >= sensitivity_dbm).T)
    return DriveTest(time[step], x[step], y[step], np.array(names)[cell], level[cell, step])


def _slow_error(rng: np.random.Generator, count: int, deviation_m: float) -> NDArray[np.float64]:
    """Draw correlated position errors (2, count), like those of satellite navigation."""
    knots = np.arange(0, count + 40, 40)
    drawn = rng.standard_normal((2, knots.size)) * deviation_m
    return np.stack([np.interp(np.arange(count), knots, line) for line in drawn])
