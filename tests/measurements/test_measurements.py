"""Measurements are split by cell without a second copy, whatever lies on disk."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from rm_geo._util import disk_columns
from rm_geo.io.tables.cell_ids import CellColumn
from rm_geo.measurements import model as module
from rm_geo.measurements.model import Measurements

CRS_M = CRS.from_epsg(32633)
NAMES = st.lists(st.sampled_from(["40", "7", "a/b", "a:b", None]), min_size=1, max_size=60)


def measured(cells, earfcn=None) -> Measurements:
    count = len(cells)
    return Measurements(
        np.arange(count) * 1.5,
        -np.arange(count) * 0.5,
        np.full(count, -90, np.float32),
        np.array(cells, dtype=object),
        CRS_M,
        time=np.arange(count).astype("M8[ms]"),
        earfcn=earfcn,
    )


@settings(deadline=None, max_examples=40)
@given(cells=NAMES)
def test_a_column_of_cells_reads_like_an_array_of_names(cells) -> None:
    array = np.array(cells, dtype=object)
    column = CellColumn.of(array)
    assert column.tolist() == list(column) == cells
    assert column.shape == array.shape
    assert column[0] == cells[0]
    assert column[1:].tolist() == cells[1:]
    np.testing.assert_array_equal(np.asarray(column), array)
    np.testing.assert_array_equal(column == "7", array == "7")
    assert set(column.present()) == set(cells)
    assert column[column == "40"].tolist() == [cell for cell in cells if cell == "40"]


@settings(deadline=None, max_examples=40)
@given(
    cells=NAMES,
    heard=st.lists(st.sampled_from([np.nan, 100.0, 6300.0]), min_size=60, max_size=60),
    block=st.integers(1, 70),
)
def test_each_cell_has_its_rows_in_their_order_for_any_block(cells, heard, block) -> None:
    drive = measured(cells, np.array(heard[: len(cells)]))
    whole = drive.by_cell()

    def small_blocks(*columns):
        return disk_columns.iter_blocks(*columns, rows=block)

    original = module.iter_blocks
    module.iter_blocks = small_blocks
    try:
        parts = drive.by_cell()
    finally:
        module.iter_blocks = original
    assert list(parts) == list(whole)
    assert sum(map(len, parts.values())) == len(drive)
    sizes = [len(part) for part in parts.values()]
    assert sizes == sorted(sizes, reverse=True)
    for name, part in parts.items():
        assert (np.diff(part.x) > 0).all()
        assert len(set(part.cell)) == 1
        rows = (part.x / 1.5).astype(int)
        np.testing.assert_array_equal(part.y, drive.y[rows])
        np.testing.assert_array_equal(part.time, drive.time[rows])
        np.testing.assert_array_equal(part.earfcn, drive.earfcn[rows])
        assert part.cell.tolist() == drive.cell[rows].tolist()
        np.testing.assert_array_equal(part.x, whole[name].x)


def test_parts_are_views_of_one_copy() -> None:
    drive = measured(["7", "40", "7", None, "40"] * 4)
    parts = list(drive.by_cell().values())
    assert len({id(part.x.base) for part in parts}) == 1
    (alone,) = measured(["7"] * 5).by_cell().values()
    assert len(alone) == 5


@settings(deadline=None, max_examples=40)
@given(cells=NAMES)
def test_file_name_does_not_depend_on_dropped_cells(cells) -> None:
    drive = measured(cells)
    first = drive.cell[0]
    alone = drive.select(drive.cell == first)
    assert list(alone.by_cell()) == list(measured([first]).by_cell())
