"""Reading measurements from any file that holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo import columns as roles
from rm_geo.area import check_area
from rm_geo.cell_column import CellColumn
from rm_geo.cleaning import CleaningReport, DropReason, count_repeats, judge, wrap_longitudes
from rm_geo.errors import InputError, UsageError
from rm_geo.grid import CrsLike
from rm_geo.measurements import Measurements
from rm_geo.reprojection import check_plausible, parse_crs, source_crs, to_metres
from rm_geo.tables import Source, Table, open_source
from rm_geo.tables.convert import Numbers, to_cells, to_numbers, to_times
from rm_geo.tables.source import Bounds

__all__ = ["Measurements", "check_area", "read_measurements"]

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.int64]

MAX_TEXT_SHARE: Final = 0.05
"""Share of the values of a numeric column that may be text before the file is refused."""

_WGS84: Final = 4326


def read_measurements(
    path: str | os.PathLike[str],
    *,
    layer: str | None = None,
    rsrp_column: str | None = None,
    cell_column: str | None = None,
    x_column: str | None = None,
    y_column: str | None = None,
    time_column: str | None = None,
    crs: CrsLike | None = None,
    target_crs: CrsLike | None = None,
    bounds: Bounds | None = None,
) -> tuple[Measurements, CleaningReport]:
    """Read measurements from a file, clean them and bring them to metres.

    Parameters
    ----------
    path : path-like
        SHP, GPKG, GeoJSON, GeoParquet, FlatGeobuf, delimited text, or what else OGR reads.
    layer : str, optional
        The layer, in files with several layers of points.
    rsrp_column, cell_column, x_column, y_column, time_column : str, optional
        Columns; found by their names where not given. Coordinate columns that are given
        take the place of the geometry.
    crs : CRS, str or int, optional
        CRS of the coordinates, overriding what the file says.
    target_crs : CRS, str or int, optional
        The projected CRS of the result; by default that of the file where its metres are
        true, else the UTM zone.
    bounds : tuple of float, optional
        West, south, east, north in the CRS of the file; other points are not read and not
        counted.

    Returns
    -------
    measurements : Measurements
        At least one row.
    report : CleaningReport
        What was used and what was left out, and why.

    Raises
    ------
    InputError
        If the file cannot be read, no RSRP column is found or several are, too much of a
        numeric column is text, or no row can be used.
    CrsError
        If there is no CRS, or none that leads to metres.
    UsageError
        If a column or layer that was named is not in the file.
    """
    source = open_source(path, layer=layer)
    target = None if target_crs is None else parse_crs(target_crs, "the target CRS")
    taken = _choose_columns(source, rsrp_column, cell_column, x_column, y_column, time_column)
    file_crs = source_crs(_stated_crs(source, taken, crs), source.label)
    table = source.load(tuple(dict.fromkeys(taken.values())), None if "x" in taken else bounds)
    x, y = _coordinates(source, table, taken)
    check_plausible(x, y, file_crs, source.label)
    index = _inside(x, y, bounds)
    rows = _Rows(source, table, taken, index)
    rows.require_any(bounds)
    x, y = x[index], y[index]
    if file_crs.is_geographic:
        x = wrap_longitudes(x)
    rsrp = rows.numbers("RSRP")
    verdict = judge(x, y, rsrp.values, geographic=_is_in_degrees(file_crs), is_text=rsrp.is_text)
    kept = np.flatnonzero(verdict.keep)
    dropped = rows.left_out() | dict(verdict.dropped)
    _require_kept(kept.size, source.label, dropped)

    positions = to_metres(x[kept], y[kept], file_crs, source.label, target=target)
    placed = np.isfinite(positions.x) & np.isfinite(positions.y)
    if lost := int((~placed).sum()):
        dropped[DropReason.OUTSIDE_CRS] = lost
    kept = kept[placed]
    cell, time, earfcn, notes = rows.attributes(index[kept])
    measurements = Measurements(
        x=positions.x[placed],
        y=positions.y[placed],
        rsrp_dbm=rsrp.values[kept].astype(np.float32),
        cell=CellColumn.of(cell),
        crs=positions.crs,
        time=time,
        earfcn=earfcn,
        source=source.path,
    )
    repeated_positions, repeated_rows = _repeats(measurements)
    report = CleaningReport(
        source=source.label,
        total=rows.total,
        kept=len(measurements),
        dropped=dropped,
        repeated_positions=repeated_positions,
        repeated_rows=repeated_rows,
        columns=taken,
        notes=tuple(note for note in (*table.notes, positions.note, *notes) if note),
        warnings=(positions.warning,) if positions.warning else (),
    )
    return measurements, report


@dataclass(frozen=True)
class _Rows:
    """The rows of a table that lie inside the bounding box, and their columns."""

    source: Source
    table: Table
    taken: Mapping[str, str]
    index: IndexArray

    @property
    def total(self) -> int:
        """Rows in the file, the unusable ones included."""
        return int(self.index.size) + self.table.malformed + self.table.not_points

    def require_any(self, bounds: Bounds | None) -> None:
        """Raise if there is nothing to judge."""
        if self.total and self.index.size:
            return
        if bounds is not None:
            raise InputError(
                f"{self.source.label} has no points inside the bounding box "
                f"{', '.join(f'{edge:g}' for edge in bounds)}.",
                hint="The box is west, south, east, north in the CRS of the file.",
            )
        if self.total:
            _require_kept(0, self.source.label, self.left_out())
        raise InputError(f"{self.source.label} has no rows.", hint="Export the measurements again.")

    def left_out(self) -> dict[DropReason, int]:
        """Rows that the reader itself left out."""
        counts = {
            DropReason.MALFORMED: self.table.malformed,
            DropReason.NOT_A_POINT: self.table.not_points,
        }
        return {reason: count for reason, count in counts.items() if count}

    def numbers(self, role: str) -> Numbers:
        """Give a numeric column; raise if too much of it is text."""
        name = self.taken[role]
        found = _checked_numbers(self.table, name, self.source.label)
        return Numbers(found.values[self.index], found.is_text[self.index], found.examples)

    def attributes(
        self, kept: IndexArray
    ) -> tuple[
        NDArray[np.object_], NDArray[np.datetime64] | None, FloatArray | None, tuple[str, ...]
    ]:
        """Cell, time, channel number and notes of the rows that are kept."""
        notes = []
        cell: NDArray[np.object_] = np.full(kept.size, None, dtype=object)
        time, earfcn = None, None
        if "cell" in self.taken:
            cell = to_cells(self.table.columns[self.taken["cell"]])[kept]
        else:
            notes.append("No cell column was found: all rows are one cell (--cell-column).")
        if "time" in self.taken:
            time = to_times(self.table.columns[self.taken["time"]])
            if time is None:
                notes.append(f"The times in {self.taken['time']!r} are not understood: left out.")
            else:
                time = time[kept]
        if "channel" in self.taken:
            name = self.taken["channel"]
            channels = to_numbers(self.table.columns[name], name, self.source.label)
            earfcn = channels.values[kept]
        return cell, time, earfcn, tuple(notes)


def _choose_columns(
    source: Source,
    rsrp: str | None,
    cell: str | None,
    x: str | None,
    y: str | None,
    time: str | None,
) -> dict[str, str]:
    """Find the column of each role; ``x`` and ``y`` only where they are not the geometry."""
    names, label = source.names, source.label
    taken: dict[str, str] = {}
    if (x is None) != (y is None):
        raise UsageError("--x-column and --y-column go together: give both or none.")
    if x is not None or not source.has_geometry:
        taken["x"], taken["y"] = _coordinate_columns(source, x, y)
    taken["RSRP"] = roles.require_column(names, roles.RSRP, label, chosen=rsrp)
    optional = (
        ("cell", roles.CELL, cell),
        ("time", roles.TIME, time),
        ("channel", roles.EARFCN, None),
    )
    for key, role, chosen in optional:
        if (found := roles.find_column(names, role, label, chosen=chosen)) is not None:
            taken[key] = found
    return taken


def _coordinate_columns(source: Source, x: str | None, y: str | None) -> tuple[str, str]:
    """Find longitude and latitude, or else x and y."""
    names, label = source.names, source.label
    if x is not None and y is not None:
        return (
            roles.require_column(names, roles.EASTING, label, chosen=x),
            roles.require_column(names, roles.NORTHING, label, chosen=y),
        )
    for first, second in ((roles.LONGITUDE, roles.LATITUDE), (roles.EASTING, roles.NORTHING)):
        found = (
            roles.find_column(names, first, label),
            roles.find_column(names, second, label),
        )
        if found[0] is not None and found[1] is not None:
            return found[0], found[1]
    raise InputError(
        f"{label} has no geometry and no longitude and latitude columns. Its columns are "
        f"{roles.quoted(names)}.",
        hint="Name the coordinates with --x-column and --y-column.",
    )


def _stated_crs(source: Source, taken: Mapping[str, str], given: CrsLike | None) -> CRS | None:
    """Give the CRS that the user gave, or the file's, or WGS 84 for longitude and latitude."""
    if given is not None:
        return parse_crs(given)
    if "x" not in taken:
        return source.crs
    is_degrees = roles.is_named(taken["x"], roles.LONGITUDE) and roles.is_named(
        taken["y"], roles.LATITUDE
    )
    return CRS.from_epsg(_WGS84) if is_degrees else None


