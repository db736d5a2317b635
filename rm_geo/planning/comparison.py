"""Comparison of two radio maps: difference, its statistics, and significant changes.

The difference is *second minus first* in dB: after minus before, or another tool's prediction
minus the measured map. A change is significant where it is larger than chance explains: with
independent normal errors of both maps the difference has the standard deviation
``sqrt(std_first ** 2 + std_second ** 2)``, and a two-sided test at each pixel compares it with the
normal quantile (JCGM 100, "Guide to the expression of uncertainty in measurement", 5.1). Where
nothing has changed, a share of ``1 - confidence`` of the pixels is significant nevertheless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtri

from rm_geo._types import FloatArray
from rm_geo.errors import InputError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.features import FeatureTable
from rm_geo.io.tables.column_roles import quoted
from rm_geo.planning.map_set import MapSetBand, RadioMapSet
from rm_geo.planning.outlines import label_means, outline
from rm_geo.products.colormap import Colour

UNKNOWN, LOSS, SAME, GAIN = 0, 1, 2, 3
"""Values of a raster of changes: a map is unknown, significantly lower, neither, higher."""

CHANGE_NAMES: Final[Mapping[int, str]] = {
    LOSS: "lower",
    SAME: "no significant change",
    GAIN: "higher",
}
CHANGE_COLOURS: Final[Mapping[int, Colour]] = {
    LOSS: (178, 24, 43),
    SAME: (224, 224, 224),
    GAIN: (33, 102, 172),
}

_BIN_DB: Final = 0.1
_BINS: Final = 4000
_PERCENTILES: Final = (5, 50, 95)


@dataclass(frozen=True)
class ComparisonOptions:
    """How two maps are compared.

    Parameters
    ----------
    within_db : float
        The share of the pixels whose difference is at most this is given.
    confidence : float
        Confidence of a significant change, such as 0.95.
    threshold_dbm : float
        Level at which a place is covered.
    std_db : float, optional
        Standard deviation of maps without one.
    min_area_m2 : float
        Smallest area of a polygon of change.

    Raises
    ------
    UsageError
        If a value is out of range.

    Examples
    --------
    >>> options = ComparisonOptions(threshold_dbm=-105.0)
    >>> options.threshold_dbm, options.within_db
    (-105.0, 6.0)
    """

    within_db: float = 6.0
    confidence: float = 0.95
    threshold_dbm: float = -110.0
    std_db: float | None = None
    min_area_m2: float = 400.0

    def __post_init__(self) -> None:
        if not self.within_db > 0.0:
            raise UsageError("`within_db` must be above 0 dB.", parameter="within_db")
        if not 0.5 <= self.confidence < 1.0:
            raise UsageError("`confidence` must be in 0.5..1.", parameter="confidence")
        if self.std_db is not None and not self.std_db > 0.0:
            raise UsageError("`std_db` must be above 0 dB.", parameter="std_db")
        if not self.min_area_m2 >= 0.0:
            raise UsageError("`min_area_m2` must not be negative.", parameter="min_area_m2")


def change_classes(
    difference_db: FloatArray, std_db: FloatArray, *, confidence: float = 0.95
) -> NDArray[np.uint8]:
    """Classify differences as significantly lower, higher, or neither.

    Parameters
    ----------
    difference_db : ndarray of float32, any shape
        Second minus first; NaN where unknown.
    std_db : ndarray of float32, same shape
        Standard deviation of the difference; NaN where unknown.
    confidence : float
        Of the two-sided test.

    Returns
    -------
    ndarray of uint8, same shape
        :data:`LOSS`, :data:`SAME` or :data:`GAIN`; :data:`UNKNOWN` where either is unknown.

    Examples
    --------
    >>> change_classes(np.array([-9.0, 3.0, 9.0, np.nan]), np.full(4, 4.0)).tolist()
    [1, 2, 3, 0]
    """
    limit = float(ndtri(0.5 + 0.5 * confidence))
    with np.errstate(invalid="ignore"):
        found = np.where(difference_db > limit * std_db, GAIN, SAME)
        found = np.where(difference_db < -limit * std_db, LOSS, found)
    known = np.isfinite(difference_db) & np.isfinite(std_db)
    return np.where(known, found, UNKNOWN).astype(np.uint8)


class Sides(NamedTuple):
    """The two maps at the pixels of a band.

    Attributes
    ----------
    first_dbm, second_dbm : ndarray of float32, shape (h, w)
        Levels; NaN where unknown.
    first_std_db, second_std_db : ndarray of float32, shape (h, w), or None
        Standard deviations; None if not known.
    """

    first_dbm: FloatArray
    second_dbm: FloatArray
    first_std_db: FloatArray | None
    second_std_db: FloatArray | None

    @property
    def difference_db(self) -> FloatArray:
        """Second minus first, shape (h, w)."""
        difference: FloatArray = self.second_dbm - self.first_dbm
        return difference

    def std_db(self) -> FloatArray | None:
        """Combine the standard deviations of both maps, taken as independent.

        Returns
        -------
        ndarray of float32, shape (h, w), or None
            Of the difference; that of one map if the other has none, None if neither has one.
        """
        known = [s for s in (self.first_std_db, self.second_std_db) if s is not None]
        if not known:
            return None
        total = np.sum([np.square(std) for std in known], axis=0)
        return np.asarray(np.sqrt(total), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Pairing:
    """Two maps, or the composites of two sets, on one grid.

    Attributes
    ----------
    name : str
        Name of the cell, or ``composite``.
    maps : RadioMapSet
        All maps of both sides, placed on one grid.
    first, second : frozenset of int
        Positions in it of the maps of each side.
    """

    name: str
    maps: RadioMapSet
    first: frozenset[int]
    second: frozenset[int]

    @classmethod
    def of(cls, name: str, first: RadioMapSet, second: RadioMapSet) -> Pairing:
        """Place the maps of two sides on one grid.

        Parameters
        ----------
        name : str
            Name of the comparison.
        first, second : RadioMapSet
            Maps of each side; of several the strongest counts at each pixel.

        Returns
        -------
        Pairing
            Maps with other pixels than the rest are resampled bilinearly, with a note in
            ``maps.notes``; none is shifted.

        Raises
        ------
        InputError
            If the sides do not overlap.
        """
        cells = [replace(cell, name=f"first {cell.name}") for cell in first.cells]
        cells += [replace(cell, name=f"second {cell.name}") for cell in second.cells]
        maps = RadioMapSet.of(cells)
        sides = [
            frozenset(n for n, cell in enumerate(maps.cells) if cell.name.startswith(side))
            for side in ("first ", "second ")
        ]
        made = cls(name, maps, *sides)
        made.require_overlap()
        return made

    def require_overlap(self) -> None:
        """Refuse maps whose extents have no common pixel."""
        extents = [self.maps.extent(position) for position in range(len(self.maps.cells))]
        for one in self.first:
            for other in self.second:
                if all(
                    a.start < b.stop and b.start < a.stop
                    for a, b in zip(extents[one], extents[other], strict=True)
                ):
                    return
        raise InputError(
            f"The two maps of {self.name} do not overlap.",
            hint="Check that they are of the same area, and their CRS.",
        )

    def sides(self, band: MapSetBand, std_db: float | None = None) -> Sides:
        """Give the levels and deviations of both sides in a band.

        Parameters
        ----------
        band : MapSetBand
            Of ``maps``.
        std_db : float, optional
            Standard deviation of maps without one.

        Returns
        -------
        Sides
        """
        first, first_std = self._side(band, self.first, std_db)
        second, second_std = self._side(band, self.second, std_db)
        return Sides(first, second, first_std, second_std)

    def _side(
        self, band: MapSetBand, members: frozenset[int], std_db: float | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Strongest level of a side, and its standard deviation."""
        level = np.full(band.shape, np.nan, dtype=np.float32)
        deviation = np.full(band.shape, np.nan, dtype=np.float32)
        has_std = std_db is not None
        for place, cell in enumerate(band.cells):
            if int(cell) not in members:
                continue
            values = band.rsrp_dbm[place]
            with np.errstate(invalid="ignore"):
                higher = np.isnan(level) & np.isfinite(values) | (values > level)
            level[higher] = values[higher]
            own = self.maps.cells[int(cell)].radio_map.has("std_db") and band.std_db is not None
            if own and band.std_db is not None:
                has_std = True
                given = band.std_db[place][higher]
                deviation[higher] = (
                    given if std_db is None else np.where(np.isnan(given), std_db, given)
                )
            else:
                deviation[higher] = np.nan if std_db is None else std_db
        return level, deviation if has_std else None


