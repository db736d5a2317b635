"""Vector formats that OGR supports, read through pyogrio's Arrow interface."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyproj import CRS
from pyproj.exceptions import CRSError

from rm_geo.errors import InputError, UsageError
from rm_geo.io.accepted_files import accepted_vector
from rm_geo.io.features import vector_reason
from rm_geo.io.gml import without_gfs
from rm_geo.io.ogr import pyogrio
from rm_geo.io.sqlite_tables import refuse_view
from rm_geo.io.tables.shapefile import check_shapefile
from rm_geo.io.tables.source import Request, Source, Table, split_batches
from rm_geo.io.tables.wkb import decode_points

_FAILURES: Final = (
    pyogrio.errors.DataSourceError,
    pyogrio.errors.DataLayerError,
    pyogrio.errors.FieldError,
    pyogrio.errors.FeatureError,
    pyogrio.errors.GeometryError,
    pyogrio.errors.CRSError,
    pa.ArrowException,
    RuntimeError,
    UnicodeError,
    ValueError,
    OSError,
    UnboundLocalError,  # of pyogrio, for a CRS that is not UTF-8
)
_BATCH_ROWS: Final = 1 << 16
_MAYBE_POINTS: Final = ("Point", "MultiPoint", "Unknown", "GeometryCollection")


def open_vector(path: Path, layer: str | None) -> Source:
    """Describe a layer of a file in a format of OGR.

    Parameters
    ----------
    path : Path
        The file.
    layer : str or None
        Name of the layer; None for the only layer of points.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        If GDAL cannot open the file, it is truncated, of a kind that names other files, or has
        several layers of points and none was chosen.
    UsageError
        If the file does not have the layer.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.geojson")
    ...     _ = path.write_text('{"type": "Feature", "properties": {"rsrp": -90},'
    ...                         ' "geometry": {"type": "Point", "coordinates": [13.4, 52.5]}}')
    ...     source = open_vector(path, None)
    >>> source.names, source.has_geometry
    (('rsrp',), True)
    """
    if path.suffix.lower() == ".shp":
        check_shapefile(path)
    file = accepted_vector(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            layers = [(str(n), None if k is None else str(k)) for n, k in pyogrio.list_layers(file)]
    except _FAILURES as error:
        raise _unreadable(path, error) from error
    chosen = _choose_layer(path, layers, layer)
    refuse_view(path, chosen)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            info = pyogrio.read_info(file, layer=chosen, force_feature_count=True)
    except _FAILURES as error:
        raise _unreadable(path, error) from error
    kind = info["geometry_type"]
    has_geometry = kind is not None and kind != "None"
    named = chosen if len(layers) > 1 else None
    crs, fault = _parse_crs(path, info["crs"] if has_geometry else None)

    def chunks(request: Request) -> Iterator[Table]:
        return _chunks(path, chosen, info, request)

    return Source(
        path,
        tuple(str(name) for name in info["fields"]),
        has_geometry,
        crs,
        chunks,
        named,
        fault,
    )


def _chunks(path: Path, layer: str, info: dict[str, Any], request: Request) -> Iterator[Table]:
    """Read the chosen columns and the points of a layer.

    The bounds are passed to the spatial index of the format, where it has one.
    """
    names = list(dict.fromkeys(request.names))
    bounds = request.bounds if request.axes is None else None
    found = 0
    with ExitStack() as open_files:
        open_files.enter_context(without_gfs(path))
        try:
            with warnings.catch_warnings():
                # Ignored: warnings of measured geometries and unusual extensions.
                warnings.simplefilter("ignore", RuntimeWarning)
                meta, reader = open_files.enter_context(
                    pyogrio.raw.open_arrow(
                        path.absolute(),
                        layer=layer,
                        columns=names,
                        bbox=bounds,
                        batch_size=min(request.rows, _BATCH_ROWS),
                        use_pyarrow=True,
                    )
                )
        except _FAILURES as error:
            raise _unreadable(path, error) from error
        geometry = meta["geometry_name"] or "wkb_geometry"
        while (batch := _next_batch(path, reader)) is not None:
            found += batch.num_rows
            for table in split_batches(iter([batch]), request.rows):
                columns = {name: table.column(name) for name in names}
                if geometry not in table.column_names:
                    yield Table(columns)
                    continue
                points = decode_points(table.column(geometry), str(path))
                taken = {name: points.take(column) for name, column in columns.items()}
                yield Table(taken, points.x, points.y, points.shapes)
    announced = int(info["features"])
    if bounds is None and found < announced:
        raise InputError(
            f"{path} is damaged: {found} of {announced} rows could be read.",
            hint="Copy or export it again.",
            path=path,
        )


def _next_batch(path: Path, reader: Any) -> Any | None:  # noqa: ANN401 - pyarrow has no types
    """Read the next rows, None at the end; check that the text is UTF-8."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            batch = next(reader, None)
        if batch is not None:
            batch.validate(full=True)
    except _FAILURES as error:
        raise _unreadable(path, error) from error
    return batch


