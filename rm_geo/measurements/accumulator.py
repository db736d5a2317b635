"""The rows of a file of measurements, gathered as they come in chunks.

Columns become compact at once; what depends on all rows (how much of a column is text, how
longitudes are counted, whether -30 dBm is a placeholder) is counted along the way, and decided
when the last chunk is there.
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
from rm_geo.io.tables.arrow import CellReader, Numbers, TextShare, TimeReader, to_numbers
from rm_geo.io.tables.cell_ids import CellColumn
from rm_geo.io.tables.source import Bounds
from rm_geo.io.tables.wkb import Shapes
from rm_geo.measurements.cleaning import (
    DropReason,
    LongitudeCount,
    SuspectCount,
    judge,
    sum_dropped,
    wrap_longitudes,
)

Columns: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class UsableRows:
    """The rows that are kept, in the CRS of the file.

    Attributes
    ----------
    columns : dict of str to ndarray, shape (N,)
        ``x``, ``y``, ``rsrp_dbm`` (float32), and where they are known ``cell`` (numbers of
        names), ``time`` (as the time reader left it) and ``earfcn``.
    dropped : mapping of DropReason to int
        How many were not.
    """

    columns: Columns
    dropped: Mapping[DropReason, int]


class MeasurementAccumulator:
    """Rows that came so far.

    Parameters
    ----------
    source : Source
        The file.
    taken : mapping of str to str
        Which column was taken for which role.
    bounds : tuple of float, optional
        Other rows are left out and not counted.
    """

    def __init__(self, source: Source, taken: Mapping[str, str], bounds: Bounds | None) -> None:
        self._source = source
        self._taken = taken
        self._bounds = bounds
        self._columns: dict[str, DiskColumn[Any]] = {
            "x": DiskColumn(np.float64),
            "y": DiskColumn(np.float64),
            "rsrp_dbm": DiskColumn(np.float64),
            "is_text": DiskColumn(np.bool_),
        }
        self._cells = CellReader()
        self._times = TimeReader()
        self._has_times = "time" in taken
        self._shares = {role: TextShare() for role in ("x", "y", "RSRP") if role in taken}
        self._shapes = Shapes()
        self._malformed = 0
        self._suspects = SuspectCount()
        self._longitudes = LongitudeCount()
        self.look = CoordinateStats()

    @classmethod
    def of(
        cls,
        source: Source,
        taken: Mapping[str, str],
        bounds: Bounds | None,
        tables: Iterable[Table],
    ) -> MeasurementAccumulator:
        """Gather all chunks of a file."""
        gathering = cls(source, taken, bounds)
        for table in tables:
            if table.begins_anew:
                gathering = cls(source, taken, bounds)
            else:
                gathering._add(table)
        return gathering

    @property
    def total(self) -> int:
        """Rows in the file, the unusable ones included."""
        return len(self._columns["x"]) + self._malformed + self._shapes.not_points

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader did that a person may want to know."""
        return self._shapes.notes

    def require_coordinates(self) -> None:
        """Raise if the rows hold no points, or text for coordinates.

        Raises
        ------
        InputError
            Saying what they hold.
        """
        self._shapes.require_points(str(self._source.path))
        for axis in ("x", "y"):
            self._require_numbers(axis)

    def require_rows(self) -> None:
        """Raise if there is nothing to judge, or text for levels.

        Raises
        ------
        InputError
            Saying why.
        """
        if not (self.total and len(self._columns["x"])):
            if self._bounds is not None:
                raise InputError(
                    f"{self._source.label} has no points inside the bounding box "
                    f"{', '.join(f'{edge:g}' for edge in self._bounds)}.",
                    hint="The box is west, south, east, north in the CRS of the file.",
                )
            if self.total:
                require_kept(0, self._source.label, self.left_out())
            raise InputError(
                f"{self._source.label} has no rows.", hint="Export the measurements again."
            )
        self._require_numbers("RSRP")

    def left_out(self) -> dict[DropReason, int]:
        """Rows that the reader itself left out."""
        counts = {
            DropReason.MALFORMED: self._malformed,
            DropReason.NOT_A_POINT: self._shapes.not_points,
        }
        return {reason: count for reason, count in counts.items() if count}

    def usable(self, *, geographic: bool, in_degrees: bool) -> UsableRows:
        """Judge all rows, and keep those that can be used; the gathering is empty then.

        Parameters
        ----------
        geographic : bool
            Whether x is a longitude, which may be counted 0..360.
        in_degrees : bool
            Whether coordinates are degrees, of which there are so many.
        """
        columns: Columns = {name: column.finish() for name, column in self._columns.items()}
        dropped: list[Mapping[DropReason, int]] = []

        def keep(rows: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
            if geographic:
                rows["x"][:] = wrap_longitudes(rows["x"], self._longitudes)
            verdict = judge(
                rows["x"],
                rows["y"],
                rows["rsrp_dbm"],
                geographic=in_degrees,
                is_text=rows["is_text"],
                suspects=self._suspects,
            )
            dropped.append(verdict.dropped)
            return verdict.keep

        columns = compress_in_place(columns, keep)
        del columns["is_text"]
        wide = columns["rsrp_dbm"]
        columns["rsrp_dbm"] = empty_column(wide.size, np.float32)
        for level_dbm, narrow in iter_blocks(wide, columns["rsrp_dbm"]):
            narrow[:] = level_dbm
        return UsableRows(columns, self.left_out() | sum_dropped(dropped))

    def cells(self, codes: NDArray[np.int32] | None, rows: int) -> CellColumn:
        """Give the cells of rows that are left, by their numbers."""
        if codes is None:
            return CellColumn.unnamed(rows)
        return CellColumn(codes, tuple(self._cells.names))

    def times(self, values: NDArray[Any] | None) -> NDArray[np.datetime64] | None:
        """Give the times of rows that are left; None where they are not understood."""
        return None if values is None or not self._has_times else self._times.finish(values)

    def _add(self, table: Table) -> None:
        """Take the next rows."""
        self._malformed += table.malformed
        self._shapes += table.shapes
        x, y = self._coordinates(table)
        self.look.add(x, y)
        inside = _inside(x, y, self._bounds)
        level = self._numbers(table, "RSRP")
        rows: Columns = {"x": x, "y": y, "rsrp_dbm": level.values, "is_text": level.is_text}
        rows |= self._attributes(table)
        if inside is not None:
            rows = {name: values[inside] for name, values in rows.items()}
        self._suspects += SuspectCount.of(rows["rsrp_dbm"])
        self._longitudes += LongitudeCount.of(rows["x"])
        for name, values in rows.items():
            if name not in self._columns:
                self._columns[name] = DiskColumn(values.dtype)
            self._columns[name].append(values)

    def _coordinates(self, table: Table) -> tuple[Float64Array, Float64Array]:
        """Coordinates of the geometry or of two columns."""
        if "x" in self._taken:
            return self._numbers(table, "x").values, self._numbers(table, "y").values
        if table.x is None or table.y is None:
            raise InputError(
                f"{self._source.label} has a layer without geometry.",
                hint="Name the coordinates with --x-column and --y-column.",
            )
        return table.x, table.y

    def _numbers(self, table: Table, role: str) -> Numbers:
        """Give a numeric column, and count its text."""
        name = self._taken[role]
        numbers = to_numbers(table.columns[name], name, self._source.label)
        if role in self._shares:
            self._shares[role].add(numbers)
        return numbers

    def _attributes(self, table: Table) -> Columns:
        """Cell, time and channel number, where they are known."""
        found: Columns = {}
        if "cell" in self._taken:
            found["cell"] = self._cells.read(table.columns[self._taken["cell"]])
        if self._has_times:
            times = self._times.read(table.columns[self._taken["time"]])
            if times is None:
                self._has_times = False
                self._columns.pop("time", None)
            else:
                found["time"] = times
        if "channel" in self._taken:
            found["earfcn"] = self._numbers(table, "channel").values
        return found

    def _require_numbers(self, role: str) -> None:
        """Raise if too much of a column is text."""
        if role in self._shares:
            self._shares[role].require_little(self._taken[role], self._source.label)


def require_kept(count: int, source: str, dropped: Mapping[DropReason, int]) -> None:
    """Raise if no row can be used, with the reasons.

    Raises
    ------
    InputError
        Counting the rows by reason.
    """
    if count == 0:
        reasons = ", ".join(f"{n:,} {reason.description}" for reason, n in dropped.items())
        total = sum(dropped.values())
        raise InputError(
            f"None of the {total:,} rows of {source} can be used: {reasons}.",
            hint="Check that the right RSRP and coordinate columns were taken.",
        )


def _inside(x: Float64Array, y: Float64Array, bounds: Bounds | None) -> NDArray[np.bool_] | None:
    """Tell which rows are inside the bounding box; None where there is none."""
    if bounds is None:
        return None
    west, south, east, north = bounds
    return np.asarray((x >= west) & (x <= east) & (y >= south) & (y <= north))
