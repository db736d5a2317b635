"""From a sparse raster to batches of tiles that an estimator takes, and back to one raster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rm_geo.estimators.base import BoolArray, Estimate, FloatArray, TileBatch
from rm_geo.grid import Grid, Tile
from rm_geo.mosaic import Mosaic
from rm_geo.rasterize import SparseRaster


@dataclass(frozen=True)
class CellFacts:
    """What is known of a cell besides its measurements.

    Attributes
    ----------
    transmitter_xy : tuple of float or None
        Position in metres in the grid's CRS; None where unknown.
    intercept_dbm : float
        Level that free space would give at 1 m; NaN where unknown.
    frequency_mhz, transmitter_height_m : float
        For empirical models.
    """

    transmitter_xy: tuple[float, float] | None = None
    intercept_dbm: float = float("nan")
    frequency_mhz: float = 2000.0
    transmitter_height_m: float = 25.0


def tile_batches(
    sparse: SparseRaster, tiles: Sequence[Tile], facts: CellFacts, batch_size: int
) -> Iterator[TileBatch]:
    """Cut a sparse raster into batches of tiles.

    Parameters
    ----------
    sparse : SparseRaster
        What was measured.
    tiles : sequence of Tile
        The tiles to cut, in this order.
    facts : CellFacts
        What is known of the cell.
    batch_size : int
        Tiles in each batch; the last may have fewer.

    Yields
    ------
    TileBatch
    """
    site_rc = np.full(2, np.nan)
    if facts.transmitter_xy is not None:
        site_rc[:] = [float(value) for value in sparse.grid.pixel_of(*facts.transmitter_xy)]
    for start in range(0, len(tiles), batch_size):
        group = tiles[start : start + batch_size]
        corners = np.array([(tile.row, tile.col) for tile in group], dtype=np.float64)
        yield TileBatch(
            rsrp_dbm=np.stack([sparse.tile(tile) for tile in group]),
            spacing_m=sparse.grid.spacing_m,
            transmitter_rc=(site_rc - corners).astype(np.float32),
            intercept_dbm=np.full(len(group), facts.intercept_dbm, dtype=np.float32),
            frequency_mhz=facts.frequency_mhz,
            transmitter_height_m=facts.transmitter_height_m,
        )


@dataclass(frozen=True)
class BlendedMap:
    """The estimate of a whole grid; arrays have its shape (H, W), NaN where nothing is known."""

    rsrp_dbm: FloatArray
    building_probability: FloatArray | None
    std_db: FloatArray | None


def blend_estimates(
    grid: Grid, all_tiles: Sequence[Tile], tiles: Sequence[Tile], estimates: Iterable[Estimate]
) -> BlendedMap:
    """Blend estimates of batches into rasters, a band of rows at a time.

    Parameters
    ----------
    grid : Grid
        The raster's geometry.
    all_tiles : sequence of Tile
        All tiles of the grid; the blending weights come from them.
    tiles : sequence of Tile
        Those that were estimated, in order.
    estimates : iterable of Estimate
        Batch by batch, over the same tiles.
    """
    rasters: NDArray[np.float32] | None = None
    mosaic: Mosaic | None = None
    has = (False, False)
    position = 0
    for estimate in estimates:
        if mosaic is None or rasters is None:
            has = (estimate.building_probability is not None, estimate.std_db is not None)
            channels = 1 + sum(has)
            mosaic = Mosaic(grid, all_tiles, channels)
            rasters = np.full((channels, *grid.shape), np.nan, dtype=np.float32)
        layers = [
            layer
            for layer in (estimate.rsrp_dbm, estimate.building_probability, estimate.std_db)
            if layer is not None
        ]
        for index in range(len(estimate.rsrp_dbm)):
            values = np.stack([layer[index] for layer in layers])
            for row, band in mosaic.push(tiles[position], values):
                rasters[:, row : row + band.shape[1]] = band
            position += 1
    if mosaic is None or rasters is None:
        return BlendedMap(np.full(grid.shape, np.nan, dtype=np.float32), None, None)
    for row, band in mosaic.finish():
        rasters[:, row : row + band.shape[1]] = band
    return BlendedMap(
        rsrp_dbm=rasters[0],
        building_probability=rasters[1] if has[0] else None,
        std_db=rasters[-1] if has[1] else None,
    )


def fill_gaps(values: FloatArray, wanted: BoolArray) -> FloatArray:
    """Continue a map outwards into wanted pixels that it does not reach.

    A tile can be in reach of a measurement and hold none: no method says anything about it.
    Its pixels in reach continue the nearest pixel that is known, so that a map does not end
    at a tile's edge.

    Parameters
    ----------
    values : ndarray of float32, shape (H, W)
        NaN where unknown.
    wanted : ndarray of bool, shape (H, W)
        Pixels that must have a value, if any pixel has one.
    """
    unknown = ~np.isfinite(values)
    gaps = unknown & wanted
    if not gaps.any() or unknown.all():
        return values
    rows, cols = ndimage.distance_transform_edt(
        unknown, return_distances=False, return_indices=True
    )
    filled: FloatArray = values.copy()
    filled[gaps] = values[rows[gaps], cols[gaps]]
    return filled
