"""Random forest on coordinates and distances, a baseline of the RadioCycle paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from rm_geo._types import Float64Array
from rm_geo.estimators.parameters import require_whole
from rm_geo.estimators.tilewise import FieldEstimator, FittedField, TileSamples
from rm_geo.io.provenance import describe_method


@dataclass(frozen=True)
class RandomForestEstimator(FieldEstimator):
    """Regression trees over the place of a pixel in its tile.

    Parameters
    ----------
    trees : int
        Number of trees.
    min_samples_leaf : int
        Fewest samples in a leaf.
    seed : int
        Seed of the bootstrap; the same batch gives the same result.

    Raises
    ------
    UsageError
        If a parameter is out of its bounds.

    Notes
    -----
    L. Breiman, "Random forests", Machine Learning 45 (2001), by scikit-learn. Features: row and
    column, both diagonals, the distances to the tile's corners and centre (Euclidean distance
    fields: T. Behrens et al., "Spatial modelling with Euclidean distance fields and machine
    learning", European Journal of Soil Science 69, 2018), and, where the transmitter is known, the
    log-distance to it and its bearing as sine and cosine.

    Examples
    --------
    >>> RandomForestEstimator(trees=10).provenance["trees"]
    '10'
    """

    trees: int = 50
    min_samples_leaf: int = 1
    seed: int = 0

    name = "random-forest"

    def __post_init__(self) -> None:
        require_whole(self.name, "trees", self.trees, least=1)
        require_whole(self.name, "min_samples_leaf", self.min_samples_leaf, least=1)
        require_whole(self.name, "seed", self.seed, least=0)

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return describe_method(
            self.name,
            trees=self.trees,
            min_samples_leaf=self.min_samples_leaf,
            seed=self.seed,
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
        forest = RandomForestRegressor(
            n_estimators=self.trees,
            min_samples_leaf=self.min_samples_leaf,
            random_state=self.seed,
        ).fit(_features(samples.position_m, samples), samples.rsrp_dbm)

        def field(position_m: Float64Array) -> Float64Array:
            return np.asarray(forest.predict(_features(position_m, samples)), dtype=np.float64)

        return field


def _features(position_m: Float64Array, samples: TileSamples) -> Float64Array:
    """Describe positions in the tile of some samples."""
    return place_features(position_m, samples.extent_m, samples.transmitter_m)


def place_features(
    position_m: Float64Array, extent_m: Float64Array, transmitter_m: Float64Array
) -> Float64Array:
    """Describe positions by coordinates and distances.

    Parameters
    ----------
    position_m : ndarray of float64, shape (n, 2)
        Row and column direction, metres from the tile's north-west corner.
    extent_m : ndarray of float64, shape (2,)
        Height and width of the tile in metres.
    transmitter_m : ndarray of float64, shape (2,)
        Position of the transmitter; NaN where unknown.

    Returns
    -------
    ndarray of float64, shape (n, 9) or (n, 12)
        With a known transmitter three more features than without.

    Examples
    --------
    >>> place = np.array([[3.0, 4.0]])
    >>> extent, transmitter = np.array([8.0, 8.0]), np.array([3.0, 14.0])
    >>> place_features(place, extent, transmitter)[0].round(2).tolist()
    [3.0, 4.0, 7.0, -1.0, 5.0, 5.0, 6.4, 6.4, 1.0, 1.0, 0.0, -1.0]
    """
    anchors_m = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0.5]]) * extent_m
    to_anchor_m = np.linalg.norm(position_m[:, None] - anchors_m, axis=-1)
    diagonals = np.column_stack([position_m.sum(axis=1), position_m[:, 0] - position_m[:, 1]])
    features = [position_m, diagonals, to_anchor_m]
    if np.isfinite(transmitter_m).all():
        offset_m = position_m - transmitter_m
        distance_m = np.maximum(np.linalg.norm(offset_m, axis=1, keepdims=True), 1.0)
        features += [np.log10(distance_m), offset_m / distance_m]
    return np.concatenate(features, axis=1)
