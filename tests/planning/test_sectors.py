"""Sector wedges: direction, width, area, colours shared with the servers."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from rm_geo.grid import Grid
from rm_geo.planning.best_server import server_colours
from rm_geo.planning.map_set import CellMap, RadioMapSet
from rm_geo.planning.product import PlanContext
from rm_geo.planning.sectors import PRODUCTS, sector_wedge, sector_wedges, wedge_radius_m
from rm_geo.products.radio_map import RadioMap
from rm_geo.sites.site import Site

(PRODUCT,) = PRODUCTS


@given(st.floats(0, 360), st.floats(5, 355), st.floats(-180, 180), st.floats(0.05, 0.95))
def test_a_wedge_holds_the_bearings_of_its_beam_and_no_others(azimuth, width, off, share):
    site = Site(1000.0, 2000.0, azimuth_deg=azimuth, beamwidth_deg=width)
    wedge = sector_wedge(site, 100.0)
    assert wedge.is_valid
    bearing = np.radians(azimuth + off)
    reach = 100.0 * share * np.cos(np.radians(2.5))
    point = shapely.Point(1000 + reach * np.sin(bearing), 2000 + reach * np.cos(bearing))
    if abs(off) < 0.5 * width - 1e-6:
        assert wedge.contains(point)
    elif abs(off) > 0.5 * width + 1e-6:
        assert not wedge.contains(point)


def test_area_of_a_wedge_and_of_a_circle():
    wedge = sector_wedge(Site(0.0, 0.0, azimuth_deg=30.0, beamwidth_deg=90.0), 10.0)
    assert wedge.area == pytest.approx(np.pi * 25.0, rel=0.005)
    for site in (Site(0.0, 0.0), Site(0.0, 0.0, azimuth_deg=30.0, beamwidth_deg=360.0)):
        assert sector_wedge(site, 10.0).area == pytest.approx(np.pi * 100.0, rel=0.005)
        assert sector_wedge(site, 10.0).centroid.distance(shapely.Point(0, 0)) < 1e-9


def test_radius_follows_the_distance_of_the_sites():
    row = [Site(300.0 * n, 0.0, azimuth_deg=a) for n in range(4) for a in (0.0, 120.0, 240.0)]
    assert wedge_radius_m(row) == pytest.approx(100.0)
    assert wedge_radius_m([Site(20_000.0 * n, 0.0) for n in range(3)]) == 500.0
    assert wedge_radius_m(row[:3]) == 100.0
    assert wedge_radius_m([]) == 100.0


def test_wedges_share_number_and_colour_with_the_servers():
    grid = Grid.create(500_000, 5_000_000, (4, 4), 10.0, 32633)
    maps = RadioMapSet.of(
        [
            CellMap.of(name, RadioMap(grid, np.zeros((4, 4)), site=site))
            for name, site in (
                ("a", None),
                ("b", Site(500_020.0, 4_999_980.0, azimuth_deg=45.0)),
                ("c", Site(500_020.0, 4_999_980.0)),
            )
        ]
    )
    context = PlanContext(maps)
    assert PRODUCT.refusal(context) is None
    made = PRODUCT.derive(context)
    (table,) = made.features["sectors.gpkg"]
    assert table.columns["value"].tolist() == [2, 3]
    assert table.columns["cell"].tolist() == ["b", "c"]
    colours = server_colours(3)
    assert table.columns["colour"].tolist() == [
        "#{:02x}{:02x}{:02x}".format(*colours[n]) for n in (2, 3)
    ]
    assert made.statistics == {"cells": 2, "with_azimuth": 1}
    none = RadioMapSet.of({"a": maps.cells[0].radio_map})
    assert "site table" in PRODUCT.refusal(PlanContext(none))


def test_an_empty_site_table_is_an_empty_layer():
    assert len(sector_wedges([], CRS(32633))) == 0
