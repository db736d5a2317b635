"""Exports of rasters as points: the centres of the known pixels, as CSV or GeoParquet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rm_geo._types import Float64Array
from rm_geo._util.json_text import parse_json
from rm_geo.errors import InputError
from rm_geo.grid import Grid
from rm_geo.io.raster_reader import open_raster
from rm_geo.planning.export_source import ExportSource, open_export_source

if TYPE_CHECKING:
    import pyarrow

_POINTS: Final = 2**19  # in memory at once
_WKB_POINT: Final = np.dtype(
    [("is_little_endian", "u1"), ("kind", "<u4"), ("x", "<f8"), ("y", "<f8")]
)
_LAYERS: Final = (("_uncertainty", "std_db"), ("_reported", "reported_probability"))


def write_xyz(source: ExportSource, target: Path) -> None:
    """Write ``x,y,z`` lines of the known pixels: metres in the CRS of the raster, and the value.

    The columns have the names by which readers of grids find them; deviation and probability of
    files beside follow as further columns.

    Parameters
    ----------
    source : ExportSource
        The raster.
    target : Path
        The CSV file to write.

    Raises
    ------
    InputError
        If no pixel is known.
    """
    import pyarrow.csv

    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    with target.open("wb") as file:
        for number, table in enumerate(_tables(source)):
            if number == 0:
                names = ["x", "y", "z", *table.column_names[3:]]
                file.write((",".join(names) + "\n").encode())
            pyarrow.csv.write_csv(table, file, options)


def write_geoparquet(source: ExportSource, target: Path) -> None:
    """Write points with the value, and deviation and probability where files beside have them.

    Row groups are written band by band: memory does not grow with the raster.

    Parameters
    ----------
    source : ExportSource
        The raster.
    target : Path
        The GeoParquet file to write.

    Raises
    ------
    InputError
        If no pixel is known.
    """
    import pyarrow.parquet

    writer: Any = None
    try:
        for table in _tables(source):
            if writer is None:
                schema = _schema(table.slice(0, 1), source.grid)
                writer = pyarrow.parquet.ParquetWriter(target, schema, compression="zstd")
            points = _points(table["x"].to_numpy(), table["y"].to_numpy())
            columns = [*table.columns[2:], points]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
    finally:
        if writer is not None:
            writer.close()


def _points(x: Float64Array, y: Float64Array) -> pyarrow.Array:
    """Encode points as WKB (OGC 06-103r4, 8.2.8): 21 bytes each, without an object for each."""
    import pyarrow

    wkb = np.empty(x.size, dtype=_WKB_POINT)
    wkb["is_little_endian"], wkb["kind"] = 1, 1
    wkb["x"], wkb["y"] = x, y
    ends = np.arange(x.size + 1, dtype=np.int32) * _WKB_POINT.itemsize
    buffers = [None, pyarrow.py_buffer(ends), pyarrow.py_buffer(wkb)]
    return pyarrow.Array.from_buffers(pyarrow.binary(), x.size, buffers)


def _schema(row: pyarrow.Table, grid: Grid) -> pyarrow.Schema:
    """Give columns and metadata as geopandas writes them, with the bounds of the whole raster."""
    import geopandas
    import pyarrow.parquet

    values = {name: row[name].to_numpy() for name in row.column_names[2:]}
    place = geopandas.points_from_xy(row["x"].to_numpy(), row["y"].to_numpy())
    buffer = io.BytesIO()
    geopandas.GeoDataFrame(values, geometry=place, crs=grid.crs.to_wkt()).to_parquet(
        buffer, index=False
    )
    schema = pyarrow.parquet.read_schema(io.BytesIO(buffer.getvalue()))
    metadata = dict(schema.metadata)
    described = parse_json(metadata[b"geo"])
    described["columns"][described["primary_column"]]["bbox"] = list(grid.bounds)
    metadata[b"geo"] = json.dumps(described).encode()
    return schema.with_metadata(metadata)


def _tables(source: ExportSource) -> Iterator[pyarrow.Table]:
    """Give the known pixels band by band: x, y, value, and the layers beside."""
    import pyarrow

    beside = _layers_beside(source)
    empty = True
    for row, values in source.bands():
        rows, cols = np.nonzero(np.isfinite(values))
        if rows.size == 0:
            continue
        empty = False
        layers = {
            source.column: np.nan_to_num(values).astype(np.int32) if source.has_classes else values
        }
        for name, layer in beside.items():
            layers[name] = layer.file.read(
                slice(row, row + values.shape[0]), slice(0, values.shape[1])
            )
        for start in range(0, rows.size, _POINTS):
            some = slice(start, start + _POINTS)
            x, y = source.grid.to_world(row + rows[some] + 0.5, cols[some] + 0.5)
            columns = {name: part[rows[some], cols[some]] for name, part in layers.items()}
            yield pyarrow.table({"x": x, "y": y, **columns})
    if empty:
        raise InputError(
            f"{source.file.path} has no known pixel: there is nothing to export.",
            path=source.file.path,
        )


def _layers_beside(source: ExportSource) -> dict[str, ExportSource]:
    """Open the layers of a cell that lie beside its level and have the same pixels."""
    path = source.file.path
    if not path.stem.endswith("_rsrp"):
        return {}
    stem = path.stem.removesuffix("_rsrp")
    found = {}
    for ending, name in _LAYERS:
        file = path.with_name(f"{stem}{ending}{path.suffix}")
        if file.is_file() and open_raster(file, classes=True).grid == source.grid:
            found[name] = open_export_source(file)
    return found
