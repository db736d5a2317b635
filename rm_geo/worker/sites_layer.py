"""Sites as a layer of points with the fields that rm_geo understands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from rm_geo.progress import Progress
from rm_geo.worker.layers import describe_features

_FIELDS: Final = (
    "cell",
    "height_m",
    "azimuth_deg",
    "downtilt_deg",
    "beamwidth_deg",
    "eirp_dbm",
    "frequency_mhz",
)

_WEB_MERCATOR: Final = 3857  # a CRS in metres of the whole world, true to angles


def write_sites_layer(
    table: str | os.PathLike[str], target: Path, crs: str | None, progress: Progress
) -> dict[str, Any]:
    """Write the sites of a table as points in Web Mercator, as they are understood.

    Parameters
    ----------
    table : path-like
        Site table, as of :func:`rm_geo.sites.table.read_sites`.
    target : Path
        The GeoPackage to write.
    crs : str, optional
        CRS of a table that does not state one.
    progress : Progress
        Receives warnings about the CRS.

    Returns
    -------
    dict
        As of :func:`rm_geo.worker.layers.describe_features`, with the kind ``sites``.

    Raises
    ------
    RmGeoError
        If the table cannot be read, or the file cannot be written.
    """
    import shapely
    from pyproj import CRS

    from rm_geo.io.features import FeatureTable, write_features
    from rm_geo.sites.table import read_sites

    mercator = CRS.from_epsg(_WEB_MERCATOR)
    found = read_sites(table, target_crs=mercator, crs=crs, progress=progress)
    points = np.asarray(shapely.points([(site.x, site.y) for site in found]), dtype=object)
    fields = {
        name: np.array([getattr(site, name) or "" for site in found], dtype=object)
        if name == "cell"
        else np.array([_number(getattr(site, name)) for site in found])
        for name in _FIELDS
    }
    write_features(target, [FeatureTable("sites", points, fields, mercator, "Point")])
    return describe_features(target, "sites")


def _number(value: float | None) -> float:
    """Convert a value; NaN if it is unknown."""
    return float("nan") if value is None else value
