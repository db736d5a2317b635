"""What is known of a cell besides its measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rm_geo.buildings.mask import BuildingSource


@dataclass(frozen=True)
class SiteInfo:
    """What is known of a cell besides its measurements.

    Attributes
    ----------
    transmitter_xy : tuple of float or None
        Position in metres in the grid's CRS; None where unknown.
    intercept_dbm : float
        Level that free space would give at 1 m; NaN where unknown.
    frequency_mhz, transmitter_height_m : float
        For empirical models.
    uncertainty_m : float
        Of a position that was estimated; 0 of one that is known.
    buildings : BuildingSource or None
        The known buildings; None where they are not known.

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
    # Left out of repr and comparison: the fingerprint of a run has the buildings' checksum.
    buildings: BuildingSource | None = field(default=None, repr=False, compare=False)
