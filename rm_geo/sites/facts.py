"""Site information: inputs of the estimators besides the measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import Float64Array
from rm_geo.grid import Grid

if TYPE_CHECKING:
    from rm_geo.buildings.mask import BuildingSource
    from rm_geo.sites.path_gains import CandidatePathGains, LogPathGains


_MOST_UNCERTAIN_M: Final = 10.0
"""Largest uncertainty of a transmitter's position in metres. Two cells of a real drive test whose
positions were estimated to some 30 m were interpolated 0.8 dB worse with the trend than without."""


@dataclass(frozen=True)
class SiteInfo:
    """Inputs of the estimators for one cell besides its measurements.

    Attributes
    ----------
    transmitter_xy : tuple of float or None
        Position in metres in the CRS of the grid; None if unknown.
    intercept_dbm : float
        Level at 1 m in free space, in dBm; NaN if unknown.
    frequency_mhz : float
        Carrier in MHz, for empirical models.
    transmitter_height_m : float
        Height above ground in metres, for empirical models.
    uncertainty_m : float
        Uncertainty in metres of an estimated position; 0 for a known one.
    buildings : BuildingSource or None
        Known buildings; None if they are not known.
    path_gains : CandidatePathGains or None
        Path gains around the known buildings, of the site or of candidate sites; None if they
        were not computed.

    Examples
    --------
    >>> SiteInfo(transmitter_xy=(500_100.0, 5_000_000.0)).frequency_mhz
    2000.0
    """

    transmitter_xy: tuple[float, float] | None = None
    intercept_dbm: float = float("nan")
    frequency_mhz: float = 2000.0
    transmitter_height_m: float = 25.0
    uncertainty_m: float = 0.0
    # Not in repr and comparison: the fingerprint of a run holds the checksum of the buildings.
    buildings: BuildingSource | None = field(default=None, repr=False, compare=False)
    path_gains: CandidatePathGains | None = field(default=None, repr=False, compare=False)

    @property
    def located_xy(self) -> tuple[float, float] | None:
        """Position of the transmitter; None where it is not known to some metres."""
        return None if self.uncertainty_m > _MOST_UNCERTAIN_M else self.transmitter_xy

    def transmitter_rc(self, grid: Grid) -> Float64Array:
        """Locate the transmitter in pixels of a grid.

        Parameters
        ----------
        grid : Grid
            Geometry, in the CRS of the position.

        Returns
        -------
        ndarray of float64, shape (2,)
            Row and column, 0.5 is the centre of the first pixel; NaN where it is unknown.

        Examples
        --------
        >>> grid = Grid.create(500_000, 5_000_000, (100, 100), 2.0, 32633)
        >>> SiteInfo(transmitter_xy=(500_100.0, 4_999_990.0)).transmitter_rc(grid).tolist()
        [5.0, 50.0]
        """
        if self.transmitter_xy is None:
            return np.full(2, np.nan)
        return np.array([float(axis) for axis in grid.to_pixel(*self.transmitter_xy)])

    def with_path_gains(
        self,
        grid: Grid,
        row: NDArray[np.integer],
        col: NDArray[np.integer],
        check: Callable[[], None] = lambda: None,
        of_log: LogPathGains | None = None,
    ) -> SiteInfo:
        """Add the path gains around the known buildings.

        Parameters
        ----------
        grid : Grid
            Grid of the pixels.
        row, col : ndarray of int, shape (N,)
            Measured pixels, N >= 1.
        check : callable
            Called between candidate sites; may raise to cancel.
        of_log : LogPathGains, optional
            Path gains that all cells of a log share; used where the transmitter is not known.

        Returns
        -------
        SiteInfo
            The same one where buildings are not known.

        Raises
        ------
        DependencyError
            If numba is not installed.
        """
        if self.buildings is None:
            return self
        if of_log is not None and self.located_xy is None:
            height_m = self.transmitter_height_m
            shared = of_log.of_cell(grid, row, col, height_m=height_m, check=check)
            return replace(self, path_gains=shared)
        from rm_geo.sites.path_gains import candidate_path_gains  # imports the simulator

        path_gains = candidate_path_gains(
            self.buildings,
            grid,
            row,
            col,
            transmitter_xy=self.located_xy,
            height_m=self.transmitter_height_m,
            frequency_mhz=self.frequency_mhz,
            check=check,
        )
        return replace(self, path_gains=path_gains)
