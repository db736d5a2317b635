"""Made-up drive tests in a city, as a scanner logs them: for the demo and for tests."""

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
    """Rows of a log, in the order of time; one row per cell that was heard.

    Attributes
    ----------
    time : ndarray of datetime64[ms], shape (N,)
    x, y : ndarray of float64, shape (N,)
        Metres, to the east and to the north.
    cell : ndarray of str, shape (N,)
    rsrp_dbm : ndarray of float32, shape (N,)
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
    """Drive through a city and log every cell that can be heard.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    city : City
        Streets to drive on.
    gains_db : ndarray, shape (C, H, W)
        Path gain of each cell.
    cells : sequence of str, optional
        Names of the cells; "101", "102", ... by default.
    eirp_dbm : float
        Power per resource element that each cell radiates.
    coverage : float
        Share of the outdoor pixels on the way, 0..1; less where streets end.
    origin : (float, float)
        Easting and northing of the north-west corner, in metres.
    corruption : Corruption, optional
        Errors of the levels; 2 dB of noise, 1 dB steps and few outliers by default.
    sensitivity_dbm : float
        Weaker levels are not logged.
    position_error_m : float
        Standard deviation of the slow error of the positions.
    speed_m_s : float
        Mean speed, for the times.
    start : str
        Time of the first row, ISO 8601.

    Returns
    -------
    DriveTest

    Raises
    ------
    ConfigError
        If gains, names and city do not fit each other.
    """
    if gains_db.ndim != 3 or gains_db.shape[1:] != city.buildings.shape:
        raise ConfigError(f"Gains {gains_db.shape} do not fit the city {city.buildings.shape}.")
    names = [str(101 + i) for i in range(len(gains_db))] if cells is None else list(cells)
    if len(names) != len(gains_db):
        raise ConfigError(f"{len(names)} names do not fit {len(gains_db)} cells.")
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
    # Traffic: the time for a pixel varies, as the speed does.
    seconds = np.cumsum(rng.gamma(2.0, city.spacing_m / speed_m_s / 2.0, rows.size))
    time = np.datetime64(start, "ms") + (1000 * seconds).astype("timedelta64[ms]")
    step, cell = np.nonzero((level >= sensitivity_dbm).T)
    return DriveTest(time[step], x[step], y[step], np.array(names)[cell], level[cell, step])


def _slow_error(rng: np.random.Generator, count: int, deviation_m: float) -> NDArray[np.float64]:
    """Draw position errors that drift, as those of satellite navigation do: (2, count)."""
    knots = np.arange(0, count + 40, 40)
    drawn = rng.standard_normal((2, knots.size)) * deviation_m
    return np.stack([np.interp(np.arange(count), knots, line) for line in drawn])
