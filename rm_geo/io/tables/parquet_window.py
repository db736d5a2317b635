"""Rows of a Parquet file inside a bounding box, read without the other row groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import pyarrow.parquet as pq

from rm_geo.io.tables.source import Bounds, Request, split_batches

_NUMERIC: Final = ("INT32", "INT64", "FLOAT", "DOUBLE")

Edges: TypeAlias = tuple[str, str, str, str]
"""Columns of the western, southern, eastern and northern edges of a row's extent."""


def read_groups(
    file: pq.ParquetFile, columns: Sequence[str], groups: Sequence[int], rows: int
) -> Iterator[Any]:
    """Read row groups as tables.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
        The open file.
    columns : sequence of str
        Columns to read.
    groups : sequence of int
        Row groups, as of :func:`groups_inside`.
    rows : int
        Largest number of rows of a table.

    Yields
    ------
    pyarrow.Table

    Examples
    --------
    >>> import io
    >>> import pyarrow as pa
    >>> buffer = io.BytesIO()
    >>> pq.write_table(pa.table({"x": [1.0, 2.0, 9.0]}), buffer, row_group_size=2)
    >>> file = pq.ParquetFile(buffer)
    >>> groups = groups_inside(file, ("x", "x", "x", "x"), (5.0, 0.0, 10.0, 10.0))
    >>> [table.num_rows for table in read_groups(file, ["x"], groups, 100)]
    [1]
    """
    if groups:
        batches = file.iter_batches(rows, row_groups=list(groups), columns=list(columns))
        yield from split_batches(batches, rows)


def edge_columns(entry: Mapping[str, Any], geometry: str | None, request: Request) -> Edges | None:
    """Find the columns whose statistics give the extent of rows.

    Parameters
    ----------
    entry : mapping
        Entry of the geometry column in the ``geo`` metadata. The covering of GeoParquet 1.1 and
        the native encoding ``point`` have such columns.
    geometry : str or None
        The geometry column.
    request : Request
        Its ``axes`` are such columns, too.

    Returns
    -------
    tuple of str or None
        Columns of the western, southern, eastern and northern edge; None if there are none.

    Examples
    --------
    >>> edge_columns({"encoding": "point"}, "geometry", Request(["rsrp"]))
    ('geometry.x', 'geometry.y', 'geometry.x', 'geometry.y')
    """
    if request.axes is not None:
        return request.axes * 2
    if geometry is None:
        return None
    if entry.get("encoding") == "point":
        return f"{geometry}.x", f"{geometry}.y", f"{geometry}.x", f"{geometry}.y"
    try:
        box = entry["covering"]["bbox"]
        west, south, east, north = (
            ".".join(box[edge]) for edge in ("xmin", "ymin", "xmax", "ymax")
        )
    except (KeyError, TypeError):
        return None
    return west, south, east, north


def groups_inside(file: pq.ParquetFile, edges: Edges | None, bounds: Bounds | None) -> list[int]:
    """Select the row groups that may have a point inside a box, by their statistics.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
        The open file.
    edges : tuple of str, optional
        Columns, as of :func:`edge_columns`; without them all groups are selected.
    bounds : tuple of float, optional
        West, south, east, north; all groups are selected if not given.

    Returns
    -------
    list of int

    Examples
    --------
    >>> import io
    >>> import pyarrow as pa
    >>> buffer = io.BytesIO()
    >>> pq.write_table(pa.table({"x": [1.0, 2.0, 9.0]}), buffer, row_group_size=2)
    >>> groups_inside(pq.ParquetFile(buffer), ("x", "x", "x", "x"), (5.0, 0.0, 10.0, 10.0))
    [1]
    """
    metadata = file.metadata
    if edges is None or bounds is None or metadata.num_row_groups == 0:
        return list(range(metadata.num_row_groups))
    names = {metadata.schema.column(k).path: k for k in range(len(metadata.schema))}
    places = [names.get(edge) for edge in edges]
    chosen = []
    for group in range(metadata.num_row_groups):
        extents = [_extent(metadata.row_group(group), place) for place in places]
        west, south = (None if extent is None else extent[0] for extent in extents[:2])
        east, north = (None if extent is None else extent[1] for extent in extents[2:])
        apart = (
            (east is not None and east < bounds[0])
            or (north is not None and north < bounds[1])
            or (west is not None and west > bounds[2])
            or (south is not None and south > bounds[3])
        )
        if not apart:
            chosen.append(group)
    return chosen


def _extent(group: Any, place: int | None) -> tuple[float, float] | None:  # noqa: ANN401
    """Smallest and largest value of a column in a row group; None where unknown."""
    if place is None:
        return None
    column = group.column(place)
    if column.physical_type not in _NUMERIC:
        return None  # text is ordered otherwise than the numbers that it spells
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        return None
    return float(statistics.min), float(statistics.max)
