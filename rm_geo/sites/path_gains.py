"""Path gains around known buildings, of each site that a transmitter may have.

Where buildings are known, the path gain of the dominant path predicts levels better than the
distance does. The transmitter of a drive test is often unknown: then gains are computed for a
lattice of candidate sites, which are weighted by their likelihood given the levels (see
:class:`rm_geo.geostat.averaged_distance_law.AveragedDistanceLaw`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from scipy import ndimage

from rm_geo._types import BoolArray, Float64Array, FloatArray
from rm_geo.grid import Grid
from rm_geo.propagation.antenna import Antenna
from rm_geo.propagation.dominant_path import DominantPathModel
from rm_geo.propagation.scene import Scene

if TYPE_CHECKING:
    from rm_geo.buildings.mask import BuildingSource

_MARGIN: Final = 0.25
"""Candidate sites lie within the box of the places, and this share of its longer side beyond."""

_LEAST_MARGIN_M: Final = 100.0

_MOST_PX: Final = 320
"""Most pixels along the longer side of a gain map."""

_FINEST_M: Final = 2.0
_COARSEST_M: Final = 6.0
"""Pixels of gain maps. Coarser ones do not show streets, so that wider areas have no gains."""

_LATTICE: Final = 11
_LEAST_LATTICE: Final = 5
"""Candidate sites along each axis, in areas of few walls and of many."""

_WALLS: Final = 120_000
"""Walls times candidate sites: bounds the time to some ten seconds."""

_MOST_LOG_PX: Final = 480
_LOG_LATTICE: Final = 15
_LOG_WALLS: Final = 360_000
"""The same limits for the maps that all cells of a log share: computed once, in some ten seconds
up to a minute."""

_FEWEST_SITES: Final = 25
"""A cell whose own surroundings hold fewer candidate sites of the log takes the nearest ones."""

_LOG_FREQUENCY_HZ: Final = 2e9
"""The carrier shifts all gains alike, which the law of the levels takes up."""

_LOWEST_DB: Final = -150.0
"""Lower limit of the gains: differences between deeper shadows are not reliable."""


@dataclass(frozen=True)
class CandidatePathGains:
    """Maps of the path gain of candidate sites.

    Attributes
    ----------
    gain_db : ndarray of float32, shape (K, h, w)
        Path gain of each site; pixels in buildings have that of the nearest one outside.
    corner_m : ndarray of float64, shape (2,)
        North-west corner of the maps, in metres down and right of the origin of positions.
    spacing_m : float
        Side of a pixel.
    site_m : ndarray of float64, shape (K, 2)
        The sites, in metres down and right of the corner.
    """

    gain_db: FloatArray
    corner_m: Float64Array
    spacing_m: float
    site_m: Float64Array

    def __len__(self) -> int:
        return len(self.gain_db)

    def at(self, position_m: Float64Array) -> Float64Array:
        """Give the gains at positions.

        Parameters
        ----------
        position_m : ndarray of float64, shape (N, 2)
            Metres down and right of the origin.

        Returns
        -------
        ndarray of float64, shape (N, K)
            Path gain in dB; outside of the maps that of their nearest pixel.
        """
        pixel = np.floor((position_m - self.corner_m) / self.spacing_m).astype(np.int64)
        height, width = self.gain_db.shape[1:]
        row = np.clip(pixel[:, 0], 0, height - 1)
        col = np.clip(pixel[:, 1], 0, width - 1)
        return np.asarray(self.gain_db[:, row, col].T, dtype=np.float64)

    def moved(self, origin_m: Float64Array) -> CandidatePathGains:
        """Give the same maps for positions relative to another origin.

        Parameters
        ----------
        origin_m : ndarray of float64, shape (2,)
            The new origin, in metres down and right of the old one.
        """
        return replace(self, corner_m=self.corner_m - origin_m)

    def of(self, kept: BoolArray) -> CandidatePathGains:
        """Select candidate sites.

        Parameters
        ----------
        kept : ndarray of bool, shape (K,)
            Sites that stay.
        """
        return replace(self, gain_db=self.gain_db[kept], site_m=self.site_m[kept])


def candidate_path_gains(
    buildings: BuildingSource,
    grid: Grid,
    row: NDArray[np.integer],
    col: NDArray[np.integer],
    *,
    transmitter_xy: tuple[float, float] | None,
    height_m: float,
    frequency_mhz: float,
    check: Callable[[], None] = lambda: None,
) -> CandidatePathGains | None:
    """Compute the gains of a known site, or of a lattice of sites around measured pixels.

    Parameters
    ----------
    buildings : BuildingSource
        Known buildings; all have the default height of :class:`rm_geo.propagation.scene.Scene`.
        Those outside of the grid are left out.
    grid : Grid
        Grid of the pixels.
    row, col : ndarray of int, shape (N,)
        Measured pixels, N >= 1.
    transmitter_xy : tuple of float or None
        Position of the transmitter; None if it is not known well.
    height_m : float
        Height of the antenna above ground.
    frequency_mhz : float
        Carrier.
    check : callable
        Called between sites; may raise to cancel.

    Returns
    -------
    CandidatePathGains or None
        With positions in metres down and right of the grid's corner. None where the area is too
        wide for pixels that show streets, or has no building.

    Raises
    ------
    DependencyError
        If numba is not installed.
    """
    low_m, high_m = _surroundings(grid, row, col)
    known_m = None
    if transmitter_xy is not None:
        known_m = np.array(grid.to_pixel(*transmitter_xy), dtype=np.float64) * grid.spacing_m
        low_m, high_m = np.minimum(low_m, known_m - 10.0), np.maximum(high_m, known_m + 10.0)
    spacing_m = max(_FINEST_M, float((high_m - low_m).max()) / _MOST_PX)
    if spacing_m > _COARSEST_M:
        return None
    down, right = np.ceil((high_m - low_m) / spacing_m)
    size = int(down), int(right)
    mask = _sampled(buildings.mask(grid), low_m / grid.spacing_m, spacing_m / grid.spacing_m, size)
    if not mask.any() or mask.all():
        return None
    scene = Scene.from_mask(mask, spacing_m=spacing_m)
    site_m = (
        _lattice(high_m - low_m, len(scene.walls), _WALLS, _LATTICE)
        if known_m is None
        else (known_m - low_m)[None]
    )
    gain_db = _gains(scene, mask, site_m, height_m, frequency_mhz * 1e6, check)
    return CandidatePathGains(gain_db, low_m, spacing_m, site_m)


@dataclass(frozen=True)
class LogPathGains:
    """Path gains of one lattice of candidate sites, for all cells of a log.

    They are computed when the first cell asks for them, once for each height of the antennas.

    Attributes
    ----------
    buildings : BuildingSource
        Known buildings.
    grid : Grid
        Pixels of the maps.
    of_height : dict of float to CandidatePathGains or None
        What was computed so far, by the height of the antenna; None without any building.
    """

    buildings: BuildingSource
    grid: Grid
    of_height: dict[float, CandidatePathGains | None] = field(default_factory=dict)

    @classmethod
    def over(
        cls,
        bounds: tuple[float, float, float, float],
        crs: CRS,
        open_buildings: Callable[[Grid], BuildingSource],
    ) -> LogPathGains | None:
        """Plan the maps of a log.

        Parameters
        ----------
        bounds : tuple of float
            West, south, east, north of all measurements in metres.
        crs : CRS
            Their CRS.
        open_buildings : callable
            Opens the known buildings of the area of a grid.

        Returns
        -------
        LogPathGains or None
            None where the area is too wide for pixels that show streets.

        Raises
        ------
        RmGeoError
            If the buildings cannot be read.
        """
        west, south, east, north = bounds
        margin_m = _margin(max(east - west, north - south))
        width_m, height_m = east - west + 2.0 * margin_m, north - south + 2.0 * margin_m
        spacing_m = max(_FINEST_M, max(width_m, height_m) / _MOST_LOG_PX)
        if spacing_m > _COARSEST_M:
            return None
        shape = int(np.ceil(height_m / spacing_m)), int(np.ceil(width_m / spacing_m))
        grid = Grid.create(west - margin_m, north + margin_m, shape, spacing_m, crs)
        return cls(open_buildings(grid), grid)

    def of_cell(
        self,
        grid: Grid,
        row: NDArray[np.integer],
        col: NDArray[np.integer],
        *,
        height_m: float,
        check: Callable[[], None] = lambda: None,
    ) -> CandidatePathGains | None:
        """Select the candidate sites around the measured pixels of a cell.

        Parameters
        ----------
        grid : Grid
            Grid of the pixels.
        row, col : ndarray of int, shape (N,)
            Measured pixels, N >= 1.
        height_m : float
            Height of the antenna above ground.
        check : callable
            Called between sites; may raise to cancel.

        Returns
        -------
        CandidatePathGains or None
            With positions in metres down and right of the corner of ``grid``.

        Raises
        ------
        DependencyError
            If numba is not installed.
        """
        if height_m not in self.of_height:
            self.of_height[height_m] = self._computed(height_m, check)
        gains = self.of_height[height_m]
        if gains is None:
            return None
        corner = np.array(self.grid.to_pixel(*grid.to_world(0.0, 0.0)), dtype=np.float64)
        gains = gains.moved(corner * self.grid.spacing_m)
        low_m, high_m = _surroundings(grid, row, col)
        site_m = gains.site_m + gains.corner_m
        kept: BoolArray = np.all((site_m >= low_m) & (site_m <= high_m), axis=1)
        if np.count_nonzero(kept) < _FEWEST_SITES:
            distance_m = np.hypot(*(site_m - 0.5 * (low_m + high_m)).T)
            kept = np.zeros(len(gains), dtype=np.bool_)
            kept[np.argsort(distance_m, kind="stable")[:_FEWEST_SITES]] = True
        return gains.of(kept)

    def _computed(self, height_m: float, check: Callable[[], None]) -> CandidatePathGains | None:
        """Compute the maps of all candidate sites."""
        mask = self.buildings.mask(self.grid)
        if not mask.any() or mask.all():
            return None
        scene = Scene.from_mask(mask, spacing_m=self.grid.spacing_m)
        size_m = np.array(self.grid.shape) * self.grid.spacing_m
        site_m = _lattice(size_m, len(scene.walls), _LOG_WALLS, _LOG_LATTICE)
        gain_db = _gains(scene, mask, site_m, height_m, _LOG_FREQUENCY_HZ, check)
        return CandidatePathGains(gain_db, np.zeros(2), self.grid.spacing_m, site_m)


def _surroundings(
    grid: Grid, row: NDArray[np.integer], col: NDArray[np.integer]
) -> tuple[Float64Array, Float64Array]:
    """Low and high corner of the area of candidate sites, in metres down and right."""
    places_m = np.array([[row.min(), col.min()], [row.max() + 1, col.max() + 1]]) * grid.spacing_m
    margin_m = _margin(float(np.ptp(places_m, axis=0).max()))
    return places_m[0] - margin_m, places_m[1] + margin_m


def _margin(side_m: float) -> float:
    """Width of the strip around an area in which candidate sites lie, too."""
    return max(_MARGIN * side_m, _LEAST_MARGIN_M)


def _gains(
    scene: Scene,
    mask: BoolArray,
    site_m: Float64Array,
    height_m: float,
    frequency_hz: float,
    check: Callable[[], None],
) -> FloatArray:
    """Compute the gain maps of sites, shape (K, h, w)."""
    nearest = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    model = DominantPathModel()
    gain_db = np.empty((len(site_m), *mask.shape), dtype=np.float32)
    for number, (down_m, right_m) in enumerate(site_m):
        check()
        antenna = Antenna(float(right_m), float(down_m), height_m, frequency_hz)
        found_db = model.path_gain(scene, antenna)[nearest[0], nearest[1]]
        # Rounded, so that all kinds of CPU agree.
        gain_db[number] = np.maximum(found_db, _LOWEST_DB).round(2)
    return gain_db


def _sampled(
    mask: BoolArray, corner_px: Float64Array, step_px: float, shape: tuple[int, int]
) -> BoolArray:
    """Sample a mask at the centres of coarser pixels; outside of it there is no building."""
    row, col = (
        np.floor(corner_px[axis] + (np.arange(shape[axis]) + 0.5) * step_px).astype(np.int64)
        for axis in (0, 1)
    )
    height, width = mask.shape
    sampled = mask[np.ix_(row.clip(0, height - 1), col.clip(0, width - 1))]
    inside = ((row >= 0) & (row < height))[:, None] & ((col >= 0) & (col < width))[None, :]
    return np.asarray(sampled & inside)


def _lattice(size_m: Float64Array, walls: int, most_walls: int, most: int) -> Float64Array:
    """Candidate sites in metres from the corner of an area, shape (K, 2)."""
    number = int(np.clip(np.sqrt(most_walls / max(walls, 1)), _LEAST_LATTICE, most))
    share = (np.arange(number) + 0.5) / number
    down, right = np.meshgrid(share * size_m[0], share * size_m[1], indexing="ij")
    return np.column_stack([down.ravel(), right.ravel()])
