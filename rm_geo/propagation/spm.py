"""Standard propagation model (SPM): Hata's form with constants fitted to measurements.

Source: the standard propagation model of planning tools (Forsk, Atoll technical reference
guide, "Standard Propagation Model").
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm_geo.errors import InputError

_MIN_DECADES = 0.15  # smallest standard deviation of log10 distance that determines a slope


@dataclass(frozen=True, slots=True)
class SpmConstants:
    """Constants of the standard propagation model; see :func:`spm_predict` for the formula.

    The defaults reproduce Hata's urban formula at 1800 MHz, with distances in metres.

    Parameters
    ----------
    k1 : float
        Offset in dB.
    k2 : float
        Loss in dB per decade of distance.
    k3 : float
        Factor of the logarithm of the base station height.
    k4 : float
        Factor of the diffraction loss.
    k5 : float
        Factor of the product of the logarithms of distance and base station height.
    k6 : float
        Factor of the mobile height in metres.
    k7 : float
        Factor of the logarithm of the mobile height.
    """

    k1: float = 22.0
    k2: float = 44.9
    k3: float = 5.83
    k4: float = 0.0
    k5: float = -6.55
    k6: float = 0.0
    k7: float = 0.0


def spm_predict(
    distance_m: ArrayLike,
    constants: SpmConstants,
    *,
    base_height_m: ArrayLike,
    mobile_height_m: ArrayLike = 1.5,
    diffraction_loss_db: ArrayLike = 0.0,
    clutter_loss_db: ArrayLike = 0.0,
    least_distance_m: float = 20.0,
) -> NDArray[np.float64]:
    """Path loss by the standard propagation model.

    ``K1 + K2 log d + K3 log Hb + K4 diffraction + K5 log d log Hb + K6 Hm + K7 log Hm +
    clutter``, all logarithms to base 10.

    Parameters
    ----------
    distance_m : array_like
        Distance in metres.
    constants : SpmConstants
        K1 to K7.
    base_height_m, mobile_height_m : array_like
        Effective antenna heights in metres, above 0.
    diffraction_loss_db, clutter_loss_db : array_like
        Losses from the terrain profile and from land use, in dB.
    least_distance_m : float
        Smaller distances are raised to this one.

    Returns
    -------
    ndarray of float64
        Path loss in dB, in the broadcast shape of the inputs.

    Examples
    --------
    >>> loss = spm_predict([100.0, 1000.0], SpmConstants(), base_height_m=30.0)
    >>> [round(float(db), 1) for db in loss]
    [101.1, 136.3]
    """
    c = constants
    d = np.log10(np.maximum(np.asarray(distance_m, dtype=np.float64), least_distance_m))
    base = np.log10(np.asarray(base_height_m, dtype=np.float64))
    mobile = np.asarray(mobile_height_m, dtype=np.float64)
    return np.asarray(
        c.k1
        + c.k2 * d
        + c.k3 * base
        + c.k4 * np.asarray(diffraction_loss_db, dtype=np.float64)
        + c.k5 * d * base
        + c.k6 * mobile
        + c.k7 * np.log10(mobile)
        + np.asarray(clutter_loss_db, dtype=np.float64)
    )


def fit_spm(
    distance_m: ArrayLike,
    path_loss_db: ArrayLike,
    *,
    base_height_m: float,
    mobile_height_m: float = 1.5,
    start: SpmConstants | None = None,
    diffraction_loss_db: ArrayLike = 0.0,
    clutter_loss_db: ArrayLike = 0.0,
    least_distance_m: float = 20.0,
) -> SpmConstants:
    """Fit K1 and K2 of one cell by least squares and keep the other constants.

    Parameters
    ----------
    distance_m, path_loss_db : array_like of shape (N,)
        Distances in metres and losses in dB of one cell. EIRP minus RSRP may serve as the
        loss: a constant offset is absorbed by K1. Pairs that are not finite are ignored.
    base_height_m, mobile_height_m : float
        Effective antenna heights in metres, above 0.
    start : SpmConstants, optional
        Constants to keep. Its K2 is kept too if the distances do not determine a slope.
    diffraction_loss_db, clutter_loss_db, least_distance_m
        See :func:`spm_predict`.

    Returns
    -------
    SpmConstants
        With fitted K1 and K2, or only K1 if the distances do not determine a slope.

    Raises
    ------
    InputError
        If no pair is finite.

    Examples
    --------
    >>> distance = np.array([100.0, 300.0, 1000.0])
    >>> loss = spm_predict(distance, SpmConstants(k1=30.0), base_height_m=25.0)
    >>> round(fit_spm(distance, loss, base_height_m=25.0).k1, 2)
    30.0
    """
    start = SpmConstants() if start is None else start
    distance = np.asarray(distance_m, dtype=np.float64).ravel()
    loss = np.asarray(path_loss_db, dtype=np.float64).ravel()
    known = spm_predict(
        distance,
        replace(start, k1=0.0, k2=0.0),
        base_height_m=base_height_m,
        mobile_height_m=mobile_height_m,
        diffraction_loss_db=diffraction_loss_db,
        clutter_loss_db=clutter_loss_db,
        least_distance_m=least_distance_m,
    )
    rest = loss - known
    usable = np.isfinite(rest)
    if not usable.any():
        raise InputError("The model cannot be fitted: no distance and loss are both finite.")
    d = np.log10(np.maximum(distance[usable], least_distance_m))
    rest = rest[usable]
    if d.std() < _MIN_DECADES:
        return replace(start, k1=float(np.mean(rest - start.k2 * d)))
    slope = float(np.mean((d - d.mean()) * (rest - rest.mean())) / d.var())
    return replace(start, k1=float(rest.mean() - slope * d.mean()), k2=slope)
