"""STAC items of cells, for catalogues that search by place and time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyproj import CRS, Transformer

from rm_geo._util.disk_columns import iter_blocks
from rm_geo.errors import DependencyError
from rm_geo.grid import Grid
from rm_geo.measurements.model import Measurements
from rm_geo.units import NODATA_DBM

ITEM_SUFFIX: Final = ".stac.json"

_GEOTIFF: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
_EDGE_POINTS: Final = 9  # along each side: a UTM rectangle's sides are curves in degrees

# Asset key -> (end of the file name, what it is, data type, nodata, unit).
_ASSETS: Final[Mapping[str, tuple[str, str, str, float, str | None]]] = {
    "rsrp": ("_rsrp.tif", "RSRP", "float32", NODATA_DBM, "dBm"),
    "buildings": ("_buildings.tif", "Probability of a building", "float32", NODATA_DBM, None),
    "buildings_mask": ("_buildings_mask.tif", "Building mask", "uint8", 255, None),
    "uncertainty": ("_uncertainty.tif", "Standard deviation of RSRP", "float32", NODATA_DBM, "dB"),
    "reported": ("_reported.tif", "Probability of being reported", "float32", NODATA_DBM, None),
}


@dataclass(frozen=True)
class MeasuringTime:
    """Time range of the measurements of a cell.

    Attributes
    ----------
    start, end : datetime
        First and last measurement, in UTC.
    """

    start: datetime
    end: datetime

    @classmethod
    def of(cls, measurements: Measurements, fallback: datetime | None = None) -> MeasuringTime:
        """Get the time range of measurements.

        Parameters
        ----------
        measurements : Measurements
            Measurements of one cell; times are interpreted as UTC.
        fallback : datetime, optional
            Used if no measurement has a time. Default: the modification time of the file, or
            the current time for measurements in memory. STAC requires a time.

        Returns
        -------
        MeasuringTime
        """
        times = measurements.time
        blocks = () if times is None else iter_blocks(times)
        known = (block[~np.isnat(block)] for (block,) in blocks)
        extents = [(block.min(), block.max()) for block in known if block.size]
        if extents:
            return cls(_utc(min(low for low, _ in extents)), _utc(max(high for _, high in extents)))
        written = [path.stat().st_mtime for path in measurements.sources if path.exists()]
        if fallback is None and written:
            fallback = datetime.fromtimestamp(int(max(written)), timezone.utc)
        moment = fallback or datetime.now(timezone.utc).replace(microsecond=0)
        return cls(moment, moment)


def require_pystac() -> Any:  # noqa: ANN401 - a module
    """Import pystac, or say how to install it.

    Returns
    -------
    module

    Raises
    ------
    DependencyError
        If it is not installed.
    """
    try:
        import pystac
    except ImportError as error:
        raise DependencyError(
            "STAC items need pystac, which is not installed.",
            hint='Install it with: pip install "rm-geo[stac]"',
        ) from error
    return pystac


def write_item(
    path: Path,
    cell: str,
    grid: Grid,
    files: Sequence[str],
    tags: Mapping[str, str],
    time: MeasuringTime,
) -> None:
    """Write the STAC item of a cell.

    Parameters
    ----------
    path : Path
        The JSON file to create.
    cell : str
        Identifier of the item.
    grid : Grid
        Geometry of the rasters.
    files : sequence of str
        Names of the files of the cell, in the folder of the item.
    tags : mapping of str to str
        Provenance; each becomes a property ``rm_geo:<name>``.
    time : MeasuringTime
        Time range of the measurements.

    Raises
    ------
    DependencyError
        If pystac is not installed.

    Notes
    -----
    STAC 1.1 with the projection, raster and processing extensions. Links are relative, so
    that the folder can be moved.
    """
    pystac = require_pystac()
    outline = _outline_degrees(grid)
    lons, lats = zip(*outline, strict=True)
    item = pystac.Item(
        id=cell,
        geometry={"type": "Polygon", "coordinates": [[list(point) for point in outline]]},
        bbox=[min(lons), min(lats), max(lons), max(lats)],
        datetime=time.start if time.start == time.end else None,
        start_datetime=time.start,
        end_datetime=time.end,
        properties={
            "gsd": grid.spacing_m,
            **_projection(grid),
            "processing:software": {"rm_geo": tags.get("rm_geo_version", "")},
            **{f"rm_geo:{key}": value for key, value in sorted(tags.items())},
        },
        stac_extensions=list(_EXTENSIONS),
    )
    for key, (suffix, title, dtype, nodata, unit) in _ASSETS.items():
        if (name := f"{cell}{suffix}") in files:
            band: dict[str, Any] = {
                "nodata": nodata,
                "data_type": dtype,
                "raster:spatial_resolution": grid.spacing_m,
            }
            if unit is not None:
                band["unit"] = unit
            item.add_asset(
                key,
                pystac.Asset(
                    f"./{name}",
                    title,
                    media_type=_GEOTIFF,
                    roles=["data"],
                    extra_fields={"bands": [band]},
                ),
            )
    if (name := f"{cell}_preview.png") in files:
        item.add_asset(
            "preview",
            pystac.Asset(f"./{name}", "Preview", media_type="image/png", roles=["thumbnail"]),
        )
    document = item.to_dict(include_self_link=False, transform_hrefs=False)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


_EXTENSIONS: Final = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)


def _projection(grid: Grid) -> dict[str, Any]:
    """Properties of the projection extension."""
    west, south, east, north = grid.bounds
    properties: dict[str, Any] = {
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.transform)[:6],
        "proj:bbox": [west, south, east, north],
    }
    authority = grid.crs.to_authority()
    if authority is None:
        properties["proj:code"] = None
        properties["proj:wkt2"] = grid.crs.to_wkt()
    else:
        properties["proj:code"] = ":".join(authority)
    return properties


def _outline_degrees(grid: Grid) -> list[tuple[float, float]]:
    """Give the closed outline of a grid in WGS 84, counter-clockwise."""
    west, south, east, north = grid.bounds
    along = np.linspace(0.0, 1.0, _EDGE_POINTS)[:-1]
    x = np.concatenate(
        [
            west + along * (east - west),
            np.full(along.size, east),
            east - along * (east - west),
            np.full(along.size, west),
        ]
    )
    y = np.concatenate(
        [
            np.full(along.size, south),
            south + along * (north - south),
            np.full(along.size, north),
            north - along * (north - south),
        ]
    )
    to_degrees = Transformer.from_crs(grid.crs, CRS.from_epsg(4326), always_xy=True)
    lon, lat = to_degrees.transform(x, y)
    outline = [(round(float(a), 7), round(float(b), 7)) for a, b in zip(lon, lat, strict=True)]
    return [*outline, outline[0]]


def _utc(moment: np.datetime64) -> datetime:
    """Convert a time of NumPy to one in UTC."""
    value: datetime = moment.astype("datetime64[ms]").astype(datetime)
    return value.replace(tzinfo=timezone.utc)
