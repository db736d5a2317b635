"""Radio maps of known sites among known buildings, by the dominant path model."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import CRS
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from rm_geo._util.atomic import prepare_output_folder
from rm_geo.errors import CrsError, InputError, UsageError
from rm_geo.estimators.base import FloatArray
from rm_geo.grid import CrsLike, Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.crs import CoordinateStats, parse_crs
from rm_geo.io.crs_choice import CrsChoice
from rm_geo.io.provenance import describe_software, describe_values
from rm_geo.measurements.cell_names import safe_file_names
from rm_geo.progress import Progress, SilentProgress
from rm_geo.propagation import Antenna, DominantPathModel, Scene, SectorPattern
from rm_geo.raster.tile_limit import check_area
from rm_geo.sites.table import read_sites
from rm_geo.sites.transmitter import DEFAULT_FREQUENCY_MHZ, Transmitter

DEFAULT_HEIGHT_COLUMNS = ("height", "height_m", "building_height", "HEIGHT", "Height", "hoehe")


@dataclass(frozen=True)
class Buildings:
    """Building footprints with heights.

    Attributes
    ----------
    polygons : tuple of shapely geometries
        In ``crs``.
    heights_m : ndarray of float32, shape (N,)
        Heights over ground.
    crs : pyproj.CRS
        A projected CRS with metres.
    source : Path
        The file.
    """

    polygons: tuple[BaseGeometry, ...]
    heights_m: FloatArray
    crs: CRS
    source: Path

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in metres."""
        boxes = np.array([polygon.bounds for polygon in self.polygons])
        west, south = boxes[:, :2].min(axis=0)
        east, north = boxes[:, 2:].max(axis=0)
        return float(west), float(south), float(east), float(north)


@dataclass(frozen=True)
class SimulatedMap:
    """One map that was written: its site, its file, and whether it is a level or a gain."""

    site: str
    path: Path
    quantity: str
    grid: Grid


def read_buildings(
    path: str | os.PathLike[str],
    *,
    layer: str | None = None,
    height_column: str | None = None,
    default_height_m: float = 25.0,
    crs: CrsLike | None = None,
    near: Grid | None = None,
    progress: Progress | None = None,
) -> Buildings:
    """Read building polygons and bring them to metres.

    Parameters
    ----------
    path : path-like
        Any layer of polygons that OGR reads.
    layer : str, optional
        Which layer, where there are several.
    height_column : str, optional
        Heights in metres; a column named ``height`` or the like if not given.
    default_height_m : float
        Height of buildings without one.
    crs : CRS, optional
        Where the file does not state one: its own is kept, with a warning if they differ.
    near : Grid, optional
        Only what reaches into its bounds is read: a country's buildings need not fit in memory.
    progress : Progress, optional
        Told of the warning.

    Raises
    ------
    InputError
        If the file cannot be read or holds no polygons.
    CrsError
        If there is no CRS.
    UsageError
        If the column that was named is not there.
    """
    import geopandas
    import pyogrio

    source = Path(path)
    if not source.exists():
        raise InputError(f"There is no file {source}.")
    wanted: dict[str, Any] = {} if layer is None else {"layer": layer}
    _require_one_layer(source, layer)
    try:
        if near is not None and pyogrio.read_info(source, **wanted)["crs"] is not None:
            wanted["bbox"] = geopandas.GeoSeries([box(*near.bounds)], crs=near.crs)
        frame = geopandas.read_file(source, **wanted)
    except Exception as error:  # pyogrio and GDAL raise several unrelated types
        raise InputError(
            f"{source} cannot be read as a layer of buildings: {str(error).splitlines()[0]}.",
            hint="Give a GeoPackage, GeoJSON, FlatGeobuf or shapefile of polygons.",
        ) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(f"{source} has no geometry.", hint="Buildings must be polygons.")
    if near is not None and frame.crs is None:  # --crs is that of the measurements there
        raise CrsError(f"{source} has no CRS.", hint="Set it in the file (ogr2ogr -a_srs).")
    own = None if frame.crs is None else CRS.from_user_input(frame.crs)
    stated = CrsChoice.of(own, None if crs is None else parse_crs(crs), str(source))
    if near is not None and frame.empty:
        raise InputError(
            f"{source} has no building where the map is.",
            hint="Check its CRS; leave the buildings out where there are none.",
        )
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    frame = frame[frame.geometry.geom_type.isin(["Polygon", "MultiPolygon"])]
    if frame.empty:
        raise InputError(f"{source} holds no polygons.", hint="Buildings must be polygons.")
    west, south, east, north = frame.total_bounds
    look = CoordinateStats.at(np.array([west, east]), np.array([south, north]))
    stated = stated.confirmed(look, str(source))
    if stated.warning and progress is not None:
        progress.log(f"Warning: {stated.warning}")
    frame = frame.set_crs(stated.crs, allow_override=True)
    if frame.crs.is_geographic or not all(a.unit_name == "metre" for a in frame.crs.axis_info[:2]):
        frame = frame.to_crs(frame.estimate_utm_crs())
    heights = _heights(frame, height_column, default_height_m, source)
    return Buildings(
        tuple(frame.geometry.make_valid()), heights, CRS.from_user_input(frame.crs), source
    )


