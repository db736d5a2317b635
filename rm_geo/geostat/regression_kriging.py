"""Bring a predicted radio map back to what was measured: regression kriging.

What the measurements say beyond a prediction (the residuals) is kriged over the raster and
added. The result agrees with the measurements where there are some, and decays to the
prediction far from them; where the residuals have no spatial correlation, the prediction
stays as it is.

Source: Hengl, Heuvelink, Rossiter, "About regression-kriging: from equations to case
studies", Computers & Geosciences 33 (2007), section 2; the solver is that of
:mod:`rm_geo.geostat.multiscale_kriging`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from rm_geo._types import FloatArray
from rm_geo._util.disk_columns import computed, empty_column, iter_blocks, release
from rm_geo._util.median import median
from rm_geo._util.row_blocks import row_bands, widened
from rm_geo.geostat.multiscale_kriging import (
    Cells,
    Covariance,
    KrigedField,
    bin_points,
    fit_covariance,
    fit_field,
    resample_cells,
)
from rm_geo.raster.points import Points

_NEIGHBOURHOOD_PX: Final = 8
_STD_CELLS: Final = 1 << 15
_STD_NEIGHBOURS: Final = 8


@dataclass(frozen=True)
class RegressionKrigingOptions:
    """How far measurements are believed.

    Attributes
    ----------
    noise_db : float
        Standard deviation of the error of one measured pixel, in dB. With 0, the result
        equals the measurement wherever there is one; with more, the part of a single
        pixel's residual that its neighbours do not share is believed less.
    outlier_db : float
        A residual may differ from its neighbours' mean by so many dB, or by four robust
        standard deviations of such differences if that is more; the rest is cut off.
    """

    noise_db: float = 0.0
    outlier_db: float = 12.0


class Assimilated(NamedTuple):
    """A radio map that agrees with the measurements.

    Attributes
    ----------
    rsrp_dbm : ndarray of float32, shape (H, W)
        Corrected prediction; NaN where neither prediction nor measurement is known.
    std_db : ndarray of float32, shape (H, W), or None
        Standard deviation of the difference from a measurement at that place.
    """

    rsrp_dbm: FloatArray
    std_db: FloatArray | None


def assimilate(
    prediction_dbm: NDArray[np.floating],
    observed_dbm: NDArray[np.floating],
    *,
    parameters: RegressionKrigingOptions | None = None,
    with_std: bool = False,
) -> Assimilated:
    """Krige the differences from the measurements back into a predicted radio map.

    Parameters
    ----------
    prediction_dbm : ndarray, shape (H, W)
        Predicted RSRP in dBm; NaN where unknown.
    observed_dbm : ndarray, shape (H, W)
        Measured RSRP in dBm; NaN where nothing was measured.
    parameters : RegressionKrigingOptions, optional
        How far measurements are believed.
    with_std : bool
        Whether to work out the standard deviation too.

    Returns
    -------
    Assimilated
        The correction lies between the smallest and the largest residual (or 0).

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    All of it works in pixels, so that the spacing does not matter. The memory is some 50
    bytes per pixel; the time 0.1 to 0.3 s of one core per million pixels, most where a fifth
    of all pixels are measured. With fewer than some hundred measurements the correlation is
    hard to tell from chance, and the correction may be worse than that of the neighbours.

    The standard deviation is that of kriging from the eight nearest occupied cells, on
    cells of which there are no more than 32,768. It does not know that a prediction may be
    worse in some places than in others.

    Examples
    --------
    >>> prediction = np.full((1, 3), -90.0)
    >>> observed = np.array([[np.nan, -85.0, np.nan]])
    >>> assimilate(prediction, observed).rsrp_dbm[0, 1]
    np.float32(-85.0)
    """
    if prediction_dbm.shape != observed_dbm.shape:
        raise ValueError(f"shapes differ: {prediction_dbm.shape}, {observed_dbm.shape}")
    settings = parameters or RegressionKrigingOptions()
    prediction = prediction_dbm.astype(np.float32)
    observed = observed_dbm.astype(np.float32)
    shape = (prediction.shape[0], prediction.shape[1])
    row, col = np.nonzero(np.isfinite(prediction) & np.isfinite(observed))
    residuals = Points(row, col, observed[row, col] - prediction[row, col])
    correction = fit_correction(residuals, shape, settings)
    corrected = honour(prediction, observed, correction.on_rows(slice(0, shape[0])))
    std_db = _standard_deviation(correction.field.points, shape) if with_std else None
    return Assimilated(corrected, std_db)


@dataclass(frozen=True)
class Correction:
    """What measurements say beyond a prediction, evaluated a band of rows at a time.

    Attributes
    ----------
    field : KrigedField
        What they share with their neighbours.
    alone : ndarray of float32, shape (N,)
        What is believed of each of the field's points besides.
    """

    field: KrigedField
    alone: FloatArray

    def release(self) -> None:
        """Take what lies on disk out of memory, until it is looked at again."""
        for column in (*self.field.points, self.alone):
            release(column)

    def on_rows(self, rows: slice) -> FloatArray:
        """Give the correction in dB on some rows, shape (rows, W)."""
        points = self.field.points
        first, last = np.searchsorted(points.row, [rows.start, rows.stop])
        corrections = self.field.on_rows(rows)
        corrections[points.row[first:last] - rows.start, points.col[first:last]] += self.alone[
            first:last
        ]
        return corrections


def fit_correction(
    residuals: Points, shape: tuple[int, int], parameters: RegressionKrigingOptions
) -> Correction:
    """Krige the differences of measurements from a prediction.

    Parameters
    ----------
    residuals : Points
        Measured minus predicted RSRP in dB, row by row.
    shape : tuple of int
        Rows and columns of the raster.
    parameters : RegressionKrigingOptions
        How far measurements are believed.
    """
    limited = _limit_outliers(residuals, shape, parameters.outlier_db)
    field = fit_field(limited, shape)
    left_db = computed(np.subtract, limited.value, field.at_points, dtype=np.float32)
    return Correction(field, _believed(left_db, parameters.noise_db))


def honour(
    prediction_dbm: FloatArray, observed_dbm: FloatArray, correction_db: FloatArray
) -> FloatArray:
    """Correct a prediction; where there is none, what was measured stands for itself."""
    unpredicted = np.isnan(prediction_dbm) & np.isfinite(observed_dbm)
    return np.where(unpredicted, observed_dbm, prediction_dbm + correction_db)


def krige(
    observed_dbm: NDArray[np.floating],
    *,
    parameters: RegressionKrigingOptions | None = None,
    with_std: bool = False,
) -> Assimilated:
    """Interpolate measurements without a prediction, by the same engine.

    Simple kriging around the mean of the measured area, in which dense streets weigh no
    more than sparse ones.

    Parameters
    ----------
    observed_dbm : ndarray, shape (H, W)
        Measured RSRP in dBm; NaN where nothing was measured.
    parameters, with_std
        As for :func:`assimilate`.

    Returns
    -------
    Assimilated
        All NaN where nothing was measured at all.
    """
    shape = (observed_dbm.shape[0], observed_dbm.shape[1])
    row, col = np.nonzero(np.isfinite(observed_dbm))
    if row.size == 0:
        empty = np.full(shape, np.nan, np.float32)
        return Assimilated(empty, empty.copy() if with_std else None)
    points = Points(row, col, observed_dbm[row, col].astype(np.float32))
    cells = bin_points(points, shape, 2 * _NEIGHBOURHOOD_PX)
    mean_dbm = float(cells.mean[cells.occupied].mean())
    prediction = np.full(shape, mean_dbm, np.float32)
    return assimilate(prediction, observed_dbm, parameters=parameters, with_std=with_std)


def _limit_outliers(points: Points, shape: tuple[int, int], limit_db: float) -> Points:
    """Pull values that stand alone towards the mean of their neighbours."""
    if points.value.size == 0:
        return points
    middle = float(np.median(points.value))
    reference = empty_column(points.value.size, np.float64)
    # Band by band, since bands begin at whole cells.
    for rows in row_bands(shape):
        around = widened(rows, _NEIGHBOURHOOD_PX, shape[0])
        ends = np.searchsorted(points.row, [around.start, rows.start, rows.stop, around.stop])
        first, begin, end, last = (int(place) for place in ends)
        near = Points(points.row[first:last], points.col[first:last], points.value[first:last])
        count, total = (column[begin - first : end - first] for column in _around(near, shape[1]))
        others = count - 1.0
        neighbours = (total - points.value[begin:end]) / np.maximum(others, 1.0)
        reference[begin:end] = np.where(others < 0.5, middle, neighbours)
        for column in (*points, reference):
            release(column)
    blocks = partial(iter_blocks, points.value, reference)
    spread_db = 1.4826 * median(lambda: (np.abs(value - mean) for value, mean in blocks()))
    bound = max(limit_db, 4.0 * spread_db)
    limited = computed(
        lambda value, mean: mean + np.clip(value - mean, -bound, bound),
        points.value,
        reference,
        dtype=np.float32,
    )
    return points._replace(value=limited)


def _around(points: Points, cols: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count and sum of the values in each point's cell and the eight around it, shape (N,).

    By the occupied cells alone: a large raster has few.
    """
    # One empty column at each side keeps neighbours of edge cells from wrapping around.
    width = -(-cols // _NEIGHBOURHOOD_PX) + 2
    number = (points.row // _NEIGHBOURHOOD_PX).astype(np.int64) * width
    number += points.col // _NEIGHBOURHOOD_PX + 1
    cells, place = np.unique(number, return_inverse=True)
    count = np.bincount(place, minlength=cells.size).astype(np.float64)
    total = np.bincount(place, points.value, minlength=cells.size)
    sums = np.zeros((2, cells.size))
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            wanted = cells + down * width + right
            found = np.minimum(np.searchsorted(cells, wanted), max(cells.size - 1, 0))
            there = cells[found] == wanted
            sums[0] += np.where(there, count[found], 0.0)
            sums[1] += np.where(there, total[found], 0.0)
    return sums[0][place], sums[1][place]


def _believed(left_db: FloatArray, noise_db: float) -> FloatArray:
    """Part of what kriging left at the measured pixels that is not noise."""
    if noise_db <= 0.0 or left_db.size == 0:
        return left_db
    structure = max(float(np.mean(np.square(left_db))) - noise_db**2, 0.0)
    share = np.float32(structure / (structure + noise_db**2))
    return computed(lambda left: left * share, left_db, dtype=np.float32)


def _standard_deviation(points: Points, shape: tuple[int, int]) -> FloatArray:
    """Kriging standard deviation from the nearest occupied cells, bilinear between centres."""
    if points.value.size == 0:
        return np.full(shape, np.nan, np.float32)
    side = 1
    while shape[0] * shape[1] > side**2 * _STD_CELLS:
        side *= 2
    cells = bin_points(points, shape, side)
    covariance = fit_covariance(cells, whole=True)
    structured = float(covariance.sills.sum())
    power = float(np.mean(np.square(points.value, dtype=np.float64)))
    alone = max(power - structured, covariance.nugget) + covariance.within_cell
    variance = structured - _explained_variance(cells, covariance) + alone
    std_db = np.sqrt(variance).astype(np.float32).reshape(cells.mean.shape)
    return resample_cells(std_db, side, 1, shape)


def _explained_variance(cells: Cells, covariance: Covariance) -> NDArray[np.float64]:
    """Variance at each cell's centre that the nearest data take away; shape (h * w,)."""
    data = np.argwhere(cells.occupied).astype(np.float64)
    centres = np.argwhere(np.ones(cells.mean.shape, bool)).astype(np.float64)
    neighbours = min(_STD_NEIGHBOURS, len(data))
    ranks = np.arange(1, neighbours + 1)  # a list of ranks keeps the axis of a single one
    distance, index = spatial.KDTree(data).query(centres, k=ranks)
    near = data[index]
    apart = np.linalg.norm(near[:, :, None] - near[:, None, :], axis=-1)
    # Cells are told apart to some 1e-6 of the variance even where there is no nugget.
    floor = 1e-6 * float(covariance.sills.sum()) + 1e-12
    matrix = covariance(apart) + (covariance.nugget + floor) * np.eye(neighbours)
    towards = covariance(distance)
    weights = np.linalg.solve(matrix, towards[..., None])[..., 0]
    explained = np.einsum("ij,ij->i", weights, towards)
    return np.asarray(np.clip(explained, 0.0, covariance.sills.sum()))
