"""A CRS that a file states is kept; one that is given is for files that state none."""

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


def look_at(x, y):
    look = CoordinateStats()
    look.add(np.array(x), np.array(y))
    return look


def test_the_files_own_is_kept_and_the_difference_told():
    stated = CrsChoice.of(UTM_33, UTM_32, "d.gpkg")
    assert stated.crs == UTM_33
    assert all(word in stated.warning for word in ("d.gpkg", UTM_33.name, UTM_32.name, "--crs"))
    assert stated.confirmed(look_at([4e5], [5.8e6]), "d.gpkg") == stated


def test_the_same_crs_in_other_words_is_no_difference():
    for own, given in (
        (DEGREES, CRS.from_user_input("OGC:CRS84")),
        (CRS.from_epsg(4979), DEGREES),
        (CRS.from_wkt(UTM_33.to_wkt("WKT1_ESRI")), UTM_33),
    ):
        assert CrsChoice.of(own, given, "d.shp").warning == ""


def test_what_is_given_is_for_files_that_state_none():
    assert CrsChoice.of(None, UTM_32, "d.csv") == CrsChoice(UTM_32)
    with pytest.raises(CrsError, match="no CRS"):
        CrsChoice.of(None, None, "d.csv")


def test_what_leads_nowhere_is_no_statement():
    stated = CrsChoice.of(LOCAL, UTM_32, "d.gpkg")
    assert stated.crs == UTM_32
    assert "site grid" in stated.warning


def test_what_the_coordinates_belie_is_no_statement():
    metres = look_at([4e5], [5.8e6])
    with pytest.raises(CrsError, match="not degrees"):
        CrsChoice.of(DEGREES, None, "d.geojson").confirmed(metres, "d.geojson")
    taken = CrsChoice.of(DEGREES, UTM_32, "d.geojson").confirmed(metres, "d.geojson")
    assert taken.crs == UTM_32
    assert "not degrees" in taken.warning