def _require_one_layer(source: Path, layer: str | None) -> None:
    """Refuse a layer that is not there, and a choice among several that nobody made."""
    import pyogrio

    try:
        names = [str(name) for name in pyogrio.list_layers(source)[:, 0]]
    except Exception:
        return
    if layer is not None and layer not in names:
        raise InputError(
            f"{source} has no layer {layer!r}.", hint=f"It has {', '.join(names) or 'none'}."
        )
    if layer is None and len(names) > 1:
        raise InputError(
            f"{source} has {len(names)} layers: {', '.join(names)}.",
            hint="Say which holds the buildings (--buildings-layer, or --layer of 'simulate').",
        )


def simulate(
    buildings: Buildings,
    sites: str | os.PathLike[str] | Sequence[Transmitter],
    output_dir: str | os.PathLike[str],
    *,
    sites_crs: CrsLike | None = None,
    resolution_m: float = 1.0,
    margin_m: float = 50.0,
    eirp_dbm: float | None = None,
    frequency_mhz: float | None = None,
    max_tiles: int = 1000,
    progress: Progress | None = None,
) -> list[SimulatedMap]:
    """Simulate the radio map of each site and write it as a GeoTIFF.

    Parameters
    ----------
    buildings : Buildings
        See :func:`read_buildings`.
    sites : path-like or sequence of Transmitter
        A site table, or transmitters in the CRS of the buildings.
    output_dir : path-like
        Gets ``<site>_rsrp.tif`` (dBm) where the EIRP is known, else ``<site>_gain.tif`` (dB).
    sites_crs : CRS, optional
        CRS of a site table that states none.
    resolution_m : float
        Side of a pixel.
    margin_m : float
        Ground around the buildings and sites.
    eirp_dbm : float, optional
        EIRP per resource element of sites without one.
    frequency_mhz : float, optional
        Carrier of all sites, whatever the table says.
    max_tiles : int
        An area that would need more tiles of 256 pixels is refused.
    progress : Progress, optional
        Told of every site.

    Raises
    ------
    RmGeoError
        If a file cannot be used or written, or the area is too large.
    """
    listener = SilentProgress() if progress is None else progress
    table = (
        read_sites(sites, target_crs=buildings.crs, crs=sites_crs, progress=listener)
        if isinstance(sites, (str, os.PathLike))
        else list(sites)
    )
    if not table:
        raise InputError("The site table is empty.", hint="It needs one row for each site.")
    grid = _grid_around(buildings, table, resolution_m, margin_m)
    check_area(grid, max_tiles=max_tiles)
    folder = prepare_output_folder(output_dir)
    scene = Scene.from_polygons(
        buildings.polygons,
        buildings.heights_m.tolist(),
        origin=(grid.bounds[0], grid.bounds[3]),
        shape=grid.shape,
        spacing_m=resolution_m,
    )
    model = DominantPathModel()
    made = []
    listener.start(len(table), "sites", "Simulating")
    for name, site in zip(_names(table), table, strict=True):
        listener.check()
        gain_db = model.path_gain(scene, antenna_of(site, grid, frequency_mhz))
        gain_db[scene.indoor] = np.nan
        eirp = eirp_dbm if site.eirp_dbm is None else site.eirp_dbm
        quantity = "gain" if eirp is None else "rsrp"
        values = gain_db if eirp is None else gain_db + np.float32(eirp - _peak_gain_dbi(site))
        path = folder / f"{name}_{quantity}.tif"
        tags = describe_software() | describe_values(
            {
                "method": "dominant path model",
                "site": name,
                "buildings": buildings.source.name,
                "frequency_mhz": _carrier_mhz(site, frequency_mhz),
                "antenna_height_m": site.height_m,
                "eirp_dbm": eirp,
                "units": "dB" if eirp is None else "dBm",
            }
        )
        description = "path gain" if eirp is None else "RSRP"
        write_raster(
            path, values, grid, unit=tags["units"], tags=tags, band_descriptions=[description]
        )
        made.append(SimulatedMap(name, path, quantity, grid))
        listener.advance()
    listener.finish()
    return made


