"""Inverse distance weighting (Shepard 1968) over a moving neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.spatial import KDTree

from rm_geo._types import Float64Array
from rm_geo.estimators.parameters import require_not_negative, require_whole
from rm_geo.estimators.tilewise import FieldEstimator, FittedField, TileSamples
from rm_geo.geostat.idw import idw_mean
from rm_geo.io.provenance import describe_method


@dataclass(frozen=True)
class IdwEstimator(FieldEstimator):
    """Mean of the nearest samples, weighted by distance to a negative power.

    Parameters
    ----------
    power : float
        Exponent of the distance; 2 is Shepard's.
    neighbors : int
        Samples that each pixel sees; fewer where a tile has fewer.

    Raises
    ------
    UsageError
        If a parameter is out of its bounds.

    Notes
    -----
    A measured pixel keeps its value. Every estimate lies within the range of the samples.

    Examples
    --------
    >>> import numpy as np
    >>> from rm_geo import Grid, SparseRaster, get_method
    >>> grid = Grid.create(500_000, 5_000_000, (1, 4), 10.0, 32633)
    >>> sparse = SparseRaster.from_levels(grid, np.array([[-70.0, np.nan, np.nan, -100.0]]))
    >>> get_method("idw", power=2).estimate_at(sparse, [0.5], [1.5]).round(1)
    array([-76.], dtype=float32)
    """

    power: float = 2.0
    neighbors: int = 16

    name = "idw"

    def __post_init__(self) -> None:
        require_not_negative(self.name, "power", self.power)
        require_whole(self.name, "neighbors", self.neighbors, least=1)

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return describe_method(self.name, power=self.power, neighbors=self.neighbors)

    def fit(self, samples: TileSamples) -> FittedField:
        """Fit a field to samples.

        Parameters
        ----------
        samples : TileSamples
            At least two different values.

        Returns
        -------
        callable
            Gives RSRP in dBm, shape (m,), at positions in metres, shape (m, 2).
        """
        tree = KDTree(samples.position_m)

        def field(position_m: Float64Array) -> Float64Array:
            mean_dbm, _ = idw_mean(
                tree, samples.rsrp_dbm, position_m, neighbors=self.neighbors, power=self.power
            )
            return mean_dbm

        return field
