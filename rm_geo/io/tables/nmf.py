"""Text logs of Nemo Outdoor (``.nmf``): positions and the levels of phones and scanners.

Each line is a record: its name, a time of the day, and values. Of the records, these are read:

``#START``, ``#UT``
    Date of the log, and minutes by which its clock is ahead of UTC.
``GPS``
    Longitude and latitude in WGS 84.
``CELLMEAS``
    Cells that a phone measured: type, band, channel, PCI, RSSI, RSRP, ...
``OFDMSCAN``
    Cells that a scanner measured on one LTE channel: PCI, ..., RSRP (of type 1, by reference
    signals).
``PILOTSCAN``
    Cells that a scanner measured on one UMTS channel: scrambling code, Ec/No, RSCP.

The position of a record is interpolated between the fixes before and after it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rm_geo.errors import InputError
from rm_geo.io.tables.source import Request, Source, Table

SUFFIXES: Final = (".nmf",)
NAMES: Final = ("time", "longitude", "latitude", "technology", "channel", "pci", "rsrp")

_DAY_S: Final = 86400.0
_LONGEST_GAP_S: Final = 30.0  # between a record and the nearest fix
_TECHNOLOGIES: Final = {"7": "LTE", "8": "LTE", "5": "UMTS", "1": "GSM"}
_MOST_FIELDS: Final = 20_000


@dataclass
class _Log:
    """Records of a log."""

    fixes: list[tuple[float, float, float]] = field(default_factory=list)
    rows: list[tuple[float, str, str, str, str]] = field(default_factory=list)
    start: datetime | None = None
    ahead_min: float = 0.0
    day: float = 0.0
    last_s: float = -1.0
    malformed: int = 0

    def seconds(self, text: str) -> float:
        """Read a time of the day in seconds since the midnight before the first record."""
        hours, minutes, seconds = text.split(":")
        value = 3600.0 * int(hours) + 60.0 * int(minutes) + float(seconds) + self.day
        if self.last_s - value > _DAY_S / 2:  # past midnight
            self.day += _DAY_S
            value += _DAY_S
        self.last_s = max(self.last_s, value)
        return value


def open_nmf(path: Path) -> Source:
    """Describe a Nemo log.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Source
        With the columns of :data:`NAMES`.

    Examples
    --------
    >>> open_nmf(Path("drive.nmf")).names[:3]
    ('time', 'longitude', 'latitude')
    """

    def chunks(request: Request) -> Iterator[Table]:
        return _chunks(path, request)

    return Source(path, NAMES, has_geometry=False, crs=None, chunks=chunks)


def is_nmf(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a Nemo text log.

    Parameters
    ----------
    head : bytes
        First bytes.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_nmf(b'#PRODUCT,,,"Nemo Outdoor"')
    True
    """
    return head.startswith((b"#PRODUCT,", b"#FF,", b"#BF,"))


def _chunks(path: Path, request: Request) -> Iterator[Table]:
    """Read the cells of all records, one row each."""
    log = _read(path)
    if not log.fixes:
        raise InputError(
            f"{path} has no GPS records, so its measurements have no positions.",
            hint="Export a log that was recorded with a position.",
            path=path,
        )
    x, y = _positions(log)
    times = _times(log)
    for first in range(0, max(len(log.rows), 1), request.rows):
        some = log.rows[first : first + request.rows]
        part = slice(first, first + len(some))
        columns = {
            "time": pa.array(times[part]),
            "longitude": pa.array(x[part]),
            "latitude": pa.array(y[part]),
            "technology": pa.array([row[1] for row in some], pa.string()),
            "channel": pa.array([row[2] for row in some], pa.string()),
            "pci": pa.array([row[3] for row in some], pa.string()),
            "rsrp": pa.array([row[4] for row in some], pa.string()),
        }
        yield Table(
            {name: pa.chunked_array([columns[name]]) for name in request.names},
            malformed=log.malformed if first == 0 else 0,
        )


def _read(path: Path) -> _Log:
    """Read all supported records."""
    log = _Log()
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as lines:
            for line in lines:
                kind, _, _ = line.partition(",")
                try:
                    _take(log, kind, line)
                except (ValueError, IndexError, OverflowError):
                    log.malformed += 1
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", path=path) from error
    return log


def _take(log: _Log, kind: str, line: str) -> None:
    """Add a record to the log."""
    if kind not in {"GPS", "CELLMEAS", "OFDMSCAN", "PILOTSCAN", "#START", "#UT"}:
        return
    values = next(csv.reader([line.rstrip("\r\n")]))[:_MOST_FIELDS]
    if kind == "#START":
        day, month, year = (int(part) for part in values[3].split("."))
        log.start = datetime(year, month, day)
    elif kind == "#UT":
        log.ahead_min = float(values[3] or 0.0)
    elif kind == "GPS":
        longitude, latitude = float(values[3]), float(values[4])
        if longitude or latitude:
            log.fixes.append((log.seconds(values[1]), longitude, latitude))
    else:
        _take_cells(log, kind, values)


def _take_cells(log: _Log, kind: str, values: list[str]) -> None:
    """Add the cells of a record: a header with its length, then cells of equal length."""
    technology = _TECHNOLOGIES.get(values[3], "")
    header = int(values[4])
    channel = values[5] if header else ""
    if kind == "OFDMSCAN" and values[6] != "1":
        return  # by synchronisation signals
    count, width = int(values[5 + header]), int(values[6 + header])
    if kind == "CELLMEAS" and technology != "LTE":
        return
    moment = log.seconds(values[1])
    # Place of channel, identity and level within the values of a cell.
    places = {"CELLMEAS": (2, 3, 5), "OFDMSCAN": (None, 0, 3), "PILOTSCAN": (None, 0, 2)}[kind]
    first = 7 + header
    for number in range(count):
        cell = values[first + number * width : first + (number + 1) * width]
        own = channel if places[0] is None else cell[places[0]]
        if cell[places[2]]:
            log.rows.append((moment, technology, own, cell[places[1]], cell[places[2]]))


def _positions(log: _Log) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interpolate the position of each row; NaN far from any fix."""
    fixes = np.array(log.fixes, dtype=np.float64)
    fixes = fixes[np.argsort(fixes[:, 0], kind="stable")]
    moments = np.array([row[0] for row in log.rows], dtype=np.float64)
    after = np.clip(np.searchsorted(fixes[:, 0], moments), 0, len(fixes) - 1)
    before = np.clip(after - 1, 0, len(fixes) - 1)
    gap = np.minimum(np.abs(fixes[after, 0] - moments), np.abs(fixes[before, 0] - moments))
    near = gap <= _LONGEST_GAP_S
    x, y = (np.interp(moments, fixes[:, 0], fixes[:, axis]) for axis in (1, 2))
    return np.where(near, x, np.nan), np.where(near, y, np.nan)


def _times(log: _Log) -> NDArray[np.datetime64]:
    """Time of each row in UTC; NaT without a date in the log."""
    moments = np.array([row[0] for row in log.rows], dtype=np.float64)
    if log.start is None:
        return np.full(moments.size, np.datetime64("NaT", "ms"))
    midnight = np.datetime64(log.start - timedelta(minutes=log.ahead_min), "ms")
    return midnight + np.round(moments * 1000.0).astype("timedelta64[ms]")
