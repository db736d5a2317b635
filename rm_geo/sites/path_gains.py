"""Path gains around known buildings, of each site that a transmitter may have.

Where buildings are known, the path gain of the dominant path predicts levels better than the
distance does. The transmitter of a drive test is often unknown: then gains are computed for a
lattice of candidate sites, which are weighted by their likelihood given the levels (see
:class:`rm_geo.geostat.averaged_distance_law.AveragedDistanceLaw`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
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
    """

    gain_db: FloatArray
    corner_m: Float64Array
    spacing_m: float

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
        return replace(self, gain_db=self.gain_db[kept])


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
    places_m = np.array([[row.min(), col.min()], [row.max() + 1, col.max() + 1]]) * grid.spacing_m
    margin_m = max(_MARGIN * float(np.ptp(places_m, axis=0).max()), _LEAST_MARGIN_M)
    low_m, high_m = places_m[0] - margin_m, places_m[1] + margin_m
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
    sites_m = (
        _lattice(high_m - low_m, len(scene.walls)) if known_m is None else (known_m - low_m)[None]
    )
    nearest = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    model = DominantPathModel()
    gains = np.empty((len(sites_m), *size), dtype=np.float32)
    for number, (down_m, right_m) in enumerate(sites_m):
        check()
        antenna = Antenna(float(right_m), float(down_m), height_m, frequency_mhz * 1e6)
        gain_db = model.path_gain(scene, antenna)[nearest[0], nearest[1]]
        # Rounded, so that all kinds of CPU agree.
        gains[number] = np.maximum(gain_db, _LOWEST_DB).round(2)
    return CandidatePathGains(gains, low_m, spacing_m)


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


def _lattice(size_m: Float64Array, walls: int) -> Float64Array:
    """Candidate sites in metres from the corner of an area, shape (K, 2)."""
    number = int(np.clip(np.sqrt(_WALLS / max(walls, 1)), _LEAST_LATTICE, _LATTICE))
    share = (np.arange(number) + 0.5) / number
    down, right = np.meshgrid(share * size_m[0], share * size_m[1], indexing="ij")
    return np.column_stack([down.ravel(), right.ravel()])
