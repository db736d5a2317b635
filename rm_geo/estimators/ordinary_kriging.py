"""Ordinary kriging in a moving window, with its standard deviation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from rm_geo._types import Float64Array, FloatArray
from rm_geo._util.threads import single_threaded_algebra
from rm_geo.errors import DependencyError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.parameters import require_whole
from rm_geo.estimators.tilewise import (
    TileSamples,
    pixel_blocks,
    pixel_centres_m,
)
from rm_geo.geostat.covariance import NestedExponentialCovariance
from rm_geo.geostat.variogram import fit_variogram, semivariance
from rm_geo.io.provenance import describe_method
from rm_geo.sites.facts import SiteInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rm_geo.raster.sparse import SparseRaster

KRIGING_BLOCK_PIXELS = 32
"""Side of a block: PyKrige holds all pairs of the samples that it is given."""


@dataclass(frozen=True)
class OrdinaryKrigingEstimator:
    """Best linear unbiased estimate from the nearest samples of each pixel (PyKrige).

    Parameters
    ----------
    neighbors : int
        Samples in the moving window of each pixel.
    covariance : NestedExponentialCovariance or None
        A model of one structure, in metres; None fits one robustly to each tile's samples.

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

    Examples
    --------
    >>> OrdinaryKrigingEstimator(neighbors=8).provenance["neighbors"]
    '8'
    """

    neighbors: int = 16
    covariance: NestedExponentialCovariance | None = None

    name = "ordinary-kriging"
    maps_buildings = False
    predicts_std = True

    def __post_init__(self) -> None:
        require_whole(self.name, "neighbors", self.neighbors, least=1)
        _import_ordinary_kriging()

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        variogram = "fitted" if self.covariance is None else repr(self.covariance)
        return describe_method(self.name, neighbors=self.neighbors, variogram=variogram)

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate all pixels of a batch of tiles.

        Parameters
        ----------
        batch : TileBatch
            Tiles of any size.

        Returns
        -------
        Estimate
            RSRP in dBm and kriging standard deviation in dB, shape (B, H, W); NaN in tiles
            without a sample, and the deviation also where no variogram can be fitted.
        """
        rsrp_dbm = np.full(batch.rsrp_dbm.shape, np.nan, dtype=np.float32)
        std_db = np.full_like(rsrp_dbm, np.nan)
        height, width = batch.rsrp_dbm.shape[1:]
        with single_threaded_algebra():
            for index in range(len(batch)):
                samples = TileSamples.of_tile(batch, index)
                if not len(samples):
                    continue
                window = self._moving_window(samples)
                if window is None:
                    rsrp_dbm[index] = samples.rsrp_dbm.mean()
                    continue
                for block, centres_m in pixel_blocks(
                    (height, width), batch.spacing_m, KRIGING_BLOCK_PIXELS
                ):
                    mean_dbm, std = window.krige(centres_m, centres_m)
                    rsrp_dbm[index][block] = mean_dbm.reshape(rsrp_dbm[index][block].shape)
                    std_db[index][block] = std.reshape(rsrp_dbm[index][block].shape)
        return Estimate(rsrp_dbm, std_db=std_db)

    def estimate_at(
        self,
        sparse: SparseRaster,
        row: ArrayLike,
        col: ArrayLike,
        site: SiteInfo | None = None,
    ) -> FloatArray:
        """Estimate at positions, without a raster: all measured pixels are used at once.

        Parameters
        ----------
        sparse : SparseRaster
            The measured pixels.
        row, col : array_like of float, shape (m,)
            Positions in pixels of the grid; 0.5 is the centre of the first pixel.
        site : SiteInfo, optional
            Not used.

        Returns
        -------
        ndarray of float32, shape (m,)
            RSRP in dBm; NaN without any sample. At a pixel's centre it is what
            :meth:`estimate` gives that pixel, if the raster is one tile: positions are solved
            with the samples of their block of pixels.
        """
        rows, cols = np.broadcast_arrays(np.asarray(row, np.float64), np.asarray(col, np.float64))
        position_px = np.column_stack([rows.ravel(), cols.ravel()])
        rsrp_dbm = np.full(len(position_px), np.nan, dtype=np.float32)
        samples = TileSamples.of_raster(sparse, site or SiteInfo())
        if not len(samples):
            return rsrp_dbm
        window = self._moving_window(samples)
        if window is None:
            rsrp_dbm[:] = samples.rsrp_dbm.mean()
            return rsrp_dbm
        blocks = np.floor(position_px / KRIGING_BLOCK_PIXELS).astype(np.int64)
        corners, of_block = np.unique(blocks, axis=0, return_inverse=True)
        spacing_m = sparse.grid.spacing_m
        with single_threaded_algebra():
            for number, corner in enumerate(corners * KRIGING_BLOCK_PIXELS):
                own = of_block.ravel() == number
                first_row, first_col = (int(start) for start in corner)
                end_row, end_col = (
                    max(min(start + KRIGING_BLOCK_PIXELS, length), start + 1)
                    for start, length in zip((first_row, first_col), sparse.grid.shape, strict=True)
                )
                block = (slice(first_row, end_row), slice(first_col, end_col))
                centres_m = pixel_centres_m(block, spacing_m)
                rsrp_dbm[own], _ = window.krige(centres_m, position_px[own] * spacing_m)
        return rsrp_dbm

    def _moving_window(self, samples: TileSamples) -> _MovingWindow | None:
        """Prepare kriging; None where no variogram can be fitted."""
        covariance = self.covariance
        if covariance is None and not samples.is_constant:
            covariance = fit_variogram(samples.position_m, samples.rsrp_dbm)
        if samples.is_constant or covariance is None or covariance.sill <= 0.0:
            return None
        return _MovingWindow(samples, covariance, min(self.neighbors, len(samples)))


@dataclass(frozen=True)
class _MovingWindow:
    """Kriging from the nearest samples of each position."""

    samples: TileSamples
    covariance: NestedExponentialCovariance
    neighbors: int

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.samples.position_m)

    def krige(
        self, block_m: Float64Array, position_m: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Give mean and standard deviation at positions in a block, whose pixels are given.

        The system holds the union of the windows of the block's pixels, whichever positions are
        asked for: of equally distant samples it is always the same one that is taken.
        """
        _, nearest = self._tree.query(block_m, k=np.arange(1, self.neighbors + 1))
        used = np.unique(nearest)
        return krige(
            self.samples.position_m[used],
            self.samples.rsrp_dbm[used],
            position_m,
            self.covariance,
            neighbors=self.neighbors,
        )


def krige(
    sample_m: Float64Array,
    value_db: Float64Array,
    position_m: Float64Array,
    covariance: NestedExponentialCovariance,
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
    covariance : NestedExponentialCovariance
        A model of one structure with a positive sill, in metres.
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
        half_db2 = np.where(distance_m > 0.0, semivariance(covariance, distance_m), 0.0)
        return np.full(len(position_m), value_db[0]), np.sqrt(2.0 * half_db2)
    kriging = _import_ordinary_kriging()(
        sample_m[:, 0],
        sample_m[:, 1],
        value_db,
        variogram_model="exponential",
        variogram_parameters={
            "psill": covariance.sill,
            "range": covariance.practical_range,
            "nugget": covariance.nugget,
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
    """Import PyKrige's class, or raise an error that names the extra."""
    try:
        from pykrige.ok import OrdinaryKriging
    except ImportError as error:
        raise DependencyError(
            "Ordinary kriging needs PyKrige, which is not installed.",
            hint='Install it with: pip install "rm-geo[geostat]"',
        ) from error
    return OrdinaryKriging
