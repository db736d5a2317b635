"""Batches of tiles from a sparse raster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rm_geo.estimators.base import TileBatch
from rm_geo.grid import Tile
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo


def tile_batches(
    sparse: SparseRaster, tiles: Sequence[Tile], facts: SiteInfo, batch_size: int
) -> Iterator[TileBatch]:
    """Cut a sparse raster into batches of tiles.

    Parameters
    ----------
    sparse : SparseRaster
        Measurements.
    tiles : sequence of Tile
        Tiles, in the order of the batches.
    facts : SiteInfo
        Transmitter, carrier and known buildings of the cell.
    batch_size : int
        Tiles in each batch; the last may have fewer.

    Yields
    ------
    TileBatch
        Up to ``batch_size`` tiles, shape (B, H, W).
    """
    for start in range(0, len(tiles), batch_size):
        group = tiles[start : start + batch_size]
        windows = (sparse.grid.window(tile.rows, tile.cols) for tile in group)
        known = facts.buildings
        masks = None if known is None else np.stack([known.mask(window) for window in windows])
        corners = np.array([(tile.row, tile.col) for tile in group], dtype=np.float64)
        yield TileBatch(
            rsrp_dbm=np.stack([sparse.tile(tile) for tile in group]),
            spacing_m=sparse.grid.spacing_m,
            transmitter_rc=(facts.transmitter_rc(sparse.grid) - corners).astype(np.float32),
            intercept_dbm=np.full(len(group), facts.intercept_dbm, dtype=np.float32),
            frequency_mhz=facts.frequency_mhz,
            transmitter_height_m=facts.transmitter_height_m,
            buildings=masks,
        )


def raster_batch(sparse: SparseRaster, facts: SiteInfo) -> TileBatch:
    """Convert a whole raster, not necessarily square, to one tile for classical methods.

    Parameters
    ----------
    sparse : SparseRaster
        Measurements.
    facts : SiteInfo
        Transmitter and carrier of the cell; known buildings are ignored.

    Returns
    -------
    TileBatch
        Shape (1, H, W).
    """
    return TileBatch(
        rsrp_dbm=sparse.dense_rsrp_dbm()[None],
        spacing_m=sparse.grid.spacing_m,
        transmitter_rc=facts.transmitter_rc(sparse.grid).astype(np.float32)[None],
        intercept_dbm=np.full(1, facts.intercept_dbm, dtype=np.float32),
        frequency_mhz=facts.frequency_mhz,
        transmitter_height_m=facts.transmitter_height_m,
    )
