"""Sector wedges: the sites of cells as polygons in the direction of their beams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import shapely
from pyproj import CRS
from scipy.spatial import cKDTree

from rm_geo.io.features import FeatureTable
from rm_geo.planning.best_server import server_colours
from rm_geo.planning.product import PlanContext, Product, ProductResult
from rm_geo.sites.site import Site

SECTORS_FILE: Final = "sectors.gpkg"

_STEP_DEG: Final = 5.0
_DEFAULT_RADIUS_M: Final = 100.0
_RADIUS_RANGE_M: Final = (15.0, 500.0)
_SAME_SITE_M: Final = 5.0


def sector_wedge(site: Site, radius_m: float) -> shapely.Polygon:
    """Draw the wedge of a cell.

    Parameters
    ----------
    site : Site
        Its position, azimuth and beam width.
    radius_m : float
        Radius of the wedge.

    Returns
    -------
    shapely.Polygon
        A wedge as wide as the beam at half power around the azimuth, clockwise from grid north;
        a circle for an antenna without an azimuth, or with a beam of 360 degrees.

    Examples
    --------
    >>> wedge = sector_wedge(Site(0.0, 0.0, azimuth_deg=90.0, beamwidth_deg=60.0), 10.0)
    >>> wedge.contains(shapely.Point(5, 0)), wedge.contains(shapely.Point(0, 5))
    (True, False)
    """
    width = site.beamwidth_deg
    if site.azimuth_deg is None or width >= 360.0:
        angles = np.arange(0.0, 360.0, _STEP_DEG)
    else:
        steps = max(2, int(np.ceil(width / _STEP_DEG)) + 1)
        angles = site.azimuth_deg + np.linspace(-0.5 * width, 0.5 * width, steps)
    x = site.x + radius_m * np.sin(np.radians(angles))
    y = site.y + radius_m * np.cos(np.radians(angles))
    arc = np.column_stack([x, y])
    if site.azimuth_deg is None or width >= 360.0:
        return shapely.Polygon(arc)
    return shapely.Polygon(np.vstack([[site.x, site.y], arc]))


def wedge_radius_m(sites: Sequence[Site]) -> float:
    """Choose a radius with which the wedges of neighbouring sites do not touch.

    Parameters
    ----------
    sites : sequence of Site
        All sites.

    Returns
    -------
    float
        A third of the median distance to the next site, within 15 to 500 m; 100 m for one site.

    Examples
    --------
    >>> wedge_radius_m([Site(0.0, 0.0), Site(0.0, 0.0, azimuth_deg=120.0), Site(600.0, 0.0)])
    200.0
    """
    xy = np.array([(site.x, site.y) for site in sites], dtype=np.float64).reshape(-1, 2)
    places = np.unique(np.round(xy / _SAME_SITE_M), axis=0) * _SAME_SITE_M
    if len(places) < 2:
        return _DEFAULT_RADIUS_M
    away, _ = cKDTree(places).query(places, k=2)
    return float(np.clip(np.median(away[:, 1]) / 3.0, *_RADIUS_RANGE_M))


def sector_wedges(
    sites: Sequence[Site],
    crs: CRS,
    *,
    names: Sequence[str] | None = None,
    values: Sequence[int] | None = None,
    radius_m: float | None = None,
    metadata: Mapping[str, str] | None = None,
) -> FeatureTable:
    """Draw the wedges of a site table.

    Parameters
    ----------
    sites : sequence of Site
        One for each cell.
    crs : pyproj.CRS
        CRS of their positions.
    names : sequence of str, optional
        Names of the cells; those of the site table if not given.
    values : sequence of int, optional
        Numbers of the cells in rasters and polygons of servers, which share their colours with
        the wedges; counted from 1 if not given.
    radius_m : float, optional
        Radius; :func:`wedge_radius_m` if not given.
    metadata : mapping of str to str, optional
        Provenance.

    Returns
    -------
    FeatureTable
        Layer ``sectors`` with ``value``, ``cell``, ``azimuth_deg``, ``beamwidth_deg``,
        ``height_m``, ``frequency_mhz``, ``position_uncertainty_m`` and ``colour``.

    Examples
    --------
    >>> sites = [Site(0.0, 0.0, azimuth_deg=0.0, cell="40"), Site(300.0, 0.0, cell="41")]
    >>> table = sector_wedges(sites, CRS(32633))
    >>> table.columns["cell"].tolist(), table.columns["azimuth_deg"].tolist()
    (['40', '41'], [0.0, nan])
    """
    radius = wedge_radius_m(sites) if radius_m is None else radius_m
    numbers = list(range(1, len(sites) + 1)) if values is None else list(values)
    colours = server_colours(max(numbers, default=0))
    wedges = np.empty(len(sites), dtype=object)
    wedges[:] = [sector_wedge(site, radius) for site in sites]
    called = [site.cell or "" for site in sites] if names is None else list(names)

    def known(values: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    return FeatureTable(
        "sectors",
        wedges,
        {
            "value": np.array(numbers, dtype=np.int32),
            "cell": np.array(called, dtype=object),
            "azimuth_deg": known([site.azimuth_deg for site in sites]),
            "beamwidth_deg": known(
                [None if site.azimuth_deg is None else site.beamwidth_deg for site in sites]
            ),
            "height_m": known([site.height_m for site in sites]),
            "frequency_mhz": known([site.frequency_mhz for site in sites]),
            "position_uncertainty_m": known([site.uncertainty_m for site in sites]),
            "colour": np.array(
                ["#{:02x}{:02x}{:02x}".format(*colours[number]) for number in numbers],
                dtype=object,
            ),
        },
        crs,
        "Polygon",
        metadata or {},
    )


def _derive(context: PlanContext) -> ProductResult:
    """Draw the wedges of the cells of a plan."""
    known = [
        (number, cell.name, cell.site)
        for number, cell in enumerate(context.maps.cells, start=1)
        if cell.site is not None
    ]
    table = sector_wedges(
        [site for _, _, site in known],
        context.grid.crs,
        names=[name for _, name, _ in known],
        values=[number for number, _, _ in known],
        radius_m=context.settings.sectors.radius_m,
        metadata=context.metadata,
    )
    directed = sum(site.azimuth_deg is not None for _, _, site in known)
    return ProductResult(
        {"cells": len(known), "with_azimuth": directed}, features={SECTORS_FILE: [table]}
    )


def _refusal(context: PlanContext) -> str | None:
    """Refuse maps of which no site is known."""
    if all(cell.site is None for cell in context.maps.cells):
        return "the site of no cell is known; give a site table (`sites`)."
    return None


PRODUCTS: Final = (
    Product(
        "sectors",
        "Wedges of the cells in the direction of their beams.",
        "A wedge at the site of each cell around its azimuth, as wide as the beam at half power; a "
        "circle where the azimuth is unknown. The colour is that of the cell in `best_server`.",
        (SECTORS_FILE,),
        refusal=_refusal,
        derive=_derive,
    ),
)
"""Products of this module."""
