"""Accumulation of the rows of a file of measurements, which are read in chunks.

Values are stored in compact columns at once. Decisions that depend on all rows (the share of
text in a column, the range of longitudes, whether -30 dBm is a placeholder) use counts that are
kept along the way, and are made after the last chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import Float64Array
from rm_geo._util.disk_columns import DiskColumn, compress_in_place, empty_column, iter_blocks
from rm_geo.errors import InputError
from rm_geo.io.crs import CoordinateStats
from rm_geo.io.tables import Source, Table
from rm_geo.io.tables.arrow import (
    TextShare,
    TimeReader,
    looks_like_nmea,
    to_degrees,
    to_numbers,
)
from rm_geo.io.tables.column_choice import ColumnChoice
from rm_geo.io.tables.identity_columns import SHARED_ROLES
from rm_geo.io.tables.neighbours import explode_lists
from rm_geo.io.tables.source import Bounds
from rm_geo.io.tables.wkb import Shapes
from rm_geo.measurements.cleaning import (
    DropReason,
    LevelCount,
    LongitudeCount,
    check_rows,
    sum_dropped,
    wrap_longitudes,
)
from rm_geo.measurements.identity import CombinationReader
from rm_geo.measurements.visits import Visits

Columns: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class CleanRows:
    """The rows that passed all checks, in the CRS of the file.

    Attributes
    ----------
    columns : dict of str to ndarray, shape (N,)
        ``x``, ``y``, ``rsrp_dbm`` (float32) and, where known, ``combination`` (numbers of the
        values that identify the cell) and ``time`` (datetime64[ms]).
    places : Visits or None
        Rows with a valid position and no valid level: the measuring device was there, too.
    dropped : mapping of DropReason to int
        Number of dropped rows by reason.
    """

    columns: Columns
    places: Visits | None
    dropped: Mapping[DropReason, int]


class MeasurementAccumulator:
    r"""The rows that have been read so far.

    Parameters
    ----------
    source : Source
        The file.
    choice : ColumnChoice
        The columns to read.
    bounds : tuple of float, optional
        West, south, east, north in the CRS of the file. Rows outside are not counted.

    Attributes
    ----------
    stats : CoordinateStats
        Statistics of the coordinates, for the check of the CRS.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from rm_geo.io.tables import Request, open_source
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.csv")
    ...     _ = path.write_text("lon,lat,rsrp\n13,52,-90\n13,52,\n")
    ...     source = open_source(path)
    ...     choice = ColumnChoice({"x": "lon", "y": "lat", "RSRP": "rsrp"})
    ...     tables = source.chunks(Request(choice.names))
    ...     rows = MeasurementAccumulator.read(source, choice, None, tables)
    >>> rows.total
    2
    >>> clean = rows.clean(geographic=True, in_degrees=True)
    >>> clean.columns["rsrp_dbm"].tolist(), {r.value: n for r, n in clean.dropped.items()}
    ([-90.0], {'no_rsrp': 1})
    """

    def __init__(self, source: Source, choice: ColumnChoice, bounds: Bounds | None) -> None:
        column_of = choice.columns
        self._source = source
        self._choice = choice
        self._column_of = column_of
        self._bounds = bounds
        self._columns: dict[str, DiskColumn[Any]] = {
            "x": DiskColumn(np.float64),
            "y": DiskColumn(np.float64),
            "rsrp_dbm": DiskColumn(np.float64),
            "is_text": DiskColumn(np.bool_),
        }
        keys = dict.fromkeys(choice.identity.columns)
        for cell in choice.neighbours:
            keys |= dict.fromkeys(cell.identity)
        self._combinations = CombinationReader(tuple(keys))
        self._nmea: bool | None = None  # until a chunk with a latitude
        self._places: dict[str, DiskColumn[Any]] = {}
        self._neighbour_levels = 0
        self._unselected = 0
        self._times = TimeReader()
        self._has_times = "time" in column_of
        self._counts = np.zeros(0, dtype=np.int64)
        self._shares = {role: TextShare() for role in ("x", "y", "RSRP") if role in column_of}
        self._shapes = Shapes()
        self._malformed = 0
        self._levels = LevelCount()
        self._longitudes = LongitudeCount()
        self.stats = CoordinateStats()

    @classmethod
    def read(
        cls,
        source: Source,
        choice: ColumnChoice,
        bounds: Bounds | None,
        tables: Iterable[Table],
    ) -> MeasurementAccumulator:
        """Accumulate all chunks of a file.

        Parameters
        ----------
        source : Source
            The file.
        choice : ColumnChoice
            The columns to read.
        bounds : tuple of float, optional
            West, south, east, north in the CRS of the file.
        tables : iterable of Table
            The chunks.

        Returns
        -------
        MeasurementAccumulator

        Raises
        ------
        InputError
            If a chunk cannot be read.
        """
        accumulator = cls(source, choice, bounds)
        for table in tables:
            if table.restarts:
                accumulator = cls(source, choice, bounds)
            else:
                accumulator._add(table)
        return accumulator

    @property
    def total(self) -> int:
        """Number of rows in the file, including dropped ones.

        Returns
        -------
        int
        """
        return len(self._columns["x"]) + self._malformed + self._shapes.not_points

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the cleaning report.

        Returns
        -------
        tuple of str
        """
        notes = self._shapes.notes
        if self._neighbour_levels:
            notes += (
                f"{self._neighbour_levels:,} levels are those of neighbour cells in columns of "
                "their own or in lists.",
            )
        if self._unselected and self._choice.where is not None:
            notes += (
                f"{self._unselected:,} rows do not match {self._choice.where.text!r}: dropped.",
            )
        return notes

    @property
    def combinations(self) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
        """Roles of the identity, and the distinct combinations of their values.

        Returns
        -------
        roles : tuple of str
            Keys of :data:`rm_geo.io.tables.identity_columns.IDENTITY_ROLES`.
        combinations : list of tuple of (str or None)
            In the order of their numbers.
        """
        return self._combinations.keys, list(self._combinations.combinations)

    def require_coordinates(self) -> None:
        """Check that the rows have points, and numbers as coordinates.

        Raises
        ------
        InputError
            If all geometries are lines or polygons, or too many coordinates are text.
        """
        self._shapes.require_points(str(self._source.path))
        for axis in ("x", "y"):
            self._require_numbers(axis)

    def require_rows(self) -> None:
        """Check that there are rows, and numbers that may be RSRP in dBm.

        Raises
        ------
        InputError
            If there are no rows, too many levels are text, or the levels are not in dBm.
        """
        if not (self.total and len(self._columns["x"])):
            if self._bounds is not None:
                raise InputError(
                    f"{self._source.label} has no points inside the bounding box "
                    f"{', '.join(f'{edge:g}' for edge in self._bounds)}.",
                    hint="The box is west, south, east, north in the CRS of the file.",
                    parameter="bbox",
                )
            if self._unselected and self._choice.where is not None:
                raise InputError(
                    f"No row of {self._source.label} fulfils the row filter "
                    f"{self._choice.where.text!r}.",
                    parameter="where",
                    hint="Correct `where`, or leave it out.",
                )
            if self.total:
                require_kept(0, self._source.label, self.dropped())
            raise InputError(
                f"{self._source.label} has no rows.", hint="Export the measurements again."
            )
        self._require_numbers("RSRP")
        if likeness := self._levels.resembles():
            raise InputError(
                f"The column {self._column_of['RSRP']!r} of {self._source.label} holds values from "
                f"{self._levels.lowest:g} to {self._levels.highest:g}: they are not RSRP in "
                f"dBm. They look like {likeness}.",
                hint="Convert them to dBm, or choose another column.",
            )

    def dropped(self) -> dict[DropReason, int]:
        """Count the rows that were dropped while reading.

        Returns
        -------
        dict of DropReason to int
            Only reasons that occur.
        """
        counts = {
            DropReason.MALFORMED: self._malformed,
            DropReason.NOT_A_POINT: self._shapes.not_points,
        }
        return {reason: count for reason, count in counts.items() if count}

    def clean(
        self, *, geographic: bool, in_degrees: bool, legacy: NDArray[np.bool_] | None = None
    ) -> CleanRows:
        """Check all rows and return the valid ones; the accumulator is empty afterwards.

        Parameters
        ----------
        geographic : bool
            Whether x is a longitude, which may range from 0 to 360.
        in_degrees : bool
            Whether coordinates are in degrees, whose range is limited.
        legacy : ndarray of bool, shape (K,), optional
            Combinations of identity values that belong to 2G or 3G.

        Returns
        -------
        CleanRows
        """
        columns = self._with_times({name: rows.finish() for name, rows in self._columns.items()})
        dropped: list[Mapping[DropReason, int]] = []
        timed = "time" in columns

        def keep(rows: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
            if geographic:
                rows["x"][:] = wrap_longitudes(rows["x"], self._longitudes)
            check = check_rows(
                rows["x"],
                rows["y"],
                rows["rsrp_dbm"],
                geographic=in_degrees,
                is_text=rows["is_text"],
                levels=self._levels,
                is_legacy=None if legacy is None else legacy[rows["combination"]],
            )
            dropped.append(check.dropped)
            self._keep_places(rows, check.has_position & ~check.keep, timed=timed)
            return check.keep

        columns = compress_in_place(columns, keep)
        del columns["is_text"]
        wide = columns["rsrp_dbm"]
        columns["rsrp_dbm"] = empty_column(wide.size, np.float32)
        for level_dbm, narrow in iter_blocks(wide, columns["rsrp_dbm"]):
            narrow[:] = level_dbm
        places = {name: rows.finish() for name, rows in self._places.items()}
        visits = None
        if places and places["x"].size:
            visits = Visits(places["x"], places["y"], places.get("time"))
        return CleanRows(columns, visits, self.dropped() | sum_dropped(dropped))

    def counts(self) -> NDArray[np.int64]:
        """Count the rows of each combination of identity values.

        Returns
        -------
        ndarray of int64, shape (K,)
        """
        return self._counts

    def _add(self, table: Table) -> None:
        """Add the rows of a chunk."""
        self._malformed += table.malformed
        self._shapes += table.shapes
        x, y = self._coordinates(table)
        self.stats.add(x, y)
        inside = _inside(x, y, self._bounds)
        if self._choice.where is not None and x.size:
            wanted = self._choice.where.matches(table.columns, self._source.label)
            self._unselected += int(
                np.count_nonzero(~wanted if inside is None else inside & ~wanted)
            )
            inside = wanted if inside is None else inside & wanted
        times = self._read_times(table)
        serving = {key: table.columns[name] for key, name in self._choice.identity.columns.items()}
        level = table.columns[self._column_of["RSRP"]]
        self._append(x, y, level, self._column_of["RSRP"], serving, times, inside, serving=True)
        shared = {key: column for key, column in serving.items() if key in SHARED_ROLES}
        for cell in self._choice.neighbours:
            identity = {key: table.columns[name] for key, name in cell.identity.items()}
            self._append(
                x,
                y,
                table.columns[cell.level],
                cell.level,
                shared | identity,
                times,
                inside,
                serving=False,
            )

    def _append(
        self,
        x: Float64Array,
        y: Float64Array,
        level: Any,  # noqa: ANN401 - pyarrow has no types
        name: str,
        identity: Mapping[str, Any],
        times: NDArray[Any] | None,
        inside: NDArray[np.bool_] | None,
        *,
        serving: bool,
    ) -> None:
        """Append the levels of one cell of each row."""
        of_cell, parent = explode_lists({"": level, **identity}, "")
        level = of_cell.pop("")
        numbers = to_numbers(level, name, self._source.label)
        if serving:
            self._shares["RSRP"].add(numbers)
        rows: Columns = {"x": x, "y": y}
        if times is not None:
            rows["time"] = times
        if parent is not None:
            rows = {key: values[parent] for key, values in rows.items()}
            inside = None if inside is None else inside[parent]
        rows |= {"rsrp_dbm": numbers.values, "is_text": numbers.is_text}
        if self._combinations.keys:
            rows["combination"] = self._combinations.read(of_cell, numbers.values.size)
        if not serving:  # rows have different numbers of neighbours
            heard = np.isfinite(numbers.values)
            inside = heard if inside is None else inside & heard
        if inside is not None:
            rows = {key: values[inside] for key, values in rows.items()}
        if not serving:
            self._neighbour_levels += rows["x"].size
        elif parent is not None:
            self._neighbour_levels += parent.size - x.size
        self._levels += LevelCount.of(rows["rsrp_dbm"])
        self._longitudes += LongitudeCount.of(rows["x"])
        if self._combinations.keys:
            found = np.bincount(rows["combination"], minlength=len(self._combinations.combinations))
            found[: self._counts.size] += self._counts
            self._counts = found
        for key, values in rows.items():
            if key not in self._columns:
                self._columns[key] = DiskColumn(values.dtype)
            self._columns[key].append(values)

    def _keep_places(
        self, rows: Mapping[str, NDArray[Any]], chosen: NDArray[np.bool_], *, timed: bool
    ) -> None:
        """Keep positions and times of rows without a valid level."""
        for key in ("x", "y", "time") if timed else ("x", "y"):
            if key not in self._places:
                self._places[key] = DiskColumn(rows[key].dtype)
            self._places[key].append(rows[key][chosen])

    def _coordinates(self, table: Table) -> tuple[Float64Array, Float64Array]:
        """Return the coordinates of the geometry or of two columns."""
        if "x" in self._column_of:
            if self._nmea is None and "hemisphere of y" in self._column_of:
                self._nmea = looks_like_nmea(table.columns[self._column_of["y"]])
            return self._degrees(table, "x"), self._degrees(table, "y")
        if table.x is None or table.y is None:
            raise InputError(
                f"{self._source.label} has a layer without geometry.",
                hint="Name the coordinates with `x_column` and `y_column`.",
                parameter="x_column",
            )
        return table.x, table.y

    def _degrees(self, table: Table, axis: str) -> Float64Array:
        """Return the coordinates of a column, which may be angles in several notations."""
        name = self._column_of[axis]
        letters = self._column_of.get(f"hemisphere of {axis}")
        hemisphere = None if letters is None else table.columns[letters]
        numbers = to_degrees(
            table.columns[name],
            name,
            self._source.label,
            hemisphere=hemisphere,
            nmea=bool(self._nmea),
        )
        self._shares[axis].add(numbers)
        return numbers.values

    def _read_times(self, table: Table) -> NDArray[Any] | None:
        """Read the times of a chunk; None if their format is unknown."""
        if not self._has_times:
            return None
        times = self._times.read(table.columns[self._column_of["time"]])
        if times is None:
            self._has_times = False
            self._columns.pop("time", None)
        return times

    def _with_times(self, columns: Columns) -> Columns:
        """Convert the column of times; leave it out if their notation is unknown."""
        values = columns.pop("time", None)
        times = None if values is None or not self._has_times else self._times.finish(values)
        return columns if times is None else {**columns, "time": times}

    def _require_numbers(self, role: str) -> None:
        """Raise if too much of a column is text."""
        if role in self._shares:
            self._shares[role].require_mostly_numbers(self._column_of[role], self._source.label)


def require_kept(count: int, source: str, dropped: Mapping[DropReason, int]) -> None:
    """Check that at least one row is left.

    Parameters
    ----------
    count : int
        Rows that are left.
    source : str
        The file, for messages.
    dropped : mapping of DropReason to int
        Dropped rows by reason.

    Raises
    ------
    InputError
        If no row is left. The message counts the dropped rows by reason.

    Examples
    --------
    >>> require_kept(1, "drive.csv", {})
    """
    if count == 0:
        reasons = ", ".join(f"{n:,} {reason.description}" for reason, n in dropped.items())
        total = sum(dropped.values())
        raise InputError(
            f"None of the {total:,} rows of {source} can be used: {reasons}.",
            hint="Check that the right RSRP and coordinate columns were chosen.",
        )


def _inside(x: Float64Array, y: Float64Array, bounds: Bounds | None) -> NDArray[np.bool_] | None:
    """Mark the rows inside the bounding box; None without a box."""
    if bounds is None:
        return None
    west, south, east, north = bounds
    return np.asarray((x >= west) & (x <= east) & (y >= south) & (y <= north))
