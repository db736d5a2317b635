"""Sites of cells: position, height, power and carrier, from a table or the measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rm_geo.errors import InputError
from rm_geo.measurements.cell_summary import CellSummary
from rm_geo.measurements.model import Measurements
from rm_geo.sites.arfcn import carrier_mhz
from rm_geo.sites.localization import decluster, locate

DEFAULT_HEIGHT_M: Final = 25.0
"""Height of a macro antenna where nothing is known (3GPP TR 38.901, UMa)."""

DEFAULT_FREQUENCY_MHZ: Final = 2000.0
"""Carrier where nothing is known: the middle of the bands in use."""

_SAME_CARRIER_MHZ: Final = 0.5
_ENVELOPE_PERCENTILE: Final = 95.0
_ENVELOPE_BLOCK_M: Final = 5.0
_ENOUGH_BLOCKS: Final = 20


@dataclass(frozen=True)
class Site:
    """One cell's antenna.

    Attributes
    ----------
    x, y : float
        Position in metres in the CRS of the grid.
    height_m : float
        Height of the antenna over ground.
    eirp_dbm : float or None
        EIRP per resource element, in the direction of the beam: RSRP is this plus the path
        gain. Of a total EIRP over a carrier of N resource blocks, 10 log10(12 N) less.
    azimuth_deg : float or None
        Direction of the beam, clockwise from north; None if omnidirectional or unknown.
    downtilt_deg : float
        Tilt of the beam below the horizon.
    beamwidth_deg : float
        Horizontal width of the beam at half power.
    frequency_mhz : float or None
        Carrier frequency; None where unknown.
    uncertainty_m : float
        Root mean square error of the position; 0 from a site table.
    cell : str or None
        Identity of the cell, as in the measurements.
    load : float or None
        Share of the resource elements for data in use, 0..1; None where unknown.

    Examples
    --------
    >>> Site(500_100.0, 5_000_000.0, eirp_dbm=18.0, frequency_mhz=1815.0, cell="40").height_m
    25.0
    """

    x: float
    y: float
    height_m: float = DEFAULT_HEIGHT_M
    eirp_dbm: float | None = None
    azimuth_deg: float | None = None
    downtilt_deg: float = 0.0
    beamwidth_deg: float = 65.0
    frequency_mhz: float | None = None
    uncertainty_m: float = 0.0
    cell: str | None = None
    load: float | None = None


def estimate_position(
    measurements: Measurements, *, height_m: float = DEFAULT_HEIGHT_M
) -> Site | None:
    """Estimate a cell's transmitter from its measurements.

    Parameters
    ----------
    measurements : Measurements
        Of one cell.
    height_m : float
        Height of the antenna to assume.

    Returns
    -------
    Site or None
        With the spread of what the levels allow as ``uncertainty_m``, which is as large as
        the area where they do not determine it; None from fewer than 8 places.
    """
    found = locate(measurements.x, measurements.y, measurements.rsrp_dbm, height_m=height_m)
    if found is None:
        return None
    return Site(
        x=found.x,
        y=found.y,
        height_m=height_m,
        uncertainty_m=found.uncertainty_m,
        cell=next((cell for cell in measurements.cell.present() if cell is not None), None),
    )


def free_space_intercept(measurements: Measurements, transmitter: Site) -> float:
    """Level that free space would give at 1 m from a transmitter, in dBm.

    With a known EIRP, that minus the free-space loss at 1 m (ITU-R P.525), at 2000 MHz where
    the carrier is unknown. Otherwise the
    upper envelope of level + 20 log10(distance): what is measured in line of sight lies on
    it, everything behind buildings below. The 95th percentile over 5 m blocks is robust
    against single readings. Places nearer than the position is certain are left out where
    enough others remain.

    Parameters
    ----------
    measurements : Measurements
        Of one cell.
    transmitter : Site
        Its site.

    Returns
    -------
    float
        dBm.

    Raises
    ------
    InputError
        If there is neither an EIRP nor a measurement.
    """
    if transmitter.eirp_dbm is not None:
        frequency_mhz = transmitter.frequency_mhz or DEFAULT_FREQUENCY_MHZ
        return transmitter.eirp_dbm - free_space_loss_1m_db(frequency_mhz)
    if len(measurements) == 0:
        raise InputError(
            "The power of a transmitter cannot be fitted without measurements.",
            hint="Give its EIRP with `eirp_dbm`.",
            parameter="eirp_dbm",
        )
    x, y, level_dbm = decluster(
        measurements.x, measurements.y, measurements.rsrp_dbm, _ENVELOPE_BLOCK_M
    )
    distance_m = np.sqrt(
        (x - transmitter.x) ** 2 + (y - transmitter.y) ** 2 + max(transmitter.height_m, 1.0) ** 2
    )
    at_one_metre = level_dbm + 20.0 * np.log10(distance_m)
    certain = distance_m >= transmitter.uncertainty_m
    if np.count_nonzero(certain) >= _ENOUGH_BLOCKS:
        at_one_metre = at_one_metre[certain]
    return float(np.percentile(at_one_metre, _ENVELOPE_PERCENTILE))


def free_space_loss_1m_db(frequency_mhz: float) -> float:
    """Free-space loss at 1 m, 20 log10(f / MHz) - 27.55 dB (ITU-R P.525).

    Parameters
    ----------
    frequency_mhz : float
        Carrier frequency.

    Returns
    -------
    float
        dB.

    Examples
    --------
    >>> round(free_space_loss_1m_db(5900.0), 1)
    47.9
    """
    return 20.0 * math.log10(frequency_mhz) - 27.55


def match_site(
    sites: Sequence[Site], heard: CellSummary, frequency_mhz: float | None = None
) -> Site | None:
    """Find a cell's transmitter in a site table.

    Sites match by cell and carrier, then by cell. A number is compared as a number: ``008`` is
    8. A physical cell identity is reused across a network: of several sites that match, the one
    nearest to the strongest measurements is taken.

    Parameters
    ----------
    sites : sequence of Site
        A site table, in the CRS of the measurements.
    heard : CellSummary
        Names and strongest place of the cell.
    frequency_mhz : float, optional
        Carrier of the cell.

    Returns
    -------
    Site or None
        None if the table does not have the cell.
    """
    fitting = sites_named(sites, heard.names, frequency_mhz)
    if not fitting:
        return None
    x, y = heard.strongest_xy
    return min(fitting, key=lambda site: math.hypot(site.x - x, site.y - y))


def sites_named(
    sites: Sequence[Site], names: Sequence[str], frequency_mhz: float | None = None
) -> list[Site]:
    """Find the sites of a cell in a site table, by its names and its carrier.

    Parameters
    ----------
    sites : sequence of Site
        A site table.
    names : sequence of str
        Names of the cell, the most specific first. A number is compared as a number: ``008`` is
        8.
    frequency_mhz : float, optional
        Carrier of the cell; sites of that carrier take precedence.

    Returns
    -------
    list of Site
        Those that fit the most specific name that the table has; several where an identity is
        reused.

    Examples
    --------
    >>> [site.x for site in sites_named([Site(1.0, 0.0, cell="8")], ["9", "008"])]
    [1.0]
    """
    wanted = {_as_number(name): rank for rank, name in reversed(list(enumerate(names)))}
    ranked = [
        (wanted[_as_number(s.cell)], s) for s in sites if s.cell and _as_number(s.cell) in wanted
    ]
    if not ranked:
        return []
    best = min(rank for rank, _ in ranked)
    fitting = [site for rank, site in ranked if rank == best]
    if frequency_mhz is None:
        return fitting
    stated = [s for s in fitting if s.frequency_mhz is not None]
    same = [
        s for s in stated if abs(float(s.frequency_mhz or 0.0) - frequency_mhz) <= _SAME_CARRIER_MHZ
    ]
    return same or [s for s in fitting if s.frequency_mhz is None] or fitting


def _as_number(text: str) -> str:
    """Give a cell's name without leading zeros, where it is a whole number."""
    return str(int(text)) if text.isdecimal() else text


def measured_carrier_mhz(heard: CellSummary) -> float | None:
    """Give the carrier of most measurements in MHz; None where the log does not state it.

    Parameters
    ----------
    heard : CellSummary
        Channel number of the cell, or else the frequency of its identity.

    Returns
    -------
    float or None
        MHz; None where neither is known.
    """
    return heard.frequency_mhz if heard.channel is None else carrier_mhz(heard.channel)
