"""Source of the transmitter: the site table, else a certain estimate, else none."""

import math
from dataclasses import replace

import numpy as np
import pytest
from pyproj import CRS, Transformer

from rm_geo.errors import InputError
from rm_geo.measurements.cell_summary import CellSummary
from rm_geo.measurements.identity import CellIdentity
from rm_geo.measurements.model import Measurements
from rm_geo.sites import selection
from rm_geo.sites.selection import choose_site
from rm_geo.sites.site import Site, free_space_loss_1m_db, match_site, measured_carrier_mhz


@pytest.fixture
def points():
    """Free space around a site at (0, 0), with an intercept of -30 dBm."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-300, 300, (2, 400))
    level = -30.0 - 20.0 * np.log10(np.sqrt(x**2 + y**2 + 25.0**2))
    return Measurements(
        x=x,
        y=y,
        rsrp_dbm=level.astype(np.float32),
        cell=np.array(["7"] * 400, dtype=object),
        crs=CRS.from_epsg(32633),
    )


def with_estimate(monkeypatch, guess):
    monkeypatch.setattr(selection, "estimate_position", lambda measurements: guess)


def test_the_site_table_is_used(points):
    site = Site(x=0.0, y=0.0, cell="7", frequency_mhz=3500.0, height_m=25.0)
    choice = choose_site(points, [site], frequency_mhz=700.0)
    assert choice.origin == "site table"
    assert choice.facts.transmitter_xy == (0.0, 0.0)
    assert choice.facts.frequency_mhz == 3500.0
    assert choice.warnings == ()


def test_without_an_eirp_the_intercept_is_the_free_space_envelope(points):
    choice = choose_site(points, [Site(x=0.0, y=0.0, cell="7")])
    assert choice.intercept_origin == "free-space envelope"
    assert choice.facts.intercept_dbm == pytest.approx(-30.0, abs=1.0)


def test_an_eirp_gives_the_intercept_exactly(points):
    site = Site(x=0.0, y=0.0, cell="7", eirp_dbm=18.0, frequency_mhz=2600.0)
    choice = choose_site(points, [site], eirp_dbm=99.0)
    assert choice.intercept_origin == "eirp"
    assert choice.facts.intercept_dbm == pytest.approx(18.0 - free_space_loss_1m_db(2600.0))
    given = choose_site(points, [Site(x=0.0, y=0.0, cell="7")], eirp_dbm=18.0)
    assert given.intercept_origin == "eirp"


MEASURED_MHZ = 1815.0  # of EARFCN 1300


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    ("table_mhz", "earfcn", "option_mhz", "expected"),
    [
        (3500.0, 1300.0, 700.0, 3500.0),
        (None, 1300.0, 700.0, MEASURED_MHZ),
        (None, math.nan, 700.0, 700.0),
        (None, math.nan, None, 2000.0),
    ],
)
def test_the_carrier_is_the_tables_the_measurements_the_options_or_the_usual_one(
    points, table_mhz, earfcn, option_mhz, expected, listed
):
    """So is the level at 1 m that an EIRP gives."""
    heard = replace(points, earfcn=np.full(len(points), earfcn))
    sites = [Site(x=0.0, y=0.0, cell="7", frequency_mhz=table_mhz)] if listed else None
    if not listed and table_mhz is not None:
        expected = MEASURED_MHZ
    choice = choose_site(heard, sites, eirp_dbm=18.0, frequency_mhz=option_mhz)
    assert choice.origin == ("site table" if listed else "estimated")
    assert choice.facts.frequency_mhz == expected
    assert choice.facts.intercept_dbm == pytest.approx(18.0 - free_space_loss_1m_db(expected))
    assert choice.tags["frequency_mhz"] == f"{expected:g}"
    assert (choice.tags.get("frequency") == "assumed") == (expected == 2000.0)


def test_a_certain_estimate_is_used_with_a_warning(points, monkeypatch):
    with_estimate(monkeypatch, Site(x=3.0, y=4.0, uncertainty_m=12.0))
    choice = choose_site(points, None)
    assert choice.origin == "estimated"
    assert choice.uncertainty_m == choice.facts.uncertainty_m == 12.0
    assert "12 m" in choice.warnings[-1]
    assert math.isfinite(choice.facts.intercept_dbm)


@pytest.mark.parametrize("guess", [None, Site(x=3.0, y=4.0, uncertainty_m=300.0)])
def test_an_uncertain_estimate_is_as_good_as_none(points, monkeypatch, guess):
    with_estimate(monkeypatch, guess)
    choice = choose_site(points, None, frequency_mhz=700.0)
    assert choice.origin == choice.intercept_origin == "unknown"
    assert choice.facts.transmitter_xy is None
    assert math.isnan(choice.facts.intercept_dbm)
    assert choice.facts.frequency_mhz == 700.0
    assert "unknown" in choice.warnings[-1]
    assert "intercept_dbm" not in choice.tags


def test_a_table_without_the_cell_is_mentioned(points, monkeypatch):
    with_estimate(monkeypatch, None)
    choice = choose_site(points, [Site(x=0.0, y=0.0, cell="8")])
    assert choice.origin == "unknown"
    assert "does not name it" in choice.warnings[0]


def test_a_site_too_far_away_is_refused(points):
    with pytest.raises(InputError, match="150 km from its measurements"):
        choose_site(points, [Site(x=150_000.0, y=0.0, cell="7")])


def test_a_site_further_than_usual_is_doubtful(points):
    choice = choose_site(points, [Site(x=40_000.0, y=0.0, cell="7")])
    assert choice.origin == "site table"
    assert any("40 km" in text for text in choice.warnings)


def test_exchanged_coordinates_are_named(points):
    berlin = Transformer.from_crs(4326, 32639, always_xy=True)
    x, y = berlin.transform(52.52, 13.405)  # latitude and longitude exchanged
    swapped = replace(points, x=points.x + x, y=points.y + y, crs=CRS.from_epsg(32639))
    site = Site(*berlin.transform(13.405, 52.52), cell="7")
    with pytest.raises(InputError, match="latitude of the measurements exchanged they would be"):
        choose_site(swapped, [site])


@pytest.mark.parametrize(("channel", "eirp"), [(1300, 15.0), (6300, 30.0)])
def test_each_carrier_takes_its_own_row(points, channel, eirp):
    heard = replace(points, earfcn=np.full(len(points), float(channel)))
    sites = [
        Site(x=0.0, y=0.0, cell="7", frequency_mhz=806.0, eirp_dbm=30.0),
        Site(x=0.0, y=0.0, cell="7", frequency_mhz=1815.0, eirp_dbm=15.0),
    ]
    summary = CellSummary.of(heard)
    assert match_site(sites, summary, measured_carrier_mhz(summary)).eirp_dbm == eirp


def test_a_carrier_that_the_table_lacks_falls_back_to_the_cell(points):
    heard = replace(points, earfcn=np.full(len(points), 3000.0))
    other = Site(x=0.0, y=0.0, cell="7", frequency_mhz=806.0)
    summary = CellSummary.of(heard)
    assert match_site([other], summary, measured_carrier_mhz(summary)) == other


@pytest.mark.parametrize("cell", ["7", "007"])
def test_a_number_is_compared_as_a_number(points, cell):
    assert match_site([Site(x=0.0, y=0.0, cell=cell)], CellSummary.of(points)) is not None


def test_a_split_cell_is_found_by_its_identity(points):
    name = "7_earfcn1300"
    split = replace(
        points,
        cell=np.array([name] * len(points), dtype=object),
        identities=(CellIdentity(name, (name, "7"), carrier="earfcn1300", channel=1300.0),),
    )
    assert match_site([Site(x=0.0, y=0.0, cell="7")], CellSummary.of(split)) is not None
