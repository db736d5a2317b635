"""Choice of a cell's transmitter: from a site table, estimated, or unknown.

A site table has precedence. Without one the position is estimated from the measurements. An
estimate with a large uncertainty is not used: a wrong position increases the error of a network
more than an unknown one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod, Transformer

from rm_geo.errors import DependencyError, InputError
from rm_geo.grid import Grid
from rm_geo.measurements.cell_summary import CellSummary
from rm_geo.measurements.model import Measurements
from rm_geo.sites.facts import SiteInfo
from rm_geo.sites.site import (
    DEFAULT_FREQUENCY_MHZ,
    Site,
    estimate_position,
    free_space_intercept,
    free_space_loss_1m_db,
    match_site,
    measured_carrier_mhz,
)

if TYPE_CHECKING:
    from rm_geo.sites.path_gains import LogPathGains

_USUAL_REACH_M: Final = 20_000.0
_LARGEST_REACH_M: Final = 100_000.0  # limit of the timing advance of LTE and NR


@dataclass(frozen=True)
class SiteChoice:
    """The transmitter chosen for a cell.

    Attributes
    ----------
    facts : SiteInfo
        Input of the estimators.
    origin : str
        Origin of the position: ``site table``, ``estimated`` or ``unknown``.
    intercept_origin : str
        Origin of the level at 1 m: ``eirp``, ``free-space envelope`` or ``unknown``.
    uncertainty_m : float or None
        Uncertainty in metres of an estimated position, used or not; None without an estimate.
    warnings : tuple of str
        Warnings for the user.
    frequency_known : bool
        Whether the carrier is stated by the log, the table or the options; else it is the usual
        one.
    """

    facts: SiteInfo
    origin: str = "unknown"
    intercept_origin: str = "unknown"
    uncertainty_m: float | None = None
    warnings: tuple[str, ...] = ()
    frequency_known: bool = True

    @property
    def tags(self) -> dict[str, str]:
        """Provenance tags."""
        tags = {
            "transmitter": self.origin,
            "intercept": self.intercept_origin,
            "frequency_mhz": f"{self.facts.frequency_mhz:g}",
        }
        if not self.frequency_known:
            tags["frequency"] = "assumed"
        if self.facts.transmitter_xy is not None:
            x, y = self.facts.transmitter_xy
            tags["transmitter_xy"] = f"{x:.2f} {y:.2f}"
        if self.uncertainty_m is not None:
            tags["transmitter_uncertainty_m"] = f"{self.uncertainty_m:.1f}"
        if math.isfinite(self.facts.intercept_dbm):
            tags["intercept_dbm"] = f"{self.facts.intercept_dbm:.2f}"
        return tags

    def with_buildings(self, path: Path, grid: Grid, layer: str | None) -> SiteChoice:
        """Add the known buildings of the area.

        Parameters
        ----------
        path : Path
            File of the building footprints.
        grid : Grid
            Grid of the cell.
        layer : str or None
            Layer of the file; None for its only layer.

        Returns
        -------
        SiteChoice

        Raises
        ------
        RmGeoError
            If the footprints cannot be read.
        """
        from rm_geo.buildings.mask import open_buildings  # imports GeoPandas, which few runs need

        buildings = open_buildings(path, grid, layer=layer)
        return replace(self, facts=replace(self.facts, buildings=buildings))

    def with_path_gains(
        self,
        grid: Grid,
        row: NDArray[np.integer],
        col: NDArray[np.integer],
        check: Callable[[], None],
        of_log: LogPathGains | None = None,
    ) -> SiteChoice:
        """Add the path gains around the known buildings.

        Parameters
        ----------
        grid : Grid
            Grid of the cell.
        row, col : ndarray of int, shape (N,)
            Measured pixels, N >= 1.
        check : callable
            Called between candidate sites; may raise to cancel.
        of_log : LogPathGains, optional
            Path gains that all cells of a log share.

        Returns
        -------
        SiteChoice
            The same site where buildings are not known; with a warning where numba is not
            installed.
        """
        try:
            return replace(self, facts=self.facts.with_path_gains(grid, row, col, check, of_log))
        except DependencyError as missing:
            warning = f"Path gains around the known buildings were left out. {missing}"
            return replace(self, warnings=(*self.warnings, warning))


def choose_site(
    measurements: Measurements,
    sites: Sequence[Site] | None,
    *,
    eirp_dbm: float | None = None,
    frequency_mhz: float | None = None,
    max_uncertainty_m: float = 30.0,
) -> SiteChoice:
    """Choose the transmitter of a cell.

    Parameters
    ----------
    measurements : Measurements
        Measurements of the cell.
    sites : sequence of Site, optional
        The site table, in the CRS of the measurements.
    eirp_dbm : float, optional
        EIRP per resource element in dBm, if the site table has none.
    frequency_mhz : float, optional
        Carrier in MHz, if neither the site table nor a channel number of the measurements gives
        one (default: 2000 MHz).
    max_uncertainty_m : float
        Maximum uncertainty in metres of an estimated position that is used.

    Returns
    -------
    SiteChoice
        The site, its origin, and warnings.

    Raises
    ------
    InputError
        If the site of the table is more than 100 km from the measurements.

    Examples
    --------
    >>> import numpy as np
    >>> from pyproj import CRS
    >>> drive = Measurements(
    ...     x=500_000 + np.arange(40.0),
    ...     y=np.full(40, 5_000_000.0),
    ...     rsrp_dbm=np.full(40, -90.0, dtype="float32"),
    ...     cell=np.full(40, "7"),
    ...     crs=CRS.from_epsg(32633),
    ... )
    >>> choose_site(drive, [Site(500_100.0, 5_000_000.0, cell="7")]).tags["transmitter"]
    'site table'
    """
    warnings: list[str] = []
    heard = CellSummary.of(measurements)
    measured_mhz = measured_carrier_mhz(heard)
    stated_mhz = measured_mhz or frequency_mhz
    mhz = stated_mhz or DEFAULT_FREQUENCY_MHZ
    listed = None if sites is None else match_site(sites, heard, measured_mhz)
    if listed is not None:
        if listed.frequency_mhz is not None:
            mhz = stated_mhz = listed.frequency_mhz
        doubts = require_near(listed, measurements)
        choice = _choice(listed, "site table", measurements, eirp_dbm, mhz, None, doubts)
        return replace(choice, frequency_known=stated_mhz is not None)
    if sites is not None:
        warnings.append("the site table does not name it.")
    guess = estimate_position(measurements)
    if guess is not None and guess.uncertainty_m <= max_uncertainty_m:
        warnings.append(
            "the transmitter's position is estimated from the measurements, to about "
            f"{guess.uncertainty_m:.0f} m; a site table (`sites`) is better."
        )
        choice = _choice(
            guess, "estimated", measurements, eirp_dbm, mhz, guess.uncertainty_m, warnings
        )
        return replace(choice, frequency_known=stated_mhz is not None)
    warnings.append("the transmitter's position is unknown; a site table (`sites`) is better.")
    return SiteChoice(
        SiteInfo(frequency_mhz=mhz),
        uncertainty_m=None if guess is None else guess.uncertainty_m,
        warnings=tuple(warnings),
        frequency_known=stated_mhz is not None,
    )


def require_near(site: Site, measurements: Measurements) -> tuple[str, ...]:
    """Refuse a site that is too far from the measurements.

    Parameters
    ----------
    site : Site
        A row of the site table, in the CRS of the measurements.
    measurements : Measurements
        Measurements of the cell.

    Returns
    -------
    tuple of str
        A warning if the site is more than 20 km from all measurements.

    Raises
    ------
    InputError
        If the site is more than 100 km from all measurements. The message says whether exchanged
        longitude and latitude explain the distance.
    """
    west, south, east, north = measurements.bounds
    away_m = math.hypot(
        max(west - site.x, 0.0, site.x - east), max(south - site.y, 0.0, site.y - north)
    )
    if away_m <= _USUAL_REACH_M:
        return ()
    text = f"the site of the cell is {away_m / 1000.0:,.0f} km from its measurements"
    if away_m <= _LARGEST_REACH_M:
        return (f"{text}; check its coordinates and CRS.",)
    centre = (0.5 * (west + east), 0.5 * (south + north))
    to_degrees = Transformer.from_crs(measurements.crs, 4326, always_xy=True)
    here, there = to_degrees.transform(*centre), to_degrees.transform(site.x, site.y)
    geod = Geod(ellps="WGS84")
    for whose, (lon, lat), other in (
        ("measurements", here, there),
        ("site", there, here),
    ):
        if abs(lon) <= 90.0:  # a valid latitude
            _, _, exchanged_m = geod.inv(lat, lon, *other)
            if exchanged_m < _USUAL_REACH_M:
                raise InputError(
                    f"{text[0].upper()}{text[1:]}. With longitude and latitude of the {whose} "
                    f"exchanged they would be {exchanged_m:,.0f} m apart.",
                    parameter="sites",
                    hint=f"Exchange the columns of the coordinates of the {whose}.",
                )
    raise InputError(
        f"{text[0].upper()}{text[1:]}.",
        parameter="sites",
        hint="Check the coordinates and the CRS of the site table and of the measurements.",
    )


def _choice(
    site: Site,
    origin: str,
    measurements: Measurements,
    eirp_dbm: float | None,
    frequency_mhz: float,
    uncertainty_m: float | None,
    warnings: Sequence[str],
) -> SiteChoice:
    """Create the choice of a known or estimated site."""
    site = replace(
        site,
        eirp_dbm=eirp_dbm if site.eirp_dbm is None else site.eirp_dbm,
        frequency_mhz=frequency_mhz,
    )
    facts = SiteInfo(
        transmitter_xy=(float(site.x), float(site.y)),
        intercept_dbm=free_space_intercept(measurements, site),
        frequency_mhz=frequency_mhz,
        transmitter_height_m=site.height_m,
        uncertainty_m=uncertainty_m or 0.0,
    )
    intercept_origin = "free-space envelope" if site.eirp_dbm is None else "eirp"
    return SiteChoice(facts, origin, intercept_origin, uncertainty_m, tuple(warnings))


def site_info(site: Site) -> SiteInfo:
    """Convert a site to the input of the estimators.

    Parameters
    ----------
    site : Site
        A site in the CRS of the grid.

    Returns
    -------
    SiteInfo
        The level at 1 m in free space, NaN for a site without EIRP. A site without a carrier
        has 2000 MHz.

    Examples
    --------
    >>> info = site_info(Site(0.0, 0.0, eirp_dbm=18.0, frequency_mhz=2600.0))
    >>> round(info.intercept_dbm, 1)
    -22.7
    """
    frequency_mhz = site.frequency_mhz or DEFAULT_FREQUENCY_MHZ
    intercept_dbm = math.nan
    if site.eirp_dbm is not None:
        intercept_dbm = site.eirp_dbm - free_space_loss_1m_db(frequency_mhz)
    return SiteInfo(
        transmitter_xy=(float(site.x), float(site.y)),
        intercept_dbm=intercept_dbm,
        frequency_mhz=frequency_mhz,
        transmitter_height_m=site.height_m,
        uncertainty_m=site.uncertainty_m,
    )