def _grid_around(
    buildings: Buildings, table: Sequence[Transmitter], resolution_m: float, margin_m: float
) -> Grid:
    """Cover the buildings and the sites."""
    west, south, east, north = buildings.bounds
    xs = [west, east, *(site.x for site in table)]
    ys = [south, north, *(site.y for site in table)]
    return Grid.covering(xs, ys, buildings.crs, spacing_m=resolution_m, margin_m=margin_m)


def _names(table: Sequence[Transmitter]) -> list[str]:
    """Name the files of the sites: the cell, or the number of the row; never two alike."""
    labels: list[str] = []
    for number, site in enumerate(table, start=1):
        label = site.cell or f"site_{number}"
        labels.append(label if label not in labels else f"{label}_{number}")
    names = safe_file_names(labels)
    return [names[label] for label in labels]


def antenna_of(site: Transmitter, grid: Grid, frequency_mhz: float | None = None) -> Antenna:
    """Place a site's antenna in the scene that a grid covers."""
    west, _, _, north = grid.bounds
    pattern = None
    if site.azimuth_deg is not None:
        pattern = SectorPattern(
            azimuth_deg=site.azimuth_deg,
            downtilt_deg=site.downtilt_deg,
            horizontal_beamwidth_deg=site.beamwidth_deg,
        )
    return Antenna(
        float(site.x - west),
        float(north - site.y),
        height_m=site.height_m,
        frequency_hz=1e6 * _carrier_mhz(site, frequency_mhz),
        pattern=pattern,
    )


def _carrier_mhz(site: Transmitter, wanted_mhz: float | None) -> float:
    """Carrier that is simulated: the one asked for, the site's, or the usual one."""
    return wanted_mhz or site.frequency_mhz or DEFAULT_FREQUENCY_MHZ


def _peak_gain_dbi(site: Transmitter) -> float:
    """Gain that an EIRP contains already."""
    return 0.0 if site.azimuth_deg is None else SectorPattern().max_gain_dbi


def _heights(
    frame: Mapping[str, Sequence[object]], column: str | None, default_m: float, source: Path
) -> FloatArray:
    """Read heights from a column; the default where there is none."""
    import pandas

    if column is not None and column not in frame:
        raise UsageError(f"{source} has no column {column!r}.", hint="See --height-column.")
    found = column or next((name for name in DEFAULT_HEIGHT_COLUMNS if name in frame), None)
    if not (default_m > 0.0 and math.isfinite(default_m)):
        raise UsageError("The height of buildings must be above 0 m.")
    if found is None:
        return np.full(len(frame[next(iter(frame))]), default_m, dtype=np.float32)
    values = pandas.to_numeric(pandas.Series(list(frame[found])), errors="coerce").to_numpy(float)
    usable = np.isfinite(values) & (values > 0.0)
    return np.where(usable, values, default_m).astype(np.float32)
