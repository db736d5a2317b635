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
    Weighted mean of the k nearest samples, weights 1/d: N. S. Altman, "An introduction to kernel
    and nearest-neighbor nonparametric regression", The American Statistician 46 (1992), computed by
    ``sklearn.neighbors.KNeighborsRegressor(weights="distance")``. A measured pixel keeps its value;
    every estimate lies within the range of the samples.

    Examples
    --------
    >>> import numpy as np
    >>> from rm_geo import Grid, SparseRaster, get_method
    >>> grid = Grid.create(500_000, 5_000_000, (1, 4), 10.0, 32633)
    >>> sparse = SparseRaster.from_levels(grid, np.array([[-70.0, np.nan, np.nan, -100.0]]))
    >>> get_method("knn", neighbors=2).estimate_at(sparse, [0.5], [1.5]).round(1)
    array([-80.], dtype=float32)
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
        model = KNeighborsRegressor(
            n_neighbors=min(self.neighbors, len(samples)), weights="distance"
        ).fit(samples.position_m, samples.rsrp_dbm)

        def field(position_m: Float64Array) -> Float64Array:
            return np.asarray(model.predict(position_m), dtype=np.float64)

        return field