@dataclass
class DifferenceSums:
    """Sums over the pixels where both maps are known, collected band by band.

    Parameters
    ----------
    options : ComparisonOptions
        Thresholds.

    Examples
    --------
    >>> sums = DifferenceSums(ComparisonOptions())
    >>> first = np.array([-80.0, -90.0, np.nan], np.float32)
    >>> sums.add(Sides(first, first + 3.0, None, None))
    >>> found = sums.statistics(pixel_m2=1.0)
    >>> found["pixels"], found["bias_db"], found["rmse_db"], found["share_within_6_db"]
    (2, 3.0, 3.0, 1.0)
    """

    options: ComparisonOptions
    pixels: int = 0
    within: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(8))
    """Of the difference, its size and square; of the levels about ``centre``, their squares and \
products."""
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, dtype=np.int64))
    covered: NDArray[np.int64] = field(default_factory=lambda: np.zeros(4, dtype=np.int64))
    changes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(4, dtype=np.int64))
    centre: tuple[float, float] | None = None

    def add(self, sides: Sides, changes: NDArray[np.uint8] | None = None) -> None:
        """Add a band.

        Parameters
        ----------
        sides : Sides
            Both maps.
        changes : ndarray of uint8, same shape, optional
            From :func:`change_classes`.
        """
        known = np.isfinite(sides.first_dbm) & np.isfinite(sides.second_dbm)
        if changes is not None:
            self.changes += np.bincount(changes[known], minlength=4)
        one = sides.first_dbm[known].astype(np.float64)
        other = sides.second_dbm[known].astype(np.float64)
        if not one.size:
            return
        if self.centre is None:  # moments about a value near the means do not cancel
            self.centre = float(one.mean()), float(other.mean())
        difference = other - one
        self.pixels += one.size
        self.within += int(np.count_nonzero(np.abs(difference) <= self.options.within_db))
        x, y = one - self.centre[0], other - self.centre[1]
        self.sums += [
            difference.sum(),
            np.abs(difference).sum(),
            np.square(difference).sum(),
            x.sum(),
            y.sum(),
            np.square(x).sum(),
            np.square(y).sum(),
            (x * y).sum(),
        ]
        place = np.floor(difference / _BIN_DB).astype(np.int64) + _BINS // 2
        self.histogram += np.bincount(np.clip(place, 0, _BINS - 1), minlength=_BINS)
        threshold = self.options.threshold_dbm
        state = 2 * (one >= threshold) + (other >= threshold)
        self.covered += np.bincount(state, minlength=4)

    def __add__(self, other: DifferenceSums) -> DifferenceSums:
        """Pool two sums of the same options; the correlation is that of all pixels together."""
        if self.centre is None or other.centre is None:
            return other if self.centre is None else self
        return DifferenceSums(
            self.options,
            self.pixels + other.pixels,
            self.within + other.within,
            self.sums + other._about(self.centre),
            self.histogram + other.histogram,
            self.covered + other.covered,
            self.changes + other.changes,
            self.centre,
        )

    def _about(self, centre: tuple[float, float]) -> NDArray[np.float64]:
        """Give the sums with the levels about another centre."""
        assert self.centre is not None
        dx, dy = self.centre[0] - centre[0], self.centre[1] - centre[1]
        d, size, square, x, y, xx, yy, xy = self.sums
        n = self.pixels
        return np.array(
            [
                d,
                size,
                square,
                x + n * dx,
                y + n * dy,
                xx + 2.0 * dx * x + n * dx**2,
                yy + 2.0 * dy * y + n * dy**2,
                xy + dx * y + dy * x + n * dx * dy,
            ]
        )

    def statistics(self, *, pixel_m2: float) -> dict[str, Any]:
        """Give the statistics by name.

        Parameters
        ----------
        pixel_m2 : float
            Area of a pixel.

        Returns
        -------
        dict
            ``pixels``, ``area_km2``, ``first_mean_dbm``, ``second_mean_dbm``, ``bias_db`` (mean
            difference), ``mae_db``, ``rmse_db``, ``std_db``, ``correlation``,
            ``share_within_6_db``, percentiles of the difference exact to 0.1 dB, ``coverage``
            (shares covered, gained and lost area), and ``changes`` where they were classified.
        """
        n = self.pixels
        if n == 0 or self.centre is None:
            return {"pixels": 0, "area_km2": 0.0}
        d, size, square, x, y, xx, yy, xy = self.sums.tolist()
        variance = max(square / n - (d / n) ** 2, 0.0)
        scale = np.sqrt(max(xx - x**2 / n, 0.0) * max(yy - y**2 / n, 0.0))
        reached = np.cumsum(self.histogram)
        _, gained, lost, both = self.covered.tolist()
        made: dict[str, Any] = {
            "pixels": n,
            "area_km2": n * pixel_m2 / 1e6,
            "first_mean_dbm": self.centre[0] + x / n,
            "second_mean_dbm": self.centre[1] + y / n,
            "bias_db": d / n,
            "mae_db": size / n,
            "rmse_db": float(np.sqrt(square / n)),
            "std_db": float(np.sqrt(variance)),
            "correlation": float((xy - x * y / n) / scale) if scale > 1e-9 * n else None,
            f"share_within_{self.options.within_db:g}_db": self.within / n,
        }
        for percentile in _PERCENTILES:
            place = int(np.searchsorted(reached, percentile / 100.0 * n - 1e-9))
            made[f"p{percentile}_db"] = round((place - _BINS // 2 + 0.5) * _BIN_DB, 2)
        made["coverage"] = {
            "threshold_dbm": self.options.threshold_dbm,
            "first_share": (lost + both) / n,
            "second_share": (gained + both) / n,
            "gained_km2": gained * pixel_m2 / 1e6,
            "lost_km2": lost * pixel_m2 / 1e6,
        }
        judged = int(self.changes[[LOSS, SAME, GAIN]].sum())
        if judged:
            made["changes"] = {
                "confidence": self.options.confidence,
                "share_judged": judged / n,
                "share_lower": int(self.changes[LOSS]) / judged,
                "share_higher": int(self.changes[GAIN]) / judged,
                "share_by_chance": round(1.0 - self.options.confidence, 9),
            }
        return made


def change_polygons(
    changes: NDArray[np.uint8],
    difference_db: FloatArray,
    grid: Grid,
    *,
    cell: str,
    min_area_m2: float,
    simplify_m: float = 0.0,
    metadata: Mapping[str, str] | None = None,
) -> FeatureTable:
    """Outline connected areas of significant change.

    Parameters
    ----------
    changes : ndarray of uint8, shape (h, w)
        From :func:`change_classes`.
    difference_db : ndarray of float32, shape (h, w)
        Second minus first.
    grid : Grid
        Where the pixels are.
    cell : str
        Name of the cell.
    min_area_m2 : float
        Smaller areas are left out.
    simplify_m : float
        Largest deviation of the outlines from the edges of the pixels.
    metadata : mapping of str to str, optional
        Provenance.

    Returns
    -------
    FeatureTable
        Layer ``changes``, the largest areas first: ``cell``, ``change`` (``higher`` or
        ``lower``), ``area_m2``, ``mean_difference_db``.

    Examples
    --------
    >>> changes = np.array([[3, 3, 2, 1]], np.uint8)
    >>> difference = np.array([[12.0, 14.0, 0.0, -20.0]], np.float32)
    >>> grid = Grid.create(0, 0, (1, 4), 5.0, 32633)
    >>> table = change_polygons(changes, difference, grid, cell="40", min_area_m2=50.0)
    >>> table.columns["change"].tolist(), table.columns["mean_difference_db"].tolist()
    (['higher'], [13.0])
    """
    labels = np.zeros(changes.shape, dtype=np.int32)
    kinds: list[int] = []
    least_px = max(1, int(np.ceil(min_area_m2 / grid.spacing_m**2)))
    for kind in (GAIN, LOSS):
        found, count = ndimage.label(changes == kind)
        sizes = np.bincount(found.ravel(), minlength=count + 1)
        kept = sizes >= least_px
        kept[0] = False
        number = np.where(kept, np.cumsum(kept) + len(kinds), 0)
        labels += number[found].astype(np.int32)
        kinds += [kind] * int(kept.sum())
    pixels, means = label_means(labels, difference_db, len(kinds) + 1)
    areas = outline(labels, grid, simplify_m=simplify_m)
    order = sorted(areas, key=lambda number: -int(pixels[number]))
    geometry = np.empty(len(order), dtype=object)
    geometry[:] = [areas[number] for number in order]
    return FeatureTable(
        "changes",
        geometry,
        {
            "cell": np.array([cell] * len(order), dtype=object),
            "change": np.array([CHANGE_NAMES[kinds[n - 1]] for n in order], dtype=object),
            "area_m2": pixels[order] * grid.spacing_m**2,
            "mean_difference_db": np.round(means[order], 2),
        },
        grid.crs,
        "MultiPolygon",
        metadata or {},
    )


def pair_cells(
    first: RadioMapSet, second: RadioMapSet, *, composite: bool = False
) -> tuple[list[Pairing], tuple[str, ...]]:
    """Find the maps of two sets that are compared with each other.

    Parameters
    ----------
    first, second : RadioMapSet
        The two sets.
    composite : bool
        Compare the strongest levels of the sets instead of cells.

    Returns
    -------
    pairings : list of Pairing
        Cells of the same name; two single maps whatever their names.
    warnings : tuple of str
        Cells that only one set has.

    Raises
    ------
    InputError
        If the sets have no cell in common, or maps of a pair do not overlap.
    """
    if composite:
        return [Pairing.of("composite", first, second)], ()
    names = [{cell.name: cell for cell in side.cells} for side in (first, second)]
    if len(first.cells) == len(second.cells) == 1:
        return [Pairing.of(first.cells[0].name, first, second)], ()
    common = [name for name in names[0] if name in names[1]]
    if not common:
        raise InputError(
            "The two sets have no cell in common: the first has "
            f"{quoted(list(names[0]), 5)}, the second {quoted(list(names[1]), 5)}.",
            hint="Name the maps of a cell alike, or compare the strongest levels (`composite`).",
            parameter="composite",
        )
    warnings = tuple(
        f"{len(alone)} cells are only in the {which} set: {quoted(alone, 5)}."
        for which, own, other in (("first", *names), ("second", *names[::-1]))
        if (alone := [name for name in own if name not in other])
    )
    pairings = [
        Pairing.of(name, RadioMapSet.of([names[0][name]]), RadioMapSet.of([names[1][name]]))
        for name in common
    ]
    return pairings, warnings
