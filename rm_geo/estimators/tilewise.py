"""What the point interpolators share: samples of a tile, blocks of pixels, the loop over tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from rm_geo._types import Float64Array, FloatArray
from rm_geo.estimators.base import TileBatch

FittedField: TypeAlias = Callable[[Float64Array], Float64Array]
"""Gives RSRP in dBm, shape (m,), at positions in metres, shape (m, 2)."""

BLOCK_PIXELS = 128
"""Side of the blocks in which a tile is predicted: 16,384 positions at a time bound memory."""


@dataclass(frozen=True)
class TileSamples:
    """The measurements of one tile as points.

    Attributes
    ----------
    position_m : ndarray of float64, shape (n, 2)
        Row and column direction, metres from the tile's north-west corner to the pixel centres.
    rsrp_dbm : ndarray of float64, shape (n,)
        Mean RSRP of those pixels.
    """

    position_m: Float64Array
    rsrp_dbm: Float64Array

    def __len__(self) -> int:
        return int(self.rsrp_dbm.size)

    @property
    def is_constant(self) -> bool:
        """Whether all values are one value, so that every interpolation is that value."""
        return len(self) > 0 and bool(np.ptp(self.rsrp_dbm) == 0.0)


def samples_of(tile_dbm: FloatArray, spacing_m: float) -> TileSamples:
    """Collect the measured pixels of a tile.

    Parameters
    ----------
    tile_dbm : ndarray of float32, shape (H, W)
        RSRP in dBm; NaN where nothing was measured.
    spacing_m : float
        Side of a pixel in metres.
    """
    rows, cols = np.nonzero(np.isfinite(tile_dbm))
    position_m = (np.column_stack([rows, cols]) + 0.5) * spacing_m
    return TileSamples(position_m.astype(np.float64), tile_dbm[rows, cols].astype(np.float64))


def pixel_blocks(
    shape: tuple[int, int], spacing_m: float, block: int = BLOCK_PIXELS
) -> Iterator[tuple[tuple[slice, slice], Float64Array]]:
    """Cut a tile into blocks of pixels.

    Yields
    ------
    window : tuple of slice
        Rows and columns of the block.
    centres_m : ndarray of float64, shape (rows * cols, 2)
        Pixel centres in metres from the tile's north-west corner, row by row.
    """
    for row in range(0, shape[0], block):
        for col in range(0, shape[1], block):
            window = (
                slice(row, min(row + block, shape[0])),
                slice(col, min(col + block, shape[1])),
            )
            yield window, pixel_centres_m(window, spacing_m)


def pixel_centres_m(window: tuple[slice, slice], spacing_m: float) -> Float64Array:
    """Give the pixel centres of a window, shape (rows * cols, 2), in metres, row by row."""
    rows, cols = (np.arange(axis.start, axis.stop) + 0.5 for axis in window)
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
    return np.asarray(grid.reshape(-1, 2) * spacing_m, dtype=np.float64)


def interpolate_tiles(batch: TileBatch, fit: Callable[[TileSamples], FittedField]) -> FloatArray:
    """Fit each tile's samples and evaluate the field at all its pixels.

    Tiles without a sample are NaN; tiles with one value only are that value, because no
    method can say more and many would divide by zero.

    Parameters
    ----------
    batch : TileBatch
        Tiles of any size; memory is bounded by predicting block by block.
    fit : callable
        Takes the samples of one tile, at least two different values, to a field.

    Returns
    -------
    ndarray of float32, shape (B, H, W)
        RSRP in dBm.
    """
    rsrp_dbm = np.full(batch.rsrp_dbm.shape, np.nan, dtype=np.float32)
    with single_threaded_algebra():
        for index, tile_dbm in enumerate(batch.rsrp_dbm):
            samples = samples_of(tile_dbm, batch.spacing_m)
            if samples.is_constant:
                rsrp_dbm[index] = samples.rsrp_dbm[0]
            elif len(samples):
                evaluate_field(fit(samples), rsrp_dbm[index], batch.spacing_m)
    return rsrp_dbm


def single_threaded_algebra() -> AbstractContextManager[object]:
    """Keep BLAS on one thread: for thousands of small systems.

    Handing systems of a few dozen unknowns to threads costs more than solving them, up to
    a hundred times more on a busy machine, where the threads wait for each other.
    """
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


def evaluate_field(field: FittedField, out_dbm: FloatArray, spacing_m: float) -> None:
    """Fill ``out_dbm``, shape (H, W), with the field at its pixel centres, block by block."""
    for window, centres_m in pixel_blocks((out_dbm.shape[0], out_dbm.shape[1]), spacing_m):
        out_dbm[window] = field(centres_m).reshape(out_dbm[window].shape)
