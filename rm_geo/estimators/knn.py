"""K nearest neighbours, the baseline of the RadioCycle paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import KNeighborsRegressor

from rm_geo._types import Float64Array
from rm_geo.estimators.parameters import require_whole
from rm_geo.estimators.tilewise import FieldEstimator, FittedField, TileSamples
from rm_geo.io.provenance import describe_method


@dataclass(frozen=True)
class KnnEstimator(FieldEstimator):
    """Mean of the nearest samples, weighted by the inverse of their distance.

    Parameters
    ----------
    neighbors : int
        Samples that each pixel sees; fewer where a tile has fewer.

    Raises
    ------
    UsageError
        If a parameter is out of its bounds.

    Notes
    -----
    ``sklearn.neighbors.KNeighborsRegressor(weights="distance")``; a measured pixel keeps its
    value. Every estimate lies within the range of the samples.
    """

    neighbors: int = 5

    name = "knn"

    def __post_init__(self) -> None:
        require_whole(self.name, "neighbors", self.neighbors, least=1)

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return describe_method(self.name, neighbors=self.neighbors)

    def fit(self, samples: TileSamples) -> FittedField:
        """Fit a field to samples."""
        model = KNeighborsRegressor(
            n_neighbors=min(self.neighbors, len(samples)), weights="distance"
        ).fit(samples.position_m, samples.rsrp_dbm)

        def field(position_m: Float64Array) -> Float64Array:
            return np.asarray(model.predict(position_m), dtype=np.float64)

        return field
