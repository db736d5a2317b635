"""Regression by extremely randomised trees, without the overhead of many small forests.

Trees cut at random places, so that their mean is smooth. Held-out blocks need dozens of forests of
a few hundred values each, where scikit-learn's forest takes more time to copy and check the
parameters of its trees than to grow them. Here the trees are fitted one by one; they are the same.

Source: Geurts, Ernst and Wehenkel, "Extremely randomized trees", Machine Learning 63 (2006).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import Float64Array
from rm_geo._util.threads import available_threads

_LEAF: Final = 2
_LARGEST_SEED: Final = np.iinfo(np.int32).max
_THREADED: Final = 5000
"""Trees of fewer values are not worth threads."""


@dataclass(frozen=True)
class ExtraTrees:
    """Fitted trees.

    Attributes
    ----------
    trees : tuple of object
        Grown trees of scikit-learn.

    Examples
    --------
    >>> place = np.arange(100.0)[:, None]
    >>> trees = ExtraTrees.fit(place, place[:, 0] > 50.0, number=10)
    >>> trees.at(np.array([[10.0], [90.0]])).round().tolist()
    [0.0, 1.0]
    """

    trees: tuple[Any, ...]

    @classmethod
    def fit(
        cls,
        features: NDArray[np.floating],
        value: NDArray[Any],
        weight: Float64Array | None = None,
        *,
        number: int,
        max_features: float = 1.0,
        most_values: int | None = None,
    ) -> ExtraTrees:
        """Grow the trees.

        Parameters
        ----------
        features : ndarray of float, shape (N, F)
            Finite features, rounded to float32; N >= 1.
        value : ndarray of float64, shape (N,)
            Values.
        weight : ndarray of float64, shape (N,), optional
            Weights; equal if not given.
        number : int
            Number of trees.
        max_features : float
            Share of the features among which each cut is chosen.
        most_values : int, optional
            Most values that one tree learns from; of more, each tree has a random part.

        Returns
        -------
        ExtraTrees
        """
        from rm_geo._util.tree_regressor import ExtraTreeRegressor  # slow

        # Without a check of the parameters and a look for callbacks, which imports a progress bar.
        grow = getattr(ExtraTreeRegressor.fit, "__wrapped__", ExtraTreeRegressor.fit)

        table = np.ascontiguousarray(features, dtype=np.float32)
        column = np.ascontiguousarray(value, dtype=np.float64)[:, None]
        seeds = np.random.RandomState(0).randint(_LARGEST_SEED, size=number)

        def grown(seed: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
            chosen: slice | NDArray[np.int64] = slice(None)
            if most_values is not None and len(table) > most_values:
                chosen = np.random.default_rng(seed).choice(len(table), most_values, replace=False)
            tree = ExtraTreeRegressor(
                min_samples_leaf=_LEAF, max_features=max_features, random_state=seed
            )
            own_weight = None if weight is None else weight[chosen]
            return grow(tree, table[chosen], column[chosen], own_weight, check_input=False).tree_

        if len(table) < _THREADED:
            return cls(tuple(grown(int(seed)) for seed in seeds))
        with ThreadPoolExecutor(available_threads()) as pool:
            return cls(tuple(pool.map(grown, seeds.tolist())))

    def at(self, features: NDArray[np.floating]) -> Float64Array:
        """Estimate: the mean of the trees.

        Parameters
        ----------
        features : ndarray of float, shape (M, F)
            Features.

        Returns
        -------
        ndarray of float64, shape (M,)
        """
        table = np.ascontiguousarray(features, dtype=np.float32)
        total = np.zeros(len(table))
        for tree in self.trees:
            total += tree.predict(table)[:, 0]
        return np.asarray(total / len(self.trees))
