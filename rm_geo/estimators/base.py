"""The one protocol that networks and classical baselines share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from rm_geo._types import BoolArray, FloatArray

if TYPE_CHECKING:
    from rm_geo.raster.sparse import SparseRaster
    from rm_geo.sites.facts import SiteInfo


@dataclass(frozen=True)
class TileBatch:
    """What an estimator knows about a batch of tiles.

    Attributes
    ----------
    rsrp_dbm : ndarray of float32, shape (B, H, W)
        Mean RSRP of each pixel; NaN where nothing was measured.
    spacing_m : float
        Side of a pixel in metres.
    transmitter_rc : ndarray of float32, shape (B, 2)
        Row and column of the transmitter in pixels of each tile (0.5 is the centre of the
        first pixel); anywhere, also far outside; NaN where unknown.
    intercept_dbm : ndarray of float32, shape (B,)
        Level that free space would give at 1 m from the transmitter: EIRP per resource
        element minus the free-space loss at 1 m. NaN where unknown.
    frequency_mhz : float
        Carrier frequency; empirical models need it.
    transmitter_height_m : float
        Height of the antenna over ground; empirical models need it.
    buildings : ndarray of bool or None
        Known buildings: shape (B, H, W), or (B, s H, s W) for estimates that are ``s`` times as
        fine as the tiles. None where they are not known.

    Examples
    --------
    >>> tiles = np.full((1, 2, 2), np.nan, dtype=np.float32)
    >>> tiles[0, 0, 1] = -90.0
    >>> unknown = np.full(1, np.nan, dtype=np.float32)
    >>> batch = TileBatch(tiles, 1.0, np.full((1, 2), np.nan, dtype=np.float32), unknown)
    >>> len(batch), batch.observed.tolist()
    (1, [[[False, True], [False, False]]])
    """

    rsrp_dbm: FloatArray
    spacing_m: float
    transmitter_rc: FloatArray
    intercept_dbm: FloatArray
    frequency_mhz: float = 2000.0
    transmitter_height_m: float = 25.0
    buildings: BoolArray | None = None

    @property
    def observed(self) -> BoolArray:
        """Where something was measured, shape (B, H, W)."""
        return np.asarray(np.isfinite(self.rsrp_dbm))

    def __len__(self) -> int:
        return int(self.rsrp_dbm.shape[0])

    def part(self, start: int, count: int) -> TileBatch:
        """Select consecutive tiles.

        Parameters
        ----------
        start : int
            The first one.
        count : int
            Number of tiles.

        Returns
        -------
        TileBatch
            This batch if all of its tiles are selected.
        """
        if count == len(self):
            return self
        chosen = slice(start, start + count)
        return replace(
            self,
            rsrp_dbm=self.rsrp_dbm[chosen],
            transmitter_rc=self.transmitter_rc[chosen],
            intercept_dbm=self.intercept_dbm[chosen],
            buildings=None if self.buildings is None else self.buildings[chosen],
        )


@dataclass(frozen=True)
class Estimate:
    """The estimate of a batch of tiles; arrays have shape (B, H, W).

    Attributes
    ----------
    rsrp_dbm : ndarray of float32
        RSRP everywhere in dBm; NaN in tiles for which the method has no estimate.
    building_probability : ndarray of float32 or None
        0..1; None from methods that do not map buildings.
    std_db : ndarray of float32 or None
        Standard deviation of the estimate in dB; None from methods that do not know.
    zero_in_buildings : bool
        Whether the map is at the bottom of the noise-floor scale inside buildings, as the papers'
        are, and not what the level outdoors would be there.

    Examples
    --------
    >>> estimate = Estimate(np.full((1, 2, 3), -90.0, dtype=np.float32))
    >>> estimate.rsrp_dbm.shape, estimate.std_db is None
    ((1, 2, 3), True)
    """

    rsrp_dbm: FloatArray
    building_probability: FloatArray | None = None
    std_db: FloatArray | None = None
    zero_in_buildings: bool = False


@runtime_checkable
class Estimator(Protocol):
    """Anything that turns sparse RSRP tiles into radio maps.

    Examples
    --------
    >>> from rm_geo import get_method
    >>> method = get_method("knn")
    >>> isinstance(method, Estimator), method.name, method.maps_buildings
    (True, 'knn', False)
    """

    @property
    def name(self) -> str:
        """Name in the registry and in provenance tags."""

    @property
    def maps_buildings(self) -> bool:
        """Whether :attr:`Estimate.building_probability` is given."""

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters, model and checksum that make a result reproducible, as tags."""

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; the same batch gives the same result.

        Parameters
        ----------
        batch : TileBatch
            The tiles.

        Returns
        -------
        Estimate
            Arrays of shape (B, H, W); NaN in tiles without a measurement.
        """


@runtime_checkable
class PointEstimator(Estimator, Protocol):
    """An estimator that also answers at positions: all classical methods.

    Examples
    --------
    >>> from rm_geo import Grid, SparseRaster, get_method
    >>> level_dbm = np.array([[-80.0, np.nan], [np.nan, -90.0]])
    >>> sparse = SparseRaster.from_levels(Grid.create(0, 0, (2, 2), 1.0, 32633), level_dbm)
    >>> get_method("knn", neighbors=1).estimate_at(sparse, [0.4, 1.9], [0.4, 1.2]).tolist()
    [-80.0, -90.0]
    """

    def estimate_at(
        self,
        sparse: SparseRaster,
        row: ArrayLike,
        col: ArrayLike,
        site: SiteInfo | None = None,
    ) -> FloatArray:
        """Estimate at positions in pixels of a grid, from all its measured pixels.

        Parameters
        ----------
        sparse : SparseRaster
            The measured pixels.
        row, col : array_like of float, shape (m,)
            Positions; 0.5 is the centre of the first pixel.
        site : SiteInfo, optional
            What is known of the transmitter.

        Returns
        -------
        ndarray of float32, shape (m,)
            RSRP in dBm.
        """