def _coordinates(
    source: Source, table: Table, taken: Mapping[str, str]
) -> tuple[FloatArray, FloatArray]:
    """Coordinates of all rows, of the geometry or of two columns."""
    if "x" in taken:
        x, y = (_checked_numbers(table, taken[axis], source.label).values for axis in ("x", "y"))
        return x, y
    if table.x is None or table.y is None:
        raise InputError(
            f"{source.label} has a layer without geometry.",
            hint="Name the coordinates with --x-column and --y-column.",
        )
    return table.x, table.y


def _checked_numbers(table: Table, name: str, source: str) -> Numbers:
    """Give a numeric column; raise if too much of it is text."""
    numbers = to_numbers(table.columns[name], name, source)
    texts = int(numbers.is_text.sum())
    values = texts + int((~np.isnan(numbers.values)).sum())
    if texts > MAX_TEXT_SHARE * values:
        raise InputError(
            f"The column {name!r} of {source} holds text: {texts:,} of {values:,} values are "
            f"not numbers, such as {roles.quoted(numbers.examples)}.",
            hint="Choose another column, or correct the file.",
        )
    return numbers


def _inside(x: FloatArray, y: FloatArray, bounds: Bounds | None) -> IndexArray:
    """Rows inside the bounding box; all where there is none."""
    if bounds is None:
        return np.arange(x.size)
    west, south, east, north = bounds
    return np.flatnonzero((x >= west) & (x <= east) & (y >= south) & (y <= north))


def _is_in_degrees(crs: CRS) -> bool:
    """Whether coordinates are angles in degrees (not grads)."""
    return bool(crs.is_geographic) and crs.axis_info[0].unit_name.startswith("degree")


def _require_kept(count: int, source: str, dropped: Mapping[DropReason, int]) -> None:
    """Raise if no row can be used, with the reasons."""
    if count == 0:
        reasons = ", ".join(f"{n:,} {reason.description}" for reason, n in dropped.items())
        total = sum(dropped.values())
        raise InputError(
            f"None of the {total:,} rows of {source} can be used: {reasons}.",
            hint="Check that the right RSRP and coordinate columns were taken.",
        )


def _repeats(measurements: Measurements) -> tuple[int, int]:
    """Rows that share a position, and rows that share position, time and cell."""
    time = np.zeros(len(measurements), dtype=np.int64)
    if measurements.time is not None:
        time = measurements.time.astype(np.int64)
    positions = count_repeats(measurements.x, measurements.y)
    return positions, count_repeats(
        measurements.x, measurements.y, time, measurements.cell.codes.astype(np.int64)
    )
