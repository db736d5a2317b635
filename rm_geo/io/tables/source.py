"""Interface of all table readers: a description of the file, then columns in chunks of rows."""

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
"""Rows of a chunk: temporary arrays take some tens of megabytes."""


@dataclass(frozen=True)
class Request:
    """Columns and rows to read.

    Attributes
    ----------
    names : sequence of str
        Columns.
    bounds : tuple of float, optional
        West, south, east, north. A reader may drop rows outside, but need not.
    axes : tuple of str, optional
        Columns of x and y to which the bounds apply (default: the geometry).
    rows : int
        Largest number of rows of a chunk; multipoints may exceed it.
    """

    names: Sequence[str]
    bounds: Bounds | None = None
    axes: tuple[str, str] | None = None
    rows: int = CHUNK_ROWS


@dataclass(frozen=True)
class Table:
    """Rows of the requested columns.

    Attributes
    ----------
    columns : mapping of str to pyarrow.ChunkedArray
        The requested columns.
    x, y : ndarray of float64, shape (N,), or None
        Coordinates of the geometry, NaN where null or empty; None without a geometry.
    shapes : Shapes
        Counts of the geometry types.
    malformed : int
        Rows that were dropped because they have more or fewer fields than the header.
    restarts : bool
        Whether all chunks before this empty one are void and are read again, because a later
        line is not in the encoding of the first lines.
    """

    columns: Mapping[str, Column]
    x: NDArray[np.float64] | None = None
    y: NDArray[np.float64] | None = None
    shapes: Shapes = field(default_factory=Shapes)
    malformed: int = 0
    restarts: bool = False


@dataclass(frozen=True)
class Source:
    r"""A file that was opened and described, but not read.

    Attributes
    ----------
    path : Path
        The file.
    names : tuple of str
        Its columns, without the geometry.
    has_geometry : bool
        Whether the rows have a geometry.
    crs : pyproj.CRS or None
        CRS of the geometry, where the file states it.
    chunks : callable
        Reads the rows of a :class:`Request` in chunks.
    layer : str or None
        The layer, in files with several layers.
    crs_fault : str
        Message if the CRS in the file is not valid; else empty.

    Examples
    --------
    >>> import tempfile
    >>> from rm_geo.io.tables import open_source
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "sites.csv")
    ...     _ = path.write_text("site,height\nA,30\n")
    ...     source = open_source(path)
    ...     table = source.load(["site"])
    >>> source.label == str(path), table.columns["site"].to_pylist()
    (True, ['A'])
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
        """Name of the file and of the layer, for messages.

        Returns
        -------
        str
        """
        return f"{self.path}" if self.layer is None else f"{self.path} (layer {self.layer!r})"

    def load(self, names: Sequence[str]) -> Table:
        """Read all rows of some columns at once; for small tables.

        Parameters
        ----------
        names : sequence of str
            Columns to read.

        Returns
        -------
        Table

        Raises
        ------
        InputError
            If the file cannot be read, or has only lines or polygons.
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
    """Concatenate coordinates; None if a part has none."""
    there = [part for part in parts if part is not None]
    return np.concatenate([np.empty(0), *there]) if len(there) == len(parts) else None


def split_batches(batches: Iterator[Any], rows: int) -> Iterator[Any]:
    """Split record batches into tables.

    Parameters
    ----------
    batches : iterator of pyarrow.RecordBatch
        The batches.
    rows : int
        Largest number of rows of a table.

    Yields
    ------
    pyarrow.Table

    Examples
    --------
    >>> batch = pa.RecordBatch.from_pydict({"x": [1, 2, 3]})
    >>> [table.num_rows for table in split_batches(iter([batch]), 2)]
    [2, 1]
    """
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield pa.Table.from_batches([batch.slice(start, rows)])
