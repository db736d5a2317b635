"""What every reader gives: a description first, then the chosen columns, in chunks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo.io.tables.wkb import Shapes

Column: TypeAlias = Any
"""A ``pyarrow.ChunkedArray``; pyarrow carries no types."""

Bounds: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north in the CRS of the source."""

CHUNK_ROWS: Final = 1 << 18
"""Rows that are read at a time: temporaries of some tens of megabytes."""


@dataclass(frozen=True)
class Request:
    """What is to be read.

    Attributes
    ----------
    names : sequence of str
        Columns.
    bounds : tuple of float, optional
        A reader may leave out rows outside, and need not.
    axes : tuple of str, optional
        The columns of x and y that the bounds are about; the geometry if not given.
    rows : int
        Most rows of a chunk; one with multipoints has more.
    """

    names: Sequence[str]
    bounds: Bounds | None = None
    axes: tuple[str, str] | None = None
    rows: int = CHUNK_ROWS


@dataclass(frozen=True)
class Table:
    """Some rows of the columns that were asked for.

    Attributes
    ----------
    columns : mapping of str to pyarrow.ChunkedArray
        The columns that were asked for.
    x, y : ndarray of float64, shape (N,), or None
        Coordinates of the geometry, NaN where null or empty; None without a geometry.
    shapes : Shapes
        What the geometries were.
    malformed : int
        Rows left out because they have more or fewer fields than the header.
    restarts : bool
        All chunks before were read wrongly (in an encoding that a later line belies), and
        come again after this one, which is empty.
    """

    columns: Mapping[str, Column]
    x: NDArray[np.float64] | None = None
    y: NDArray[np.float64] | None = None
    shapes: Shapes = field(default_factory=Shapes)
    malformed: int = 0
    restarts: bool = False


@dataclass(frozen=True)
class Source:
    """A file that was opened and described, not yet read.

    Attributes
    ----------
    path : Path
        The file.
    names : tuple of str
        Its columns, without the geometry.
    has_geometry : bool
        Whether the rows carry a geometry.
    crs : pyproj.CRS or None
        CRS of the geometry, where the file says.
    chunks : callable
        Reads what a :class:`Request` asks for, a chunk of rows at a time.
    layer : str or None
        The layer, in files that have layers.
    crs_fault : str
        Why what the file says of its CRS cannot be understood; empty where it can.
    """

    path: Path
    names: tuple[str, ...]
    has_geometry: bool
    crs: CRS | None
    chunks: Callable[[Request], Iterator[Table]] = field(repr=False)
    layer: str | None = None
    crs_fault: str = ""

    @property
    def label(self) -> str:
        """The file, and the layer where there is a choice, for messages."""
        return f"{self.path}" if self.layer is None else f"{self.path} (layer {self.layer!r})"

    def load(self, names: Sequence[str]) -> Table:
        """Read all rows of some columns at once; for small tables.

        Raises
        ------
        InputError
            If the file cannot be read, or holds no point but lines or polygons.
        """
        tables: list[Table] = []
        for table in self.chunks(Request(names)):
            tables = [] if table.restarts else [*tables, table]
        shapes = sum((table.shapes for table in tables), Shapes())
        shapes.require_points(str(self.path))
        columns = {
            name: pa.concat_tables([pa.table({name: table.columns[name]}) for table in tables])[
                name
            ]
            if tables
            else pa.chunked_array([], pa.null())
            for name in names
        }
        x, y = _joined([table.x for table in tables]), _joined([table.y for table in tables])
        if not self.has_geometry:
            x, y = None, None
        return Table(columns, x, y, shapes, sum(table.malformed for table in tables))


def _joined(parts: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    """Join coordinates; None where a part has none."""
    there = [part for part in parts if part is not None]
    return np.concatenate([np.empty(0), *there]) if len(there) == len(parts) else None


def split_batches(batches: Iterator[Any], rows: int) -> Iterator[Any]:
    """Cut record batches into tables of at most so many rows."""
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield pa.Table.from_batches([batch.slice(start, rows)])
