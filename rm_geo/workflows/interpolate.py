"""Radio maps of a raster of measurements by a single method, without files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.estimators.base import Estimate
from rm_geo.geostat.noise import measurement_noise_db
from rm_geo.geostat.regression_kriging import RegressionKrigingOptions, regression_krige
from rm_geo.grid import Tile
from rm_geo.inference.batches import raster_batch, tile_batches
from rm_geo.inference.methods import OpenMethod, open_method
from rm_geo.inference.runner import run_tiles
from rm_geo.io.provenance import describe_software
from rm_geo.products.radio_map import RadioMap
from rm_geo.progress import Progress
from rm_geo.raster.mosaic import Band, Mosaic
from rm_geo.raster.reach import reach_rows
from rm_geo.raster.sparse import SparseRaster
from rm_geo.raster.tile_limit import check_area
from rm_geo.sites.facts import SiteInfo
from rm_geo.sites.selection import site_info
from rm_geo.sites.site import Site


def interpolate(
    sparse: SparseRaster,
    method: str = "idw",
    *,
    site: Site | None = None,
    correct: bool = False,
    reach_m: float | None = None,
    model: str | None = None,
    device: str = "auto",
    tile_size_px: int = 256,
    overlap_px: int = 32,
    max_tiles: int = 1000,
    progress: Progress | None = None,
    **method_options: object,
) -> RadioMap:
    """Make a radio map of a raster of measurements by one method, in memory.

    This is the method alone: no choice of a site, no combination with a classical baseline. For
    those use :func:`rm_geo.predict` without an output folder.

    Parameters
    ----------
    sparse : SparseRaster
        Measured pixels, as :func:`rm_geo.bin_measurements` gives them.
    method : str
        Any of :func:`rm_geo.list_methods`. A classical method is fitted to all measured pixels
        at once; a network runs tile by tile, and its tiles are blended.
    site : Site, optional
        The transmitter, in the CRS of the grid.
    correct : bool
        Whether to krige the residuals at the measured pixels back into the map.
    reach_m : float, optional
        Pixels further from any measured pixel become NaN; all are kept if not given.
    model : str, optional
        Trained model of a network; its default if not given.
    device : str
        Where a network runs.
    tile_size_px, overlap_px : int
        Tiles of a network.
    max_tiles : int
        A grid that would need more tiles is refused.
    progress : Progress, optional
        Counts the tiles of a network, and may cancel the work.
    **method_options
        Parameters of the method, such as ``neighbors=8``.

    Returns
    -------
    RadioMap
        On the grid of the measurements; NaN where the method gives no estimate.

    Raises
    ------
    AreaTooLargeError
        If the grid needs more tiles than ``max_tiles``.
    UsageError
        If there is no such method or parameter.
    ModelError, DeviceError, DependencyError
        If the model, the device or an optional package is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from rm_geo import Grid, SparseRaster, interpolate
    >>> grid = Grid.create(500_000, 5_000_000, (1, 4), 10.0, 32633)
    >>> sparse = SparseRaster.from_levels(grid, np.array([[-70.0, np.nan, np.nan, -100.0]]))
    >>> interpolate(sparse, "linear").rsrp_dbm
    array([[ -70.,  -80.,  -90., -100.]], dtype=float32)
    >>> interpolate(sparse, "idw", neighbors=1, reach_m=10).rsrp_dbm
    array([[ -70.,  -70., -100., -100.]], dtype=float32)
    """
    check_area(sparse.grid, max_tiles=max_tiles, tile_size=tile_size_px, overlap=overlap_px)
    opened = open_method(
        method, model=model, device=device, tile_size_px=tile_size_px, options=method_options
    )
    facts = SiteInfo() if site is None else site_info(site)
    if opened.is_network:
        tiles = sparse.grid.tiles(tile_size_px, overlap_px)
        estimate = _blended(sparse, tiles, facts, opened, progress)
    else:
        estimate = _whole(sparse, facts, opened)
    rsrp_dbm = estimate.rsrp_dbm
    layers = [estimate.building_probability, estimate.std_db]
    if correct:
        options = RegressionKrigingOptions(noise_db=measurement_noise_db(sparse))
        rsrp_dbm = regression_krige(rsrp_dbm, sparse.dense_rsrp_dbm(), parameters=options).rsrp_dbm
        layers[1] = None  # that of the method does not hold for the corrected map
    if reach_m is not None:
        near = reach_rows(sparse, slice(0, sparse.grid.shape[0]), reach_m)
        rsrp_dbm = np.where(near, rsrp_dbm, np.float32(np.nan))
        layers = [
            None if layer is None else np.where(near, layer, np.float32(np.nan)) for layer in layers
        ]
    tags = {
        **describe_software(),
        **opened.provenance,
        "method": opened.estimator.name,
        "assimilated": str(correct).lower(),
    }
    return RadioMap(sparse.grid, rsrp_dbm, *layers, site=site, tags=tags)


def _whole(sparse: SparseRaster, facts: SiteInfo, method: OpenMethod) -> Estimate:
    """Estimate the raster as one tile; arrays of shape (H, W)."""
    estimate = method.estimator.estimate(raster_batch(sparse, facts))
    std_db = None if estimate.std_db is None else estimate.std_db[0]
    return Estimate(estimate.rsrp_dbm[0], std_db=std_db)


def _blended(
    sparse: SparseRaster,
    tiles: list[Tile],
    facts: SiteInfo,
    method: OpenMethod,
    progress: Progress | None,
) -> Estimate:
    """Estimate tiles with measurements, and blend them; arrays of shape (H, W)."""
    measured = sparse.tile_counts(tiles) > 0
    wanted = [tile for tile, has in zip(tiles, measured, strict=True) if has]
    batches = tile_batches(sparse, wanted, facts, method.batch_size)
    mosaic: Mosaic | None = None
    has_buildings = has_std = False
    layers = np.full((1, *sparse.grid.shape), np.nan, dtype=np.float32)
    todo = iter(wanted)
    for estimate in run_tiles(method.estimator, batches, progress):
        parts = (estimate.rsrp_dbm, estimate.building_probability, estimate.std_db)
        present = [part for part in parts if part is not None]
        if mosaic is None:
            has_buildings, has_std = parts[1] is not None, parts[2] is not None
            mosaic = Mosaic(sparse.grid, tiles, len(present))
            layers = np.full((len(present), *sparse.grid.shape), np.nan, dtype=np.float32)
        for index in range(len(estimate.rsrp_dbm)):
            values = np.stack([part[index] for part in present])
            _store(layers, mosaic.push(next(todo), values))
    if mosaic is not None:
        _store(layers, mosaic.finish())
    return Estimate(
        layers[0],
        building_probability=np.clip(layers[1], 0.0, 1.0) if has_buildings else None,
        std_db=layers[-1] if has_std else None,
    )


def _store(layers: FloatArray, bands: Iterator[Band] | list[Band]) -> None:
    """Copy finished rows."""
    for band in bands:
        if band.values is not None:
            layers[:, band.row : band.row + band.rows] = band.values
