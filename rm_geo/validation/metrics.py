"""Scores of building maps and of radio maps.

Sums are kept, not scores: they are added over maps, and the scores are taken of the sum.
Pooled so, a score is that of all pixels together, and a map with few of them (few buildings,
few unobserved pixels) does not count more than its pixels. PSNR and SSIM
(:mod:`rm_geo.validation.image_quality`) are means over maps, as in the literature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from rm_geo._types import BoolArray


class Pixels(str, Enum):
    """Which pixels of a map are compared."""

    ALL = "all"
    """All, buildings included, where the papers' radio maps are 0."""
    OUTDOOR = "outdoor"
    """Outside buildings, measured pixels included."""
    UNOBSERVED_OUTDOOR = "unobserved-outdoor"
    """Outside buildings and not measured: what had to be estimated."""

    def select(self, buildings: ArrayLike, observed: ArrayLike) -> BoolArray:
        """Mask of the pixels that are compared.

        Parameters
        ----------
        buildings : array_like of bool, shape (..., H, W)
            True inside buildings.
        observed : array_like of bool, shape (..., H, W)
            True where something was measured.

        Returns
        -------
        ndarray of bool, shape (..., H, W)
        """
        outdoor = ~np.asarray(buildings, dtype=np.bool_)
        if self is Pixels.ALL:
            return np.ones_like(outdoor)
        if self is Pixels.OUTDOOR:
            return outdoor
        return np.asarray(outdoor & ~np.asarray(observed, dtype=np.bool_))


@dataclass(frozen=True)
class BuildingScores:
    """Scores of a building map, each 0..1; NaN where there is nothing to divide by.

    Attributes
    ----------
    jaccard : float
        TP / (TP + FP + FN).
    f1 : float
        2 TP / (2 TP + FP + FN).
    recall : float
        TP / (TP + FN).
    precision : float
        TP / (TP + FP).
    accuracy : float
        (TP + TN) / all.
    """

    jaccard: float
    f1: float
    recall: float
    precision: float
    accuracy: float


