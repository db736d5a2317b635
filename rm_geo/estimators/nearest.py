"""Nearest neighbour: the map of Voronoi cells around the samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from rm_geo._types import Float64Array
from rm_geo.estimators.tilewise import FieldEstimator, FittedField, TileSamples
from rm_geo.io.provenance import describe_method


def nearest_field(samples: TileSamples) -> FittedField:
    """Give each position the value of its nearest sample.

    Parameters
    ----------
    samples : TileSamples
        At least one.

    Returns
    -------
    callable
        Gives RSRP in dBm, shape (m,), at positions in metres, shape (m, 2).
    """
    tree = KDTree(samples.position_m)

    def field(position_m: Float64Array) -> Float64Array:
        _, index = tree.query(position_m)
        return np.asarray(samples.rsrp_dbm[index])

    return field


@dataclass(frozen=True)
class NearestEstimator(FieldEstimator):
    """Every pixel takes the value of the nearest measured one (Voronoi or Thiessen polygons).

    Notes
    -----
    A. H. Thiessen, "Precipitation averages for large areas", Monthly Weather Review 39 (1911).

    Examples
    --------
    >>> NearestEstimator().provenance
    {'method': 'nearest'}
    """

    name = "nearest"

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return describe_method(self.name)

    def fit(self, samples: TileSamples) -> FittedField:
        """Fit a field to samples.

        Parameters
        ----------
        samples : TileSamples
            At least one.

        Returns
        -------
        callable
            Gives RSRP in dBm, shape (m,), at positions in metres, shape (m, 2).
        """
        return nearest_field(samples)
