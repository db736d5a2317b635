"""A log-distance law averaged over the sites that the transmitter may have.

Where the transmitter is not known, its place and the slope of the path loss can be fitted to the
levels. The best fit alone extrapolates wildly: with a site far from its data and a steep slope
it follows chance gradients. Here every candidate site on a lattice is weighed by the evidence of
its law, with a prior for the slope and one for no law at all, and the laws are averaged (Bayesian
model averaging; Hoeting et al., Statistical Science 14, 1999). Shadowing is correlated along a
drive, so that the evidence comes from the likelihood of a Gaussian process and not from
independent residuals, of which there are always enough to be certain of a wrong site.

With a known transmitter (:class:`rm_geo.geostat.path_loss_trend.DistanceTrend` serves rasters)
the only candidate is its site, and what is averaged is law or no law.

With known buildings the path gain of the dominant path takes the place of the logarithm of the
distance: the simulator is an external drift, calibrated by an offset and a slope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import linalg
from scipy.spatial.distance import cdist

from rm_geo._types import Float64Array
from rm_geo.geostat.block_folds import block_numbers
from rm_geo.geostat.covariance import NestedExponentialCovariance

if TYPE_CHECKING:
    from rm_geo.sites.path_gains import CandidatePathGains

_BLOCK_M: Final = 20.0
"""Levels are averaged over blocks of this side first: they are correlated within."""

_MOST_BLOCKS: Final = 300
"""Most blocks of a fit; a random subset of more: the cost is cubic."""

_LATTICE: Final = 17
"""Candidate sites along each axis."""

_MARGIN: Final = 0.25
"""Candidates lie within the box of the data, and this share of its longer side beyond."""

_LEAST_MARGIN_M: Final = 100.0
"""A few readings at one place do not locate a transmitter."""

_NEAR_M: Final = 10.0
"""Added to the distance, so that the level at the site is finite."""

_SLOPE_DB: Final = -25.0
_SLOPE_STD_DB: Final = 10.0
"""Prior of the slope in dB per decade of distance: macro cells have -20 to -40."""

_GAIN_DB_PER_DECADE: Final = -33.0
"""Path gain that counts as a decade of distance. Levels of a drive vary less than the path gains
of a model: with the prior of the slope, 0.76 +- 0.30 dB for one dB of the model."""

_MEAN_STD_DB: Final = 10.0
"""Prior of the level around the mean of the data."""

_FLAT_PRIOR: Final = 0.1
"""Prior probability of a constant level."""

_SHADOWING: Final = NestedExponentialCovariance((0.45, 0.55), (60.0, 400.0), 0.12)
"""Correlation of shadowing by distance in metres."""

_VARIANCES_DB2: Final = (15.0, 30.0, 60.0, 120.0)
"""Candidates for the variance of shadowing, equally likely."""

_TYPICAL_DB2: Final = 30.0
"""Variance that the noise of levels is compared with."""

_LEAST_WEIGHT: Final = 1e-6
_CHUNK: Final = 4096


@dataclass(frozen=True)
class AveragedDistanceLaw:
    """A level that falls with the logarithm of the distance, averaged over candidate sites.

    Attributes
    ----------
    site_m : ndarray of float64, shape (K, 2)
        Candidate sites that have weight; empty with path gains.
    weight : ndarray of float64, shape (K,)
        Posterior probability of each; they sum to 1 - ``flat``.
    slope_db : ndarray of float64, shape (K,)
        Weight times slope in dB per decade.
    level_dbm : float
        Level that the averaged law would have at ``log10`` distances of 0.
    flat : float
        Posterior probability of a constant level.
    path_gains : CandidatePathGains, optional
        Path gains of the candidate sites, in place of their distances.

    Examples
    --------
    >>> position_m = np.random.default_rng(0).uniform(0, 1000, (200, 2))
    >>> distance_m = np.hypot(*(position_m - [300.0, 500.0]).T)
    >>> law = AveragedDistanceLaw.fit(position_m, -30.0 * np.log10(distance_m + 10.0))
    >>> law.at(np.array([[300.0, 500.0], [300.0, 990.0]])).round(-1).tolist()
    [-40.0, -80.0]
    """

    site_m: Float64Array
    weight: Float64Array
    slope_db: Float64Array
    level_dbm: float
    flat: float
    path_gains: CandidatePathGains | None = None

    @classmethod
    def fit(
        cls,
        position_m: Float64Array,
        level_dbm: Float64Array,
        noise_db2: Float64Array | None = None,
        site_m: Float64Array | None = None,
        path_gains: CandidatePathGains | None = None,
    ) -> AveragedDistanceLaw:
        """Weigh the candidates by their evidence.

        Parameters
        ----------
        position_m : ndarray of float64, shape (N, 2)
            Positions in metres, N >= 1.
        level_dbm : ndarray of float64, shape (N,)
            Levels in dBm.
        noise_db2 : ndarray of float64, shape (N,), optional
            Variance of the error of each level, beyond that of a plain measurement.
        site_m : ndarray of float64, shape (2,), optional
            The transmitter's site, where it is known.
        path_gains : CandidatePathGains, optional
            Path gains of the candidate sites, in place of ``site_m``.

        Returns
        -------
        AveragedDistanceLaw
        """
        place, level, noise = _block_means(position_m, level_dbm, noise_db2)
        sites = np.empty((0, 2))
        if path_gains is None:
            sites = _lattice(place) if site_m is None else np.asarray(site_m, dtype=float)[None]
        decades = _decades(place, sites, path_gains)
        middle, mean = decades.mean(axis=0), float(level.mean())
        # All variances share one decomposition: that of the covariance relative to them.
        matrix = _SHADOWING.between(place, place)
        matrix[np.diag_indices(level.size)] += _SHADOWING.nugget + noise / _TYPICAL_DB2
        lower = linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
        right = np.column_stack([np.ones_like(level), level - mean, decades - middle])
        solved = linalg.solve_triangular(lower, right, lower=True, check_finite=False)
        ones, y, x = solved[:, 0], solved[:, 1], solved[:, 2:]
        log_determinant = 2.0 * float(np.log(np.diag(lower)).sum())
        products = ones @ solved, y @ solved, np.square(x).sum(axis=0)
        evidence, flat_evidence = [], []
        slope, offset, flat_offset = [], [], []
        for variance in _VARIANCES_DB2:
            # The unknown mean adds a constant to the covariance (Sherman-Morrison).
            gain = 1.0 + _MEAN_STD_DB**2 * float(products[0][0]) / variance
            shared = _MEAN_STD_DB**2 / (variance**2 * gain)
            of_ones, with_y = products[0] / (variance * gain), products[1] / variance
            with_y = with_y - shared * products[0][1] * products[0]
            power = products[2] / variance - shared * np.square(products[0][2:])
            constant = -0.5 * (level.size * np.log(variance) + log_determinant + np.log(gain))
            # The slope has a normal prior, so that it is integrated in closed form.
            agreement = with_y[2:] - _SLOPE_DB * power
            left = with_y[1] - 2.0 * _SLOPE_DB * with_y[2:] + _SLOPE_DB**2 * power
            widened = 1.0 + _SLOPE_STD_DB**2 * power
            left = left - _SLOPE_STD_DB**2 * agreement**2 / widened
            slope.append(_SLOPE_DB + _SLOPE_STD_DB**2 * agreement / widened)
            evidence.append(constant - 0.5 * (np.log(widened) + left))
            flat_evidence.append(float(constant - 0.5 * with_y[1]))
            offset.append(mean + _MEAN_STD_DB**2 * (of_ones[1] - slope[-1] * of_ones[2:]))
            flat_offset.append(float(mean + _MEAN_STD_DB**2 * of_ones[1]))
        most = max(float(np.max(evidence)), max(flat_evidence))
        laws = np.exp(np.array(evidence) - most) * ((1.0 - _FLAT_PRIOR) / decades.shape[1])
        flat = np.exp(np.array(flat_evidence) - most) * _FLAT_PRIOR
        total = float(laws.sum() + flat.sum())
        weight, flat = laws / total, flat / total
        slopes = (weight * np.array(slope)).sum(axis=0)
        level_at_zero = float((weight * np.array(offset)).sum() + flat @ np.array(flat_offset))
        level_at_zero -= float(slopes @ middle)
        kept = weight.sum(axis=0) > _LEAST_WEIGHT
        # What the dropped candidates contribute on average stays in the level.
        level_at_zero += float(slopes[~kept] @ middle[~kept])
        return cls(
            sites if path_gains is not None else sites[kept],
            weight.sum(axis=0)[kept],
            slopes[kept],
            level_at_zero,
            float(flat.sum()),
            None if path_gains is None else path_gains.of(kept),
        )

    def at(self, position_m: Float64Array) -> Float64Array:
        """Evaluate the averaged law.

        Parameters
        ----------
        position_m : ndarray of float64, shape (M, 2)
            Positions in metres.

        Returns
        -------
        ndarray of float64, shape (M,)
            Level in dBm.
        """
        level_dbm = np.empty(len(position_m))
        for start in range(0, len(position_m), _CHUNK):
            part = slice(start, start + _CHUNK)
            decades = _decades(position_m[part], self.site_m, self.path_gains)
            level_dbm[part] = decades @ self.slope_db
        return level_dbm + self.level_dbm


def _decades(
    position_m: Float64Array, site_m: Float64Array, path_gains: CandidatePathGains | None
) -> Float64Array:
    """Logarithms of the distances between positions and sites, or path gains, shape (N, K)."""
    if path_gains is not None:
        return path_gains.at(position_m) / _GAIN_DB_PER_DECADE
    return np.asarray(np.log10(cdist(position_m, site_m) + _NEAR_M))


def _lattice(position_m: Float64Array) -> Float64Array:
    """Candidate sites around positions, shape (K, 2)."""
    low, high = position_m.min(axis=0), position_m.max(axis=0)
    margin = max(_MARGIN * float((high - low).max()), _LEAST_MARGIN_M)
    first, second = np.linspace(low - margin, high + margin, _LATTICE).T
    return np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)


def _block_means(
    position_m: Float64Array, level_dbm: Float64Array, noise_db2: Float64Array | None
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Average positions and levels over blocks; the variance of each mean's error."""
    block = block_numbers(position_m[:, 0], position_m[:, 1], _BLOCK_M)
    noise = np.zeros_like(level_dbm) if noise_db2 is None else noise_db2
    # Readings in one block share their shadowing, whatever their number.
    weight = 1.0 / (noise + _VARIANCES_DB2[0])
    total = np.bincount(block, weight)
    columns = (position_m[:, 0], position_m[:, 1], level_dbm, weight * noise)
    first, second, level, variance = (
        np.bincount(block, weight * column) / total for column in columns
    )
    place, variance = np.column_stack([first, second]), variance / total
    if level.size > _MOST_BLOCKS:
        kept = np.random.default_rng(0).choice(level.size, _MOST_BLOCKS, replace=False)
        return place[kept], level[kept], variance[kept]
    return place, level, variance
