"""Building map of an area: from the lines of all cells, or fused from the maps of single cells.

The lines between the sites and the measurements of several cells show more of the buildings than
any cell alone (:mod:`rm_geo.buildings.rays`). They need sites that are known to some metres.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.buildings.rays import CellSamples
from rm_geo.buildings.threshold import CALIBRATION_TAG, Calibration
from rm_geo.errors import DependencyError, ModelError
from rm_geo.grid import Grid, Tile
from rm_geo.io.cog import write_raster
from rm_geo.io.paths import location_of
from rm_geo.io.raster_reader import open_raster
from rm_geo.options import PredictOptions
from rm_geo.pipeline.cell_plan import CellPlan
from rm_geo.products.area_buildings import (
    BAND_NAME,
    EXPECTED_QUALITY,
    MASK_NAME,
    QUALITY_TAG,
    BuildingArea,
    building_files,
    remove_earlier,
    write_area_buildings,
)
from rm_geo.products.building_mask import write_building_mask
from rm_geo.products.summary import CellResult
from rm_geo.progress import Progress, SilentProgress
from rm_geo.raster.binning import bin_measurements
from rm_geo.raster.mosaic import Band, Mosaic
from rm_geo.raster.reach import reach_rows
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.selection import choose_site
from rm_geo.sites.site import Site

if TYPE_CHECKING:
    from rm_geo.estimators.ray_buildings import RayBuildingMapper

LEAST_CELLS: Final = 6
"""Cells with known sites from which their lines are used. With sites 2 to 45 m high in simulated
cities the lines of four find less than the mean of the maps of the cells (F1 at the best threshold
0.33 and 0.34 along 1 %, 0.39 and 0.41 along 3 % of the pixels), those of six as much, and those of
sixteen more (0.38 and 0.34, 0.45 and 0.41)."""

LEAST_LOW_CELLS: Final = 4
"""The same for sites below the roofs, whose lines show more (F1 of masks 0.38 and 0.34 along 1 %,
0.47 and 0.43 along 4 % of the pixels)."""

LOW_SITE_M: Final = 10.0
"""Largest height of such a site."""

LARGEST_PIXEL_M: Final = 1.5
"""The network was trained on pixels of 1 m."""

LARGEST_DENSITY: Final = 0.3
"""Share of visited squares of 8 m within 36 m of the visited ones, up to which the lines are used.
It is 0.15 to 0.26 for drives, of any length. From uniform samples of 1 % (0.35) the lines of four
cells find less than the mean of the maps of the cells (F1 of masks 0.59 and 0.63), and from 5 %
(0.75) those of sixteen too (0.80 and 0.82)."""

RAY_QUALITY: Final = (
    "from the lines of cells with known sites, F1 0.5 with eight street-level cells in simulated "
    "cities"
)
"""Measured on maps that the network has not seen, along 4 % of the pixels."""

_SQUARE_M: Final = 8.0
_SQUARES: Final = 4
"""Squares on each side of a visited one within which others are counted."""

_MOST_SQUARES: Final = 5_000
"""Visited squares whose surroundings are looked at."""

_OVERLAP_PX: Final = 64
_MOST_LINES: Final = 30_000
"""Lines of a tile; of more measurements every second, third, ... is taken."""


@dataclass(frozen=True)
class AreaCell:
    """Measured pixels of one cell on the grid of an area.

    Attributes
    ----------
    sparse : SparseRaster
        Measured pixels on the grid of the cell.
    offset : (int, int)
        Row and column of that grid's corner in the grid of the area.
    site_rc : (float, float)
        Row and column of the site in the grid of the area; NaN if it is not known to some metres.
    intercept_dbm, height_m : float
        Free-space level at 1 m, and height of the antenna.
    """

    sparse: SparseRaster
    offset: tuple[int, int]
    site_rc: tuple[float, float]
    intercept_dbm: float
    height_m: float

    def on_tile(self, tile: Tile) -> CellSamples:
        """Cut the measurements of a tile of the area.

        Parameters
        ----------
        tile : Tile
            A tile of the area.

        Returns
        -------
        CellSamples
        """
        top, left = tile.row - self.offset[0], tile.col - self.offset[1]
        index = self.sparse.in_window(slice(top, top + tile.size), slice(left, left + tile.size))
        return CellSamples(
            self.sparse.row[index] - top,
            self.sparse.col[index] - left,
            self.sparse.level_dbm[index],
            (self.site_rc[0] - tile.row, self.site_rc[1] - tile.col),
            self.intercept_dbm,
            self.height_m,
        )


def map_area_buildings(
    folder: Path,
    results: Sequence[CellResult],
    cells: Sequence[CellPlan],
    sites: Sequence[Site] | None,
    options: PredictOptions,
    target: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> str | None:
    """Write the building map of the area of a run, and its mask if the run writes masks.

    A map or a mask of an earlier run is removed if this run writes none. Nothing is written if the
    target or its mask is the file of the known buildings.

    Parameters
    ----------
    folder : Path
        Folder with the building maps of the cells.
    results : sequence of CellResult
        Results of the cells.
    cells : sequence of CellPlan
        Plans of the cells, with their measurements.
    sites : sequence of Site or None
        Site table of the run.
    options : PredictOptions
        Options of the run.
    target : Path
        Raster to write.
    device : str
        Device of the network.
    progress : Progress, optional
        Receives the expected quality, and may stop the work between tiles.

    Returns
    -------
    str or None
        What can be expected of the map; None if it was not written, since there are no building
        maps of two cells, or they lie far apart.

    Raises
    ------
    InputError
        If a building map of a cell cannot be read.
    OutputError
        If the raster cannot be written.
    """
    listener = SilentProgress() if progress is None else progress
    check, mask = listener.check, target.with_name(MASK_NAME)
    known = None if options.site.buildings is None else location_of(options.site.buildings)
    if isinstance(known, Path) and known.resolve() in {target.resolve(), mask.resolve()}:
        return None
    quality = _write_map(folder, results, cells, sites, options, target, device, check)
    if quality is None or not options.output.mask:
        remove_earlier(mask)
    else:
        tags = {name: text for name, text in open_raster(target).tags.items() if name != "units"}
        write_building_mask(target, mask, options.output.mask_threshold, tags=tags, check=check)
    if quality is not None:
        listener.log(f"Buildings of the area: {target.name}; {quality}.")
    return quality


def _write_map(
    folder: Path,
    results: Sequence[CellResult],
    cells: Sequence[CellPlan],
    sites: Sequence[Site] | None,
    options: PredictOptions,
    target: Path,
    device: str,
    check: Callable[[], None],
) -> str | None:
    """Write the building map of the area, and return what can be expected of it."""
    files = building_files(results, folder)
    located = [] if options.site.buildings is not None else _located(results, cells)
    if (
        len(located) >= min(LEAST_CELLS, LEAST_LOW_CELLS)
        and options.grid.resolution_m <= LARGEST_PIXEL_M
    ):
        area, mapper = BuildingArea.of(files), _open_mapper(device)
        if area is not None and mapper is not None:
            mapped = [plan for plan in cells if plan.cell in _mapped(results)]
            placed = [_placed(plan, area.grid, sites, options) for plan in mapped]
            known = [cell for cell in placed if np.isfinite(cell.site_rc).all()]
            density = float(np.median([sampling_density(cell.sparse) for cell in placed]))
            low = [cell for cell in known if cell.height_m <= LOW_SITE_M]
            suffice = len(known) >= LEAST_CELLS or len(low) >= LEAST_LOW_CELLS
            if suffice and density <= LARGEST_DENSITY:
                made = mapper.provenance
                calibration = made.pop(CALIBRATION_TAG, str(Calibration()))
                write_raster(
                    target,
                    _bands(placed, area.grid, mapper, options.grid.reach_m, check),
                    area.grid,
                    tags={
                        **area.tags,
                        QUALITY_TAG: RAY_QUALITY,
                        CALIBRATION_TAG: calibration,  # not that of the network for single cells
                        **{f"area_{key}": value for key, value in made.items()},
                        "area_sites": str(len(known)),
                        "area_density": f"{density:.2f}",
                    },
                    band_descriptions=[BAND_NAME],
                    unit="1",
                )
                return RAY_QUALITY
    return EXPECTED_QUALITY if write_area_buildings(files, target, check) else None


def _mapped(results: Sequence[CellResult]) -> set[str]:
    """Return the names of the mapped cells."""
    return {result.cell for result in results if result.is_mapped}


def _located(results: Sequence[CellResult], cells: Sequence[CellPlan]) -> list[CellPlan]:
    """Select the mapped cells whose sites have a position."""
    placed = {r.cell for r in results if r.is_mapped and r.transmitter != "unknown"}
    return [plan for plan in cells if plan.cell in placed]


def _open_mapper(device: str) -> RayBuildingMapper | None:
    """Open the network; None if no model is installed, or what computes it."""
    from rm_geo.estimators.ray_buildings import RayBuildingMapper

    try:
        return RayBuildingMapper(device=device)
    except (ModelError, DependencyError):
        return None


def _placed(
    plan: CellPlan, grid: Grid, sites: Sequence[Site] | None, options: PredictOptions
) -> AreaCell:
    """Bin the measurements of a cell and place them on the grid of the area."""
    assert plan.grid is not None
    site = choose_site(
        plan.measurements,
        sites,
        eirp_dbm=options.site.eirp_dbm,
        frequency_mhz=options.site.frequency_mhz,
        max_uncertainty_m=options.site.max_site_uncertainty_m,
    ).facts
    place = (np.nan, np.nan) if site.located_xy is None else grid.to_pixel(*site.located_xy)
    west, _, _, north = plan.grid.bounds
    row, col = (round(float(value)) for value in grid.to_pixel(west, north))
    return AreaCell(
        bin_measurements(plan.measurements, plan.grid),
        (row, col),
        (float(place[0]), float(place[1])),
        site.intercept_dbm,
        site.transmitter_height_m,
    )


def _bands(
    cells: Sequence[AreaCell],
    grid: Grid,
    mapper: RayBuildingMapper,
    reach_m: float,
    check: Callable[[], None],
) -> Iterator[FloatArray]:
    """Map the area tile by tile; pixels out of reach of all measurements are NaN."""
    visited = _visited(cells, grid)
    tiles, all_tiles = visited.measured_tiles(mapper.tile_px, _OVERLAP_PX)
    mosaic = Mosaic(grid, all_tiles)

    def final(band: Band) -> FloatArray:
        rows = slice(band.row, band.row + band.rows)
        if band.values is None:
            return np.full((band.rows, grid.shape[1]), np.nan, dtype=np.float32)
        in_reach = reach_rows(visited, rows, reach_m)
        return np.asarray(np.where(in_reach, band.values[0], np.float32(np.nan)))

    for tile in tiles:
        check()
        samples = _thinned([cell.on_tile(tile) for cell in cells])
        shape = (tile.size, tile.size)
        probability = mapper.probability(samples, shape, grid.spacing_m)
        yield from map(final, mosaic.push(tile, probability[None]))
    yield from map(final, mosaic.finish())


def sampling_density(sparse: SparseRaster) -> float:
    """Compute how dense measurements lie around a measurement, which tells drives from areas.

    Parameters
    ----------
    sparse : SparseRaster
        Measured pixels.

    Returns
    -------
    float
        Mean share of visited squares of 8 m among the 9 x 9 around a visited one, 0..1: some 0.1
        for one street, 0.2 for the streets of a town, 1 where every square was visited. 0 without
        measurements.

    Examples
    --------
    >>> grid = Grid.create(500_000.0, 5_000_000.0, (400, 400), 1.0, 32633)
    >>> level_dbm = np.full(grid.shape, np.nan, np.float32)
    >>> level_dbm[200] = -90.0
    >>> round(sampling_density(SparseRaster.from_levels(grid, level_dbm)), 2)
    0.11
    """
    side = max(1, round(_SQUARE_M / sparse.grid.spacing_m))
    width = -(-sparse.grid.shape[1] // side) + 2 * _SQUARES  # no row runs into the next one
    row, col = (np.asarray(sparse.row, np.int64), np.asarray(sparse.col, np.int64))
    visited = np.unique(row // side * width + col // side)
    if not len(visited):
        return 0.0
    some = visited[:: -(-len(visited) // _MOST_SQUARES)]
    around = np.arange(-_SQUARES, _SQUARES + 1)
    shares = [np.isin(some + down * width + right, visited) for down in around for right in around]
    return float(np.mean(shares))


def _visited(cells: Sequence[AreaCell], grid: Grid) -> SparseRaster:
    """Mark the pixels where any cell was measured."""
    width = grid.shape[1]
    numbers = [
        (cell.sparse.row.astype(np.int64) + cell.offset[0]) * width
        + cell.sparse.col
        + cell.offset[1]
        for cell in cells
    ]
    pixel = np.unique(np.concatenate(numbers))
    ones = np.ones(len(pixel), dtype=np.int32)
    nothing = np.full(len(pixel), np.nan, dtype=np.float32)
    return SparseRaster(grid, pixel, np.zeros(len(pixel), np.float32), ones, nothing)


def _thinned(samples: Sequence[CellSamples]) -> list[CellSamples]:
    """Take every second, third, ... measurement of each cell where a tile has very many."""
    step = -(-sum(len(cell.rows) for cell in samples) // _MOST_LINES)
    if step <= 1:
        return list(samples)
    return [
        CellSamples(
            cell.rows[::step],
            cell.cols[::step],
            cell.level_dbm[::step],
            cell.site_rc,
            cell.intercept_dbm,
            cell.height_m,
        )
        for cell in samples
    ]
