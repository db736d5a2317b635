"""Reading of measurements from files of all supported formats."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo._util.disk_columns import compress_in_place, map_blocks
from rm_geo.errors import InputError, UsageError, about_its_file
from rm_geo.grid import CrsLike
from rm_geo.io.crs import in_crs, parse_crs, to_metres
from rm_geo.io.crs_choice import CrsChoice
from rm_geo.io.provenance import InputFile
from rm_geo.io.tables import Request, Source, open_source
from rm_geo.io.tables import column_roles as roles
from rm_geo.io.tables.cell_ids import CellColumn
from rm_geo.io.tables.source import Bounds
from rm_geo.measurements.accumulator import (
    ColumnChoice,
    Columns,
    MeasurementAccumulator,
    require_kept,
)
from rm_geo.measurements.cell_names import UNKNOWN
from rm_geo.measurements.cleaning import CleaningReport, DropReason, count_repeats
from rm_geo.measurements.column_file import COLUMN_OPTIONS, read_column_file
from rm_geo.measurements.identity import (
    SHARED_ROLES,
    IdentityColumns,
    Resolution,
    choose_identity_columns,
    resolve,
)
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.neighbours import find_neighbours
from rm_geo.measurements.row_filter import RowFilter
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
        :class:`~rm_geo.measurements.row_filter.RowFilter`.
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
    named = {
        "cell": cell_column,
        "pci": pci_column,
        "node": node_column,
        "carrier": carrier_column,
        "operator": operator_column,
        "technology": technology_column,
    }
    choice, identity = _choose_columns(
        source, rsrp_column, x_column, y_column, time_column, named, where
    )
    column_of = choice.columns
    crs_choice = _choose_crs(source, column_of, None if crs is None else parse_crs(crs))
    axes = (column_of["x"], column_of["y"]) if "x" in column_of else None
    request = Request(choice.names, bounds, axes)
    rows = MeasurementAccumulator.read(source, choice, bounds, source.chunks(request))
    rows.require_coordinates()
    crs_choice = crs_choice.check(rows.stats, source.label)
    file_crs = crs_choice.crs
    rows.require_rows()
    keys, combinations = rows.combinations
    # RSRP in a row of 2G or 3G is that of an earlier row; a level of any technology is its own.
    keep_2g_3g = roles.is_level_of_any_technology(column_of["RSRP"])
    cells = resolve(keys, combinations, rows.counts(), keep_2g_3g=keep_2g_3g)
    total = rows.total
    clean = rows.clean(
        geographic=file_crs.is_geographic,
        in_degrees=_is_in_degrees(file_crs),
        legacy=cells.cell_of < 0 if keys else None,
    )
    columns, dropped = clean.columns, dict(clean.dropped)
    require_kept(columns["x"].size, source.label, dropped)

    positions = to_metres(
        columns["x"], columns["y"], file_crs, source.label, target=target, in_place=True
    )
    placed = _placed(columns)
    if lost := columns["x"].size - placed["x"].size:
        dropped[DropReason.OUTSIDE_CRS] = lost
    time = rows.times(placed.get("time"))
    cell, earfcn = _cells_of_rows(cells, placed)
    measurements = Measurements(
        x=placed["x"],
        y=placed["y"],
        rsrp_dbm=placed["rsrp_dbm"],
        cell=cell,
        crs=positions.crs,
        time=time,
        earfcn=earfcn,
        source=source.path,
        files=(file,),
        identities=cells.cells,
        places=_places(clean.places, rows, file_crs, positions.crs, source.label),
    )
    file.require_unchanged()
    repeated_positions, repeated_rows = _repeats(measurements)
    cell_warnings = [
        *cells.warnings,
        *_nameless(measurements),
        *_far_apart(measurements),
        *_unrecognised(identity),
    ]
    if strict and cell_warnings:
        raise InputError(
            f"{source.label} may mix up cells: {cell_warnings[0]}",
            hint="Name the columns that identify the cell, or read without the strict check.",
        )
    notes = (
        *rows.notes,
        *cells.notes,
        positions.note,
        *_missing(column_of, identity, time),
    )
    report = CleaningReport(
        source=source.label,
        total=total,
        kept=len(measurements),
        dropped=dropped,
        repeated_positions=repeated_positions,
        repeated_rows=repeated_rows,
        columns={**column_of, **_shown(identity, cells)},
        notes=tuple(note for note in notes if note),
        warnings=tuple(
            text for text in (crs_choice.warning, positions.warning, *cell_warnings) if text
        ),
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


def _places(
    places: Columns, rows: MeasurementAccumulator, file_crs: CRS, target: CRS, label: str
) -> Visits | None:
    """Convert the places without a valid level to metres."""
    if not places or places["x"].size == 0:
        return None
    x, y = in_crs(places["x"], places["y"], file_crs, target, label)
    time = rows.times(places.get("time"))
    known = np.isfinite(x) & np.isfinite(y)
    return Visits(x[known], y[known], None if time is None else time[known])


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


def _unrecognised(identity: IdentityColumns) -> list[str]:
    """Warn if no column identifies the cell and the name of a column suggests that it may."""
    if identity.has_identity or not identity.unrecognised:
        return []
    return [
        "No cell column was recognised, and all rows are read as one cell, but "
        f"{roles.quoted(identity.unrecognised)} may identify it: choose with `cell_column`."
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


def _placed(columns: Columns) -> Columns:
    """Drop rows whose position cannot be expressed in the CRS."""
    return compress_in_place(columns, lambda rows: np.isfinite(rows["x"]) & np.isfinite(rows["y"]))


def _missing(
    column_of: Mapping[str, str], identity: IdentityColumns, time: NDArray[np.datetime64] | None
) -> list[str]:
    """List missing attributes."""
    notes = []
    if not identity.has_identity:
        notes.append("No cell column was found: all rows are one cell (`cell_column`).")
    if "time" in column_of and time is None:
        notes.append(
            f"The times in {column_of['time']!r} are in an unknown notation and are not used."
        )
    return notes


def _choose_columns(
    source: Source,
    rsrp: str | None,
    x: str | None,
    y: str | None,
    time: str | None,
    named: Mapping[str, str | None],
    where: str | None,
) -> tuple[ColumnChoice, IdentityColumns]:
    """Find the column of each role; ``x`` and ``y`` only where they are not the geometry."""
    names, label = source.names, source.label
    column_of: dict[str, str] = {}
    if (x is None) != (y is None):
        raise UsageError(
            "`x_column` and `y_column` go together: give both or none.",
            parameter="y_column" if y is None else "x_column",
        )
    questions: list[InputError] = []
    if x is not None or not source.has_geometry:
        try:
            column_of["x"], column_of["y"] = _coordinate_columns(source, x, y)
        except InputError as error:
            questions.append(error)
    if "x" in column_of:
        for axis, pattern in roles.HEMISPHERES.items():
            letters = [name for name in names if pattern.match(roles.normalise(name))]
            if len(letters) == 1 and letters[0] != column_of[axis]:
                column_of[f"hemisphere of {axis}"] = letters[0]
    neighbours = () if rsrp is not None else find_neighbours(names)
    own = [name for name in names if not any(name in cell.columns for cell in neighbours)]
    serving: dict[str, str] = {}
    try:
        if rsrp is None and neighbours and roles.find_column(own, roles.RSRP, label) is None:
            first, *rest = neighbours  # scanners number all cells
            column_of["RSRP"], serving, neighbours = first.level, dict(first.identity), tuple(rest)
        else:
            column_of["RSRP"] = roles.require_column(
                own if rsrp is None else names, roles.RSRP, label, chosen=rsrp
            )
        if rsrp is not None and roles.is_other_quantity(column_of["RSRP"]):
            raise UsageError(
                f"The column {column_of['RSRP']!r} of {label} is, by its name, not an RSRP in "
                "dBm but a ratio in dB.",
                hint="Choose the RSRP with `rsrp_column`, or rename the column.",
                parameter="rsrp_column",
            )
    except InputError as error:
        questions.append(error)
    if (found := roles.find_column(names, roles.TIME, label, chosen=time)) is not None:
        column_of["time"] = found
    identity = IdentityColumns({})
    try:
        identity = choose_identity_columns(
            [name for name in own if name not in column_of.values()],
            column_of.get("RSRP", ""),
            label,
            chosen=named,
        )
    except InputError as error:
        questions.append(error)
    _ask_at_once(questions)
    if serving:
        network = {key: name for key, name in identity.columns.items() if key in SHARED_ROLES}
        identity = IdentityColumns({**network, **serving}, identity.unrecognised)
    rows = None if where is None else RowFilter.parse(where, list(names), label)
    return ColumnChoice(column_of, identity.columns, neighbours, rows), identity


def _ask_at_once(questions: Sequence[InputError]) -> None:
    """Raise all questions about the columns of a file as one error."""
    if not questions:
        return
    if len(questions) == 1:
        raise questions[0]
    hints = dict.fromkeys(error.hint for error in questions if error.hint)
    raise InputError(
        " ".join(error.message for error in questions),
        hint=" ".join(hints),
        parameter=questions[0].parameter,
    )


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
        hint="Name the coordinates with `x_column` and `y_column`.",
        parameter="x_column",
    )


def _choose_crs(source: Source, column_of: Mapping[str, str], given: CRS | None) -> CrsChoice:
    """Choose the CRS of the file, the given one, or WGS 84 for longitude and latitude."""
    if "x" not in column_of:
        return CrsChoice.choose_for_source(source, given)
    is_degrees = roles.is_named(column_of["x"], roles.LONGITUDE) and roles.is_named(
        column_of["y"], roles.LATITUDE
    )
    by_names = CRS.from_epsg(_WGS84) if is_degrees else None
    return CrsChoice.choose(None, by_names if given is None else given, source.label)


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
