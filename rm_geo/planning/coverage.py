"""Coverage classes, and the probability of coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from rm_geo._types import Float64Array, FloatArray
from rm_geo.planning.map_set import MapSetBand
from rm_geo.planning.outlines import class_polygons
from rm_geo.planning.product import PlanContext, Product, ProductResult, RasterLayer
from rm_geo.planning.ranking import Ranking
from rm_geo.planning.settings import CoverageClass
from rm_geo.planning.weights import population_on
from rm_geo.products.colormap import rgb_of

COVERAGE_FILE: Final = "coverage.tif"
PROBABILITY_FILE: Final = "probability.tif"

_BINS: Final = 1000


def classify(level_dbm: FloatArray, classes: Sequence[CoverageClass]) -> NDArray[np.uint8]:
    """Give the number of the class of each level.

    Parameters
    ----------
    level_dbm : ndarray of float32, any shape
        Levels in dBm; NaN where unknown.
    classes : sequence of CoverageClass
        From the strongest to the weakest.

    Returns
    -------
    ndarray of uint8, same shape
        1 for the first class; 0 where the level is unknown.

    Examples
    --------
    >>> from rm_geo.planning.settings import CoverageSettings
    >>> levels = np.array([-70.0, -80.0, -110.0, -110.1, np.nan], np.float32)
    >>> classify(levels, CoverageSettings().classes).tolist()
    [1, 1, 4, 5, 0]
    """
    breaks = np.array([one.from_dbm for one in classes[:-1]], dtype=np.float64)
    below = np.searchsorted(-breaks, -np.asarray(level_dbm, dtype=np.float64), side="left")
    return np.where(np.isfinite(level_dbm), below + 1, 0).astype(np.uint8)


def probability_of_coverage(
    band: MapSetBand,
    *,
    threshold_dbm: float,
    std_db: float | None = None,
    counted: NDArray[np.bool_] | None = None,
) -> FloatArray:
    """Give the probability that at least one cell reaches the threshold.

    The error of a map is normal with its standard deviation. Errors of different cells at one
    place are taken as fully dependent, as shadowing by the same obstacles makes them: the
    probability is that of the cell for which it is largest, a lower limit of the true one.

    Parameters
    ----------
    band : MapSetBand
        Levels and standard deviations.
    threshold_dbm : float
        Level at which a place is covered.
    std_db : float, optional
        Standard deviation of cells without one; such cells are left out if not given.
    counted : ndarray of bool, shape (n, h, w), optional
        Which cells take part at each pixel.

    Returns
    -------
    ndarray of float32, shape (h, w)
        0 to 1; NaN where no cell has a level with a standard deviation.

    Examples
    --------
    >>> band = MapSetBand(slice(0, 1), slice(0, 1), np.array([0]), np.array([[[-100.0]]], "f4"))
    >>> probability_of_coverage(band, threshold_dbm=-110.0, std_db=5.0).round(3)
    array([[0.977]], dtype=float32)
    """
    highest: FloatArray = np.full(band.shape, -np.inf, dtype=np.float32)
    for place, level in enumerate(band.rsrp_dbm):
        deviation = None if band.std_db is None else band.std_db[place]
        if deviation is None:
            if std_db is None:
                continue
            deviation = np.float32(std_db)
        elif std_db is not None:
            deviation = np.where(np.isfinite(deviation), deviation, np.float32(std_db))
        with np.errstate(invalid="ignore"):
            score = (level - np.float32(threshold_dbm)) / np.maximum(deviation, np.float32(1e-3))
        if counted is not None:
            score = np.where(counted[place], score, np.float32(np.nan))
        np.fmax(highest, score, out=highest)
    probability: FloatArray = np.asarray(ndtr(highest), dtype=np.float32)
    probability[np.isneginf(highest)] = np.nan
    return probability


class _Classes:
    """Coverage classes in the making."""

    def __init__(self, context: PlanContext) -> None:
        self.context = context
        self.classes = context.settings.coverage.classes
        shape = len(context.maps.cells) + 1, len(self.classes) + 1
        self.pixels: Float64Array = np.zeros(shape)
        self.persons: Float64Array = np.zeros(shape)

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band."""
        number = classify(ranking.best_dbm, self.classes)
        cells, classes = self.pixels.shape
        place = ((ranking.best_cell.astype(np.int64) + 1) * classes + number).ravel()
        self.pixels += np.bincount(place, minlength=cells * classes).reshape(cells, classes)
        population = self.context.inputs.population
        if population is not None:
            persons = population_on(population, self.context.grid.window(band.rows, band.cols))
            count = np.bincount(place, persons.ravel().astype(np.float64), cells * classes)
            self.persons += count.reshape(cells, classes)
        return {COVERAGE_FILE: number}

    def finish(self) -> ProductResult:
        """Give the shares of the area by class, of all cells and of each."""
        names = ["all", *(cell.name for cell in self.context.maps.cells)]
        pixels = np.vstack([self.pixels[1:].sum(axis=0), self.pixels[1:]])
        persons = np.vstack([self.persons[1:].sum(axis=0), self.persons[1:]])
        rows = [
            self._row(name, index, pixels[place], persons[place])
            for place, name in enumerate(names)
            for index in range(1, len(self.classes) + 1)
        ]
        total = pixels[0, 1:].sum()
        statistics: dict[str, Any] = {
            "area_km2": float(total) * self.context.grid.spacing_m**2 / 1e6,
            "share_by_class": {
                one.name: float(pixels[0, index] / total) if total else 0.0
                for index, one in enumerate(self.classes, start=1)
            },
        }
        if self.context.inputs.population is not None:
            everyone = persons[0, 1:].sum()
            statistics["population"] = float(everyone)
            statistics["population_share_by_class"] = {
                one.name: float(persons[0, index] / everyone) if everyone else 0.0
                for index, one in enumerate(self.classes, start=1)
            }
        warnings = () if total else ("No map has a level anywhere: all classes are empty.",)
        return ProductResult(statistics, {"coverage.csv": rows}, warnings=warnings)

    def _row(
        self, name: str, index: int, pixels: Float64Array, persons: Float64Array
    ) -> dict[str, object]:
        """Give the row of a class of a cell."""
        one = self.classes[index - 1]
        total, everyone = pixels[1:].sum(), persons[1:].sum()
        row: dict[str, object] = {
            "cell": name,
            "value": index,
            "class": one.name,
            "from_dbm": one.from_dbm,
            "below_dbm": None if index == 1 else self.classes[index - 2].from_dbm,
            "area_km2": float(pixels[index]) * self.context.grid.spacing_m**2 / 1e6,
            "share": float(pixels[index] / total) if total else 0.0,
        }
        if self.context.inputs.population is not None:
            row["population"] = float(persons[index])
            row["population_share"] = float(persons[index] / everyone) if everyone else 0.0
        return row


