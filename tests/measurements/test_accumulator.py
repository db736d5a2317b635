"""Reading in chunks gives what reading at once gives, however the file is cut."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio.raw
import pytest
import shapely
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rm_geo._util import disk_columns
from rm_geo.errors import RmGeoError
from rm_geo.io.tables import Request
from rm_geo.measurements import reader
from rm_geo.measurements.reader import read_measurements

VALUES = {
    "lon": ["13.4", "13.41", "13,42", "350.5", "-179", "200", "nan", "", "east"],
    "lat": ["52.5", "52.6", "0", "95", "", "52.51"],
    "rsrp": ["-80", "-80.5 dBm", "-30", "-31", "-200", "-157", "inf", "weak", "n/a", "\u221290"],
    "cell": ["40", "40.0", "7", "", "Z\u00fcrich", "2147483647"],
    "time": ["2024-05-01T10:00:00Z", "2024-05-01 10:00:00", "", "1714557600", "noon"],
    "earfcn": ["1300", "", "6300"],
}
NUMBERS = ["13.4", "52.5", "-80", "40", "2024-05-01T10:00:00Z", "1300"]
SLOW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def logs(draw: st.DrawFn) -> list[list[str]]:
    """Rows of a log: good ones, and among them two odd values of a column or two.

    Few odd values in many rows: what is decided by a share of the file comes out either way.
    """
    rows = [list(NUMBERS) for _ in range(draw(st.integers(1, 60)))]
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(NUMBERS) - 1))
        odd = draw(st.lists(st.sampled_from(list(VALUES.values())[place]), min_size=1, max_size=2))
        share = draw(st.sampled_from([0.03, 0.3, 1.0]))
        random = np.random.default_rng(draw(st.integers(0, 99)))
        for row in rows:
            if random.random() < share:
                row[place] = odd[random.integers(len(odd))]
    return rows + [NUMBERS[:3]] * draw(st.integers(0, 2))


def outcome(path: Path, **options: object) -> tuple[object, ...]:
    """All that reading a file gives, in a form that can be compared."""
    try:
        found, report = read_measurements(path, **options)  # type: ignore[arg-type]
    except RmGeoError as error:
        return type(error), str(error)
    columns = (found.x, found.y, found.rsrp_dbm, found.time, found.earfcn)
    parts = {name: part.x.tobytes() for name, part in found.by_cell().items()}
    return (
        *(None if column is None else column.tobytes() for column in columns),
        found.cell.tolist(),
        found.crs.to_wkt(),
        report.lines(),
        report.as_dict(),
        parts,
    )


def in_chunks(path: Path, rows: int, block: int, in_memory: int, **options: object) -> object:
    """The same in chunks of ``rows`` rows, on disk beyond ``in_memory`` rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "Request", partial(Request, rows=rows))
        patch.setattr(disk_columns, "BLOCK_ROWS", block)
        patch.setattr(disk_columns, "IN_MEMORY_ROWS", in_memory)
        return outcome(path, **options)


SIZES = {"rows": st.integers(1, 30), "block": st.integers(1, 50), "in_memory": st.integers(1, 99)}


def log_with(place: int, *odd: str, every: int) -> list[list[str]]:
    """Write odd values of a column in turn, in every so-manieth row."""
    rows = [list(NUMBERS) for _ in range(60)]
    for turn, row in enumerate(rows[::every]):
        row[place] = odd[turn % len(odd)]
    return rows


ONE_BY_ONE = {"rows": 1, "block": 1, "in_memory": 5}


@SLOW
@given(log=logs(), box=st.sampled_from([None, (13.0, 52.0, 13.405, 53.0)]), **SIZES)
@example(log=log_with(2, "-30", every=3), box=None, **ONE_BY_ONE)
@example(log=log_with(0, "350.5", "-179", every=2), box=None, **ONE_BY_ONE)
@example(log=log_with(2, "weak", every=12), box=None, **ONE_BY_ONE)
@example(log=log_with(4, "2024-05-01 10:00:00", every=2), box=None, **ONE_BY_ONE)
def test_text_is_read_alike_in_chunks_of_any_size(tmp_path, log, box, rows, block, in_memory):
    path = tmp_path / "log.csv"
    text = "\n".join([";".join(VALUES), *(";".join(row) for row in log)])
    path.write_text(text + "\n", encoding="utf-8")
    assert in_chunks(path, rows, block, in_memory, bounds=box) == outcome(path, bounds=box)


SHAPES = [
    shapely.Point(13.4, 52.5),
    shapely.Point(13.5, 52.6),
    shapely.Point(),
    None,
    shapely.MultiPoint([(13.40, 52.52), (13.41, 52.52)]),
    shapely.LineString([(13, 52), (14, 53)]),
]


@SLOW
@given(
    kinds=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=30),
    suffix=st.sampled_from(["parquet", "gpkg"]),
    box=st.sampled_from([None, (13.0, 52.0, 13.45, 53.0)]),
    unix=st.sampled_from([0.0, 1_714_557_600.0, 1_714_557_600_000.0]),
    **SIZES,
)
def test_geometries_are_read_alike_in_chunks_of_any_size(
    tmp_path, kinds, suffix, box, unix, rows, block, in_memory
):
    path = tmp_path / f"drive.{suffix}"
    path.unlink(missing_ok=True)
    count = len(kinds)
    data = {
        "rsrp": -80.0 - np.arange(count),
        "pci": np.arange(count) % 3,
        "time": unix + np.arange(count),
    }
    wkb = shapely.to_wkb(np.array(kinds, dtype=object))
    if suffix == "gpkg":
        pyogrio.raw.write(
            path,
            geometry=wkb,
            field_data=list(data.values()),
            fields=list(data),
            crs="EPSG:4326",
            geometry_type="Unknown",
        )
    else:
        geo = (
            b'{"version": "1.0.0", "primary_column": "geometry", "columns": '
            b'{"geometry": {"encoding": "WKB", "geometry_types": []}}}'
        )
        table = pa.table({**data, "geometry": pa.array(wkb, pa.binary())})
        pq.write_table(table.replace_schema_metadata({"geo": geo}), path, row_group_size=7)
    assert in_chunks(path, rows, block, in_memory, bounds=box) == outcome(path, bounds=box)


def test_late_undecodable_byte_restarts_reading_in_another_encoding(tmp_path) -> None:
    path = tmp_path / "drive.csv"
    rows = "13.4,52.52,-80,Zürich\n".encode() * 300_000
    path.write_bytes(b"lon,lat,rsrp,cell\n" + rows + b"13.4,52.52,-80,Z\xfcrich\n")
    found, report = read_measurements(path)
    assert report.total == len(found) == 300_001
    # One encoding for the whole file: what was UTF-8 is now read as what it is not.
    assert set(found.cell.present()) == {"ZÃ¼rich", "Zürich"}
