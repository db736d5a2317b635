"""Sampling of measured pixels, and measurement errors.

Sampling functions take the pixels that may be sampled (``free``, the outdoor ones) and a
:class:`numpy.random.Generator`, and return a boolean mask. The module needs only numpy, so that
training runs on machines without the other dependencies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray
from rm_geo.errors import ConfigError


def uniform(rng: np.random.Generator, free: BoolArray, fraction: float) -> BoolArray:
    """Sample a fraction of the free pixels uniformly at random.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    free : ndarray of bool, shape (H, W)
        Pixels that may be sampled.
    fraction : float
        Fraction of the free pixels, 0..1. Exactly ``round(fraction * free.sum())`` are taken.

    Returns
    -------
    ndarray of bool, shape (H, W)
        Sampled pixels.

    Raises
    ------
    ConfigError
        If ``fraction`` is outside 0..1.

    Examples
    --------
    >>> free = np.ones((10, 10), dtype=bool)
    >>> int(uniform(np.random.default_rng(0), free, 0.2).sum())
    20
    """
    _require_fraction(fraction, "fraction")
    candidates = np.flatnonzero(free)
    count = round(fraction * candidates.size)
    sampled = np.zeros(free.shape, dtype=np.bool_)
    chosen = rng.choice(candidates.size, size=count, replace=False, shuffle=False)
    sampled.flat[candidates[chosen]] = True
    return sampled


def regular_grid(rng: np.random.Generator, free: BoolArray, step_px: int) -> BoolArray:
    """Sample the free pixels of a square grid with a random first row and column.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    free : ndarray of bool, shape (H, W)
        Pixels that may be sampled.
    step_px : int
        Spacing of the grid in pixels, at least 1.

    Returns
    -------
    ndarray of bool, shape (H, W)
        Sampled pixels.

    Raises
    ------
    ConfigError
        If ``step_px`` is below 1.
    """
    if step_px < 1:
        raise ConfigError(f"The step of a sampling grid must be at least 1 px, not {step_px}.")
    row, column = rng.integers(step_px, size=2)
    sampled = np.zeros(free.shape, dtype=np.bool_)
    sampled[row::step_px, column::step_px] = free[row::step_px, column::step_px]
    return sampled


def along_route(order: NDArray[np.integer], count: int, start: int = 0) -> BoolArray:
    """Sample ``count`` pixels of a drive, beginning with pixel number ``start``.

    Parameters
    ----------
    order : ndarray of int, shape (H, W)
        From :func:`rm_geo.datasets.routes.route_order`; -1 for pixels that are not visited.
    count : int
        Number of pixels. If the drive is shorter, the remaining ones are taken.
    start : int
        Number of the first pixel; negative values count as 0.

    Returns
    -------
    ndarray of bool, shape (H, W)
        Sampled pixels.

    Examples
    --------
    >>> along_route(np.array([[0, 1, 2], [5, 4, 3]]), 2, start=1).tolist()
    [[False, True, True], [False, False, False]]
    """
    first = max(start, 0)
    return np.asarray((order >= first) & (order < first + count))


def leave_blocks_out(
    rng: np.random.Generator, sampled: BoolArray, block_px: int, fraction: float
) -> BoolArray:
    """Remove the samples of random square blocks, like areas without access for a drive test.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    sampled : ndarray of bool, shape (H, W)
        Sampled pixels.
    block_px : int
        Side of a block in pixels, at least 1. The grid of blocks has a random offset.
    fraction : float
        Fraction of the blocks to empty, 0..1.

    Returns
    -------
    ndarray of bool, shape (H, W)
        A subset of ``sampled``.

    Raises
    ------
    ConfigError
        If ``block_px`` is below 1 or ``fraction`` outside 0..1.
    """
    _require_fraction(fraction, "fraction")
    if block_px < 1:
        raise ConfigError(f"The side of a block must be at least 1 px, not {block_px}.")
    rows, columns = sampled.shape
    phase = rng.integers(block_px, size=2)
    block_row = (np.arange(rows) + phase[0]) // block_px
    block_column = (np.arange(columns) + phase[1]) // block_px
    shape = (int(block_row[-1]) + 1, int(block_column[-1]) + 1)
    emptied = uniform(rng, np.ones(shape, dtype=np.bool_), fraction)
    return np.asarray(sampled & ~emptied[block_row[:, None], block_column[None, :]])


@dataclass(frozen=True, slots=True)
class Corruption:
    """Measurement errors of levels: unknown offset, noise, rounding, outliers.

    Attributes
    ----------
    offset_db : float
        Constant added to all levels, for unknown transmit power, cable and body loss.
    noise_db : float
        Standard deviation of independent Gaussian errors (fading, receiver), at least 0.
    quantum_db : float
        Levels are rounded to multiples of this value; 0 means no rounding.
    outlier_fraction : float
        Fraction of the levels with an error of 10 to 30 dB in either direction, 0..1.

    Raises
    ------
    ConfigError
        If a value is out of range.

    Examples
    --------
    >>> exact = np.array([-80.2, np.nan])
    >>> Corruption(offset_db=3.0, quantum_db=1.0).apply(np.random.default_rng(0), exact)
    array([-77.,  nan], dtype=float32)
    """

    offset_db: float = 0.0
    noise_db: float = 0.0
    quantum_db: float = 0.0
    outlier_fraction: float = 0.0

    def __post_init__(self) -> None:
        _require_fraction(self.outlier_fraction, "outlier_fraction")
        if self.noise_db < 0 or self.quantum_db < 0:
            raise ConfigError(
                f"noise_db = {self.noise_db} and quantum_db = {self.quantum_db} must be at least 0."
            )

    def apply(
        self, rng: np.random.Generator, levels_db: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Add errors to levels.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random generator.
        levels_db : ndarray
            Levels in dB or dBm, of any shape. NaN is kept.

        Returns
        -------
        ndarray of float32
            Levels with errors, a new array.
        """
        levels = np.asarray(levels_db, dtype=np.float32) + np.float32(self.offset_db)
        if self.noise_db > 0:
            levels += rng.standard_normal(levels.shape, dtype=np.float32) * np.float32(
                self.noise_db
            )
        if self.outlier_fraction > 0:
            wrong = rng.random(levels.shape, dtype=np.float32) < self.outlier_fraction
            count = int(np.count_nonzero(wrong))
            error = rng.uniform(10.0, 30.0, count) * rng.choice((-1.0, 1.0), count)
            levels[wrong] += error.astype(np.float32)
        if self.quantum_db > 0:
            quantum = np.float32(self.quantum_db)
            levels = np.round(levels / quantum) * quantum
        return np.asarray(levels, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class SamplingMixture:
    """Distribution of drive tests from which training samples are drawn.

    Weights need not sum to 1. For scenes without drives, ``route_weight`` is added to the
    weight of uniform samples.

    Attributes
    ----------
    uniform_weight, grid_weight, route_weight : float
        Weights of uniform samples, of regular grids and of drives.
    uniform_fraction : (float, float)
        Range of the fraction of free pixels for uniform samples, drawn log-uniformly.
    grid_step_px : (int, int)
        Range of grid steps in pixels, both ends included.
    route_fraction : (float, float)
        Range of the fraction of free pixels for drives, drawn log-uniformly.
    blocks_out_probability : float
        Probability that the samples of some blocks are removed, 0..1.
    blocks_out_fraction : (float, float)
        Range of the fraction of removed blocks.
    block_px : (int, int)
        Range of block sides in pixels, both ends included.
    corrupt_probability : float
        Probability that levels have errors, 0..1. The samples of the papers are exact.
    offset_db : float
        Half-width of the uniform distribution of the offset.
    noise_db : (float, float)
        Range of the standard deviation of the noise.
    quantum_probability : float
        Probability that levels with errors are rounded to 1 dB, 0..1.
    outlier_fraction : (float, float)
        Range of the fraction of outliers.

    Raises
    ------
    ConfigError
        If a weight, probability or fraction is out of range.
    """

    uniform_weight: float = 0.5
    grid_weight: float = 0.1
    route_weight: float = 0.4
    uniform_fraction: tuple[float, float] = (0.01, 0.5)
    grid_step_px: tuple[int, int] = (2, 10)
    route_fraction: tuple[float, float] = (0.005, 0.05)
    blocks_out_probability: float = 0.15
    blocks_out_fraction: tuple[float, float] = (0.1, 0.5)
    block_px: tuple[int, int] = (24, 96)
    corrupt_probability: float = 0.5
    offset_db: float = 10.0
    noise_db: tuple[float, float] = (0.0, 4.0)
    quantum_probability: float = 0.7
    outlier_fraction: tuple[float, float] = (0.0, 0.005)

    def __post_init__(self) -> None:
        weights = (self.uniform_weight, self.grid_weight, self.route_weight)
        if min(weights) < 0 or sum(weights) <= 0:
            raise ConfigError(
                f"Sampling weights {weights} must not be negative, and their sum must be positive."
            )
        for name in ("blocks_out_probability", "corrupt_probability", "quantum_probability"):
            _require_fraction(getattr(self, name), name)
        for name in ("uniform_fraction", "route_fraction"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                raise ConfigError(f"{name} = ({low}, {high}) is not a range within 0..1.")

    def draw(
        self,
        rng: np.random.Generator,
        free: BoolArray,
        orders: NDArray[np.integer] | None = None,
    ) -> tuple[BoolArray, Corruption]:
        """Draw the sampled pixels and the corruption of one drive test.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random generator. The same state gives the same test.
        free : ndarray of bool, shape (H, W)
            Pixels that may be sampled.
        orders : ndarray of int, shape (R, H, W), optional
            Drives through the scene. A random section of one of them may be used.

        Returns
        -------
        sampled : ndarray of bool, shape (H, W)
            Sampled pixels.
        corruption : Corruption
            Measurement errors.
        """
        sampled = self.draw_mask(rng, free, orders)
        return sampled, self.draw_corruption(rng)

    def draw_mask(
        self,
        rng: np.random.Generator,
        free: BoolArray,
        orders: NDArray[np.integer] | None = None,
    ) -> BoolArray:
        """Draw the sampled pixels of one drive test.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random generator.
        free : ndarray of bool, shape (H, W)
            Pixels that may be sampled.
        orders : ndarray of int, shape (R, H, W), optional
            Drives through the scene.

        Returns
        -------
        ndarray of bool, shape (H, W)
            Sampled pixels.
        """
        weights = np.array([self.uniform_weight, self.grid_weight, self.route_weight])
        kind = int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum(), "right"))
        sampled: BoolArray | None = None
        if kind == 1:
            low, high = self.grid_step_px
            sampled = regular_grid(rng, free, int(rng.integers(low, high + 1)))
        elif kind == 2 and orders is not None and len(orders):
            sampled = self._draw_route(rng, free, orders)
        if sampled is None:
            sampled = uniform(rng, free, _log_uniform(rng, self.uniform_fraction))
        if rng.random() < self.blocks_out_probability:
            low, high = self.block_px
            block_px = int(rng.integers(low, high + 1))
            kept = leave_blocks_out(rng, sampled, block_px, rng.uniform(*self.blocks_out_fraction))
            # Keep the samples if no measurement would be left to train with.
            sampled = kept if kept.any() else sampled
        return sampled

    def draw_corruption(self, rng: np.random.Generator) -> Corruption:
        """Draw the measurement errors of one drive test; see :meth:`draw`."""
        if rng.random() >= self.corrupt_probability:
            return Corruption()
        return Corruption(
            offset_db=float(rng.uniform(-self.offset_db, self.offset_db)),
            noise_db=float(rng.uniform(*self.noise_db)),
            quantum_db=1.0 if rng.random() < self.quantum_probability else 0.0,
            outlier_fraction=float(rng.uniform(*self.outlier_fraction)),
        )

    def _draw_route(
        self, rng: np.random.Generator, free: BoolArray, orders: NDArray[np.integer]
    ) -> BoolArray | None:
        """Draw a section of one of the drives, None if the drive has no free pixel."""
        order = orders[int(rng.integers(len(orders)))]
        ranks = np.sort(order[(order >= 0) & free])
        if ranks.size == 0:
            return None
        wanted = max(1, round(_log_uniform(rng, self.route_fraction) * int(free.sum())))
        count = min(wanted, ranks.size)
        # Numbers in a crop have gaps, so the section is chosen by position among those present.
        begin = int(rng.integers(ranks.size - count + 1))
        stretch = along_route(
            order, int(ranks[begin + count - 1] - ranks[begin]) + 1, int(ranks[begin])
        )
        return np.asarray(stretch & free)


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw log-uniformly from a range."""
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _require_fraction(value: float, name: str) -> None:
    """Raise ConfigError for a value outside 0..1."""
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} = {value} is outside 0..1.")