class _Probability:
    """Probability of coverage in the making."""

    def __init__(self, context: PlanContext) -> None:
        self.context = context
        self.pixels: NDArray[np.int64] = np.zeros(_BINS + 1, dtype=np.int64)
        self.total = 0.0

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band."""
        settings = self.context.settings.coverage
        probability = probability_of_coverage(
            band,
            threshold_dbm=settings.threshold_dbm,
            std_db=settings.std_db,
            counted=ranking.counted,
        )
        known = probability[np.isfinite(probability)]
        steps = np.floor(known * np.float32(_BINS) + np.float32(1e-3)).astype(np.int64)
        self.pixels += np.bincount(steps, minlength=_BINS + 1)
        self.total += float(known.sum(dtype=np.float64))
        return {PROBABILITY_FILE: probability}

    def finish(self) -> ProductResult:
        """Give the shares of the area that reach the probabilities."""
        known = int(self.pixels.sum())
        settings = self.context.settings.coverage
        if not known:
            return ProductResult({"threshold_dbm": settings.threshold_dbm, "area_km2": 0.0})
        above = self.pixels[::-1].cumsum()[::-1]
        return ProductResult(
            {
                "threshold_dbm": settings.threshold_dbm,
                "area_km2": known * self.context.grid.spacing_m**2 / 1e6,
                "mean_probability": self.total / known,
                "share_at_least": {
                    f"{share:g}": int(above[round(share * _BINS)]) / known
                    for share in settings.shares
                },
            }
        )


def _needs_deviation(context: PlanContext) -> str | None:
    """Refuse maps without standard deviations."""
    if context.maps.has("std_db") or context.settings.coverage.std_db is not None:
        return None
    return (
        "no map has a standard deviation; write it when mapping (`uncertainty`), "
        "or give `coverage.std_db`."
    )


def _class_raster(context: PlanContext) -> RasterLayer:
    """Describe the raster of classes."""
    classes = context.settings.coverage.classes
    return RasterLayer(
        COVERAGE_FILE,
        "coverage class",
        dtype="uint8",
        nodata=0,
        resampling="mode",
        categories={index: one.name for index, one in enumerate(classes, start=1)},
        colours={index: rgb_of(one.colour) for index, one in enumerate(classes, start=1)},
    )


def _class_polygons(context: PlanContext) -> ProductResult:
    """Outline the classes."""
    settings = context.settings.coverage
    numbered = dict(enumerate(settings.classes, start=1))
    table = class_polygons(
        context,
        COVERAGE_FILE,
        "coverage",
        {index: one.name for index, one in numbered.items()},
        name_column="class",
        min_area_m2=settings.min_area_m2,
        columns={
            "from_dbm": {
                index: np.nan if one.from_dbm is None else one.from_dbm
                for index, one in numbered.items()
            },
            "colour": {index: one.colour for index, one in numbered.items()},
        },
    )
    return ProductResult(features={"coverage.gpkg": [table]})


PRODUCTS: Final = (
    Product(
        "coverage",
        "Classes of the level, and their shares of the area.",
        "Class of the level of the composite by the breaks of `coverage.classes`, a level at a "
        "break in the stronger class. Shares are of the pixels with a known level; of a cell, of "
        "those where it is the strongest.",
        (COVERAGE_FILE, "coverage.csv", "coverage.gpkg"),
        needs=("composite",),
        rasters=lambda context: [_class_raster(context)],
        stream=_Classes,
        derive=_class_polygons,
    ),
    Product(
        "probability",
        "Probability that the level reaches the threshold.",
        "P(RSRP >= `coverage.threshold_dbm`) at each pixel for a normal error with the standard "
        "deviation of the map (location probability, ITU-R P.1546-6 annex 5, section 12); of "
        "several cells that of the cell for which it is largest.",
        (PROBABILITY_FILE,),
        unit="1",
        layers=("std_db",),
        refusal=_needs_deviation,
        rasters=lambda _context: [RasterLayer(PROBABILITY_FILE, "probability of coverage")],
        stream=_Probability,
    ),
)
"""Products of this module."""
