"""An ensemble of four classical estimators that know of transmitters and of streets.

Levels along a drive fall with the distance to the transmitter, and are alike along a street far
longer than across it. Two members krige the residuals from a log-distance law, with an isotropic
covariance and with one whose axes are those of the streets; two are regression trees on
coordinates turned to the streets, which cut along them. They err in different places: their
equal mean errs less than the best of them, and weights from blocks held out lose to equal ones.

The parameters are constants and not fitted to each cell: fits of ranges broke down on small sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rm_geo._types import Float64Array
from rm_geo.geostat.averaged_distance_law import AveragedDistanceLaw
from rm_geo.geostat.block_folds import block_numbers
from rm_geo.geostat.covariance import NestedExponentialCovariance
from rm_geo.geostat.extra_trees import ExtraTrees
from rm_geo.geostat.local_kriging import LocalKriging, krige_together
from rm_geo.geostat.street_angle import street_angle

if TYPE_CHECKING:
    from rm_geo.raster.sparse import SparseRaster
    from rm_geo.sites.path_gains import CandidatePathGains

BIN_M: Final = 5.0
"""Side of the bins whose means are interpolated."""

MEMBERS: Final = ("kriging", "street kriging", "level trees", "residual trees")
"""Names of the members, in the order of :meth:`StreetEnsemble.members_at`."""

_READING_DB2: Final = 8.0
"""Variance of one reading around the mean of its bin: fast fading and quantisation."""

_MOST_READINGS: Final = 8
"""Further readings of a bin add nothing: they share their error."""

_ISOTROPIC: Final = NestedExponentialCovariance((0.45, 0.55), (60.0, 400.0), 0.05)
_STREETS: Final = NestedExponentialCovariance(
    (0.225, 0.225, 0.10, 0.35), (250.0, 14.0, 50.0, 500.0), 0.12, (14.0, 250.0, None, None)
)
"""Relative to the variance of the residuals: along streets of both directions, and everywhere."""

_LEAST_VARIANCE_DB2: Final = 9.0
_TREE_NUGGET: Final = 0.3
TREES: Final = 30
"""Trees of each of the two members that are regression trees."""

TREES_OF_FOLDS: Final = 10
"""Trees of each kind where an ensemble only judges the method at held-out blocks."""

_TREE_SAMPLES: Final = 20_000
"""Most bins that one tree learns from; of more, each tree has a random part."""

_CANDIDATES: Final = 3
"""Nearest levels, relative to the kriged ones, among which these are chosen along the streets: five
times as many err alike."""

_CHUNK: Final = 1 << 14
_DIGITS: Final = 3
"""Decimal places of features: trees cut alike where kinds of CPU round differently."""


@dataclass(frozen=True)
class Bins:
    """Mean levels of the visited bins of one cell.

    Attributes
    ----------
    position_m : ndarray of float64, shape (N, 2)
        Mean positions of the readings, in metres along two perpendicular axes.
    level_dbm : ndarray of float64, shape (N,)
        Mean levels.
    noise_db2 : ndarray of float64, shape (N,)
        Variance of the error of each mean.
    """

    position_m: Float64Array
    level_dbm: Float64Array
    noise_db2: Float64Array

    @classmethod
    def of_points(
        cls, position_m: Float64Array, level_dbm: Float64Array, count: Float64Array | None = None
    ) -> Bins:
        """Average readings over bins of 5 m.

        Parameters
        ----------
        position_m : ndarray of float64, shape (N, 2)
            Positions in metres.
        level_dbm : ndarray of float64, shape (N,)
            Levels.
        count : ndarray of float64, shape (N,), optional
            Readings that each level is the mean of.

        Examples
        --------
        >>> bins = Bins.of_points(np.array([[1.0, 1.0], [1.0, 3.0], [1.0, 9.0]]), np.arange(3.0))
        >>> bins.level_dbm.tolist(), bins.noise_db2.tolist()
        ([0.5, 2.0], [4.0, 8.0])
        """
        number = np.ones_like(level_dbm) if count is None else count
        index = block_numbers(position_m[:, 0], position_m[:, 1], BIN_M)
        readings = np.bincount(index, number)
        first, second, level = (
            np.bincount(index, number * column) / readings for column in (*position_m.T, level_dbm)
        )
        noise = _READING_DB2 / np.minimum(readings, _MOST_READINGS)
        return cls(np.column_stack([first, second]), level, noise)

    @classmethod
    def of_raster(cls, sparse: SparseRaster) -> Bins:
        """Average the measured pixels of a raster; positions count from its north-west corner.

        Parameters
        ----------
        sparse : SparseRaster
            At least one measured pixel.
        """
        place = np.column_stack([sparse.row, sparse.col]).astype(np.float64) + 0.5
        return cls.of_points(
            place * sparse.grid.spacing_m,
            np.asarray(sparse.level_dbm, dtype=np.float64),
            np.asarray(sparse.count, dtype=np.float64),
        )


@dataclass(frozen=True)
class StreetEnsemble:
    """The fitted members.

    Attributes
    ----------
    origin_m : ndarray of float64, shape (2,)
        Middle of the data; the members' coordinates are relative to it.
    angle : float
        Direction of the streets in radians.
    law : AveragedDistanceLaw
        Level by the distance to the transmitter.
    kriging, street_kriging : LocalKriging
        Of the residuals from the law.
    level_trees, residual_trees : ExtraTrees
        Of the level, and of the residuals.

    Examples
    --------
    >>> street = np.column_stack([np.arange(0.0, 200.0, 5.0), np.zeros(40)])
    >>> ensemble = StreetEnsemble.fit(street, -80.0 - 0.05 * street[:, 0])
    >>> ensemble.at(np.array([[102.0, 0.0]])).round().tolist()
    [-85.0]
    """

    origin_m: Float64Array
    angle: float
    law: AveragedDistanceLaw
    kriging: LocalKriging
    street_kriging: LocalKriging
    level_trees: ExtraTrees
    residual_trees: ExtraTrees

    @classmethod
    def fit(
        cls,
        position_m: Float64Array,
        level_dbm: Float64Array,
        noise_db2: Float64Array | None = None,
        site_m: Float64Array | None = None,
        neighbors: int = 40,
        path_gains: CandidatePathGains | None = None,
        trees: int = TREES,
    ) -> StreetEnsemble:
        """Fit all members.

        Parameters
        ----------
        position_m : ndarray of float64, shape (N, 2)
            Places in metres, best some 5 m apart (see :class:`Bins`); N >= 1.
        level_dbm : ndarray of float64, shape (N,)
            Levels in dBm.
        noise_db2 : ndarray of float64, shape (N,), optional
            Variance of the error of each level; that of a mean of many readings if not given.
        site_m : ndarray of float64, shape (2,), optional
            The transmitter's position, where it is known.
        neighbors : int
            Levels that each kriged estimate uses. The time grows with their square; 20 err
            within 1 % of what 40 do.
        path_gains : CandidatePathGains, optional
            Path gains around known buildings: what levels follow in place of the distance.
        trees : int
            Trees of each of the two members that are regression trees.

        Returns
        -------
        StreetEnsemble

        Raises
        ------
        ValueError
            If there is no level.
        """
        if level_dbm.size == 0:
            raise ValueError("the street ensemble needs at least one level")
        noise = np.asarray(
            np.full(level_dbm.shape, _READING_DB2 / _MOST_READINGS)
            if noise_db2 is None
            else noise_db2,
            dtype=np.float64,
        )
        origin = np.round(position_m.mean(axis=0))
        place = position_m - origin
        site = None if site_m is None else site_m - origin
        gains = None if path_gains is None else path_gains.moved(origin)
        law = AveragedDistanceLaw.fit(place, level_dbm, noise, site, gains)
        law_dbm = law.at(place)
        residual = level_dbm - law_dbm
        variance = _variance(residual, noise)
        angle = street_angle(place)
        weight = 1.0 / (_TREE_NUGGET * variance + noise)
        level_features, residual_features = _features(place, angle, law_dbm)
        return cls(
            origin,
            angle,
            law,
            _kriging(place, residual, _ISOTROPIC.scaled(variance), noise, neighbors),
            _kriging(place, residual, _STREETS.turned(angle).scaled(variance), noise, neighbors),
            _grown(level_features, level_dbm, weight, trees),
            _grown(residual_features, residual, weight, trees),
        )

    def at(self, position_m: Float64Array) -> Float64Array:
        """Estimate at positions: the mean of the members.

        Parameters
        ----------
        position_m : ndarray of float64, shape (M, 2)
            Positions in metres.

        Returns
        -------
        ndarray of float64, shape (M,)
            Level in dBm.
        """
        return np.asarray(self.members_at(position_m).mean(axis=0))

    def members_at(self, position_m: Float64Array) -> Float64Array:
        """Estimate at positions by each member.

        Parameters
        ----------
        position_m : ndarray of float64, shape (M, 2)
            Positions in metres.

        Returns
        -------
        ndarray of float64, shape (4, M)
            Level in dBm, in the order of :data:`MEMBERS`.
        """
        levels = np.empty((len(MEMBERS), len(position_m)))
        for start in range(0, len(position_m), _CHUNK):
            part = slice(start, start + _CHUNK)
            place = position_m[part] - self.origin_m
            law_dbm = self.law.at(place)
            level_features, residual_features = _features(place, self.angle, law_dbm)
            kriged = krige_together((self.kriging, self.street_kriging), place)
            levels[:2, part] = law_dbm + np.stack([field.mean for field in kriged])
            levels[2, part] = self.level_trees.at(level_features)
            levels[3, part] = law_dbm + self.residual_trees.at(residual_features)
        return levels


def _kriging(
    position_m: Float64Array,
    residual_db: Float64Array,
    covariance: NestedExponentialCovariance,
    noise_db2: Float64Array,
    neighbors: int,
) -> LocalKriging:
    """Krige residuals; their noise adds to the nugget."""
    return LocalKriging(
        position_m,
        residual_db,
        covariance,
        covariance.nugget + noise_db2,
        neighbors=neighbors,
        candidates=_CANDIDATES * neighbors,
        single_precision=True,
    )


def _variance(residual_db: Float64Array, noise_db2: Float64Array) -> float:
    """Variance of residuals, in which noisy ones count less; not too small."""
    weight = 1.0 / (_LEAST_VARIANCE_DB2 + noise_db2)
    mean = float(np.average(residual_db, weights=weight))
    variance = float(np.average(np.square(residual_db - mean), weights=weight))
    return max(variance, _LEAST_VARIANCE_DB2)


def _features(
    position_m: Float64Array, angle: float, law_dbm: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Features of the trees of the level, (N, 3), and of the residual, (N, 5)."""
    cos, sin = np.cos(angle), np.sin(angle)
    along = cos * position_m[:, 0] + sin * position_m[:, 1]
    across = cos * position_m[:, 1] - sin * position_m[:, 0]
    diagonals = (along + across) / np.sqrt(2.0), (along - across) / np.sqrt(2.0)
    columns = np.column_stack([along, across, law_dbm, *diagonals]).round(_DIGITS)
    return columns[:, :3], columns


def _grown(
    features: Float64Array, value: Float64Array, weight: Float64Array, number: int
) -> ExtraTrees:
    """Fit the trees of one member."""
    return ExtraTrees.fit(features, value, weight, number=number, most_values=_TREE_SAMPLES)
