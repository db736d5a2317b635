"""Radial basis functions, a baseline of the MARS paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial import KDTree

from rm_geo._types import Float64Array
from rm_geo.estimators.parameters import require_not_negative, require_whole
from rm_geo.estimators.tilewise import FieldEstimator, FittedField, TileSamples
from rm_geo.io.provenance import describe_method

THINNEST_NEIGHBOURHOOD = 0.1
"""Width over length (standard deviations) below which samples count as lying on a line."""


@dataclass(frozen=True)
class RbfEstimator(FieldEstimator):
    """Thin plate splines through the nearest samples of each pixel.

    Parameters
    ----------
    neighbors : int
        Samples that each pixel sees; fewer where a tile has fewer.
    smoothing : float
        Ridge of ``scipy.interpolate.RBFInterpolator``; 0 passes through the samples.
    overshoot_db : float
        How far an estimate may leave the range of the tile's samples. Splines grow without
        bound beyond their samples, which is far along a drive test's streets.

    Raises
    ------
    UsageError
        If a parameter is out of its bounds.

    Notes
    -----
    Thin plate splines r^2 log r with a linear polynomial: J. Duchon, "Splines minimizing
    rotation-invariant semi-norms in Sobolev spaces" (1977), by
    ``scipy.interpolate.RBFInterpolator``. They need neighbours that span a plane: pixels whose
    neighbours lie nearly on one line, as along a straight street, are interpolated with the linear
    kernel, which does not.

    Examples
    --------
    >>> import numpy as np
    >>> from rm_geo import Grid, SparseRaster, get_method
    >>> grid = Grid.create(500_000, 5_000_000, (1, 4), 10.0, 32633)
    >>> sparse = SparseRaster.from_levels(grid, np.array([[-70.0, np.nan, np.nan, -100.0]]))
    >>> get_method("rbf").estimate_at(sparse, [0.5], [1.5]).round(1)
    array([-80.], dtype=float32)
    """

    neighbors: int = 50
    smoothing: float = 0.0
    overshoot_db: float = 5.0

    name = "rbf"

    def __post_init__(self) -> None:
        require_whole(self.name, "neighbors", self.neighbors, least=1)
        require_not_negative(self.name, "smoothing", self.smoothing)
        require_not_negative(self.name, "overshoot_db", self.overshoot_db)

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return describe_method(
            self.name,
            neighbors=self.neighbors,
            smoothing=self.smoothing,
            overshoot_db=self.overshoot_db,
        )

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
        neighbors = min(self.neighbors, len(samples))
        tree = KDTree(samples.position_m)
        low_dbm = samples.rsrp_dbm.min() - self.overshoot_db
        high_dbm = samples.rsrp_dbm.max() + self.overshoot_db

        def spline(kernel: str, degree: int, position_m: Float64Array) -> Float64Array:
            interpolator = RBFInterpolator(
                samples.position_m,
                samples.rsrp_dbm,
                neighbors=neighbors,
                smoothing=self.smoothing,
                kernel=kernel,
                degree=degree,
            )
            return np.asarray(interpolator(position_m))

        def field(position_m: Float64Array) -> Float64Array:
            _, index = tree.query(position_m, k=np.arange(1, neighbors + 1))
            thin = _lie_on_a_line(samples.position_m[index])
            value_dbm = np.empty(len(position_m))
            if thin.any():
                value_dbm[thin] = spline("linear", 0, position_m[thin])
            if not thin.all():
                value_dbm[~thin] = spline("thin_plate_spline", 1, position_m[~thin])
            return np.clip(value_dbm, low_dbm, high_dbm)

        return field


def _lie_on_a_line(neighbours_m: Float64Array) -> NDArray[np.bool_]:
    """Whether neighbourhoods, shape (m, k, 2), are too thin for a plane; shape (m,)."""
    centred = neighbours_m - neighbours_m.mean(axis=1, keepdims=True)
    covariance = np.einsum("mki,mkj->mij", centred, centred)
    narrow, wide = np.moveaxis(np.linalg.eigvalsh(covariance), -1, 0)
    return np.asarray(narrow <= THINNEST_NEIGHBOURHOOD**2 * wide)
