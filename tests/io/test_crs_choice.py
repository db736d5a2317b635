"""Choice between the CRS that a file declares and the one that the user gives."""

import numpy as np
import pytest
from pyproj import CRS

from rm_geo.errors import CrsError
from rm_geo.io.crs import CoordinateStats
from rm_geo.io.crs_choice import CrsChoice

UTM_33, UTM_32, DEGREES = (CRS.from_epsg(code) for code in (32633, 32632, 4326))
LOCAL = CRS.from_wkt(
    'LOCAL_CS["site grid",LOCAL_DATUM["d",0],UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
)


def stats_of(x, y):
    stats = CoordinateStats()
    stats.add(np.array(x), np.array(y))
    return stats


def test_declared_crs_is_used_with_a_warning():
    choice = CrsChoice.choose(UTM_33, UTM_32, "d.gpkg")
    assert choice.crs == UTM_33
    assert all(word in choice.warning for word in ("d.gpkg", UTM_33.name, UTM_32.name, "`crs`"))
    assert choice.check(stats_of([4e5], [5.8e6]), "d.gpkg") == choice


def test_equivalent_crs_give_no_warning():
    for own, given in (
        (DEGREES, CRS.from_user_input("OGC:CRS84")),
        (CRS.from_epsg(4979), DEGREES),
        (CRS.from_wkt(UTM_33.to_wkt("WKT1_ESRI")), UTM_33),
    ):
        assert CrsChoice.choose(own, given, "d.shp").warning == ""


def test_given_crs_is_used_if_the_file_declares_none():
    assert CrsChoice.choose(None, UTM_32, "d.csv") == CrsChoice(UTM_32)
    with pytest.raises(CrsError, match="no CRS"):
        CrsChoice.choose(None, None, "d.csv")


def test_given_crs_replaces_a_local_crs():
    choice = CrsChoice.choose(LOCAL, UTM_32, "d.gpkg")
    assert choice.crs == UTM_32
    assert "site grid" in choice.warning


def test_given_crs_replaces_one_that_contradicts_the_coordinates():
    metres = stats_of([4e5], [5.8e6])
    with pytest.raises(CrsError, match="not degrees"):
        CrsChoice.choose(DEGREES, None, "d.geojson").check(metres, "d.geojson")
    taken = CrsChoice.choose(DEGREES, UTM_32, "d.geojson").check(metres, "d.geojson")
    assert taken.crs == UTM_32
    assert "not degrees" in taken.warning
