"""Reading of measurements from files of all supported formats."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo._util.disk_columns import compress_in_place, map_blocks
from rm_geo.errors import InputError, about_its_file
from rm_geo.grid import CrsLike
from rm_geo.io.crs import parse_crs, to_metres
from rm_geo.io.crs_choice import CrsChoice
from rm_geo.io.provenance import InputFile
from rm_geo.io.tables import Request, open_source
from rm_geo.io.tables.cell_ids import CellColumn
from rm_geo.io.tables.column_choice import ColumnChoice, choose_columns
from rm_geo.io.tables.identity_columns import IdentityColumns
from rm_geo.io.tables.source import Bounds, Source
from rm_geo.measurements.accumulator import (
    CleanRows,
    Columns,
    MeasurementAccumulator,
    require_kept,
)
from rm_geo.measurements.cell_names import UNKNOWN
from rm_geo.measurements.cleaning import CleaningReport, DropReason, count_repeats
from rm_geo.measurements.column_file import COLUMN_OPTIONS, read_column_file
from rm_geo.measurements.identity import Resolution, resolve
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.selection import Selection, parse_time
from rm_geo.measurements.spread import FAR_APART_M, cells_far_apart
from rm_geo.measurements.visits import Visits
from rm_geo.options import PredictOptions

__all__ = ["Measurements", "read_measurements"]

_WGS84: Final = 4326


@about_its_file
def read_measurements(
    path: str | os.PathLike[str],
    *,
    layer: str | None = None,
    rsrp_column: str | None = None,
    cell_column: str | None = None,
    x_column: str | None = None,
    y_column: str | None = None,
    time_column: str | None = None,
    pci_column: str | None = None,
    node_column: str | None = None,
    carrier_column: str | None = None,
    operator_column: str | None = None,
    technology_column: str | None = None,
    where: str | None = None,
    strict: bool = False,
    crs: CrsLike | None = None,
    target_crs: CrsLike | None = None,
    bounds: Bounds | None = None,
) -> tuple[Measurements, CleaningReport]:
    r"""Read measurements from a file, check them and convert them to metres.

    Cells are distinguished by operator, technology, carrier and identity, from all columns of the
    file that contain these (:mod:`rm_geo.measurements.identity`). Neighbour cells in columns of
    their own become separate measurements.

    Parameters
    ----------
    path : path-like
        SHP, GPKG, GeoJSON, GeoParquet, FlatGeobuf, delimited text, or another format of OGR.
    layer : str, optional
        The layer, in files with several layers of points.
    rsrp_column, cell_column, x_column, y_column, time_column : str, optional
        Columns (default: found by their names). Coordinate columns replace the geometry.
    pci_column, node_column, carrier_column, operator_column, technology_column : str, optional
        Further columns of the cell's identity (default: found by their names).
    where : str, optional
        Rows to read, as an expression over columns: ``speed > 5 and tech == 'LTE'``; see
        :class:`~rm_geo.io.tables.row_filter.RowFilter`.
    strict : bool
        Raise an error instead of a warning if cells may be mixed up.
    crs : CRS, str or int, optional
        CRS of the coordinates, for files without one. A CRS in the file has precedence; the
        report has a warning if they differ. Names of coordinate columns do not count as a CRS.
    target_crs : CRS, str or int, optional
        Projected CRS of the result (default: that of the file if its metres are true to scale,
        else the UTM zone).
    bounds : tuple of float, optional
        West, south, east, north in the CRS of the file. Points outside are not read and not
        counted.

    Returns
    -------
    measurements : Measurements
        At least one row.
    report : CleaningReport
        Rows used, rows dropped and the reasons.

    Raises
    ------
    InputError
        If the file cannot be read, has no RSRP column or several, has too much text in a
        numeric column, has no valid row, or changed while it was read.
    CrsError
        If the CRS is missing, or cannot be converted to metres.
    UsageError
        If the file does not have a named column or layer.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.csv")
    ...     _ = path.write_text("lon,lat,pci,rsrp\n13,52,40,-90\n13,52.001,40,-95\n")
    ...     measurements, report = read_measurements(path)
    >>> measurements.rsrp_dbm.tolist(), measurements.cell.tolist(), measurements.crs.to_epsg()
    ([-90.0, -95.0], ['40', '40'], 32633)
    >>> report.kept
    2
    """
    file = InputFile.of(Path(path))
    source = open_source(path, layer=layer)
    target = None if target_crs is None else parse_crs(target_crs, "target_crs")
    identity = {
        "cell": cell_column,
        "pci": pci_column,
        "node": node_column,
        "carrier": carrier_column,
        "operator": operator_column,
        "technology": technology_column,
    }
    choice = choose_columns(
        source,
        rsrp=rsrp_column,
        x=x_column,
        y=y_column,
        time=time_column,
        identity=identity,
        where=where,
    )
    rows, crs_choice = _read_rows(source, choice, None if crs is None else parse_crs(crs), bounds)
    file_crs = crs_choice.crs
    keys, combinations = rows.combinations
    cells = resolve(keys, combinations, rows.counts(), keep_2g_3g=choice.is_of_any_technology)
    total = rows.total
    clean = rows.clean(
        geographic=file_crs.is_geographic,
        in_degrees=_is_in_degrees(file_crs),
        legacy=cells.cell_of < 0 if keys else None,
    )
    placed = _placed(clean, file_crs, target, source.label)
    columns = placed.columns
    cell, earfcn = _cells_of_rows(cells, columns)
    measurements = Measurements(
        x=columns["x"],
        y=columns["y"],
        rsrp_dbm=columns["rsrp_dbm"],
        cell=cell,
        crs=placed.crs,
        time=columns.get("time"),
        earfcn=earfcn,
        source=source.path,
        files=(file,),
        identities=cells.cells,
        places=placed.places,
    )
    file.require_unchanged()
    cell_warnings = [
        *cells.warnings,
        *_nameless(measurements),
        *_far_apart(measurements),
        *choice.warnings,
    ]
    if strict and cell_warnings:
        raise InputError(
            f"{source.label} may mix up cells: {cell_warnings[0]}",
            hint="Name the columns that identify the cell, or read without the strict check.",
        )
    repeated_positions, repeated_rows = _repeats(measurements)
    report = CleaningReport(
        source=source.label,
        total=total,
        kept=len(measurements),
        dropped=placed.dropped,
        repeated_positions=repeated_positions,
        repeated_rows=repeated_rows,
        columns={**choice.columns, **_shown(choice.identity, cells)},
        notes=_texts(
            rows.notes, cells.notes, placed.notes, choice.notes, _unread_time(choice, columns)
        ),
        warnings=_texts([crs_choice.warning], placed.warnings, cell_warnings),
    )
    return measurements, report


def read_selected(
    path: str | os.PathLike[str], options: PredictOptions
) -> tuple[Measurements, CleaningReport]:
    r"""Read measurements by the reading options of a run.

    Parameters
    ----------
    path : path-like
        The file.
    options : PredictOptions
        Columns, CRS, bounding box, row filter and selection.

    Returns
    -------
    measurements : Measurements
        At least one row.
    report : CleaningReport
        As of :func:`read_measurements`; the selection is one of the notes.

    Raises
    ------
    RmGeoError
        If the file cannot be used, or the selection is empty.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.csv")
    ...     _ = path.write_text("lon,lat,pci,rsrp\n13,52,40,-90\n13,52,41,-95\n13,52,40,-91\n")
    ...     measurements, _ = read_selected(path, PredictOptions(top=1))
    >>> measurements.cell.tolist()
    ['40', '40']
    """
    measurements, report = read_with_options(path, options)
    selected, notes = selection_of(options).apply(measurements)
    return selected, replace(report, notes=(*report.notes, *notes))


def read_with_options(
    path: str | os.PathLike[str], options: PredictOptions, target_crs: CrsLike | None = None
) -> tuple[Measurements, CleaningReport]:
    """Read measurements by the reading options of a run, without its selection.

    Parameters
    ----------
    path : path-like
        The file.
    options : PredictOptions
        Columns, CRS, bounding box and row filter.
    target_crs : CRS, str or int, optional
        CRS of the result (default: that of the options).

    Returns
    -------
    measurements : Measurements
        At least one row.
    report : CleaningReport
        As of :func:`read_measurements`.

    Raises
    ------
    RmGeoError
        If the file cannot be used.
    """
    reading = options.reading
    columns = {} if reading.columns is None else read_column_file(reading.columns)
    given = {name: getattr(reading, name) for name in COLUMN_OPTIONS}
    columns |= {name: column for name, column in given.items() if column is not None}
    return read_measurements(
        path,
        layer=reading.layer,
        where=reading.where,
        strict=reading.strict,
        crs=reading.crs,
        target_crs=options.grid.target_crs if target_crs is None else target_crs,
        bounds=reading.bbox,
        **columns,
    )


def selection_of(options: PredictOptions) -> Selection:
    """Make the selection of a run from its options.

    Parameters
    ----------
    options : PredictOptions
        Options of time, network and cells.

    Returns
    -------
    Selection

    Raises
    ------
    UsageError
        If a time cannot be parsed.
    """
    reading = options.reading
    begin, end = (
        None if text is None else parse_time(text, parameter)
        for text, parameter in ((reading.time_from, "time_from"), (reading.time_to, "time_to"))
    )
    return Selection(
        begin,
        end,
        reading.technologies,
        reading.operators,
        reading.channels,
        reading.min_points,
        reading.top,
    )


def _read_rows(
    source: Source, choice: ColumnChoice, given: CRS | None, bounds: Bounds | None
) -> tuple[MeasurementAccumulator, CrsChoice]:
    """Read and check all rows, and choose the CRS of their coordinates."""
    column_of = choice.columns
    crs_choice = CrsChoice.choose_for_columns(source, column_of, given)
    axes = (column_of["x"], column_of["y"]) if "x" in column_of else None
    chunks = source.chunks(Request(choice.names, bounds, axes))
    rows = MeasurementAccumulator.read(source, choice, bounds, chunks)
    rows.require_coordinates()
    crs_choice = crs_choice.check(rows.stats, source.label)
    rows.require_rows()
    return rows, crs_choice


@dataclass(frozen=True)
class _PlacedRows:
    """The valid rows in a CRS with metres, and what was dropped and changed for it."""

    columns: Columns
    places: Visits | None
    crs: CRS
    dropped: dict[DropReason, int]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def _placed(clean: CleanRows, crs: CRS, target: CRS | None, source: str) -> _PlacedRows:
    """Convert the rows to metres, and drop those that the CRS cannot express."""
    columns, dropped = clean.columns, dict(clean.dropped)
    require_kept(columns["x"].size, source, dropped)
    positions = to_metres(columns["x"], columns["y"], crs, source, target=target, in_place=True)
    kept = compress_in_place(columns, lambda rows: np.isfinite(rows["x"]) & np.isfinite(rows["y"]))
    if lost := columns["x"].size - kept["x"].size:
        dropped[DropReason.OUTSIDE_CRS] = lost
    places = clean.places
    return _PlacedRows(
        kept,
        None if places is None else places.in_crs(crs, positions.crs, source),
        positions.crs,
        dropped,
        (positions.note,),
        (positions.warning,),
    )


def _unread_time(choice: ColumnChoice, columns: Columns) -> list[str]:
    """Note that the column of times has an unknown notation."""
    if "time" not in choice.columns or "time" in columns:
        return []
    return [f"The times in {choice.columns['time']!r} are in an unknown notation and are not used."]


def _cells_of_rows(
    cells: Resolution, placed: Columns
) -> tuple[CellColumn, NDArray[np.float64] | None]:
    """Return the cell and the channel number of each row; None if no channel is known."""
    if "combination" not in placed:
        return CellColumn.unnamed(placed["x"].size), None
    combination = placed["combination"]
    codes = map_blocks(lambda rows: cells.cell_of[rows], combination, dtype=np.int32)
    channels: NDArray[np.float64] | None = None
    if np.isfinite(cells.channel_of).any():
        channels = map_blocks(lambda rows: cells.channel_of[rows], combination, dtype=np.float64)
    return CellColumn(codes, tuple(cell.name for cell in cells.cells)), channels


def _far_apart(measurements: Measurements) -> list[str]:
    """Warn of identities with measurements in places far apart."""
    cell = measurements.cell
    found = cells_far_apart(measurements.x, measurements.y, cell.codes, cell.names)
    if not found:
        return []
    shown = ", ".join(f"{name or 'unknown'} ({gap / 1000:.0f} km)" for name, gap in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    noun = "cell is" if len(found) == 1 else "cells are"
    return [
        f"{len(found)} {noun} measured in places more than {FAR_APART_M / 1000:g} km apart: "
        f"{shown}{more}. The identity may be that of several cells: name a column that tells them "
        "apart with `cell_column`, or read one place with `bbox`."
    ]


def _nameless(measurements: Measurements) -> list[str]:
    """Warn of rows without a cell in a file that names cells."""
    cell = measurements.cell
    if None not in cell.names or len(cell.present()) < 2:
        return []
    rows = int(np.count_nonzero(cell.codes == cell.names.index(None)))
    if not rows:
        return []
    return [
        f"{rows:,} of {len(measurements):,} rows name no cell. They are read as one cell, "
        f"{UNKNOWN!r}, although they may be of several: choose another `cell_column`, or map only "
        "the others with `cells`."
    ]


def _shown(identity: IdentityColumns, cells: Resolution) -> dict[str, str]:
    """List the columns that identify most cells, and those of carriers and networks."""
    shown: dict[str, str] = {}
    if parts := [identity.columns[key] for key in cells.used if key in identity.columns]:
        shown["cell"] = " and ".join(parts)
    for label, keys in (
        ("channel", ("channel", "frequency", "band")),
        ("operator", ("plmn", "mnc", "operator")),
        ("technology", ("technology",)),
    ):
        if found := next((identity.columns[k] for k in keys if k in identity.columns), None):
            shown[label] = found
    return shown


def _texts(*parts: Iterable[str]) -> tuple[str, ...]:
    """Join lists of texts, without empty ones."""
    return tuple(text for part in parts for text in part if text)


def _is_in_degrees(crs: CRS) -> bool:
    """Whether coordinates are angles in degrees (not grads)."""
    return bool(crs.is_geographic) and crs.axis_info[0].unit_name.startswith("degree")


def _repeats(measurements: Measurements) -> tuple[int, int]:
    """Count rows that repeat a position, and rows that repeat position, time and cell."""
    attributes: list[NDArray[Any]] = [measurements.cell.codes]
    if measurements.time is not None:
        attributes.append(measurements.time)
    place = measurements.x, measurements.y
    return count_repeats(*place), count_repeats(*place, *attributes)
