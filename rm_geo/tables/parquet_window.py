"""The rows of a GeoParquet file inside a bounding box, without the rest in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rm_geo.tables.source import Bounds

_BATCH_ROWS: Final = 1 << 18

Inside = Callable[[pa.ChunkedArray], NDArray[np.bool_]]
"""Tells for a batch of geometries which may have a point in the box."""


def read_window(
    file: pq.ParquetFile,
    columns: Sequence[str],
    geometry: str,
    groups: Sequence[int],
    inside: Inside,
) -> pa.Table:
    """Read the rows of some row groups whose geometry is inside.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
        The open file.
    columns : sequence of str
        What to read, the geometry among them.
    geometry : str
        Its column.
    groups : sequence of int
        Row groups, as :func:`groups_inside` gives them.
    inside : callable
        Tells which geometries of a batch to keep.
    """
    kept = []
    if groups:
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=list(groups), columns=list(columns)):
            table = pa.Table.from_batches([batch])
            kept.append(table.filter(pa.array(inside(table.column(geometry)))))
    if kept:
        return pa.concat_tables(kept)
    return file.schema_arrow.empty_table().select(list(columns))


def groups_inside(
    file: pq.ParquetFile, entry: Mapping[str, Any], geometry: str, bounds: Bounds
) -> list[int]:
    """Choose the row groups that may have a point inside a box, by their statistics.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
        The open file.
    entry : mapping
        What the ``geo`` metadata says of the geometry column: GeoParquet 1.1's covering, or
        the native encoding ``point``, have columns whose extent is known.
    geometry : str
        The geometry column.
    bounds : tuple of float
        West, south, east, north.
    """
    metadata = file.metadata
    edges = _edge_columns(entry, geometry)
    if edges is None or metadata.num_row_groups == 0:
        return list(range(metadata.num_row_groups))
    names = {metadata.schema.column(k).path: k for k in range(len(metadata.schema))}
    places = [names.get(edge) for edge in edges]
    chosen = []
    for group in range(metadata.num_row_groups):
        extents = [_extent(metadata.row_group(group), place) for place in places]
        west, south = (None if extent is None else extent[0] for extent in extents[:2])
        east, north = (None if extent is None else extent[1] for extent in extents[2:])
        apart = (
            (east is not None and east < bounds[0]) or (north is not None and north < bounds[1])
            or (west is not None and west > bounds[2]) or (south is not None and south > bounds[3])
        )  # fmt: skip
        if not apart:
            chosen.append(group)
    return chosen


def _edge_columns(entry: Mapping[str, Any], geometry: str) -> tuple[str, ...] | None:
    """Columns of the western, southern, eastern and northern edges; None if there are none."""
    if entry.get("encoding") == "point":
        return f"{geometry}.x", f"{geometry}.y", f"{geometry}.x", f"{geometry}.y"
    try:
        box = entry["covering"]["bbox"]
        return tuple(".".join(box[edge]) for edge in ("xmin", "ymin", "xmax", "ymax"))
    except (KeyError, TypeError):
        return None


def _extent(group: Any, place: int | None) -> tuple[float, float] | None:  # noqa: ANN401
    """Smallest and largest value of a column in a row group, where it is known."""
    if place is None:
        return None
    statistics = group.column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return None
    return float(statistics.min), float(statistics.max)
