"""What a planning product is: its files, its definition, and how it is made.

A product that needs the levels of all cells is made while the maps are streamed
(:attr:`Product.stream`); one that is derived from finished rasters is made afterwards
(:attr:`Product.derive`). Products write no files: they return arrays, tables and features, which
:mod:`rm_geo.workflows.plan` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo.errors import InputError
from rm_geo.grid import Grid
from rm_geo.io.features import FeatureTable
from rm_geo.io.raster_reader import open_raster
from rm_geo.planning.map_set import BandLayer, MapSetBand, RadioMapSet
from rm_geo.planning.ranking import Ranking
from rm_geo.planning.settings import PlanSettings
from rm_geo.products.colormap import Colour
from rm_geo.progress import Progress, SilentProgress
from rm_geo.units import NODATA_DBM

Rows: TypeAlias = Sequence[Mapping[str, object]]
"""Rows of a table; all have the same columns."""


@dataclass(frozen=True)
class PlanInputs:
    """Files that products use beside the maps.

    Attributes
    ----------
    population : Path or None
        Raster of persons for each pixel.
    roads : Path or None
        Layer of lines.
    polygons : Path or None
        Layer of polygons for statistics.
    measurements : Path or None
        The drive test that the maps were made of.

    Examples
    --------
    >>> inputs = PlanInputs(roads=Path("roads.gpkg"))
    >>> inputs.roads.name, inputs.population
    ('roads.gpkg', None)
    """

    population: Path | None = None
    roads: Path | None = None
    polygons: Path | None = None
    measurements: Path | None = None


@dataclass(frozen=True)
class RasterLayer:
    """A raster that a product writes.

    Attributes
    ----------
    file : str
        Name of the file.
    band : str
        Name of its band.
    unit : str or None
        Such as ``dBm``; None without a unit.
    dtype : {"float32", "uint8", "uint16"}
        Type in the file.
    nodata : float
        Value of unknown pixels; of arrays of floating point, NaN is written as this.
    resampling : {"average", "mode", "nearest"}
        How overviews are made.
    categories : mapping of int to str
        Names of the values of a raster of classes.
    colours : mapping of int to (red, green, blue)
        Colours of the values of a raster of classes.
    """

    file: str
    band: str
    unit: str | None = None
    dtype: Literal["float32", "uint8", "uint16"] = "float32"
    nodata: float = NODATA_DBM
    resampling: Literal["average", "mode", "nearest"] = "average"
    categories: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, Colour] = field(default_factory=dict)


@dataclass(frozen=True)
class ProductResult:
    """What a product made besides rasters.

    Attributes
    ----------
    statistics : mapping
        Values for the index of the plan; numbers, text, lists and mappings.
    tables : mapping of str to rows
        Tables by file name (``.csv``).
    features : mapping of str to sequence of FeatureTable
        Layers by file name (``.gpkg``).
    warnings : tuple of str
        Doubts about the result.
    """

    statistics: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Rows] = field(default_factory=dict)
    features: Mapping[str, Sequence[FeatureTable]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanContext:
    """What a product is made of.

    Attributes
    ----------
    maps : RadioMapSet
        The radio maps.
    settings : PlanSettings
        Thresholds and options.
    inputs : PlanInputs
        Further files.
    folder : Path or None
        Folder of the finished rasters, for products that are derived from them.
    metadata : mapping of str to str
        Provenance, for the layers of features.
    progress : Progress
        Receives log lines, and may cancel the work.
    """

    maps: RadioMapSet
    settings: PlanSettings = field(default_factory=PlanSettings)
    inputs: PlanInputs = field(default_factory=PlanInputs)
    folder: Path | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = field(default_factory=SilentProgress)

    @property
    def grid(self) -> Grid:
        """Grid of all rasters."""
        return self.maps.grid

    def raster(self, file: str) -> Path:
        """Give the path of a finished raster.

        Parameters
        ----------
        file : str
            Its name, such as ``composite_rsrp.tif``.

        Returns
        -------
        Path

        Raises
        ------
        InputError
            If it was not made.
        """
        path = None if self.folder is None else self.folder / file
        if path is None or not path.exists():
            raise InputError(f"{file} was not made.", hint="Make the product that it is of.")
        return path

    def read(self, file: str, rows: slice | None = None) -> FloatArray:
        """Read rows of a finished raster.

        Parameters
        ----------
        file : str
            Its name.
        rows : slice, optional
            Rows of the grid; all if not given.

        Returns
        -------
        ndarray of float32, shape (h, W)
            NaN where unknown.
        """
        height, width = self.grid.shape
        raster = open_raster(self.raster(file), classes=True)
        return raster.read(slice(0, height) if rows is None else rows, slice(0, width))


class Stream(Protocol):
    """A product in the making, which sees all bands of the maps once."""

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band.

        Parameters
        ----------
        band : MapSetBand
            Levels of all cells that reach into it.
        ranking : Ranking
            The strongest cells, at least two ranks.

        Returns
        -------
        mapping of str to ndarray, shape (h, w)
            Pixels of the band by file name, for each raster of the product.
        """

    def finish(self) -> ProductResult:
        """Give the tables, features and statistics, after the last band."""


@dataclass(frozen=True)
class Product:
    """A planning product.

    Attributes
    ----------
    name : str
        Name for ``--only``, and in the index of the plan.
    summary : str
        One line.
    definition : str
        What the values mean, with the source of the definition.
    files : tuple of str
        Names of all its files; further ones may follow from the settings.
    unit : str or None
        Unit of the values.
    needs : tuple of str
        Products whose rasters it is derived from.
    uses : tuple of str
        Products whose rasters it also reads, where they can be made.
    layers : tuple of str
        Layers of the maps that it reads besides the level.
    refusal : callable
        Gives the reason why it cannot be made of a context, and what to give; None if it can.
    rasters : callable
        Gives the rasters that it writes.
    stream : callable or None
        Starts it, for products that see the levels of all cells.
    derive : callable or None
        Makes it of finished rasters.
    """

    name: str
    summary: str
    definition: str
    files: tuple[str, ...]
    unit: str | None = None
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    layers: tuple[BandLayer, ...] = ()
    refusal: Callable[[PlanContext], str | None] = lambda _context: None
    rasters: Callable[[PlanContext], Sequence[RasterLayer]] = lambda _context: ()
    stream: Callable[[PlanContext], Stream] | None = None
    derive: Callable[[PlanContext], ProductResult] | None = None
