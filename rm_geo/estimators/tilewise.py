"""Base of the classical estimators: samples of a tile, a fitted field, its values where wanted.

A classical method fits a field to the samples of a tile or of a whole raster.
:meth:`FieldEstimator.estimate` evaluates it at all pixels of a batch of tiles,
:meth:`FieldEstimator.estimate_at` at given positions only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rm_geo._types import Float64Array, FloatArray
from rm_geo._util.threads import single_threaded_algebra
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.sites.facts import SiteInfo

if TYPE_CHECKING:
    from rm_geo.raster.sparse import SparseRaster

FittedField: TypeAlias = Callable[[Float64Array], Float64Array]
"""Gives RSRP in dBm, shape (m,), at positions in metres, shape (m, 2)."""

BLOCK_PIXELS = 128
"""Side of the blocks in which a tile is predicted: 16,384 positions at a time bound memory."""


@dataclass(frozen=True)
class TileSamples:
    """The measured pixels of one tile or raster as points, and its transmitter.

    Attributes
    ----------
    position_m : ndarray of float64, shape (n, 2)
        Row and column direction, metres from the north-west corner to the pixel centres.
    rsrp_dbm : ndarray of float64, shape (n,)
        Mean RSRP of those pixels.
    extent_m : ndarray of float64, shape (2,)
        Height and width of the tile in metres.
    transmitter_m : ndarray of float64, shape (2,)
        Position of the transmitter, as the samples'; NaN where unknown.
    frequency_mhz : float
        Carrier frequency.
    transmitter_height_m : float
        Height of the antenna over ground.
    """

    position_m: Float64Array
    rsrp_dbm: Float64Array
    extent_m: Float64Array
    transmitter_m: Float64Array
    frequency_mhz: float = 2000.0
    transmitter_height_m: float = 25.0

    def __len__(self) -> int:
        return int(self.rsrp_dbm.size)

    @property
    def is_constant(self) -> bool:
        """Whether all values are one value, so that every interpolation is that value."""
        return len(self) > 0 and bool(np.ptp(self.rsrp_dbm) == 0.0)

    @classmethod
    def of_tile(cls, batch: TileBatch, index: int) -> TileSamples:
        """Collect the measured pixels of one tile of a batch.

        Parameters
        ----------
        batch : TileBatch
            The tiles; NaN where nothing was measured.
        index : int
            Number of the tile.

        Returns
        -------
        TileSamples
        """
        tile_dbm, spacing_m = batch.rsrp_dbm[index], batch.spacing_m
        rows, cols = np.nonzero(np.isfinite(tile_dbm))
        return cls(
            _centres_m(rows, cols, spacing_m),
            tile_dbm[rows, cols].astype(np.float64),
            np.asarray(tile_dbm.shape, dtype=np.float64) * spacing_m,
            batch.transmitter_rc[index].astype(np.float64) * spacing_m,
            batch.frequency_mhz,
            batch.transmitter_height_m,
        )

    @classmethod
    def of_raster(cls, sparse: SparseRaster, site: SiteInfo) -> TileSamples:
        """Collect the measured pixels of a raster, which is not painted for it.

        Parameters
        ----------
        sparse : SparseRaster
            The measured pixels.
        site : SiteInfo
            What is known of the transmitter.

        Returns
        -------
        TileSamples
        """
        transmitter_rc = site.transmitter_rc(sparse.grid).astype(np.float32)
        spacing_m = sparse.grid.spacing_m
        return cls(
            _centres_m(sparse.row, sparse.col, spacing_m),
            np.asarray(sparse.level_dbm, dtype=np.float64),
            np.asarray(sparse.grid.shape, dtype=np.float64) * spacing_m,
            transmitter_rc.astype(np.float64) * spacing_m,
            site.frequency_mhz,
            site.transmitter_height_m,
        )


class FieldEstimator(ABC):
    """An estimator that fits one field to the samples of a tile.

    Attributes
    ----------
    interpolates : bool
        Whether samples of one value make the whole field that value. Every interpolation
        is that value there, and many would divide by zero.
    """

    maps_buildings = False
    interpolates = True

    @abstractmethod
    def fit(self, samples: TileSamples) -> FittedField:
        """Fit a field to samples.

        Parameters
        ----------
        samples : TileSamples
            At least one; where the method interpolates, at least two different values.

        Returns
        -------
        callable
            Gives RSRP in dBm, shape (m,), at positions in metres, shape (m, 2).
        """

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate all pixels of a batch of tiles.

        Parameters
        ----------
        batch : TileBatch
            Tiles of any size; memory is bounded by predicting block by block.

        Returns
        -------
        Estimate
            RSRP in dBm, shape (B, H, W); NaN in tiles without a sample.
        """
        rsrp_dbm = np.full(batch.rsrp_dbm.shape, np.nan, dtype=np.float32)
        with single_threaded_algebra():
            for index in range(len(batch)):
                field = self._field(TileSamples.of_tile(batch, index))
                if field is not None:
                    evaluate_field(field, rsrp_dbm[index], batch.spacing_m)
        return Estimate(rsrp_dbm)

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
            Positions in pixels of the grid, as :meth:`rm_geo.grid.Grid.to_pixel` gives them:
            0.5 is the centre of the first pixel.
        site : SiteInfo, optional
            What is known of the transmitter; nothing if not given.

        Returns
        -------
        ndarray of float32, shape (m,)
            RSRP in dBm; NaN without any sample. At a pixel's centre it is what
            :meth:`estimate` gives that pixel, if the raster is one tile.

        Examples
        --------
        >>> import numpy as np
        >>> from rm_geo import Grid, SparseRaster, get_method
        >>> grid = Grid.create(500_000, 5_000_000, (1, 4), 10.0, 32633)
        >>> sparse = SparseRaster.from_levels(grid, np.array([[-70.0, np.nan, np.nan, -100.0]]))
        >>> get_method("linear").estimate_at(sparse, [0.5, 0.5], [1.5, 2.0])
        array([-80., -85.], dtype=float32)
        """
        rows, cols = np.broadcast_arrays(np.asarray(row, np.float64), np.asarray(col, np.float64))
        position_m = np.column_stack([rows.ravel(), cols.ravel()]) * sparse.grid.spacing_m
        rsrp_dbm = np.full(len(position_m), np.nan, dtype=np.float32)
        with single_threaded_algebra():
            field = self._field(TileSamples.of_raster(sparse, site or SiteInfo()))
            if field is not None:
                for start in range(0, len(position_m), BLOCK_PIXELS**2):
                    part = slice(start, start + BLOCK_PIXELS**2)
                    rsrp_dbm[part] = field(position_m[part])
        return rsrp_dbm

    def _field(self, samples: TileSamples) -> FittedField | None:
        """Fit a field; None without samples."""
        if len(samples) == 0:
            return None
        if self.interpolates and samples.is_constant:
            value_dbm = float(samples.rsrp_dbm[0])
            return lambda position_m: np.full(len(position_m), value_dbm)
        return self.fit(samples)


def pixel_blocks(
    shape: tuple[int, int], spacing_m: float, block: int = BLOCK_PIXELS
) -> Iterator[tuple[tuple[slice, slice], Float64Array]]:
    """Cut a tile into blocks of pixels.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the tile.
    spacing_m : float
        Side of a pixel in metres.
    block : int
        Pixels along each side of a block.

    Yields
    ------
    window : tuple of slice
        Rows and columns of the block.
    centres_m : ndarray of float64, shape (rows * cols, 2)
        Pixel centres in metres from the tile's north-west corner, row by row.

    Examples
    --------
    >>> [window for window, _ in pixel_blocks((2, 3), 1.0, block=2)]
    [(slice(0, 2, None), slice(0, 2, None)), (slice(0, 2, None), slice(2, 3, None))]
    """
    for row in range(0, shape[0], block):
        for col in range(0, shape[1], block):
            window = (
                slice(row, min(row + block, shape[0])),
                slice(col, min(col + block, shape[1])),
            )
            yield window, pixel_centres_m(window, spacing_m)


def pixel_centres_m(window: tuple[slice, slice], spacing_m: float) -> Float64Array:
    """Give the pixel centres of a window.

    Parameters
    ----------
    window : tuple of slice
        Rows and columns.
    spacing_m : float
        Side of a pixel in metres.

    Returns
    -------
    ndarray of float64, shape (rows * cols, 2)
        Row and column direction in metres, row by row.

    Examples
    --------
    >>> pixel_centres_m((slice(0, 1), slice(2, 4)), 2.0).tolist()
    [[1.0, 5.0], [1.0, 7.0]]
    """
    rows, cols = (np.arange(axis.start, axis.stop) + 0.5 for axis in window)
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
    return np.asarray(grid.reshape(-1, 2) * spacing_m, dtype=np.float64)


def evaluate_field(field: FittedField, out_dbm: FloatArray, spacing_m: float) -> None:
    """Evaluate a field at the pixel centres of a tile, block by block.

    Parameters
    ----------
    field : callable
        Gives RSRP in dBm, shape (m,), at positions in metres, shape (m, 2).
    out_dbm : ndarray of float32, shape (H, W)
        Filled with the values.
    spacing_m : float
        Side of a pixel in metres.

    Examples
    --------
    >>> out = np.zeros((1, 2), dtype=np.float32)
    >>> evaluate_field(lambda position_m: -position_m[:, 1], out, 10.0)
    >>> out.tolist()
    [[-5.0, -15.0]]
    """
    for window, centres_m in pixel_blocks((out_dbm.shape[0], out_dbm.shape[1]), spacing_m):
        out_dbm[window] = field(centres_m).reshape(out_dbm[window].shape)


def _centres_m(row: ArrayLike, col: ArrayLike, spacing_m: float) -> Float64Array:
    """Give the centres of pixels, shape (n, 2), in metres from the north-west corner."""
    return np.asarray((np.column_stack([row, col]) + 0.5) * spacing_m, dtype=np.float64)
