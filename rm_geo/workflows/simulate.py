"""Simulation of radio maps of sites among buildings, by the dominant path model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rm_geo._util.atomic import prepare_output_folder
from rm_geo.buildings.reader import Buildings
from rm_geo.errors import InputError
from rm_geo.grid import CrsLike, Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.provenance import describe_software, describe_values
from rm_geo.measurements.cell_names import safe_file_names
from rm_geo.progress import Progress, SilentProgress
from rm_geo.propagation import Antenna, DominantPathModel, Scene, SectorPattern
from rm_geo.raster.tile_limit import check_area
from rm_geo.sites.site import DEFAULT_FREQUENCY_MHZ, Site
from rm_geo.sites.table import read_sites


@dataclass(frozen=True)
class SimulatedMap:
    """A map that was written.

    Attributes
    ----------
    site : str
        File name of the site.
    path : Path
        The raster.
    quantity : str
        ``rsrp`` in dBm, or ``gain`` in dB.
    grid : Grid
        Geometry of the raster.
    """

    site: str
    path: Path
    quantity: str
    grid: Grid


def simulate(
    buildings: Buildings,
    sites: str | os.PathLike[str] | Sequence[Site],
    output_dir: str | os.PathLike[str],
    *,
    sites_crs: CrsLike | None = None,
    resolution_m: float = 1.0,
    margin_m: float = 50.0,
    eirp_dbm: float | None = None,
    frequency_mhz: float | None = None,
    max_tiles: int = 1000,
    origin: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> list[SimulatedMap]:
    """Simulate the radio map of each site and write it as a GeoTIFF.

    Parameters
    ----------
    buildings : Buildings
        Buildings, as of :func:`rm_geo.buildings.reader.read_buildings`.
    sites : path-like or sequence of Site
        A site table, or sites in the CRS of the buildings.
    output_dir : path-like
        Folder for ``<site>_rsrp.tif`` (dBm) where the EIRP is known, else ``<site>_gain.tif``
        (dB).
    sites_crs : CRS, optional
        CRS of a site table without one.
    resolution_m : float
        Side of a pixel in metres.
    margin_m : float
        Margin around the buildings and sites, in metres.
    eirp_dbm : float, optional
        EIRP per resource element in dBm, for sites without one.
    frequency_mhz : float, optional
        Carrier frequency of all sites in MHz; overrides the table.
    max_tiles : int
        Largest area in tiles of 256 pixels.
    origin : mapping of str to str, optional
        Tags about the origin of buildings and sites, in place of the names of their files.
    progress : Progress, optional
        Receives the progress.

    Returns
    -------
    list of SimulatedMap
        In the order of the sites.

    Raises
    ------
    RmGeoError
        If a file cannot be used or written, or the area is too large.

    Examples
    --------
    >>> from rm_geo.buildings.reader import read_buildings
    >>> buildings = read_buildings("buildings.gpkg")  # doctest: +SKIP
    >>> simulate(buildings, "sites.csv", "maps")  # doctest: +SKIP
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
    written = []
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
                "crs": grid.crs.to_string(),
                "x": round(site.x, 2),
                "y": round(site.y, 2),
                "antenna_height_m": site.height_m,
                "azimuth_deg": site.azimuth_deg,
                "downtilt_deg": None if site.azimuth_deg is None else site.downtilt_deg,
                "beamwidth_deg": None if site.azimuth_deg is None else site.beamwidth_deg,
                "eirp_dbm": eirp,
                "units": "dB" if eirp is None else "dBm",
            }
        )
        tags |= origin or {}
        description = "path gain" if eirp is None else "RSRP"
        write_raster(
            path, values, grid, unit=tags["units"], tags=tags, band_descriptions=[description]
        )
        written.append(SimulatedMap(name, path, quantity, grid))
        listener.advance()
    listener.finish()
    return written


def _grid_around(
    buildings: Buildings, table: Sequence[Site], resolution_m: float, margin_m: float
) -> Grid:
    """Create a grid that covers the buildings and the sites."""
    west, south, east, north = buildings.bounds
    xs = [west, east, *(site.x for site in table)]
    ys = [south, north, *(site.y for site in table)]
    return Grid.covering(xs, ys, buildings.crs, spacing_m=resolution_m, margin_m=margin_m)


def _names(table: Sequence[Site]) -> list[str]:
    """Choose distinct file names of the sites: the cell, or the number of the row."""
    labels: list[str] = []
    for number, site in enumerate(table, start=1):
        label = site.cell or f"site_{number}"
        labels.append(label if label not in labels else f"{label}_{number}")
    names = safe_file_names(labels)
    return [names[label] for label in labels]


def antenna_of(site: Site, grid: Grid, frequency_mhz: float | None = None) -> Antenna:
    """Convert a site to an antenna in the scene of a grid.

    Parameters
    ----------
    site : Site
        A site in the CRS of the grid.
    grid : Grid
        Area of the scene.
    frequency_mhz : float, optional
        Carrier frequency in MHz; overrides that of the site.

    Returns
    -------
    Antenna
        With coordinates in metres from the upper left corner of the grid.

    Examples
    --------
    >>> from pyproj import CRS
    >>> grid = Grid.create(500_000.0, 5_400_000.0, (100, 100), 1.0, CRS.from_epsg(32633))
    >>> antenna = antenna_of(Site(500_010.0, 5_399_980.0, height_m=30.0), grid)
    >>> antenna.x_m, antenna.y_m, antenna.height_m
    (10.0, 20.0, 30.0)
    """
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


def _carrier_mhz(site: Site, wanted_mhz: float | None) -> float:
    """Carrier frequency of the simulation: the option, that of the site, or the default."""
    return wanted_mhz or site.frequency_mhz or DEFAULT_FREQUENCY_MHZ


def _peak_gain_dbi(site: Site) -> float:
    """Antenna gain in dBi that the EIRP includes."""
    return 0.0 if site.azimuth_deg is None else SectorPattern().max_gain_dbi
