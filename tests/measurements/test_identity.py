"""Cells of a log: operator, technology, carrier and identity columns read together."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rm_geo.errors import InputError, UsageError
from rm_geo.io.tables.identity_columns import choose_identity_columns
from rm_geo.measurements.identity import clean_value, resolve
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.reader import read_measurements

COUNT = 40


def write_log(path: Path, columns: dict[str, list[object]], rows: int = COUNT) -> Path:
    """Write a log whose values repeat, at positions 5 m apart."""
    names = ["Latitude", "Longitude", *columns]
    lines = [",".join(names)]
    for row in range(rows):
        values = [f"{52.52 + row * 4e-5:.6f}", f"{13.405 + row * 4e-5:.6f}"]
        values += [str(column[row % len(column)]) for column in columns.values()]
        lines.append(",".join(values))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def cells(path: Path, **options: object) -> dict[str, int]:
    """Rows of each cell of a log."""
    measurements, _ = read_measurements(path, **options)  # type: ignore[arg-type]
    return {name: len(rows) for name, rows in measurements.by_cell().items()}


LEVELS = [-86.5, -95.0]


@pytest.mark.parametrize("node", ["Node", "eNB", "eNodeB ID", "gNB", "eNodeB", "ENODEB_ID"])
@pytest.mark.parametrize("number", ["CellID", "Cell ID", "CID", "ci"])
def test_cell_number_is_combined_with_its_enodeb(tmp_path, node, number):
    log = write_log(
        tmp_path / "log.csv", {node: [1001, 1002], number: [1], "PCI": [101], "RSRP": LEVELS}
    )
    assert cells(log) == {"1001-1": 20, "1002-1": 20}


def test_pci_is_preferred_to_sector_number(tmp_path):
    log = write_log(tmp_path / "log.csv", {"CellID": [1], "PCI": [101, 202], "RSRP": LEVELS})
    assert cells(log) == {"101": 20, "202": 20}


@pytest.mark.parametrize("nothing", ["", -1, 0, 2147483647, 268435455, "n/a", 9223372036854775807])
def test_column_of_placeholders_is_ignored(tmp_path, nothing):
    log = write_log(
        tmp_path / "log.csv",
        {"CI": [26385409, 26385410], "PCI": [101], "NCI": [nothing], "RSRP": LEVELS},
    )
    assert cells(log) == {"26385409": 20, "26385410": 20}


@pytest.mark.parametrize(
    "name",
    [
        "PCI (PCell)",
        "Serving Physical Layer Cell Identity",
        "physical_c",
        "Physical Cell Id",
        "LTE PCI",
        "pci_serving",
        "PhyCellId",
        "Serving Cell PCI",
    ],
)
def test_pci_column_is_recognised_by_name(tmp_path, name):
    log = write_log(tmp_path / "log.csv", {name: [101, 202], "rsrp": LEVELS})
    assert cells(log) == {"101": 20, "202": 20}


def test_unrecognised_identity_column_gives_a_warning(tmp_path):
    log = write_log(tmp_path / "log.csv", {"my cell thing": [1, 2], "RSRP": LEVELS})
    _, report = read_measurements(log)
    assert any("my cell thing" in text for text in report.warnings)


@pytest.mark.parametrize(
    ("name", "values", "suffixes"),
    [
        ("EARFCN", [1300, 6300], ["earfcn1300", "earfcn6300"]),
        ("Channel", [1300, 6300], ["earfcn1300", "earfcn6300"]),
        ("DL Channel", [1300, 6300], ["earfcn1300", "earfcn6300"]),
        ("Kanal", [1300, 6300], ["earfcn1300", "earfcn6300"]),
        ("Frequency [MHz]", [1815.0, 796.0], ["1815MHz", "796MHz"]),
        ("Frequenz", [1815.0, 796.0], ["1815MHz", "796MHz"]),
        ("Band", [3, 20], ["band3", "band20"]),
    ],
)
def test_one_pci_on_two_carriers_is_two_cells(tmp_path, name, values, suffixes):
    log = write_log(tmp_path / "log.csv", {"PCI": [101], name: values, "RSRP": LEVELS})
    assert cells(log) == {f"101_{suffix}": 20 for suffix in suffixes}


def test_empty_carrier_column_is_ignored(tmp_path):
    log = write_log(
        tmp_path / "log.csv", {"PCI": [101], "EARFCN": [""], "Band": [3, 20], "RSRP": LEVELS}
    )
    assert cells(log) == {"101_band3": 20, "101_band20": 20}


@pytest.mark.parametrize("nothing", [-1, 2147483647, ""])
def test_placeholder_channel_is_ignored(tmp_path, nothing):
    log = write_log(tmp_path / "log.csv", {"PCI": [101], "EARFCN": [nothing, 1300], "RSRP": LEVELS})
    assert cells(log) == {"101": COUNT}


def test_channel_0_is_valid(tmp_path):
    log = write_log(tmp_path / "log.csv", {"PCI": [101], "EARFCN": [0, 1300], "RSRP": LEVELS})
    assert cells(log) == {"101_earfcn0": 20, "101_earfcn1300": 20}


def test_rows_without_one_of_several_carriers_give_a_warning(tmp_path):
    log = write_log(
        tmp_path / "log.csv", {"PCI": [101], "EARFCN": [1300, 6300, ""], "RSRP": LEVELS}, rows=42
    )
    _, report = read_measurements(log)
    assert any("carrier" in text and "14 rows" in text for text in report.warnings)
    with pytest.raises(InputError, match="may mix up cells"):
        read_measurements(log, strict=True)


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"MNC": [1, 2]}, {"101_mnc1", "101_mnc2"}),
        ({"MCC": [999], "MNC": [1, 2]}, {"101_999-1", "101_999-2"}),
        ({"Operator": ["Alpha", "Beta"]}, {"101_Alpha", "101_Beta"}),
        ({"PLMN": [99901, 99902]}, {"101_99901", "101_99902"}),
        ({"NetworkTech": ["4G", "5G"]}, {"101_LTE", "101_NR"}),
    ],
)
def test_one_pci_in_two_networks_is_two_cells(tmp_path, columns, names):
    log = write_log(tmp_path / "log.csv", {**columns, "PCI": [101], "RSRP": LEVELS})
    assert set(cells(log)) == names


@pytest.mark.parametrize("old", ["3G", "2G", "UMTS", "GSM", "WCDMA", "HSPA+", "EDGE"])
def test_levels_of_2g_and_3g_are_dropped(tmp_path, old):
    log = write_log(
        tmp_path / "log.csv", {"NetworkTech": ["4G", old], "PCI": [101], "RSRP": LEVELS}
    )
    measurements, report = read_measurements(log)
    assert len(measurements) == 20
    assert {reason.value: count for reason, count in report.dropped.items()} == {
        "not_lte_or_nr": 20
    }
    assert len(measurements.visits()) == COUNT  # the device was there all the same


def test_a_level_of_any_technology_has_cells_of_2g_and_3g_by_themselves(tmp_path):
    log = write_log(
        tmp_path / "log.csv",
        {
            "technology": ["lte", "umts", "gsm", "umts"],
            "channel": [125, 10563, 62, 10588],
            "PCI": [33],
            "level_dbm": LEVELS,
        },
    )
    measurements, report = read_measurements(log)
    found = {name: len(rows) for name, rows in measurements.by_cell().items()}
    assert found == dict.fromkeys(["33", "3G_33_uarfcn10563", "3G_33_uarfcn10588", "2G_33"], 10)
    assert report.dropped == {}
    assert measurements.identity_of("2G_33").technology == "2G"
    of_3g = measurements.by_cell()["3G_33_uarfcn10563"]
    assert np.isnan(of_3g.earfcn).all()  # no band of LTE is derived from it


def test_nr_level_belongs_to_nr_identity(tmp_path):
    log = write_log(
        tmp_path / "log.csv",
        {
            "ECI": [26385409],
            "PCI": [101],
            "EARFCN": [1300],
            "RSRP": [-86.5],
            "NR_PCI": [701, 700],
            "NR_ARFCN": [632628],
            "NR_SS_RSRP": LEVELS,
        },
    )
    measurements, _ = read_measurements(log, rsrp_column="NR_SS_RSRP")
    assert set(measurements.by_cell()) == {"700", "701"}
    assert set(measurements.earfcn) == {632628.0}
    assert cells(log, rsrp_column="RSRP") == {"26385409": COUNT}


def test_rows_with_pci_only_are_assigned_to_the_cell_with_that_pci(tmp_path):
    log = write_log(
        tmp_path / "log.csv",
        {"ECI": [26385409, "", 26385410], "PCI": [101, 101, 102], "RSRP": LEVELS},
        rows=42,
    )
    measurements, report = read_measurements(log)
    assert {n: len(r) for n, r in measurements.by_cell().items()} == {
        "26385409": 28,
        "26385410": 14,
    }
    assert any("14 rows have only a PCI" in note for note in report.notes)


def test_ambiguous_pci_is_not_assigned(tmp_path):
    log = write_log(
        tmp_path / "log.csv", {"ECI": [5001, 6001, ""], "PCI": [101], "RSRP": LEVELS}, rows=42
    )
    assert set(cells(log)) == {"5001", "6001", "pci101"}


def test_several_pcis_of_one_identity_give_a_warning(tmp_path):
    log = write_log(tmp_path / "log.csv", {"ECI": [5001], "PCI": [101, 102], "RSRP": LEVELS})
    _, report = read_measurements(log)
    assert any("5001" in text and "'101'" in text for text in report.warnings)


@pytest.mark.parametrize("text", ["9.99011E+14", "9,99011E+14", "999011000000000"])
def test_rounded_identity_gives_a_warning(tmp_path, text):
    log = write_log(tmp_path / "log.csv", {"CGI": [f'"{text}"'], "RSRP": LEVELS})
    _, report = read_measurements(log)
    assert any("rounded by a spreadsheet" in warning for warning in report.warnings)


def test_identity_in_distant_places_gives_a_warning(tmp_path):
    log = tmp_path / "log.csv"
    rows = [f"{52.52 + (0.1 if k % 2 else 0.0) + k * 1e-5},13.4,101,-90" for k in range(COUNT)]
    log.write_text("\n".join(["lat,lon,PCI,RSRP", *rows]), "utf-8")
    _, report = read_measurements(log)
    assert any("101 (11 km)" in text for text in report.warnings)


def test_padded_numbers_are_normalised():
    assert clean_value("pci", "008") == clean_value("pci", "8.0") == "8"


def test_columns_can_be_named(tmp_path):
    log = write_log(tmp_path / "log.csv", {"A": [1, 2], "B": [7, 8], "RSRP": LEVELS})
    assert set(cells(log, cell_column="A")) == {"1", "2"}
    assert set(cells(log, pci_column="A", node_column="B")) == {"7-pci1", "8-pci2"}
    assert set(cells(log, pci_column="A")) == {"1", "2"}
    with pytest.raises(UsageError, match="no column 'C'"):
        read_measurements(log, carrier_column="C")


def test_two_equal_pci_columns_are_an_error():
    with pytest.raises(InputError, match="2 columns"):
        choose_identity_columns(["pci", "PCI_serving"], "RSRP", "log.csv")


def test_neighbours_become_separate_measurements(tmp_path):
    log = write_log(
        tmp_path / "log.csv",
        {
            "PCI": [101],
            "RSRP": [-80],
            "N1 PCI": [102, 103],
            "N1 RSRP": [-95],
            "N2 PCI": [104, ""],
            "N2 RSRP": [-100, ""],
        },
    )
    measurements, report = read_measurements(log)
    found = {name: len(rows) for name, rows in measurements.by_cell().items()}
    assert found == {"101": 40, "102": 20, "103": 20, "104": 20}
    assert len(measurements.visits()) == COUNT
    assert any("60 levels" in note for note in report.notes)


def test_numbered_cells_of_a_scanner_become_rows(tmp_path):
    log = write_log(
        tmp_path / "log.csv",
        {"PCI_1": [11], "RSRP_1": [-80], "PCI_2": [12], "RSRP_2": [-90], "EARFCN": [1300]},
    )
    assert cells(log) == {"11": 40, "12": 40}


def test_lists_in_one_field_become_rows(tmp_path):
    log = write_log(tmp_path / "log.csv", {"PCI": ["101;202"], "RSRP": ["-80;-95", "-81;-96"]})
    measurements, _ = read_measurements(log)
    by_cell = measurements.by_cell()
    assert {name: len(rows) for name, rows in by_cell.items()} == {"101": 40, "202": 40}
    assert set(by_cell["202"].rsrp_dbm) == {-95.0, -96.0}


def test_antenna_ports_are_not_neighbours(tmp_path):
    log = write_log(
        tmp_path / "log.csv",
        {"PCI": [1], "RSRP": [-80], "rsrp_rx0": [-81], "rsrp_rx1": [-82]},
    )
    assert cells(log) == {"1": COUNT}


@pytest.mark.parametrize("values", [[54, 56, 60, 41], [0, 97, 50, 20]])
def test_rsrp_index_is_refused(tmp_path, values):
    log = write_log(tmp_path / "log.csv", {"PCI": [1], "RSRP": values})
    with pytest.raises(InputError, match="index of reported RSRP"):
        read_measurements(log)


def test_path_loss_is_refused(tmp_path):
    log = write_log(tmp_path / "log.csv", {"PCI": [1], "RSRP": [95.5, 101.2, 130.3]})
    with pytest.raises(InputError, match="path loss"):
        read_measurements(log)


@pytest.mark.parametrize("filler", [-24, -30, -140, -141, -35])
def test_constant_filler_is_dropped(tmp_path, filler):
    levels = [filler if k % 3 == 0 else -80 - k % 20 for k in range(60)]
    log = write_log(tmp_path / "log.csv", {"PCI": [1], "RSRP": levels}, rows=60)
    measurements, report = read_measurements(log)
    assert len(measurements) == 40
    assert sum(report.dropped.values()) == 20


def test_row_filter_selects_rows(tmp_path):
    log = write_log(tmp_path / "log.csv", {"PCI": [1], "Speed km/h": [0, 30], "RSRP": LEVELS})
    measurements, _ = read_measurements(log, where="`Speed km/h` > 5")
    assert set(measurements.rsrp_dbm) == {-95.0}
    with pytest.raises(UsageError, match="no column 'speed'"):
        read_measurements(log, where="speed > 5")
    for attack in ("__import__('os')", "PCI.x", "(lambda: 1)()", "[x for x in PCI]", "1 +"):
        with pytest.raises(UsageError):
            read_measurements(log, where=attack)


VALUES = st.tuples(
    st.sampled_from([None, "5001", "5002", "-1", "0"]),
    st.sampled_from([None, "17", "18", "0"]),
    st.sampled_from([None, "1", "2", "3000"]),
    st.sampled_from([None, "101", "102", "-1", "65535"]),
    st.sampled_from([None, "1300", "6300", "-1"]),
    st.sampled_from([None, "Alpha", "Beta"]),
    st.sampled_from([None, "LTE", "4G", "NR", "3G"]),
)
KEYS = ("global", "node", "number", "pci", "channel", "operator", "technology")


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(VALUES, min_size=1, max_size=12, unique=True))
def test_merged_identities_give_a_warning(rows):
    found = resolve(KEYS, rows, np.ones(len(rows), dtype=np.int64))
    names = [cell.name for cell in found.cells]
    assert len(set(names)) == len(names)
    for first, second in itertools.combinations(range(len(rows)), 2):
        if found.cell_of[first] < 0 or found.cell_of[first] != found.cell_of[second]:
            continue
        for place, key in enumerate(KEYS):
            one, two = (clean_value(key, rows[k][place]) for k in (first, second))
            if one is not None and two is not None and one != two:
                assert found.warnings, (rows[first], rows[second], key)


def test_the_order_of_combinations_does_not_matter():
    rows = [(g, p, c) for g in ("5001", None) for p in ("101", "102") for c in ("1300", None)]
    counts = np.arange(1, len(rows) + 1)
    keys = ("global", "pci", "channel")
    straight = resolve(keys, rows, counts)
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = resolve(keys, [rows[k] for k in order], counts[order])
    for new, old in enumerate(order):
        assert (
            shuffled.cells[shuffled.cell_of[new]].name == straight.cells[straight.cell_of[old]].name
        )


def test_measurements_have_identities_of_cells(tmp_path):
    log = write_log(
        tmp_path / "log.csv",
        {"PLMN": [99901], "PCI": [101], "EARFCN": [1300, 6300], "RSRP": LEVELS},
    )
    measurements, _ = read_measurements(log)
    assert isinstance(measurements, Measurements)
    identity = measurements.identity_of("101_earfcn1300")
    assert identity.channel == 1300.0
    assert identity.operator == "99901"
    assert "101" in identity.keys


def test_all_questions_about_the_columns_are_one_error(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("north-ish,east-ish,lte_rsrp,nr_rsrp,pci,PCI_serving\n1,2,-90,-91,1,2\n" * 2)
    with pytest.raises(InputError) as caught:
        read_measurements(file)
    text = str(caught.value)
    assert "longitude and latitude" in text
    assert "2 columns that may hold the RSRP" in text
    assert "x_column" in text
    assert "rsrp_column" in text


SYNONYMS = {
    "rsrp": ["RSRP", "SS-RSRP", "LTE RSRP", "Serving Cell RSRP", "Reference Signal Received Power"],
    "longitude": ["Longitude", "lon", "lng", "GPS Longitude", "L\u00e4ngengrad", "Longitud"],
    "latitude": ["Latitude", "lat", "GPS Latitude", "Breitengrad", "Latitud"],
    "pci": ["PCI", "Physical Cell ID", "Physical Layer Cell Identity", "Serving PCI", "PhysCellId"],
    "carrier": [
        "EARFCN",
        "DL EARFCN",
        "Channel",
        "Kanal",
        "Canal",
        "Frequenz",
        "Frecuencia",
        "Band",
    ],
    "operator": ["Operator", "Operador", "Betreiber", "PLMN", "MNC", "Network Operator"],
    "technology": ["Technology", "Technologie", "Tecnologia", "RAT", "Network Type", "NetworkTech"],
}


@st.composite
def headers(draw: st.DrawFn) -> dict[str, str]:
    """Draw a name for each role, in a case, with a separator and a unit."""
    found = {}
    for role, names in SYNONYMS.items():
        name = draw(st.sampled_from(names))
        change = draw(st.sampled_from([str, str.lower, str.upper, str.title]))
        separator = draw(st.sampled_from([" ", "_", "-", "."]))
        unit = draw(st.sampled_from(["", " [dBm]", "(dBm)"])) if role == "rsrp" else ""
        found[role] = change(name).replace(" ", separator) + unit
    return found


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(names=headers(), order=st.permutations(list(SYNONYMS)))
def test_no_spelling_of_the_columns_mixes_networks_or_carriers(tmp_path, names, order):
    values = {
        "rsrp": ["-80.5", "-90.5", "-100.5", "-85.5"],
        "longitude": ["13.4", "13.40001", "13.40002", "13.40003"],
        "latitude": ["52.5", "52.50001", "52.50002", "52.50003"],
        "pci": ["101", "101", "101", "202"],
        "carrier": ["3", "20", "3", "3"],
        "operator": ["26201", "26201", "26202", "26201"],
        "technology": ["LTE", "LTE", "LTE", "LTE"],
    }
    file = tmp_path / "log.csv"
    lines = [",".join(names[role] for role in order)]
    lines += [",".join(values[role][row] for role in order) for row in range(4)]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    measurements, _ = read_measurements(file)
    assert sorted(len(rows) for rows in measurements.by_cell().values()) == [1, 1, 1, 1]


def test_a_band_stands_in_for_a_missing_channel(tmp_path):
    log = write_log(
        tmp_path / "log.csv",
        {"PCI": [101], "EARFCN": [1300, ""], "Band": [3, 3], "RSRP": LEVELS},
    )
    assert cells(log) == {"101": COUNT}
    log = write_log(
        tmp_path / "log.csv",
        {"PCI": [101], "EARFCN": [1300, ""], "Band": [3, 20], "RSRP": LEVELS},
    )
    assert cells(log) == {"101_earfcn1300": 20, "101_band20": 20}


def test_a_name_stands_in_for_a_missing_network_code(tmp_path):
    log = write_log(
        tmp_path / "log.csv",
        {"PLMN": [26201, "", 26202], "Operator": ["A", "A", "B"], "PCI": [101], "RSRP": LEVELS},
        rows=42,
    )
    assert cells(log) == {"101_26201": 28, "101_26202": 14}


@pytest.mark.parametrize("nothing", ["unknown", "Idle", "NONE", "", "No Service"])
def test_words_for_no_technology_do_not_split_a_cell(tmp_path, nothing):
    log = write_log(tmp_path / "log.csv", {"RAT": ["LTE", nothing], "PCI": [101], "RSRP": LEVELS})
    assert cells(log) == {"101": COUNT}


def test_rows_without_a_carrier_are_one_warning_for_all_cells(tmp_path):
    log = write_log(
        tmp_path / "log.csv",
        {
            "PCI": list(range(100, 110)),
            "EARFCN": [1300] * 10 + [6300] * 10 + [""] * 10,
            "RSRP": LEVELS,
        },
        rows=600,
    )
    _, report = read_measurements(log)
    (warning,) = [text for text in report.warnings if "state no carrier" in text]
    assert "200 rows of 100, 101, 102 and 7 more" in warning
