"""Vector results: tables of features, written complete or not at all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from rm_geo._util.atomic import full_disk_error, is_full, part_folder, publish_files
from rm_geo.errors import CrsError, DependencyError, InputError, OutputError
from rm_geo.io.accepted_files import VECTOR_SUFFIXES, accepted_vector
from rm_geo.io.gml import without_gfs
from rm_geo.io.sqlite_tables import refuse_view
from rm_geo.io.zip_files import unzipped
from rm_geo.units import NODATA_DBM

GeometryType: TypeAlias = Literal[
    "Point", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "Unknown"
]
"""Kinds of geometries of a table."""

_DRIVERS: Final[Mapping[str, str]] = {
    ".gpkg": "GPKG",
    ".geojson": "GeoJSON",
    ".fgb": "FlatGeobuf",
    ".shp": "ESRI Shapefile",
    ".tab": "MapInfo File",
    ".mif": "MapInfo File",
}
_PARTS: Final[Mapping[str, str]] = {"lines": "LineString", "polygons": "Polygon"}
_SIDECARS: Final = ("-wal", "-shm", "-journal")
_GPKG_VERSION: Final = "1.2"  # GDAL before 3.7, as in QGIS 3.28 and older, warns of later ones
_REASON_CHARS: Final = 200

VECTOR_ERRORS: Final = (RuntimeError, ValueError, OSError, UnboundLocalError)
"""The errors of pyogrio and GDAL; those of pyogrio are RuntimeErrors, and UnboundLocalError where a
CRS is not UTF-8."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of one kind: a layer of a vector file.

    Parameters
    ----------
    name : str
        Name of the layer.
    geometry : ndarray of object, shape (n,)
        Shapely geometries of the kind ``geometry_type``.
    columns : mapping of str to ndarray, each of shape (n,)
        Attributes: numbers, or ``object`` arrays of text; NaN and None are written as null, in
        MapInfo's tables as -9999 and an empty text.
    crs : pyproj.CRS
        CRS of the geometries.
    geometry_type : str
        Such as ``Polygon``.
    metadata : mapping of str to str
        Definition, units and provenance, kept with the layer where the format can.

    Raises
    ------
    ValueError
        If a column has another length than the geometries.

    Examples
    --------
    >>> import shapely
    >>> squares = np.array([shapely.box(0, 0, 2, 1)], dtype=object)
    >>> table = FeatureTable("squares", squares, {"area_m2": np.array([2.0])}, CRS(32633))
    >>> len(table), list(table.columns)
    (1, ['area_m2'])
    """

    name: str
    geometry: NDArray[np.object_]
    columns: Mapping[str, NDArray[Any]]
    crs: CRS
    geometry_type: GeometryType = "Polygon"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in self.columns.items():
            if len(values) != len(self.geometry):
                raise ValueError(
                    f"column {name} has {len(values)} values for {len(self.geometry)} features"
                )

    def __len__(self) -> int:
        return len(self.geometry)


def write_features(path: str | os.PathLike[str], tables: Sequence[FeatureTable]) -> Path:
    """Write tables of features as the layers of a vector file.

    The file appears when it is complete; otherwise a file of this name stays unchanged.

    Parameters
    ----------
    path : path-like
        The file to create or replace; its ending names the format: ``.gpkg`` (several layers),
        ``.geojson``, ``.fgb``, ``.shp``, ``.tab``, ``.mif`` (one layer).
    tables : sequence of FeatureTable
        The layers; a table without features gives an empty layer.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If the file cannot be written, or another program has it open.
    DependencyError
        If this GDAL has no driver of the format.

    Examples
    --------
    >>> import pyogrio, shapely
    >>> squares = np.array([shapely.box(0, 0, 2, 1)], dtype=object)
    >>> table = FeatureTable("squares", squares, {"area_m2": np.array([2.0])}, CRS(32633))
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_features(Path(folder, "squares.gpkg"), [table])
    ...     print(pyogrio.read_info(written)["features"])
    1
    """
    target = Path(path)
    driver = _driver(target)
    require_not_open(target)
    with part_folder(target) as folder:
        made = folder / target.name
        for table in tables:
            _write_layer(made, target, driver, table)
        # Shapefiles and MapInfo's tables have several files.
        publish_files(sorted(folder.iterdir()), target.parent)
    return target


def read_features(path: str | os.PathLike[str], layer: str | None = None) -> FeatureTable:
    """Read a layer of a vector file.

    Parameters
    ----------
    path : path-like
        Any file that GDAL reads as features.
    layer : str, optional
        Name of the layer; may be left out if there is only one.

    Returns
    -------
    FeatureTable
        Features without a geometry are left out.

    Raises
    ------
    InputError
        If the file is missing or no vector file, or the layer is not in it.
    CrsError
        If the layer has no CRS.
    """
    import shapely

    from rm_geo.io.ogr import pyogrio

    source = Path(path)
    name = layer or only_layer(source)
    with opened_vector(source) as file:
        refuse_view(file, name)
        try:
            meta, _, geometry, values = pyogrio.raw.read(file, layer=name)
        except VECTOR_ERRORS as error:
            raise InputError(
                f"{source} cannot be read: {vector_reason(error)}",
                hint="The file may be damaged, incomplete or of another kind.",
                path=source,
            ) from error
    if meta["crs"] is None:
        raise CrsError(
            f"The layer {name} of {source} has no CRS.", hint="Assign one first.", path=source
        )
    shapes = (
        np.empty(0, dtype=object) if geometry is None else np.asarray(shapely.from_wkb(geometry))
    )
    kept = ~shapely.is_missing(shapes)
    columns = dict(zip(meta["fields"], values, strict=True))
    return FeatureTable(
        name,
        shapes[kept],
        {column: np.asarray(given)[kept] for column, given in columns.items()},
        CRS.from_user_input(meta["crs"]),
        _geometry_type(shapes[kept]),
    )


def _geometry_type(shapes: NDArray[np.object_]) -> GeometryType:
    """Give the kind of geometries: that of several parts if some have several."""
    kinds = {str(shape.geom_type) for shape in shapes}
    known: tuple[GeometryType, ...] = (
        "Point",
        "LineString",
        "MultiLineString",
        "Polygon",
        "MultiPolygon",
    )
    for kind in known:
        if kinds and kinds <= {kind, kind.removeprefix("Multi")}:
            return kind
    return "Unknown"


def vector_reason(error: BaseException) -> str:
    r"""Give the message of GDAL or pyogrio for a failed reading.

    Parameters
    ----------
    error : BaseException
        What was raised.

    Returns
    -------
    str
        One sentence of bounded length.

    Examples
    --------
    >>> vector_reason(RuntimeError("no such layer; It might help to look.\nand more"))
    'no such layer.'
    """
    if isinstance(error, UnboundLocalError):
        return "its CRS is not text in UTF-8."
    text = str(error).strip()
    reason = text.splitlines()[0].split("; It might help")[0].strip() if text else "unknown"
    return f"{reason[:_REASON_CHARS].rstrip('.')}."


@contextmanager
def opened_vector(path: Path) -> Iterator[Path]:
    """Give the file that GDAL may open for a vector file.

    Parameters
    ----------
    path : Path
        A vector file, or a ZIP archive of one.

    Yields
    ------
    Path
        The absolute path of the file, or of its unpacked copy.

    Raises
    ------
    InputError
        If it is missing, or as :func:`rm_geo.io.accepted_files.accepted_vector`.
    """
    if not path.exists():
        raise InputError(f"There is no file {path}.", path=path)
    with unzipped(path, VECTOR_SUFFIXES) as file:
        try:
            accepted = accepted_vector(file)
        except InputError as error:
            raise error.known_as(file, path) from error
        with without_gfs(accepted):
            yield accepted


def layers_of(path: Path) -> list[tuple[str, str]]:
    """List the layers of a vector file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    list of (str, str)
        Name and kind of geometry of each layer; ``None`` as text for a table without one.

    Raises
    ------
    InputError
        If the file is missing or no vector file.
    """
    from rm_geo.io.ogr import pyogrio

    with opened_vector(path) as file:
        try:
            return [(str(name), str(kind)) for name, kind in pyogrio.list_layers(file)]
        except VECTOR_ERRORS as error:
            raise InputError(
                f"{path} cannot be read as a vector file.",
                hint="The file may be damaged, incomplete or of another kind.",
                path=path,
            ) from error


def only_layer(path: Path) -> str:
    """Give the name of the layer of a vector file with one layer.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the file is missing or no vector file, or has no layer, or several.
    """
    names = [name for name, _ in layers_of(path)]
    if not names:
        raise InputError(f"{path} has no layer.", path=path)
    if len(names) > 1:
        raise InputError(
            f"{path} has {len(names)} layers: {', '.join(names[:12])}.",
            hint="Choose one with `layer`.",
            path=path,
            parameter="layer",
        )
    return names[0]


def read_layer(path: Path, crs: CRS, kind: Literal["lines", "polygons"]) -> FeatureTable:
    """Read a layer of lines or polygons, in the CRS of maps.

    Parameters
    ----------
    path : Path
        Vector file in any CRS; of several layers the first with such geometries.
    crs : pyproj.CRS
        CRS of the result.
    kind : {"lines", "polygons"}
        Geometries of other kinds, and empty ones, are left out.

    Returns
    -------
    FeatureTable
        At least one feature.

    Raises
    ------
    InputError
        If the file cannot be read, or has no such geometry.
    CrsError
        If it has no CRS.
    """
    import shapely

    part = _PARTS[kind]
    layer = next((name for name, found in layers_of(path) if part in found), None)
    table = read_features(path, layer)
    kept = np.array([shape.geom_type.removeprefix("Multi") == part for shape in table.geometry])
    kept = kept.astype(np.bool_) & ~shapely.is_empty(table.geometry)
    if not kept.any():
        raise InputError(f"{path} has no {kind}.", hint=f"Give a layer of {kind}.", path=path)
    geometry = table.geometry[kept]
    if table.crs != crs:
        change = Transformer.from_crs(table.crs, crs, always_xy=True)

        def converted(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.column_stack(change.transform(xy[:, 0], xy[:, 1]))

        geometry = shapely.transform(geometry, converted)
    columns = {name: values[kept] for name, values in table.columns.items()}
    return replace(
        table, geometry=geometry, columns=columns, crs=crs, geometry_type=_geometry_type(geometry)
    )


def require_not_open(path: Path) -> None:
    """Refuse to replace a GeoPackage that another program has open.

    SQLite keeps changes beside the file while it is open; with a new file in its place they
    would be applied to the wrong one.

    Parameters
    ----------
    path : Path
        The file to replace; need not exist.

    Raises
    ------
    OutputError
        If files of an open connection lie beside it.
    """
    if path.suffix.lower() != ".gpkg":
        return
    beside = [
        name for name in (path.name + end for end in _SIDECARS) if path.with_name(name).exists()
    ]
    if beside:
        raise OutputError(
            f"Cannot write {path}: another program has it open ({', '.join(beside)}).",
            hint="Close it there (in QGIS, remove the layer); if no program has it open, delete "
            "these files.",
            path=path,
        )


def _driver(path: Path) -> str:
    """Give the driver of a file name."""
    from rm_geo.io.ogr import pyogrio

    name = _DRIVERS.get(path.suffix.lower())
    if name is None:
        raise OutputError(
            f"{path} has no ending of a vector format.",
            hint=f"Use one of {', '.join(_DRIVERS)}.",
            path=path,
        )
    if "w" not in pyogrio.list_drivers().get(name, ""):
        raise DependencyError(
            f"This GDAL cannot write {name} files, such as {path.name}.",
            hint="Install pyogrio from a wheel: pip install --force-reinstall pyogrio",
            path=path,
        )
    return name


def _field_values(values: NDArray[Any], driver: str) -> NDArray[Any]:
    """Give a column as a driver can write it: MapInfo's tables have no nulls."""
    given = np.asarray(values)
    if driver != "MapInfo File":
        return given
    if given.dtype.kind == "f":
        return np.where(np.isfinite(given), given, NODATA_DBM)
    if given.dtype == object:
        return np.array(["" if value is None else value for value in given], dtype=object)
    return given


