"""GeoParquet, and Parquet with coordinate columns, read by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from rm_geo._util.json_text import parse_json
from rm_geo.errors import InputError
from rm_geo.io.tables.arrow_numpy import to_numpy
from rm_geo.io.tables.parquet_window import edge_columns, groups_inside, read_groups
from rm_geo.io.tables.source import Bounds, Request, Source, Table
from rm_geo.io.tables.wkb import Shapes, decode_points
from rm_geo.io.zip_files import LARGEST_RATIO

# The CRS of a column without the key "crs" in GeoParquet 1.0 and 1.1.
_DEFAULT_CRS: Final = "OGC:CRS84"
_LEAST_BOUND: Final = 1 << 26
_USUAL_NAMES: Final = ("geometry", "geom", "wkb_geometry", "wkb")


def open_geoparquet(path: Path) -> Source:
    """Describe a Parquet file; its ``geo`` metadata names the geometry and the CRS.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        If the file is damaged or its metadata is not valid.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.parquet")
    ...     pq.write_table(pa.table({"lon": [13.4], "lat": [52.5], "rsrp": [-90.0]}), path)
    ...     source = open_geoparquet(path)
    >>> source.names, source.has_geometry
    (('lon', 'lat', 'rsrp'), False)
    """
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _require_bounded(path, file.metadata)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    metadata = _geo_metadata(path, schema)
    geometry, encoding, crs, fault = _geometry_column(path, schema, metadata)
    names = tuple(
        field.name
        for field in schema
        if field.name != geometry and not pa.types.is_nested(field.type)
    )

    def chunks(request: Request) -> Iterator[Table]:
        # ParquetFile, not read_table: a folder named like a Hive partition must not
        # add columns of its own.
        try:
            with pq.ParquetFile(path) as file:
                entry = metadata.get("columns", {}).get(geometry, {})
                groups = groups_inside(file, edge_columns(entry, geometry, request), request.bounds)
                wanted = list(request.names) if geometry is None else [geometry, *request.names]
                tables = read_groups(file, wanted, groups, request.rows)
                yield from _decoded(path, tables, geometry, encoding, request)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from error

    return Source(path, names, geometry is not None, crs, chunks, crs_fault=fault)


def _require_bounded(path: Path, metadata: Any) -> None:  # noqa: ANN401 - pyarrow has no types
    """Refuse a file that unpacks to an unreasonable size."""
    groups = range(metadata.num_row_groups)
    unpacked = sum(int(metadata.row_group(group).total_byte_size) for group in groups)
    allowed = max(_LEAST_BOUND, LARGEST_RATIO * path.stat().st_size)
    if unpacked > allowed or metadata.num_rows > allowed:
        raise InputError(
            f"{path} would unpack to {unpacked / 2**30:,.1f} GiB in {metadata.num_rows:,} rows, "
            f"more than {LARGEST_RATIO} times its size.",
            hint="Write it again if it can be trusted.",
            path=path,
        )


def _decoded(
    path: Path, tables: Iterator[Any], geometry: str | None, encoding: str, request: Request
) -> Iterator[Table]:
    """Add coordinates; drop rows without a point inside the bounds."""
    bounds = request.bounds if request.axes is None else None
    seen = Shapes()
    for table in tables:
        if geometry is None:
            yield Table({name: table.column(name) for name in request.names})
            continue
        found = table
        if bounds is not None:
            inside, shapes = _may_be_inside(path, encoding, bounds, table.column(geometry))
            seen += shapes
            found = table.filter(pa.array(inside))
        columns = {name: found.column(name) for name in request.names}
        yield _with_geometry(path, columns, found.column(geometry), encoding)
    seen.require_points(str(path))


def _may_be_inside(
    path: Path, encoding: str, bounds: Bounds, geometry: pa.ChunkedArray
) -> tuple[NDArray[np.bool_], Shapes]:
    """Mark the geometries with a point inside a box."""
    table = _with_geometry(path, {"row": pa.array(np.arange(len(geometry)))}, geometry, encoding)
    assert table.x is not None
    assert table.y is not None
    west, south, east, north = bounds
    hit = (table.x >= west) & (table.x <= east) & (table.y >= south) & (table.y <= north)
    rows = np.asarray(table.columns["row"])[hit]
    mask = np.zeros(len(geometry), dtype=np.bool_)
    mask[rows] = True
    return mask, table.shapes


def _with_geometry(
    path: Path, columns: dict[str, Any], geometry: pa.ChunkedArray, encoding: str
) -> Table:
    """Add the coordinates of a WKB or GeoArrow column."""
    if encoding == "WKB":
        points = decode_points(geometry, str(path))
        taken = {name: points.take(column) for name, column in columns.items()}
        return Table(taken, points.x, points.y, points.shapes)
    struct = geometry.combine_chunks()
    if isinstance(struct, pa.ExtensionArray):
        struct = struct.storage
    x, y = (to_numpy(struct.field(axis).cast(pa.float64()), null=np.nan) for axis in ("x", "y"))
    null = to_numpy(struct.is_null())
    return Table(columns, np.where(null, np.nan, x), np.where(null, np.nan, y))


def _geo_metadata(path: Path, schema: pa.Schema) -> dict[str, Any]:
    """Parse the ``geo`` key of the file's metadata; empty without one."""
    raw = (schema.metadata or {}).get(b"geo")
    if raw is None:
        return {}
    try:
        parsed = parse_json(raw)
        column = parsed["columns"][parsed["primary_column"]]
        if not isinstance(column, dict):
            raise TypeError("the entry of the primary column is not an object")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The 'geo' metadata of {path} is not valid ({error}).",
            hint="Write the file again with a GeoParquet 1.x writer.",
            path=path,
        ) from error
    return dict(parsed)


def _geometry_column(
    path: Path, schema: pa.Schema, metadata: dict[str, Any]
) -> tuple[str | None, str, CRS | None, str]:
    """Name, encoding (``WKB`` or ``point``) and CRS of the geometry, and the fault of the CRS."""
    if not metadata:
        for name in _USUAL_NAMES:
            if name in schema.names and _is_binary(schema.field(name).type):
                return name, "WKB", None, ""
        return None, "WKB", None, ""
    name = str(metadata["primary_column"])
    entry = metadata["columns"][name]
    if name not in schema.names:
        raise InputError(
            f"{path} has no geometry column {name!r}, which its metadata names.",
            hint="Write the file again with a GeoParquet 1.x writer.",
            path=path,
        )
    encoding = str(entry.get("encoding", "WKB"))
    if encoding not in ("WKB", "point"):
        raise InputError(
            f"The geometry of {path} is encoded as {encoding!r}, not as points.",
            hint="Give a file of points.",
            path=path,
        )
    projjson = entry.get("crs", _DEFAULT_CRS)
    if projjson is None:
        return name, encoding, None, ""
    try:
        return name, encoding, CRS.from_user_input(projjson), ""
    except CRSError:
        return name, encoding, None, f"The CRS in the metadata of {path} is not valid."


def _is_binary(kind: pa.DataType) -> bool:
    """Whether an Arrow type represents bytes."""
    storage = kind.storage_type if isinstance(kind, pa.ExtensionType) else kind
    return bool(pa.types.is_binary(storage) or pa.types.is_large_binary(storage))


def _damaged(path: Path, error: BaseException) -> InputError:
    """Convert an error of pyarrow to one sentence."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InputError(
        f"{path} cannot be read as Parquet: {reason.rstrip('.')}.",
        hint="It may be cut short; copy or export it again.",
        path=path,
    )
