"""Site information: inputs of the estimators besides the measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rm_geo.buildings.mask import BuildingSource
    from rm_geo.sites.path_gains import CandidatePathGains


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
