"""Files of planning results: rasters written band by band, tables, and values of JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._util.atomic import replacing
from rm_geo._util.csv_text import csv_text
from rm_geo.io.cog import RasterSink
from rm_geo.planning.product import RasterLayer, Rows

_DIGITS: Final = 7
_EXACT: Final = frozenset({"bounds", "site"})


class BandRasters:
    """Rasters that are written while a set of maps is streamed: puts parts of rows together.

    Parameters
    ----------
    sinks : mapping of str to (RasterLayer, RasterSink)
        Open rasters by file name.
    shape : tuple of int
        Rows and columns of the grid.
    """

    def __init__(
        self, sinks: Mapping[str, tuple[RasterLayer, RasterSink]], shape: tuple[int, int]
    ) -> None:
        self._sinks = sinks
        self._height, self._width = shape
        self._rows: slice | None = None
        self._written = 0
        self._parts: dict[str, NDArray[Any]] = {}

    def place(self, rows: slice, cols: slice, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take the pixels of a band.

        Parameters
        ----------
        rows, cols : slice
            Its pixels; all bands of the same rows follow each other, from north to south.
        arrays : mapping of str to ndarray, shape (h, w)
            Values by file name; rasters without values get nodata.
        """
        if self._rows != rows:
            self._flush()
            self._rows = rows
        for file, values in arrays.items():
            part = self._parts.get(file)
            if part is None:
                part = self._parts[file] = self._empty(file, rows.stop - rows.start)
            part[:, cols] = values

    def finish(self) -> None:
        """Write the last rows."""
        self._flush()
        self._fill(self._height)

    def _flush(self) -> None:
        """Write the rows that are complete."""
        if self._rows is None:
            return
        rows, parts = self._rows, self._parts
        self._fill(rows.start)
        for file, (_, sink) in self._sinks.items():
            part = parts.get(file)
            sink.write_rows(
                rows.start,
                self._empty(file, rows.stop - rows.start) if part is None else part,
            )
        self._written, self._rows, self._parts = rows.stop, None, {}

    def _fill(self, end: int) -> None:
        """Write rows that no map reaches."""
        while self._written < end:
            count = min(256, end - self._written)
            for file, (_, sink) in self._sinks.items():
                sink.write_rows(self._written, self._empty(file, count))
            self._written += count

    def _empty(self, file: str, rows: int) -> NDArray[Any]:
        """Make rows of nodata."""
        layer = self._sinks[file][0]
        value = np.nan if layer.dtype == "float32" else layer.nodata
        return np.full((rows, self._width), value, dtype=layer.dtype)


def write_table(path: Path, rows: Rows) -> None:
    """Write a table as CSV.

    Parameters
    ----------
    path : Path
        The file to create or replace.
    rows : sequence of mapping
        Rows; the columns are those of the first one. None and NaN are left empty.

    Raises
    ------
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(Path(folder, "a.csv"), [{"cell": "40", "area_km2": 0.25}])
    ...     print(Path(folder, "a.csv").read_text())
    cell,area_km2
    40,0.25
    <BLANKLINE>
    """
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _table_text(value) for key, value in row.items()} for row in rows)
    with replacing(path) as part:
        part.write_text(text.getvalue(), "utf-8", newline="")


def _table_text(value: Any) -> object:  # noqa: ANN401 - a value of a row
    """Write one value of a table."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else csv_text(value)


def json_value(value: Any) -> Any:  # noqa: ANN401 - any value of JSON
    """Turn values into those of JSON.

    Parameters
    ----------
    value : mapping, sequence, number or text
        NumPy's numbers become those of Python, NaN becomes null, and numbers keep seven digits,
        except bounds and sites.

    Returns
    -------
    object

    Examples
    --------
    >>> json_value({"mean": np.float32(1.5), "missing": float("nan"), "share": 1 / 3})
    {'mean': 1.5, 'missing': None, 'share': 0.3333333}
    """
    if isinstance(value, Mapping):
        return {
            str(key): item if key in _EXACT else json_value(item) for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