def _driver_options(driver: str, table: FeatureTable) -> dict[str, Any]:
    """Give the options of a driver for a layer."""
    if driver == "GPKG":
        return {
            "layer_metadata": dict(table.metadata),
            "dataset_options": {"VERSION": _GPKG_VERSION},
        }
    import shapely

    if driver == "MapInfo File" and len(table):
        # Coordinates are whole numbers of 32 bits between these bounds.
        west, south, east, north = shapely.total_bounds(table.geometry)
        margin = max(east - west, north - south, 1.0)
        bounds = (west - margin, south - margin, east + margin, north + margin)
        return {"BOUNDS": ",".join(f"{bound:.9g}" for bound in bounds), "ENCODING": "UTF-8"}
    return {}


def _write_layer(made: Path, target: Path, driver: str, table: FeatureTable) -> None:
    """Add a layer to the file in the making."""
    import shapely

    from rm_geo.io.ogr import pyogrio

    try:
        with warnings.catch_warnings():
            # Shapefiles and MapInfo's tables shorten the names of columns.
            warnings.filterwarnings("ignore", message="Normalized/laundered field name")
            pyogrio.raw.write(
                str(made),
                geometry=shapely.to_wkb(np.asarray(table.geometry, dtype=object)),
                field_data=[_field_values(values, driver) for values in table.columns.values()],
                fields=list(table.columns),
                layer=table.name,
                driver=driver,
                geometry_type=table.geometry_type,
                crs=table.crs.to_wkt(),
                **_driver_options(driver, table),
            )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, RuntimeError) as error:
        if is_full(made.parent):
            raise full_disk_error(target) from error
        raise OutputError(
            f"Cannot write {target}: {str(error).rstrip('.')}.",
            hint="Choose another folder or disk.",
            path=target,
        ) from error
