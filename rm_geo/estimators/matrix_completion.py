"""Matrix completion: a radio map as a matrix of low rank (soft-impute)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh

from rm_geo._types import BoolArray, Float64Array, FloatArray
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.parameters import require_whole
from rm_geo.io.provenance import describe_method

if TYPE_CHECKING:
    from rm_geo.raster.sparse import SparseRaster
    from rm_geo.sites.facts import SiteInfo

VALIDATION_SHARE = 0.1
"""Share of the samples that choose the shrinkage."""

SETTLED = 1e-3
"""Relative change at which the iterations end."""


@dataclass(frozen=True)
class MatrixCompletionEstimator:
    """Low-rank completion by iterated soft-thresholding of singular values.

    Parameters
    ----------
    shrinkages : int
        Length of the path of shrinkages, from the largest singular value down.
    iterations : int
        Most iterations at each shrinkage; fewer where the map has settled.
    seed : int
        Seed of the validation samples.

    Raises
    ------
    UsageError
        If a parameter is out of its bounds.

    Notes
    -----
    Soft-impute with warm starts (Mazumder, Hastie and Tibshirani 2010, algorithm 1) on the
    map less the mean of its samples. A tenth of the samples is left out to choose the
    shrinkage. Pixels whose row and column have no sample stay at the mean: matrix
    completion knows nothing of neighbourhood, and needs dense samples.

    Examples
    --------
    >>> MatrixCompletionEstimator(iterations=5).provenance["iterations"]
    '5'
    """

    shrinkages: int = 7
    iterations: int = 12
    seed: int = 0

    name = "matrix-completion"
    maps_buildings = False

    def __post_init__(self) -> None:
        require_whole(self.name, "shrinkages", self.shrinkages, least=1)
        require_whole(self.name, "iterations", self.iterations, least=1)
        require_whole(self.name, "seed", self.seed, least=0)

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return describe_method(
            self.name,
            shrinkages=self.shrinkages,
            iterations=self.iterations,
            seed=self.seed,
        )

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate all pixels of a batch of tiles.

        Parameters
        ----------
        batch : TileBatch
            Tiles of any size.

        Returns
        -------
        Estimate
            RSRP in dBm, shape (B, H, W); NaN in tiles without a sample.
        """
        return Estimate(np.stack([self._complete(tile_dbm) for tile_dbm in batch.rsrp_dbm]))

    def estimate_at(
        self,
        sparse: SparseRaster,
        row: ArrayLike,
        col: ArrayLike,
        site: SiteInfo | None = None,
    ) -> FloatArray:
        """Estimate at pixels, by completing the whole raster: a matrix has no single entry.

        Parameters
        ----------
        sparse : SparseRaster
            The measured pixels. The raster is held in memory as a dense matrix.
        row, col : array_like of float, shape (m,)
            Positions in pixels of the grid; the pixel around each is read.
        site : SiteInfo, optional
            Not used.

        Returns
        -------
        ndarray of float32, shape (m,)
            RSRP in dBm; NaN without any sample, and beyond the grid.
        """
        rows, cols = np.broadcast_arrays(np.floor(row), np.floor(col))
        pixel = np.column_stack([rows.ravel(), cols.ravel()]).astype(np.int64)
        inside = ((pixel >= 0) & (pixel < sparse.grid.shape)).all(axis=1)
        rsrp_dbm = np.full(len(pixel), np.nan, dtype=np.float32)
        rsrp_dbm[inside] = self._complete(sparse.dense_rsrp_dbm())[tuple(pixel[inside].T)]
        return rsrp_dbm

    def _complete(self, tile_dbm: FloatArray) -> FloatArray:
        observed = np.isfinite(tile_dbm)
        if not observed.any():
            return np.full_like(tile_dbm, np.nan)
        mean_dbm = float(tile_dbm[observed].mean(dtype=np.float64))
        centred = np.where(observed, tile_dbm - mean_dbm, 0.0).astype(np.float64)
        if not centred.any():
            return np.full_like(tile_dbm, mean_dbm)
        path = self._shrinkage_path(centred)
        best = self._best_shrinkage(centred, observed, path)
        completed = np.zeros_like(centred)
        for shrinkage in path[: best + 1]:
            completed = self._impute(centred, observed, completed, shrinkage)
        return (completed + mean_dbm).astype(np.float32)

    def _shrinkage_path(self, centred: Float64Array) -> Float64Array:
        """Geometric path from half of the shrinkage that leaves nothing."""
        gram = centred @ centred.T
        last = len(gram) - 1
        largest = float(eigh(gram, eigvals_only=True, subset_by_index=(last, last))[0]) ** 0.5
        return np.geomspace(largest / 2.0, largest / 2.0**self.shrinkages, self.shrinkages)

    def _best_shrinkage(
        self, centred: Float64Array, observed: BoolArray, path: Float64Array
    ) -> int:
        """Index in the path that predicts left-out samples best."""
        rng = np.random.default_rng(self.seed)
        left_out = observed & (rng.random(observed.shape) < VALIDATION_SHARE)
        if not left_out.any():
            return len(path) - 1
        kept = observed & ~left_out
        known = np.where(kept, centred, 0.0)
        completed = np.zeros_like(centred)
        errors = []
        for shrinkage in path:
            completed = self._impute(known, kept, completed, shrinkage)
            errors.append(float(np.mean((completed - centred)[left_out] ** 2)))
        return int(np.argmin(errors))

    def _impute(
        self, known: Float64Array, observed: BoolArray, start: Float64Array, shrinkage: float
    ) -> Float64Array:
        """Iterate: fill the gaps with the estimate, shrink the singular values."""
        completed = start
        for _ in range(self.iterations):
            filled = np.where(observed, known, completed)
            previous, completed = completed, shrink_singular_values(filled, shrinkage)
            if np.linalg.norm(completed - previous) <= SETTLED * np.linalg.norm(previous):
                break
        return completed


def shrink_singular_values(matrix: Float64Array, shrinkage: float) -> Float64Array:
    """Soft-threshold the singular values of a matrix.

    Parameters
    ----------
    matrix : ndarray of float64, shape (m, n)
        Any matrix.
    shrinkage : float
        Positive; taken from each singular value, those below it vanish.

    Returns
    -------
    ndarray of float64, shape (m, n)
        The matrix with smaller singular values.

    Notes
    -----
    From the eigenvectors of the smaller Gram matrix whose values survive, several times
    quicker than the decomposition of the whole; singular values below 1e-8 of the largest
    are lost, far below every shrinkage of use.

    Examples
    --------
    >>> shrink_singular_values(np.diag([3.0, 0.5]), 1.0).round(6).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    if matrix.shape[0] > matrix.shape[1]:
        return np.asarray(shrink_singular_values(matrix.T, shrinkage).T)
    squares, left = eigh(matrix @ matrix.T, subset_by_value=(shrinkage**2, np.inf))
    kept = 1.0 - shrinkage / np.sqrt(squares)
    return np.asarray((left * kept) @ (left.T @ matrix), dtype=np.float64)
