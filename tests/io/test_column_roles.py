"""Columns are found by the names that drive-test tools give them, and never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm_geo.errors import InputError, UsageError
from rm_geo.io.tables import column_roles
from rm_geo.io.tables.column_roles import find_column, is_named, normalise, require_column


@given(
    words=st.lists(st.sampled_from(["lte", "SS", "Rsrp", "Serving", "cell"]), min_size=1),
    separators=st.tuples(
        st.sampled_from(["_", " ", "-", ".", ""]), st.sampled_from(["/", "", ":"])
    ),
    unit=st.sampled_from(["", " (dBm)", "[dBm]", "_dbm", " dBm"]),
)
def test_case_punctuation_and_units_do_not_matter(words, separators, unit) -> None:
    plain = "".join(words).lower()
    assert normalise(separators[0].join(words) + unit) == plain
    assert normalise(separators[1].join(words).upper() + unit.upper()) == plain


@pytest.mark.parametrize(
    "name",
    [
        "rsrp",
        "RSRP",
        "RSRP (dBm)",
        "RSRP [dBm]",
        "rsrp_dbm",
        "ssRsrp",
        "ss_rsrp",
        "SS-RSRP",
        "NR-SS-RSRP",
        "NR SS-RSRP (dBm)",
        "lte_rsrp",
        "LTE RSRP",
        "nr_rsrp",
        "Serving RSRP",
        "ServingCellRSRP",
        "Serving Cell RSRP (dBm)",
        "rsrp_serving",
        "PCell RSRP",
        "RSRPDbm",
        "5G SS-RSRP",
        "measured_rsrp",
        "Best RSRP",
        "signal.rsrp",
        "received_power",
        "Received Power (dBm)",
        "rx_power",
        "RxPower",
        "Level",
        "Signal",
        "signal_strength_dbm",
        "E-UTRAN RSRP",
        "csi_rsrp",
        "RSRP (TX0-RX0)",
        "Reference Signal Received Power",
    ],
)
def test_names_of_the_received_power(name: str) -> None:
    names = ["time", "lat", "lon", name, "rsrq", "SINR (dB)", "RSSI", "PCI"]
    assert find_column(names, column_roles.RSRP, "f") == name


@pytest.mark.parametrize(
    "name",
    [
        "rsrq",
        "RSRQ (dB)",
        "sinr",
        "ss_sinr",
        "rssi",
        "LTE RSSI",
        "snr",
        "rscp",
        "rsrp_mw",
        "neighbour_rsrp",
        "nbr1_rsrp",
        "ncell1_rsrp",
        "tx_power",
        "rsrp_std",
        "rsrp_count",
        "RSRP delta",
        "n1rsrp",
        "predicted_rsrp",
        "power_class",
    ],
)
def test_names_of_other_quantities_are_not_the_received_power(name: str) -> None:
    assert find_column([name, "lat", "lon"], column_roles.RSRP, "f") is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["rsrp_rx0", "rsrp_rx1", "rsrp"], "rsrp"),
        (["rsrp", "rsrp_filtered", "received_power"], "rsrp"),
        (["level", "RSRP"], "RSRP"),
        (["ssRsrp", "csiRsrp"], "ssRsrp"),
    ],
)
def test_the_plain_quantity_goes_before_its_variants(names: list[str], expected: str) -> None:
    assert find_column(names, column_roles.RSRP, "f") == expected


@pytest.mark.parametrize(
    "names", [["lte_rsrp", "nr_ss_rsrp"], ["rsrp_rx0", "rsrp_rx1"], ["rx_power", "received_power"]]
)
def test_several_candidates_are_an_error_that_names_the_option(names: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        find_column(["lat", *names], column_roles.RSRP, "drive.csv")
    text = str(caught.value)
    assert all(repr(name) in text for name in names)
    assert "`rsrp_column`" in text
    assert "drive.csv" in text


@pytest.mark.parametrize(
    "name",
    [
        "PCI",
        "pci",
        "CELLID",
        "cell_id",
        "Cell ID",
        "eci",
        "ECGI",
        "nci",
        "NR PCI",
        "lte_pci",
        "Serving PCI",
        "Physical Cell ID",
        "PhysicalCellIdentity",
        "cell",
        "cellname",
        "CGI",
        "ci",
        "cid",
        "sector",
        "E-UTRAN Cell Identifier",
    ],
)
def test_names_of_the_cell(name: str) -> None:
    assert find_column(["rsrp", "lat", "lon", name], column_roles.CELL, "f") == name


def test_a_unique_identity_goes_before_a_physical_one() -> None:
    assert find_column(["pci", "ECI", "cellname"], column_roles.CELL, "f") == "ECI"


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("longitude", "latitude"),
        ("lon", "lat"),
        ("lng", "lat"),
        ("gps_lon", "gps_lat"),
        ("Longitude (deg)", "Latitude (deg)"),
        ("Long", "Lat"),
        ("LONGITUDE", "LATITUDE"),
        ("location.lng", "location.lat"),
    ],
)
def test_names_of_degrees(x: str, y: str) -> None:
    names = ["rsrp", y, x, "time"]
    assert find_column(names, column_roles.LONGITUDE, "f") == x
    assert find_column(names, column_roles.LATITUDE, "f") == y
    assert is_named(x, column_roles.LONGITUDE)


@pytest.mark.parametrize(("x", "y"), [("x", "y"), ("Easting", "Northing"), ("utm_x", "utm_y")])
def test_names_of_metres_are_not_degrees(x: str, y: str) -> None:
    assert find_column([x, y], column_roles.EASTING, "f") == x
    assert find_column([x, y], column_roles.NORTHING, "f") == y
    assert not is_named(x, column_roles.LONGITUDE)


@pytest.mark.parametrize("name", ["time", "timestamp", "DateTime", "Date Time", "UTC time", "utc"])
def test_names_of_the_time(name: str) -> None:
    assert find_column(["rsrp", name], column_roles.TIME, "f") == name


@pytest.mark.parametrize(
    "name", ["earfcn", "EARFCN DL", "dl_earfcn", "nr_arfcn", "NR-ARFCN", "arfcn"]
)
def test_names_of_the_channel_number(name: str) -> None:
    assert find_column(["rsrp", "ul_earfcn", name], column_roles.CHANNEL, "f") == name


def test_optional_role_is_empty_if_ambiguous() -> None:
    assert find_column(["lte_earfcn", "nr_arfcn"], column_roles.CHANNEL, "f") is None


def test_a_chosen_column_is_taken_whatever_its_name() -> None:
    assert find_column(["a", "rsrp"], column_roles.RSRP, "f", chosen="a") == "a"
    assert find_column(["Strange", "rsrp"], column_roles.RSRP, "f", chosen="strange") == "Strange"


def test_a_chosen_column_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no column 'b'.*`rsrp_column`.*'rsrp'"):
        find_column(["a", "rsrp"], column_roles.RSRP, "f", chosen="b")


def test_a_missing_column_is_an_error_that_lists_what_is_there() -> None:
    with pytest.raises(InputError, match=r"no RSRP column.*'lat', 'lon'.*`rsrp_column`"):
        require_column(["lat", "lon"], column_roles.RSRP, "f")
