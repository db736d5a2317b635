"""Where measurements are taken, and how they err: masks of sampled pixels.

Every function takes the pixels that may be sampled (``free``, those outdoors) and a
:class:`numpy.random.Generator`, and returns a boolean mask. Only numpy is needed, so that
training also runs where nothing else is installed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray
from rm_geo.errors import ConfigError


def uniform(rng: np.random.Generator, free: BoolArray, fraction: float) -> BoolArray:
    """Sample a fraction of the free pixels, each equally likely.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    free : ndarray of bool, shape (H, W)
        Pixels that may be sampled.
    fraction : float
        Share of the free pixels, 0..1. Exactly ``round(fraction * free.sum())`` are taken.

    Returns
    -------
    ndarray of bool, shape (H, W)

    Raises
    ------
    ConfigError
        If ``fraction`` is outside 0..1.
    """
    _require_share(fraction, "fraction")
    candidates = np.flatnonzero(free)
    count = round(fraction * candidates.size)
    sampled = np.zeros(free.shape, dtype=np.bool_)
    chosen = rng.choice(candidates.size, size=count, replace=False, shuffle=False)
    sampled.flat[candidates[chosen]] = True
    return sampled


def regular_grid(rng: np.random.Generator, free: BoolArray, step_px: int) -> BoolArray:
    """Sample the free pixels of a square grid whose first row and column are random.

    Raises
    ------
    ConfigError
        If ``step_px`` is below 1.
    """
    if step_px < 1:
        raise ConfigError(f"A sampling grid of step {step_px} px has no pixels.")
    row, column = rng.integers(step_px, size=2)
    sampled = np.zeros(free.shape, dtype=np.bool_)
    sampled[row::step_px, column::step_px] = free[row::step_px, column::step_px]
    return sampled


def along_route(order: NDArray[np.integer], count: int, start: int = 0) -> BoolArray:
    """Sample ``count`` pixels of a drive, from its ``start``-th pixel on.

    Parameters
    ----------
    order : ndarray of int, shape (H, W)
        From :func:`rm_geo.datasets.routes.route_order`; -1 where the drive never comes.
    count : int
        Number of pixels; all that remain if the drive is shorter.
    start : int
        Where along the drive to begin.

    Returns
    -------
    ndarray of bool, shape (H, W)
    """
    first = max(start, 0)
    return np.asarray((order >= first) & (order < first + count))


def leave_blocks_out(
    rng: np.random.Generator, sampled: BoolArray, block_px: int, fraction: float
) -> BoolArray:
    """Forget the samples of some square blocks, as where a drive test had no access.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    sampled : ndarray of bool, shape (H, W)
        The samples taken so far.
    block_px : int
        Side of a block. The blocks' grid starts at a random pixel.
    fraction : float
        Share of the blocks that are emptied, 0..1.

    Returns
    -------
    ndarray of bool, shape (H, W)
        A subset of ``sampled``.

    Raises
    ------
    ConfigError
        If ``block_px`` is below 1 or ``fraction`` outside 0..1.
    """
    _require_share(fraction, "fraction")
    if block_px < 1:
        raise ConfigError(f"Blocks of {block_px} px hold no samples.")
    rows, columns = sampled.shape
    phase = rng.integers(block_px, size=2)
    block_row = (np.arange(rows) + phase[0]) // block_px
    block_column = (np.arange(columns) + phase[1]) // block_px
    shape = (int(block_row[-1]) + 1, int(block_column[-1]) + 1)
    emptied = uniform(rng, np.ones(shape, dtype=np.bool_), fraction)
    return np.asarray(sampled & ~emptied[block_row[:, None], block_column[None, :]])


@dataclass(frozen=True, slots=True)
class Corruption:
    """How a receiver and an unknown link budget change true levels.

    Attributes
    ----------
    offset_db : float
        Added to all levels alike: unknown transmit power, cable and body loss.
    noise_db : float
        Standard deviation of independent Gaussian errors (fading, receiver).
    quantum_db : float
        Levels are rounded to multiples of this; 0 leaves them as they are.
    outlier_fraction : float
        Share of the levels that are wrong altogether, by 10 to 30 dB either way.
    """

    offset_db: float = 0.0
    noise_db: float = 0.0
    quantum_db: float = 0.0
    outlier_fraction: float = 0.0

    def __post_init__(self) -> None:
        _require_share(self.outlier_fraction, "outlier_fraction")
        if self.noise_db < 0 or self.quantum_db < 0:
            raise ConfigError("Noise and quantum of a corruption cannot be negative.")

    def apply(
        self, rng: np.random.Generator, levels_db: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Return corrupted copies of ``levels_db`` (any shape); NaN stays NaN."""
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
    """A distribution over drive tests, from which training draws one after the other.

    Weights need not sum to one. Where a scene has no drives, their weight goes to uniform
    samples.

    Attributes
    ----------
    uniform_weight, grid_weight, route_weight : float
        How often the samples are uniform, on a regular grid, along a drive.
    uniform_fraction : (float, float)
        Range of the share of free pixels, drawn log-uniformly.
    grid_step_px : (int, int)
        Range of grid steps, both ends included.
    route_fraction : (float, float)
        Range of the share of free pixels along drives, drawn log-uniformly.
    blocks_out_probability, blocks_out_fraction, block_px
        How often blocks are emptied, ranges of which share of them and of which size.
    corrupt_probability : float
        How often levels are corrupted at all; the papers' samples are exact.
    offset_db : float
        The offset is uniform in plus or minus this.
    noise_db : (float, float)
        Range of the noise's standard deviation.
    quantum_probability : float
        How often corrupted levels are rounded to 1 dB.
    outlier_fraction : (float, float)
        Range of the share of outliers.
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
            raise ConfigError(f"Sampling weights {weights} need a positive sum and no negatives.")
        for name in ("blocks_out_probability", "corrupt_probability", "quantum_probability"):
            _require_share(getattr(self, name), name)
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
            Source of randomness; the same state gives the same test.
        free : ndarray of bool, shape (H, W)
            Pixels that may be sampled.
        orders : ndarray of int, shape (R, H, W), optional
            Drives through the scene, one of which is taken, from a random point on.

        Returns
        -------
        sampled : ndarray of bool, shape (H, W)
        corruption : Corruption
        """
        sampled = self.draw_mask(rng, free, orders)
        return sampled, self.draw_corruption(rng)

    def draw_mask(
        self,
        rng: np.random.Generator,
        free: BoolArray,
        orders: NDArray[np.integer] | None = None,
    ) -> BoolArray:
        """Draw the sampled pixels of one test; see :meth:`draw`."""
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
            # A test without any measurement teaches nothing.
            sampled = kept if kept.any() else sampled
        return sampled

    def draw_corruption(self, rng: np.random.Generator) -> Corruption:
        """Draw how the levels of one test err; no error at all for a share of the tests."""
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
        """Draw a stretch of one of the drives; None where it meets no free pixel."""
        order = orders[int(rng.integers(len(orders)))]
        ranks = np.sort(order[(order >= 0) & free])
        if ranks.size == 0:
            return None
        wanted = max(1, round(_log_uniform(rng, self.route_fraction) * int(free.sum())))
        count = min(wanted, ranks.size)
        # Ranks of a crop have gaps, so the stretch is chosen by position among those present.
        begin = int(rng.integers(ranks.size - count + 1))
        stretch = along_route(
            order, int(ranks[begin + count - 1] - ranks[begin]) + 1, int(ranks[begin])
        )
        return np.asarray(stretch & free)


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw from a range, evenly on a logarithmic scale."""
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _require_share(value: float, name: str) -> None:
    """Refuse a share outside 0..1."""
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} = {value} is outside 0..1.")
