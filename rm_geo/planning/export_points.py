"""Exports of rasters as points: the centres of the known pixels, as CSV or GeoParquet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rm_geo.errors import InputError
from rm_geo.grid import Grid
from rm_geo.io.raster_reader import open_raster
from rm_geo.planning.export_source import ExportSource, open_export_source

if TYPE_CHECKING:
    import pyarrow

_POINTS: Final = 2**19  # in memory at once
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
    import geopandas
    import pyarrow.parquet

    writer: Any = None
    crs = source.grid.crs.to_wkt()
    try:
        for table in _tables(source):
            x, y = table["x"].to_numpy(), table["y"].to_numpy()
            values = {name: table[name].to_numpy() for name in table.column_names[2:]}
            frame = geopandas.GeoDataFrame(values, geometry=geopandas.points_from_xy(x, y), crs=crs)
            buffer = io.BytesIO()
            frame.to_parquet(buffer, index=False)
            made = pyarrow.parquet.read_table(io.BytesIO(buffer.getvalue()))
            if writer is None:
                schema = _with_bounds(made.schema, source.grid)
                writer = pyarrow.parquet.ParquetWriter(target, schema, compression="zstd")
            writer.write_table(made.replace_schema_metadata(schema.metadata))
    finally:
        if writer is not None:
            writer.close()


def _with_bounds(schema: pyarrow.Schema, grid: Grid) -> pyarrow.Schema:
    """State the bounds of the whole raster, not of its first rows."""
    metadata = dict(schema.metadata)
    described = json.loads(metadata[b"geo"])
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
