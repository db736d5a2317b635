"""Several logs of one area as one: which cells are the same, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS, Transformer

from rm_geo._util import disk_columns
from rm_geo.errors import InputError
from rm_geo.io.tables.cell_ids import CellColumn
from rm_geo.measurements.joining import join_measurements, joining_notes
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.reader import read_measurements
from rm_geo.measurements.visits import Visits

UTM = CRS.from_epsg(32633)
MORNING = np.datetime64("2024-05-01T08:00:00", "ms")


def log(cells, *, x=500_000.0, time=None, earfcn=None, **more):
    """A log with a reading of each cell every 10 m."""
    rows = len(cells)
    return Measurements(
        x + 10.0 * np.arange(rows),
        np.full(rows, 5_400_000.0),
        np.linspace(-100.0, -80.0, rows).astype(np.float32),
        np.array(cells, dtype=object),
        UTM,
        time=None if time is None else time + np.arange(rows) * np.timedelta64(1000, "ms"),
        earfcn=None if earfcn is None else np.array(earfcn, dtype=float),
        **more,
    )


def written(folder, name, columns, cells, lon=13.0):
    """A file with two readings of each cell, the columns of the identity as given."""
    lines = [f"time,lon,lat,rsrp,{columns}"]
    for number, cell in enumerate(cell for cell in cells for _ in range(2)):
        place = f"{lon + number * 1e-4:.5f},52.0"
        lines.append(f"2024-05-01T10:00:{number:02d}Z,{place},-{90 + number},{cell}")
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def joined_files(folder, *files):
    """Join files of (columns, cells)."""
    logs = [
        read_measurements(written(folder, f"{number}.csv", *file))[0]
        for number, file in enumerate(files)
    ]
    return join_measurements(logs)


def rows_of_cells(measurements):
    return {name: len(part) for name, part in measurements.by_cell().items()}


def test_one_log_is_returned_as_it_is():
    only = log(["1", "2"])
    assert join_measurements([only]) is only


@pytest.mark.parametrize("logs", [[], [log(["1"]), log([])]])
def test_no_log_and_an_empty_log_are_refused(logs):
    with pytest.raises(InputError):
        join_measurements(logs)


def test_rows_keep_their_order_and_sources_are_named():
    first = log(["1", "2"], source=Path("monday.csv"))
    second = log(["3", "1"], source=Path("tuesday.csv"), x=500_100.0)
    joined = join_measurements([first, second])
    assert joined.cell.tolist() == ["1", "2", "3", "1"]
    assert joined.x.tolist() == [500_000.0, 500_010.0, 500_100.0, 500_110.0]
    assert joined.rsrp_dbm.tolist() == [-100.0, -80.0, -100.0, -80.0]
    assert joined.sources == (Path("monday.csv"), Path("tuesday.csv"))
    assert joined.source_label == "monday.csv and 1 more"
    assert joining_notes(joined, 2) == ["2 logs together: 4 rows, 3 cells."]


def test_columns_on_disk_are_joined_block_by_block(monkeypatch):
    monkeypatch.setattr(disk_columns, "IN_MEMORY_ROWS", 10)
    monkeypatch.setattr(disk_columns, "BLOCK_ROWS", 7)
    logs = [
        log([str(n % 3) for n in range(40)], time=MORNING, earfcn=[1300] * 40, x=500_000.0 + shift)
        for shift in (0.0, 5.0, 9.0)
    ]
    joined = join_measurements(logs)
    assert disk_columns._map_of(joined.x) is not None
    for name in ("x", "y", "rsrp_dbm", "time", "earfcn"):
        parts = [getattr(part, name) for part in logs]
        np.testing.assert_array_equal(getattr(joined, name), np.concatenate(parts))
    assert joined.cell.tolist() == [name for part in logs for name in part.cell.tolist()]


def test_times_are_kept_if_all_logs_have_them():
    timed, untimed = log(["1"], time=MORNING), log(["1"])
    assert join_measurements([timed, timed]).time.tolist() == 2 * timed.time.tolist()
    assert join_measurements([timed, untimed]).time is None


def test_places_without_a_level_are_kept_of_all_logs():
    nowhere = Visits(np.array([500_300.0]), np.array([5_400_000.0]))
    joined = join_measurements([log(["1"], places=nowhere), log(["2"]), log(["3"], places=nowhere)])
    assert joined.places.x.tolist() == [500_300.0, 500_300.0]
    assert sorted(joined.visits().x.tolist()) == [500_000.0, 500_300.0]


def test_logs_are_expressed_in_the_crs_of_the_first():
    other = CRS.from_epsg(32632)
    first, second = log(["1", "1"]), log(["1", "1"], x=500_200.0)
    x, y = Transformer.from_crs(UTM, other, always_xy=True).transform(second.x, second.y)
    places = Visits(x[:1], y[:1])
    joined = join_measurements([first, replace(second, x=x, y=y, crs=other, places=places)])
    assert joined.crs == UTM
    np.testing.assert_allclose(joined.x[2:], second.x, atol=1e-3)
    np.testing.assert_allclose(joined.y[2:], second.y, atol=1e-3)
    np.testing.assert_allclose(joined.places.x, second.x[:1], atol=1e-3)


def test_a_log_far_away_is_refused():
    first, far = log(["1"]), log(["1"], x=512_000.0, source=Path("elsewhere.csv"))
    with pytest.raises(InputError, match=r"elsewhere\.csv is 12 km away") as refused:
        join_measurements([first, far])
    assert "job of its own" in refused.value.hint
    # Logs between them make one area of it, whatever their order.
    between = [log(["1"], x=504_000.0), log(["1"], x=508_000.0)]
    assert len(join_measurements([first, far, *between])) == 4


def test_a_log_that_the_crs_cannot_express_is_refused():
    polar = replace(log(["1"]), crs=CRS.from_epsg(3031), source=Path("south.csv"))
    with pytest.raises(InputError, match=r"south\.csv is .* away"):
        join_measurements([log(["1"]), polar])


# The cells.


def test_the_same_cell_of_two_logs_is_one_cell(tmp_path):
    columns = "pci,earfcn,operator,tech"
    joined = joined_files(
        tmp_path,
        (columns, ["101,1300,A,LTE", "102,1300,A,LTE"]),
        (columns, ["101,1300,a,4G", "103,1300,A,LTE"]),
    )
    assert rows_of_cells(joined) == {"101": 4, "102": 2, "103": 2}
    identity = joined.identity_of("101")
    assert (identity.operator, identity.technology, identity.channel) == ("A", "LTE", 1300.0)
    assert (identity.pci, identity.kind, identity.base) == (101, "PCI", "101")


@pytest.mark.parametrize(
    ("columns", "first", "second", "cells"),
    [
        ("pci,operator", "101,Blue Net", "101,Red", ["101_Blue-Net", "101_Red"]),
        ("pci,tech", "101,LTE", "101,NR", ["101_LTE", "101_NR"]),
        ("pci,earfcn", "101,1300", "101,6300", ["101_earfcn1300", "101_earfcn6300"]),
        ("eci,plmn", "26385409,26201", "26385409,26202", ["26385409_26201", "26385409_26202"]),
    ],
)
def test_cells_of_one_name_are_two_if_their_network_differs(
    tmp_path, columns, first, second, cells
):
    joined = joined_files(tmp_path, (columns, [first]), (columns, [second]))
    assert sorted(rows_of_cells(joined)) == cells
    assert all(joined.identity_of(name).name == name for name in cells)


def test_names_are_those_of_one_file_with_all_rows(tmp_path):
    columns = "pci,earfcn,operator"
    first, second = ["101,1300,A", "102,1300,A"], ["101,6300,A", "101,1300,B", "102,1300,A"]
    joined = joined_files(tmp_path, (columns, first), (columns, second))
    whole, _ = read_measurements(written(tmp_path, "whole.csv", columns, [*first, *second]))
    assert rows_of_cells(joined) == rows_of_cells(whole)


def test_a_pci_beside_more_specific_identities_is_marked_as_in_one_log(tmp_path):
    joined = joined_files(
        tmp_path, ("eci,pci,earfcn", ["26385409,101,1300"]), ("pci,earfcn", ["101,1300"])
    )
    assert sorted(rows_of_cells(joined)) == ["26385409", "pci101"]
    assert "26385409 and pci101 have one PCI and channel" in joining_notes(joined, 2)[1]


@pytest.mark.parametrize("codes", [("plmn", "26201"), ("mcc,mnc", "262,1"), ("plmn", "262-01")])
def test_notations_of_a_network_code_are_one_operator(tmp_path, codes):
    columns, value = codes
    joined = joined_files(
        tmp_path, ("pci,plmn", ["101,26201"]), (f"pci,{columns}", [f"101,{value}"])
    )
    assert rows_of_cells(joined) == {"101": 4}
    assert joined.identity_of("101").operator == "26201"


@pytest.mark.parametrize(
    ("stating", "silent", "what"),
    [
        (("pci,earfcn", "101,1300"), ("pci", "101"), "carrier"),
        (("pci,operator", "101,A"), ("pci", "101"), "operator"),
        (("pci,tech", "101,LTE"), ("pci", "101"), "technology"),
        (("pci,earfcn", "101,1300"), ("pci,band", "101,3"), "carrier"),
        (("pci,plmn", "101,26201"), ("pci,operator", "101,Blue Net"), "operator"),
        (("eci,plmn", "26385409,26201"), ("eci", "26385409"), "operator"),
    ],
)
def test_a_cell_that_may_or_may_not_be_the_same_is_refused(tmp_path, stating, silent, what):
    files = [(columns, [cell]) for columns, cell in (stating, silent)]
    for order in (files, files[::-1]):
        with pytest.raises(InputError, match=f"the {what} of cell '.*they may be diff") as refused:
            joined_files(tmp_path, *order)
        assert "0.csv" in refused.value.message
        assert "1.csv" in refused.value.message
        assert f"`{what}_column`" in refused.value.hint


def test_other_cells_of_such_logs_may_differ_in_what_they_state(tmp_path):
    joined = joined_files(tmp_path, ("pci,earfcn", ["101,1300"]), ("pci", ["102"]))
    assert rows_of_cells(joined) == {"101": 2, "102": 2}


def test_a_global_identity_needs_no_carrier(tmp_path):
    joined = joined_files(tmp_path, ("eci,earfcn", ["26385409,1300"]), ("eci", ["26385409"]))
    assert rows_of_cells(joined) == {"26385409": 4}
    assert np.isnan(joined.earfcn).tolist() == [False, False, True, True]


def test_a_neighbour_without_a_channel_stays_a_cell_of_its_own(tmp_path):
    """The log states channels of other cells."""
    joined = joined_files(
        tmp_path, ("pci,earfcn", ["101,1300"]), ("pci,earfcn", ["101,", "102,1300"])
    )
    assert rows_of_cells(joined) == {"101": 2, "101_earfcn1300": 2, "102": 2}


def test_one_name_of_two_kinds_is_refused(tmp_path):
    with pytest.raises(InputError, match="two cells '7', by PCI and by sector number"):
        joined_files(tmp_path, ("pci", ["7"]), ("cell_id", ["7"]))


def test_measurements_in_memory_are_joined_by_name_and_channel():
    joined = join_measurements(
        [log(["40", "40"], earfcn=[1300, 6300]), log(["40", "41"], earfcn=[1300, 1300])]
    )
    assert rows_of_cells(joined) == {"40_earfcn1300": 2, "40_earfcn6300": 1, "41": 1}
    with pytest.raises(InputError, match="the carrier of cell '40'"):
        join_measurements([log(["40", "40"], earfcn=[1300, 6300]), log(["40"])])


def test_measurements_in_memory_take_the_kind_of_a_file(tmp_path):
    file, _ = read_measurements(written(tmp_path, "a.csv", "pci", ["101"]))
    memory = replace(file, cell=CellColumn.of(["101", "9"]), source=None, identities=())
    assert rows_of_cells(join_measurements([file, memory])) == {"101": 3, "9": 1}


def test_rows_without_a_cell_are_joined():
    joined = join_measurements([log([None, None]), log([None])])
    assert joined.cell.present() == [None]
    assert joined.identity_of(None).name is None


# Logs of the serving cell.


def listing(cells, visits=40, **more):
    """A log that lists all of these cells at each visit."""
    reported = np.repeat(np.arange(visits), len(cells))
    return replace(
        log([*cells] * visits, **more),
        x=500_000.0 + 10.0 * reported,
        time=MORNING + reported * np.timedelta64(1000, "ms"),
    )


def serving(cells, visits=40):
    """A log that lists one cell at each visit."""
    names = [cells[number % len(cells)] for number in range(visits)]
    return log(names, time=MORNING + np.timedelta64(1, "D"))


def test_a_log_of_the_serving_cell_beside_a_scanner_makes_absence_meaningless():
    scanner = listing(["1", "2", "3"])
    assert not join_measurements([scanner, listing(["1", "2"], 10)]).lists_serving_only
    for part in (serving(["1", "2"]), serving(["1"], 10)):
        joined = join_measurements([scanner, part])
        assert joined.lists_serving_only
        assert joined.select(slice(0, 30)).lists_serving_only


def test_files_of_single_cells_of_one_scanner_list_all_cells():
    both = listing(["1", "2"])
    parts = [both.select(both.cell == name) for name in ("1", "2")]
    assert all(part.lists_one_cell for part in parts)
    assert not join_measurements(parts).lists_serving_only


def test_parts_of_the_log_of_one_cell_are_no_log_of_the_serving_cell():
    one = serving(["1"])
    joined = join_measurements([one.select(slice(0, 9)), one.select(slice(9, None))])
    assert joined.lists_serving_only == one.lists_serving_only is False
