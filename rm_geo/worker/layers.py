"""Description of result files for a program that shows them: provenance, classes with colours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

_NAME_COLUMNS: Final = ("class", "cell", "servers", "change")
"""Columns that name the class of a polygon; the first that a layer has is taken."""


def raster_tags(path: Path) -> dict[str, str]:
    """Read the provenance tags of a raster.

    Parameters
    ----------
    path : Path
        A GeoTIFF.

    Returns
    -------
    dict of str to str
    """
    import rasterio

    with rasterio.open(path) as dataset:
        return {key: value for key, value in dataset.tags().items() if key.islower()}


def describe_raster(path: Path, kind: str, cell: str = "") -> dict[str, Any]:
    """Describe a raster.

    Parameters
    ----------
    path : Path
        A GeoTIFF.
    kind : str
        Quantity that it shows, such as ``rsrp``.
    cell : str
        Name of the cell; may be empty.

    Returns
    -------
    dict
        ``file``, ``kind``, ``cell``, ``tags`` and ``classes``: of a raster with a colour table
        the ``value``, ``name``, ``colour`` (``#rrggbb``) and ``area_m2`` of each class that
        occurs, otherwise an empty list.
    """
    return {
        "file": path.name,
        "kind": kind,
        "cell": cell,
        "tags": raster_tags(path),
        "classes": _raster_classes(path),
    }


def describe_features(path: Path, kind: str) -> dict[str, Any]:
    """Describe a vector file of one layer.

    Parameters
    ----------
    path : Path
        A GeoPackage.
    kind : str
        What it shows, such as ``holes``.

    Returns
    -------
    dict
        ``file``, ``kind``, ``cell`` (empty), ``tags`` (empty), ``features`` (their number) and
        ``classes``: of polygons with columns ``value`` and ``colour``, as of
        :func:`describe_raster`, otherwise an empty list.
    """
    from rm_geo.io.ogr import pyogrio

    info = pyogrio.read_info(path)
    columns = [str(name) for name in info["fields"]]
    return {
        "file": path.name,
        "kind": kind,
        "cell": "",
        "tags": {},
        "features": int(info["features"]),
        "classes": _feature_classes(path) if {"value", "colour"} <= set(columns) else [],
    }


def _raster_classes(path: Path) -> list[dict[str, Any]]:
    """List the classes of a raster with a colour table that occur in it, with their areas."""
    import rasterio
    from rasterio.enums import ColorInterp

    from rm_geo.products.layer_style import style_of

    with rasterio.open(path) as dataset:
        if dataset.colorinterp[0] != ColorInterp.palette:
            return []
        largest = np.iinfo(dataset.dtypes[0]).max
        pixels = np.zeros(largest + 1, dtype=np.int64)
        for _, window in dataset.block_windows(1):
            found = dataset.read(1, window=window)
            pixels += np.bincount(found.ravel(), minlength=largest + 1)
        nodata, pixel_m2 = dataset.nodata, abs(dataset.res[0] * dataset.res[1])
    return [
        _class(value, name, colour, pixels[value] * pixel_m2)
        for value, (colour, name) in style_of(path).classes.items()
        if pixels[value] and value != nodata
    ]


def _feature_classes(path: Path) -> list[dict[str, Any]]:
    """List the classes of the polygons of a file, with their areas."""
    from rm_geo.io.ogr import pyogrio

    table = pyogrio.raw.read(path, read_geometry=False)
    columns: Mapping[str, Any] = dict(zip(table[0]["fields"], table[3], strict=True))
    named = next((columns[name] for name in _NAME_COLUMNS if name in columns), columns["value"])
    areas = columns.get("area_m2", [None] * len(named))
    return [
        _class(*one) for one in zip(columns["value"], named, columns["colour"], areas, strict=True)
    ]


def _class(value: Any, name: Any, colour: Any, area_m2: Any) -> dict[str, Any]:  # noqa: ANN401
    """Describe a class as JSON."""
    return {
        "value": int(value),
        "name": str(name),
        "colour": str(colour),
        "area_m2": None if area_m2 is None else float(area_m2),
    }
