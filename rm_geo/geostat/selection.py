"""Levels at visited places where a cell was not reported.

An estimate from reported levels is too high where a cell was not reported: it was not reported
because it was weak, or weak beside the best cell, since lists of neighbours are limited. There is
no fixed threshold. The probability of a report, given the level z of the cell and the strongest
level s of the others, is modelled by a probit::

    P(reported | z, s) = Phi(w0 + w1 z + w2 s),    w1 >= 0

An estimate is z ~ N(m, d^2), so that P(reported | m) = Phi(a) with
``a = (w0 + w1 m + w2 s) / sqrt(1 + w1^2 d^2)``, whose coefficients are fitted to all visited bins
by maximum likelihood. The level without a report is then

    E[z | not reported] = m - d rho phi(a) / Phi(-a),    rho = w1 d / sqrt(1 + w1^2 d^2)

as in a model of sample selection (Tobin, Econometrica 26, 1958; Heckman, Econometrica 47, 1979).
Where reports do not depend on the level, w1 is zero, and so is the correction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.special import log_ndtr, ndtri

from rm_geo._types import BoolArray, Float64Array
from rm_geo.geostat.block_folds import block_numbers
from rm_geo.geostat.coregionalization import MIN_READINGS, REACH_M, estimate_alone
from rm_geo.geostat.intervals import DeviationCurve, held_out_folds
from rm_geo.raster.log_bins import LogBins

_BLOCK_M: Final = 50.0
"""Bins of one block count as one observation: reports and errors of estimates are correlated."""

_MIN_GAIN: Final = 1.35
"""Log-likelihood that a dependence on the level must gain: the one-sided test at 5 %."""

_MIN_BINS: Final = 10
"""Fewest bins with and fewest without a report."""

_FOLDS: Final = 4
"""Parts of the readings, each estimated from the others."""

_MAX_SLOPE: Final = 5.0
_MAX_INTERCEPT: Final = 50.0
_STARTS: Final = (0.05, 0.5)
_HALF_LOG_TWO_PI: Final = 0.9189385332046727
_LEAST_SHARE: Final = 0.05


class CorrectedLevels(NamedTuple):
    """Levels given that there was no report.

    Attributes
    ----------
    level_dbm, std_db : ndarray of float64, shape (N,)
        Mean and standard deviation.
    """

    level_dbm: Float64Array
    std_db: Float64Array


@dataclass(frozen=True)
class ReportModel:
    """Probability of a report by the level of a cell and of the strongest other cell.

    Attributes
    ----------
    intercept : float
        Probit of the probability at the two middle levels.
    slope : float
        Change of the probit with the level of the cell, per dB; 0 where reports do not depend on
        it.
    strongest_slope : float
        Change with the strongest level of the others, per dB.
    middle_dbm : tuple of float
        Middle level of the cell, and of the strongest others.
    gain : float
        Log-likelihood that the dependence on the level gains, per independent observation.
    """

    intercept: float
    slope: float
    strongest_slope: float
    middle_dbm: tuple[float, float]
    gain: float

    @classmethod
    def fit(
        cls,
        position_m: Float64Array,
        level_dbm: Float64Array,
        std_db: Float64Array,
        strongest_dbm: Float64Array,
        reported: BoolArray,
    ) -> ReportModel:
        """Fit the model to the visited bins.

        Parameters
        ----------
        position_m : ndarray of float64, shape (M, 2)
            Visited bins in metres.
        level_dbm, std_db : ndarray of float64, shape (M,)
            Estimate of the cell at every bin and its standard deviation. Where the cell was
            reported, an estimate without the readings of the place (out of fold): one that knows
            the reading would make reports look dependent on the level. NaN where there is none.
        strongest_dbm : ndarray of float64, shape (M,)
            Level of the strongest other cell; NaN where there is none.
        reported : ndarray of bool, shape (M,)
            Whether the cell was reported.

        Returns
        -------
        ReportModel
            With a slope of zero where the evidence does not suffice.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> level = rng.normal(-100.0, 8.0, 2000)
        >>> place = rng.uniform(0, 5000, (2000, 2))
        >>> estimate = level + rng.normal(0.0, 4.0, 2000)
        >>> none, std = np.full(2000, np.nan), np.full(2000, 4.0)
        >>> model = ReportModel.fit(place, estimate, std, none, level > -104.0)
        >>> bool(model.slope > 0.2)
        True
        >>> ReportModel.fit(place, estimate, std, none, rng.random(2000) < 0.7).slope
        0.0
        """
        known = np.isfinite(level_dbm) & np.isfinite(std_db)
        heard = int(np.count_nonzero(reported & known))
        if min(heard, int(np.count_nonzero(known)) - heard) < _MIN_BINS:
            share = (heard + 0.5) / (np.count_nonzero(known) + 1.0)
            return cls(float(ndtri(share)), 0.0, 0.0, (0.0, 0.0), 0.0)
        strongest = _without_gaps(strongest_dbm)[known]
        middle = float(level_dbm[known].mean()), float(strongest.mean())
        observed = _Observed(
            level_dbm[known] - middle[0],
            std_db[known],
            strongest - middle[1],
            np.where(reported[known], 1.0, -1.0),
        )
        place = position_m[known]
        blocks = int(block_numbers(place[:, 1], place[:, 0], _BLOCK_M).max()) + 1
        constant = _maximise(observed, free=False)
        dependent = _maximise(observed, free=True)
        gain = float(constant.fun - dependent.fun) * blocks / int(np.count_nonzero(known))
        found = dependent if gain >= _MIN_GAIN else constant
        intercept, slope, strongest_slope = (float(value) for value in found.x)
        return cls(intercept, slope, strongest_slope, middle, gain)

    def probability(
        self, level_dbm: Float64Array, std_db: Float64Array, strongest_dbm: Float64Array
    ) -> Float64Array:
        """Probability of a report by uncertain levels.

        Parameters
        ----------
        level_dbm, std_db, strongest_dbm : ndarray of float64, shape (N,)
            As for :meth:`fit`.

        Returns
        -------
        ndarray of float64, shape (N,)
        """
        return np.asarray(np.exp(log_ndtr(self._index(level_dbm, std_db, strongest_dbm))))

    def corrected(
        self, level_dbm: Float64Array, std_db: Float64Array, strongest_dbm: Float64Array
    ) -> CorrectedLevels:
        """Correct estimates at places without a report.

        Parameters
        ----------
        level_dbm, std_db, strongest_dbm : ndarray of float64, shape (N,)
            As for :meth:`fit`.

        Returns
        -------
        CorrectedLevels
            Never higher and never more uncertain than the estimates.

        Examples
        --------
        >>> model = ReportModel(0.0, 0.5, 0.0, (-100.0, 0.0), 9.0)
        >>> strongest = np.zeros(2)
        >>> found = model.corrected(np.array([-90.0, -120.0]), np.array([6.0, 6.0]), strongest)
        >>> found.level_dbm.round(1).tolist(), found.std_db.round(1).tolist()
        ([-101.4, -120.0], [2.9, 6.0])
        """
        index = self._index(level_dbm, std_db, strongest_dbm)
        correlation = self.slope * std_db / self._scale(std_db)
        # phi / Phi in logarithms: both vanish far from the middle.
        hazard = np.exp(-0.5 * index**2 - _HALF_LOG_TWO_PI - log_ndtr(-index))
        left = 1.0 - correlation**2 * hazard * (hazard - index)
        return CorrectedLevels(
            np.asarray(level_dbm - std_db * correlation * hazard),
            np.asarray(std_db * np.sqrt(np.clip(left, _LEAST_SHARE, 1.0))),
        )

    def _index(
        self, level_dbm: Float64Array, std_db: Float64Array, strongest_dbm: Float64Array
    ) -> Float64Array:
        strongest = np.where(np.isfinite(strongest_dbm), strongest_dbm, self.middle_dbm[1])
        raw = (
            self.intercept
            + self.slope * (level_dbm - self.middle_dbm[0])
            + self.strongest_slope * (strongest - self.middle_dbm[1])
        )
        return np.asarray(raw / self._scale(std_db))

    def _scale(self, std_db: Float64Array) -> Float64Array:
        return np.sqrt(1.0 + np.square(self.slope * std_db))


def strongest_others(bins: LogBins, cell: str) -> Float64Array:
    """Level of the strongest other cell at each bin.

    Parameters
    ----------
    bins : LogBins
        All cells of a log.
    cell : str
        Name of a cell of the log.

    Returns
    -------
    ndarray of float64, shape (M,)
        In dBm; NaN where no other cell was reported.
    """
    own = np.arange(len(bins.cells)) == bins.cells.index(cell)
    hidden = np.broadcast_to(own, bins.level_dbm.shape)
    return np.asarray(bins.hidden(hidden).strongest_dbm, dtype=np.float64)


@dataclass(frozen=True)
class UnreportedLevels:
    """Levels of a cell at the visited bins where it was not reported, given that it was not.

    Attributes
    ----------
    level_dbm, std_db : ndarray of float64, shape (M,)
        At all bins of the log; NaN where the cell was reported, and far from its readings.
    slope : float
        Change of the probit of a report with the level, per dB; 0 if reports do not depend on it,
        and nothing was corrected.
    """

    level_dbm: Float64Array
    std_db: Float64Array
    slope: float


def unreported_levels(
    bins: LogBins, cell: str, level_dbm: Float64Array, std_db: Float64Array
) -> UnreportedLevels:
    """Correct estimates of a cell where a drive did not report it.

    How reports depend on the level is fitted to estimates from the cell's own readings; at a bin
    with a reading, the readings of its block are left out.

    Parameters
    ----------
    bins : LogBins
        All cells of a log.
    cell : str
        Name of a cell of the log.
    level_dbm, std_db : ndarray of float64, shape (M,)
        Estimate of the cell at each bin, such as the joint one; NaN where there is none. There
        the estimate from the cell's own readings is corrected.

    Returns
    -------
    UnreportedLevels
        Without any level for a cell that is reported in fewer than 30 bins.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.arange(0.0, 6000.0, 5.0)
    >>> level = -95.0 + 8.0 * np.sin(x / 60.0) + 5.0 * np.sin(x / 17.0)
    >>> heard = level > -99.0
    >>> bins = LogBins(np.column_stack([x, 0 * x]),
    ...                np.where(heard, level, np.nan)[:, None].astype(np.float32),
    ...                heard[:, None].astype(np.int32), np.ones(x.size, np.int32), ("7",))
    >>> none = np.full(x.size, np.nan)
    >>> found = unreported_levels(bins, "7", none, none)
    >>> bool(found.slope > 0.1), bool(np.nanmean(found.level_dbm) < -97.0)
    (True, True)
    """
    column = bins.cells.index(cell)
    reported = np.asarray(bins.reported[:, column])
    alone = _estimates_alone(bins, column)
    strongest_dbm = strongest_others(bins, cell)
    model = ReportModel.fit(bins.position_m, *alone, strongest_dbm, reported)
    known = np.isfinite(level_dbm)
    corrected = model.corrected(
        np.where(known, level_dbm, alone.level_dbm),
        np.where(known, std_db, alone.std_db),
        strongest_dbm,
    )
    return UnreportedLevels(
        np.where(reported, np.nan, corrected.level_dbm),
        np.where(reported, np.nan, corrected.std_db),
        model.slope,
    )


def _estimates_alone(bins: LogBins, column: int) -> CorrectedLevels:
    """Estimate a cell at all bins in reach from its own readings in other blocks."""
    level_dbm, nearest_m = np.full(len(bins), np.nan), np.full(len(bins), np.nan)
    readings = np.flatnonzero(bins.reported[:, column])
    if readings.size < MIN_READINGS:
        return CorrectedLevels(level_dbm, nearest_m)
    place, own_dbm = bins.position_m, bins.level_dbm[:, column].astype(np.float64)

    def estimate(train: NDArray[np.intp], at: NDArray[np.intp]) -> None:
        distance_m, _ = KDTree(place[train]).query(place[at])
        near = distance_m <= REACH_M
        nearest_m[at[near]] = distance_m[near]
        level_dbm[at[near]] = estimate_alone(place[train], own_dbm[train], place[at[near]])

    for kept, held in held_out_folds(place[readings], blocks_m=(_BLOCK_M,), folds=_FOLDS):
        if kept.size >= _MIN_BINS:
            estimate(readings[kept], readings[held])
    known = readings[np.isfinite(level_dbm[readings])]
    curve = DeviationCurve.fit(nearest_m[known], level_dbm[known] - own_dbm[known])
    estimate(readings, np.flatnonzero(~bins.reported[:, column]))
    return CorrectedLevels(level_dbm, curve.at(nearest_m))


@dataclass(frozen=True)
class _Observed:
    """Centred levels at bins, and the sign of a report."""

    level_db: Float64Array
    std_db: Float64Array
    strongest_db: Float64Array
    sign: Float64Array

    def loss(self, slopes: NDArray[Any]) -> tuple[float, Float64Array]:
        """Negative log-likelihood and its gradient by intercept and the two slopes."""
        intercept, slope, strongest_slope = slopes
        scale = np.sqrt(1.0 + np.square(slope * self.std_db))
        index = (intercept + slope * self.level_db + strongest_slope * self.strongest_db) / scale
        log_share = log_ndtr(self.sign * index)
        inner = -self.sign * np.exp(-0.5 * index**2 - _HALF_LOG_TWO_PI - log_share)
        by_slope = self.level_db / scale - index * slope * np.square(self.std_db / scale)
        gradient = [inner / scale, inner * by_slope, inner * self.strongest_db / scale]
        return -float(log_share.sum()), np.array([part.sum() for part in gradient])


def _maximise(observed: _Observed, *, free: bool) -> Any:  # noqa: ANN401 - scipy's result
    """Maximise the likelihood, with or without a dependence on the level."""
    from scipy.optimize import minimize  # imports many solvers

    bounds = [
        (-_MAX_INTERCEPT, _MAX_INTERCEPT),
        (0.0, _MAX_SLOPE if free else 0.0),
        (-_MAX_SLOPE, _MAX_SLOPE),
    ]
    fits = [
        minimize(observed.loss, (0.0, start if free else 0.0, 0.0), jac=True, bounds=bounds)
        for start in (_STARTS if free else _STARTS[:1])
    ]
    return min(fits, key=lambda fit: float(fit.fun))


def _without_gaps(level_dbm: Float64Array) -> Float64Array:
    """Replace missing levels by the mean of the others."""
    known = np.isfinite(level_dbm)
    mean = float(level_dbm[known].mean()) if known.any() else 0.0
    return np.where(known, level_dbm, mean)
