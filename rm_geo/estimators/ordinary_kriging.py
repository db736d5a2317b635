"""Ordinary kriging in a moving window, with its standard deviation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import KDTree

from rm_geo._types import Float64Array, FloatArray
from rm_geo.errors import DependencyError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.parameters import require_whole
from rm_geo.estimators.tilewise import (
    TileSamples,
    pixel_blocks,
    samples_of,
    single_threaded_algebra,
)
from rm_geo.geostat.variogram import Variogram, fit_variogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

KRIGING_BLOCK_PIXELS = 32
"""Side of a block: PyKrige holds all pairs of the samples that it is given."""


@dataclass(frozen=True)
class OrdinaryKrigingEstimator:
    """Best linear unbiased estimate from the nearest samples of each pixel (PyKrige).

    Parameters
    ----------
    neighbors : int
        Samples in the moving window of each pixel.
    variogram : Variogram or None
        Given, or fitted robustly to each tile's samples.

    Raises
    ------
    DependencyError
        If PyKrige is not installed.
    UsageError
        If a parameter is out of its bounds.

    Notes
    -----
    A measured pixel keeps its value. ``Estimate.std_db`` is the kriging standard deviation.
    Each block of pixels is solved with the union of its pixels' windows, which is the same
    result as with all samples, in bounded memory.
    """

    neighbors: int = 16
    variogram: Variogram | None = None

    name = "ordinary-kriging"
    maps_buildings = False
    predicts_std = True

    def __post_init__(self) -> None:
        require_whole(self.name, "neighbors", self.neighbors, least=1)
        _import_ordinary_kriging()

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        variogram = "fitted" if self.variogram is None else repr(self.variogram)
        return {
            "method": self.name,
            "neighbors": str(self.neighbors),
            "variogram": variogram,
        }

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; tiles without a sample are NaN."""
        rsrp_dbm = np.full(batch.rsrp_dbm.shape, np.nan, dtype=np.float32)
        std_db = np.full_like(rsrp_dbm, np.nan)
        with single_threaded_algebra():
            for index, tile_dbm in enumerate(batch.rsrp_dbm):
                samples = samples_of(tile_dbm, batch.spacing_m)
                if len(samples):
                    self._estimate_tile(samples, batch.spacing_m, rsrp_dbm[index], std_db[index])
        return Estimate(rsrp_dbm, std_db=std_db)

    def _estimate_tile(
        self, samples: TileSamples, spacing_m: float, out_dbm: FloatArray, out_std_db: FloatArray
    ) -> None:
        variogram = self.variogram
        if variogram is None and not samples.is_constant:
            variogram = fit_variogram(samples.position_m, samples.rsrp_dbm)
        if samples.is_constant or variogram is None or variogram.partial_sill_db2 <= 0.0:
            # Nothing tells how the field varies: one value, and no claim about its error.
            out_dbm[:] = samples.rsrp_dbm.mean()
            return
        tree = KDTree(samples.position_m)
        window_ranks = np.arange(1, min(self.neighbors, len(samples)) + 1)
        shape = (out_dbm.shape[0], out_dbm.shape[1])
        for window, centres_m in pixel_blocks(shape, spacing_m, KRIGING_BLOCK_PIXELS):
            _, nearest = tree.query(centres_m, k=window_ranks)
            used = np.unique(nearest)
            mean_dbm, std_db = krige(
                samples.position_m[used],
                samples.rsrp_dbm[used],
                centres_m,
                variogram,
                neighbors=len(window_ranks),
            )
            out_dbm[window] = mean_dbm.reshape(out_dbm[window].shape)
            out_std_db[window] = std_db.reshape(out_dbm[window].shape)


def krige(
    sample_m: Float64Array,
    value_db: Float64Array,
    position_m: Float64Array,
    variogram: Variogram,
    *,
    neighbors: int = 16,
) -> tuple[Float64Array, Float64Array]:
    """Krige values at positions from their nearest samples.

    Parameters
    ----------
    sample_m : ndarray of float64, shape (n, 2)
        Distinct positions of the samples in metres. All pairs are held in memory.
    value_db : ndarray of float64, shape (n,)
        Values in dB or dBm.
    position_m : ndarray of float64, shape (m, 2)
        Where to estimate.
    variogram : Variogram
        With a positive partial sill.
    neighbors : int
        Samples in each position's window, at least 2 where there are 2.

    Returns
    -------
    mean, std : ndarray of float64, shape (m,)
        Estimate in the unit of the values, and its standard deviation in dB.
    """
    if len(value_db) == 1:
        # The variance of a difference to the only sample is twice the semivariance.
        distance_m = np.linalg.norm(position_m - sample_m[0], axis=1)
        semivariance = np.where(distance_m > 0.0, variogram(distance_m), 0.0)
        return np.full(len(position_m), value_db[0]), np.sqrt(2.0 * semivariance)
    kriging = _import_ordinary_kriging()(
        sample_m[:, 0],
        sample_m[:, 1],
        value_db,
        variogram_model="exponential",
        variogram_parameters={
            "psill": variogram.partial_sill_db2,
            "range": variogram.range_m,
            "nugget": variogram.nugget_db2,
        },
        nlags=2,  # PyKrige computes an empirical variogram even where it is given one
    )
    mean, variance = kriging.execute(
        "points",
        position_m[:, 0],
        position_m[:, 1],
        n_closest_points=max(2, min(neighbors, len(value_db))),
        backend="C",
    )
    std: NDArray[np.float64] = np.sqrt(np.maximum(np.asarray(variance), 0.0))
    return np.asarray(mean, dtype=np.float64), std


def _import_ordinary_kriging() -> Any:  # noqa: ANN401 - PyKrige has no types
    """Import PyKrige's class, or say how to install it."""
    try:
        from pykrige.ok import OrdinaryKriging
    except ImportError as error:
        raise DependencyError(
            "Ordinary kriging needs PyKrige, which is not installed.",
            hint='Install it with: pip install "rm-geo[geostat]"',
        ) from error
    return OrdinaryKriging
