"""Reading measurements from any file that holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo._util.disk_columns import compress_in_place
from rm_geo.errors import InputError, UsageError
from rm_geo.grid import CrsLike
from rm_geo.io.crs import parse_crs, to_metres
from rm_geo.io.crs_choice import CrsChoice
from rm_geo.io.tables import Request, Source, open_source
from rm_geo.io.tables import column_roles as roles
from rm_geo.io.tables.source import Bounds
from rm_geo.measurements.accumulator import Columns, MeasurementAccumulator, require_kept
from rm_geo.measurements.cleaning import CleaningReport, DropReason, count_repeats
from rm_geo.measurements.model import Measurements

__all__ = ["Measurements", "read_measurements"]

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
        CRS of the coordinates, where the file states none: its own is kept, and the report
        has a warning if they differ. The names of columns of coordinates are no statement.
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
    stated = _stated_crs(source, taken, None if crs is None else parse_crs(crs))
    axes = (taken["x"], taken["y"]) if "x" in taken else None
    request = Request(tuple(dict.fromkeys(taken.values())), bounds, axes)
    gathering = MeasurementAccumulator.of(source, taken, bounds, source.chunks(request))
    gathering.require_coordinates()
    stated = stated.check(gathering.look, source.label)
    file_crs = stated.crs
    gathering.require_rows()
    total = gathering.total
    usable = gathering.usable(
        geographic=file_crs.is_geographic, in_degrees=_is_in_degrees(file_crs)
    )
    columns, dropped = usable.columns, dict(usable.dropped)
    require_kept(columns["x"].size, source.label, dropped)

    positions = to_metres(
        columns["x"], columns["y"], file_crs, source.label, target=target, in_place=True
    )
    placed = _placed(columns)
    if lost := columns["x"].size - placed["x"].size:
        dropped[DropReason.OUTSIDE_CRS] = lost
    time = gathering.times(placed.get("time"))
    measurements = Measurements(
        x=placed["x"],
        y=placed["y"],
        rsrp_dbm=placed["rsrp_dbm"],
        cell=gathering.cells(placed.get("cell"), placed["x"].size),
        crs=positions.crs,
        time=time,
        earfcn=placed.get("earfcn"),
        source=source.path,
    )
    repeated_positions, repeated_rows = _repeats(measurements)
    notes = (*gathering.notes, positions.note, *_missing(taken, time))
    report = CleaningReport(
        source=source.label,
        total=total,
        kept=len(measurements),
        dropped=dropped,
        repeated_positions=repeated_positions,
        repeated_rows=repeated_rows,
        columns=taken,
        notes=tuple(note for note in notes if note),
        warnings=tuple(text for text in (stated.warning, positions.warning) if text),
    )
    return measurements, report


def _placed(columns: Columns) -> Columns:
    """Leave out rows whose position the CRS cannot express."""
    return compress_in_place(columns, lambda rows: np.isfinite(rows["x"]) & np.isfinite(rows["y"]))


def _missing(taken: Mapping[str, str], time: NDArray[np.datetime64] | None) -> list[str]:
    """Say which attributes are not there."""
    notes = []
    if "cell" not in taken:
        notes.append("No cell column was found: all rows are one cell (--cell-column).")
    if "time" in taken and time is None:
        notes.append(f"The times in {taken['time']!r} are not understood: left out.")
    return notes


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


def _stated_crs(source: Source, taken: Mapping[str, str], given: CRS | None) -> CrsChoice:
    """Choose the file's CRS, or the one given, or WGS 84 for longitude and latitude."""
    if "x" not in taken:
        return CrsChoice.choose_for_source(source, given)
    is_degrees = roles.is_named(taken["x"], roles.LONGITUDE) and roles.is_named(
        taken["y"], roles.LATITUDE
    )
    by_names = CRS.from_epsg(_WGS84) if is_degrees else None
    return CrsChoice.choose(None, by_names if given is None else given, source.label)


def _is_in_degrees(crs: CRS) -> bool:
    """Whether coordinates are angles in degrees (not grads)."""
    return bool(crs.is_geographic) and crs.axis_info[0].unit_name.startswith("degree")


def _repeats(measurements: Measurements) -> tuple[int, int]:
    """Rows that share a position, and rows that share position, time and cell."""
    attributes: list[NDArray[Any]] = [measurements.cell.codes]
    if measurements.time is not None:
        attributes.append(measurements.time)
    place = measurements.x, measurements.y
    return count_repeats(*place), count_repeats(*place, *attributes)
