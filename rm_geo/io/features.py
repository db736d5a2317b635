"""Vector results: tables of features, written complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo._util.atomic import PART_SUFFIX, full_disk_error, is_full, publish_files
from rm_geo.errors import DependencyError, OutputError

GeometryType: TypeAlias = Literal[
    "Point", "LineString", "MultiLineString", "Polygon", "MultiPolygon"
]
"""Kinds of geometries of a table."""

_DRIVERS: Final[Mapping[str, str]] = {
    ".gpkg": "GPKG",
    ".geojson": "GeoJSON",
    ".fgb": "FlatGeobuf",
    ".shp": "ESRI Shapefile",
}
_SIDECARS: Final = ("-wal", "-shm", "-journal")


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
        Attributes: numbers, or ``object`` arrays of text; NaN and None are written as null.
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
        ``.geojson``, ``.fgb``, ``.shp`` (one layer).
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
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_features(Path(folder, "squares.gpkg"), [table])
    ...     print(pyogrio.read_info(written)["features"])
    1
    """
    target = Path(path)
    driver = _driver(target)
    require_not_open(target)
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=".rm_geo_", suffix=PART_SUFFIX
    ) as folder:
        made = Path(folder) / target.name
        for table in tables:
            _write_layer(made, target, driver, table)
        # A shapefile has several files.
        publish_files(sorted(Path(folder).iterdir()), target.parent)
    return target


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
    import pyogrio

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


def _write_layer(made: Path, target: Path, driver: str, table: FeatureTable) -> None:
    """Add a layer to the file in the making."""
    import pyogrio.errors
    import pyogrio.raw
    import shapely

    try:
        pyogrio.raw.write(
            str(made),
            geometry=shapely.to_wkb(np.asarray(table.geometry, dtype=object)),
            field_data=[np.asarray(values) for values in table.columns.values()],
            fields=list(table.columns),
            layer=table.name,
            driver=driver,
            geometry_type=table.geometry_type,
            crs=table.crs.to_wkt(),
            **({"layer_metadata": dict(table.metadata)} if driver == "GPKG" else {}),
        )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, RuntimeError) as error:
        if is_full(made.parent):
            raise full_disk_error(target) from error
        raise OutputError(
            f"Cannot write {target}: {str(error).rstrip('.')}.",
            hint="Choose another folder or disk.",
            path=target,
        ) from error
