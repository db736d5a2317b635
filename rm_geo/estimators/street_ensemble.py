"""Kriging and regression trees that follow the streets, around a log-distance law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rm_geo.estimators.tilewise import FieldEstimator, FittedField, TileSamples
from rm_geo.geostat.street_ensemble import Bins, StreetEnsemble
from rm_geo.io.provenance import describe_method


@dataclass(frozen=True)
class StreetEnsembleEstimator(FieldEstimator):
    """Mean of four estimators that know of transmitters and of streets.

    See :class:`rm_geo.geostat.street_ensemble.StreetEnsemble`. Samples are averaged over bins of
    5 m first, so that a measured pixel does not keep its own value.

    Notes
    -----
    Where the transmitter is not known, the log-distance law is averaged over the sites that it
    may have.

    Examples
    --------
    >>> from rm_geo import Grid, SparseRaster, get_method
    >>> grid = Grid.create(500_000, 5_000_000, (1, 4), 10.0, 32633)
    >>> sparse = SparseRaster.from_levels(grid, np.array([[-70.0, np.nan, np.nan, -76.0]]))
    >>> get_method("street-ensemble").estimate_at(sparse, [0.5], [1.5]).round()
    array([-73.], dtype=float32)
    """

    name = "street-ensemble"

    @property
    def provenance(self) -> dict[str, str]:
        """Name of the method; there are no parameters."""
        return describe_method(self.name)

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
        known = bool(np.isfinite(samples.transmitter_m).all())
        bins = Bins.of_points(samples.position_m, samples.rsrp_dbm)
        site_m = samples.transmitter_m if known else None
        return StreetEnsemble.fit(bins.position_m, bins.level_dbm, bins.noise_db2, site_m).at