@dataclass(frozen=True)
class BuildingCounts:
    """Confusion counts of building pixels; add them over maps, then take :meth:`scores`."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    @classmethod
    def of(
        cls, probability: ArrayLike, buildings: ArrayLike, *, threshold: float = 0.5
    ) -> BuildingCounts:
        """Count the pixels of a map.

        Parameters
        ----------
        probability : array_like of float, any shape
            Building probability 0..1; NaN counts as no building.
        buildings : array_like of bool, the same shape
            The truth.
        threshold : float
            A pixel is a building from this probability on.

        Returns
        -------
        BuildingCounts

        Raises
        ------
        ValueError
            If the shapes differ.

        Examples
        --------
        >>> BuildingCounts.of([0.9, 0.2, 0.7], [True, True, False]).scores().f1
        0.5
        """
        with np.errstate(invalid="ignore"):
            said = np.asarray(probability) >= threshold
        truth = np.asarray(buildings, dtype=np.bool_)
        if said.shape != truth.shape:
            raise ValueError(f"maps of shapes {said.shape} and {truth.shape} cannot be compared")
        positive = int((said & truth).sum())
        return cls(
            true_positive=positive,
            false_positive=int(said.sum()) - positive,
            false_negative=int(truth.sum()) - positive,
            true_negative=int((~said & ~truth).sum()),
        )

    def __add__(self, other: BuildingCounts) -> BuildingCounts:
        return BuildingCounts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    def scores(self) -> BuildingScores:
        """Scores of all counted pixels together.

        Returns
        -------
        BuildingScores
            Each 0..1.
        """
        tp, fp, fn, tn = (
            self.true_positive,
            self.false_positive,
            self.false_negative,
            self.true_negative,
        )
        return BuildingScores(
            jaccard=_ratio(tp, tp + fp + fn),
            f1=_ratio(2 * tp, 2 * tp + fp + fn),
            recall=_ratio(tp, tp + fn),
            precision=_ratio(tp, tp + fp),
            accuracy=_ratio(tp + tn, tp + fp + fn + tn),
        )


@dataclass(frozen=True)
class ErrorScores:
    """Errors of a radio map, in the unit of the maps that were compared.

    Attributes
    ----------
    pixels, missing : int
        Pixels compared, and pixels left out because the estimate is NaN there.
    rmse, mae, bias : float
        Root mean square, mean absolute and mean error (estimate minus truth).
    nmse_energy : float
        Sum of squared errors over the sum of y^2: RadioUNet's NMSE (arXiv 1911.09002).
    nmse_variance : float
        Sum of squared errors over the sum of (y - mean y)^2: RadioCycle's NMSE. Of sense on
        the 0..1 scale, as is the other; the mean is that of all pooled pixels.
    """

    pixels: int
    missing: int
    rmse: float
    mae: float
    bias: float
    nmse_energy: float
    nmse_variance: float


@dataclass(frozen=True)
class ErrorSums:
    """Sums over pixels; add them over maps, then take :meth:`scores`.

    Attributes
    ----------
    pixels, missing : int
        Pixels summed, and pixels without an estimate.
    error, absolute, squared : float
        Sums of the error, its size and its square.
    truth_mean, truth_deviation : float
        Mean of the truth, and its sum of squared deviations from that mean.
    """

    pixels: int = 0
    missing: int = 0
    error: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0
    truth_mean: float = 0.0
    truth_deviation: float = 0.0

    @classmethod
    def of(
        cls, estimate: ArrayLike, truth: ArrayLike, pixels: ArrayLike | None = None
    ) -> ErrorSums:
        """Sum the errors of a map.

        Parameters
        ----------
        estimate : array_like of float, any shape
            NaN where there is no estimate; such pixels are counted, not compared.
        truth : array_like of float, the same shape
            Finite at the compared pixels.
        pixels : array_like of bool, the same shape, optional
            Pixels to compare; all by default.

        Returns
        -------
        ErrorSums

        Raises
        ------
        ValueError
            If the shapes differ.

        Examples
        --------
        >>> ErrorSums.of([-90.0, -80.0], [-92.0, -81.0]).scores().mae
        1.5
        """
        y_hat, y = np.asarray(estimate), np.asarray(truth)
        if y_hat.shape != y.shape:
            raise ValueError(f"maps of shapes {y_hat.shape} and {y.shape} cannot be compared")
        judged = np.ones(y.shape, np.bool_) if pixels is None else np.asarray(pixels, np.bool_)
        said = judged & np.isfinite(y_hat)
        missing = int(judged.sum() - said.sum())
        y_said = y[said].astype(np.float64)
        if y_said.size == 0:
            return cls(missing=missing)
        error = y_hat[said].astype(np.float64) - y_said
        mean = float(y_said.mean())
        return cls(
            pixels=int(y_said.size),
            missing=missing,
            error=float(error.sum()),
            absolute=float(np.abs(error).sum()),
            squared=float(np.square(error).sum()),
            truth_mean=mean,
            truth_deviation=float(np.square(y_said - mean).sum()),
        )

    def __add__(self, other: ErrorSums) -> ErrorSums:
        pixels = self.pixels + other.pixels
        # Deviations about a common mean (Chan, Golub and LeVeque 1979): no cancellation.
        share = other.pixels / pixels if pixels else 0.0
        shift = other.truth_mean - self.truth_mean
        return ErrorSums(
            pixels=pixels,
            missing=self.missing + other.missing,
            error=self.error + other.error,
            absolute=self.absolute + other.absolute,
            squared=self.squared + other.squared,
            truth_mean=self.truth_mean + shift * share,
            truth_deviation=self.truth_deviation
            + other.truth_deviation
            + shift**2 * self.pixels * share,
        )

    def scores(self) -> ErrorScores:
        """Scores of all summed pixels together.

        Returns
        -------
        ErrorScores
            In the unit of the maps.
        """
        energy = self.truth_deviation + self.pixels * self.truth_mean**2
        return ErrorScores(
            pixels=self.pixels,
            missing=self.missing,
            rmse=math.sqrt(_ratio(self.squared, self.pixels)),
            mae=_ratio(self.absolute, self.pixels),
            bias=_ratio(self.error, self.pixels),
            nmse_energy=_ratio(self.squared, energy),
            nmse_variance=_ratio(self.squared, self.truth_deviation),
        )


def area_under_curve(probability: ArrayLike, truth: ArrayLike) -> float:
    """Area under the ROC curve: how often a true one has the larger probability; ties are halves.

    Parameters
    ----------
    probability : array_like of float, shape (N,)
        Anything that ranks.
    truth : array_like of bool, shape (N,)
        What is true.

    Returns
    -------
    float
        0..1; NaN if all are true, or none.

    Examples
    --------
    >>> area_under_curve([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    from scipy.stats import rankdata

    is_true = np.asarray(truth, dtype=np.bool_)
    positive = int(is_true.sum())
    negative = int(is_true.size) - positive
    if not positive or not negative:
        return math.nan
    rank = float(rankdata(np.asarray(probability))[is_true].sum())
    return (rank - positive * (positive + 1) / 2) / (positive * negative)


def _ratio(part: float, whole: float) -> float:
    """Divide; NaN where there is nothing to divide by."""
    return part / whole if whole else math.nan