def _choose_layer(path: Path, layers: list[tuple[str, str | None]], layer: str | None) -> str:
    """Return the requested layer, or the only one that can contain points."""
    listing = ", ".join(f"{name!r} ({kind or 'no geometry'})" for name, kind in layers)
    if not layers:
        raise InputError(
            f"{path} holds no layer.", hint="Export the measurements again.", path=path
        )
    names = [name for name, _ in layers]
    if layer is not None:
        if layer not in names:
            raise UsageError(
                f"{path} has no layer {layer!r}.", hint=f"It has {listing}.", path=path
            )
        return layer
    if len(layers) == 1:
        name, kind = layers[0]
        _refuse_shapes(path, name, kind)
        return name
    for wanted in (("Point", "MultiPoint"), ("Unknown", "GeometryCollection")):
        fitting = [n for n, kind in layers if kind is not None and _flat(kind) in wanted]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise InputError(
                f"{path} has several layers of points: {listing}.",
                hint="Choose one with `layer`.",
                parameter="layer",
                path=path,
            )
    raise InputError(
        f"{path} has no layer of points: {listing}.",
        hint="Give the file of the measured points, or choose a table with `layer`.",
        parameter="layer",
        path=path,
    )


def _refuse_shapes(path: Path, name: str, kind: str | None) -> None:
    """Refuse lines and polygons before anything is read."""
    if kind is not None and kind != "None" and _flat(kind) not in _MAYBE_POINTS:
        raise InputError(
            f"The layer {name!r} of {path} holds {_flat(kind)} geometries, not points.",
            hint="Give the layer of the measured points, or extract the vertices first.",
            path=path,
        )


def _flat(kind: str) -> str:
    """Geometry type without dimensions: ``Point Z`` and ``2.5D Point`` are ``Point``."""
    words = [
        word for word in kind.split() if word not in ("Z", "M", "ZM", "2.5D", "Measured", "3D")
    ]
    return " ".join(words)


def _parse_crs(path: Path, text: str | None) -> tuple[CRS | None, str]:
    """Parse the CRS that OGR reports; if it is not valid, return a message."""
    if not text:
        return None, ""
    try:
        return CRS.from_user_input(text), ""
    except CRSError:
        return None, f"The CRS of {path} is not valid."


def _unreadable(path: Path, error: BaseException) -> InputError:
    """Convert an error of GDAL to one sentence."""
    if isinstance(error, UnicodeError) or "Invalid UTF8" in str(error):
        return InputError(
            f"The text in {path} is not in the encoding that the file announces.",
            hint="Name its encoding in a .cpg file (such as ISO-8859-1), or export it as UTF-8.",
            path=path,
        )
    reason = vector_reason(error)
    if "not recognized as being in a supported file format" in reason:
        return InputError(
            f"{path} is not in a format that can be read.",
            hint="Readable are SHP, GPKG, GeoJSON, GeoParquet, FlatGeobuf and CSV.",
            path=path,
        )
    return InputError(
        f"{path} cannot be read: {reason}",
        hint="It may be damaged or cut short; copy or export it again.",
        path=path,
    )
