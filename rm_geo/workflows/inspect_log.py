"""Description of a file of measurements: columns, cells, area, times."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyproj import Transformer

from rm_geo.measurements.cleaning import CleaningReport
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.reader import read_selected
from rm_geo.options import PredictOptions

_SAMPLE_ROWS: Final = 5


@dataclass(frozen=True)
class CellSummary:
    """One cell of a log.

    Attributes
    ----------
    name : str
        File name of the cell.
    identity : str
        Identity in the log; empty without one.
    points : int
        Number of measurements.
    median_dbm : float
        Median RSRP in dBm.
    operator, technology, carrier : str
        Values in the log; empty where missing.
    extent_m : float
        Diagonal of the bounding box of its measurements, in metres.
    """

    name: str
    identity: str
    points: int
    median_dbm: float
    operator: str
    technology: str
    carrier: str
    extent_m: float


@dataclass(frozen=True)
class LogSummary:
    """Contents of a file of measurements.

    Attributes
    ----------
    path : Path
        The file.
    report : CleaningReport
        Recognised columns, dropped rows, notes and warnings.
    cells : tuple of CellSummary
        The cells, the one with the most measurements first.
    bounds_lonlat : tuple of float
        West, south, east, north in degrees, WGS 84.
    crs : str
        Name of the projected CRS of the maps.
    first, last : str
        Earliest and latest time; empty without times.
    visits : int
        Number of distinct places and times.
    sample : tuple of dict
        The first rows.
    command : str
        The command that maps the file.
    """

    path: Path
    report: CleaningReport
    cells: tuple[CellSummary, ...]
    bounds_lonlat: tuple[float, float, float, float]
    crs: str
    first: str
    last: str
    visits: int
    sample: tuple[dict[str, Any], ...]
    command: str

    def as_dict(self) -> dict[str, Any]:
        """Convert the summary to values for JSON.

        Returns
        -------
        dict of str to object
        """
        return {
            **self.report.as_dict(),
            "file": str(self.path),
            "cells": [vars(cell) for cell in self.cells],
            "bounds_lonlat": list(self.bounds_lonlat),
            "crs": self.crs,
            "first": self.first,
            "last": self.last,
            "visits": self.visits,
            "sample": list(self.sample),
            "command": self.command,
        }

    def lines(self, most_cells: int = 30) -> list[str]:
        """Format the summary for a terminal.

        Parameters
        ----------
        most_cells : int
            Number of cells to list; the others are counted.

        Returns
        -------
        list of str
        """
        lines = self.report.lines()
        west, south, east, north = self.bounds_lonlat
        lines.append(
            f"  area {west:.5f}..{east:.5f} E, {south:.5f}..{north:.5f} N; maps in {self.crs}"
        )
        if self.first:
            lines.append(f"  time {self.first} to {self.last}")
        lines.append(f"  {self.visits:,} visited places")
        lines.append("")
        lines.append("First rows as understood:")
        for row in self.sample:
            lines.append("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
        lines.append("")
        width = max(len(cell.name) for cell in self.cells)
        lines.append(
            f"{'cell':{width}}  {'points':>8}  {'median':>7}  {'extent':>8}  technology, carrier, "
            "operator"
        )
        for cell in self.cells[:most_cells]:
            network = ", ".join(
                text for text in (cell.technology, cell.carrier, cell.operator) if text
            )
            lines.append(
                f"{cell.name:{width}}  {cell.points:8,}  {cell.median_dbm:7.1f}  "
                f"{cell.extent_m / 1000.0:5.2f} km  {network}".rstrip()
            )
        if (more := len(self.cells) - most_cells) > 0:
            rest = sum(cell.points for cell in self.cells[most_cells:])
            lines.append(f"and {more} more cells with {rest:,} measurements")
        lines.append("")
        lines.append(f"To map it: {self.command}")
        return lines


def inspect_log(path: str | os.PathLike[str], options: PredictOptions | None = None) -> LogSummary:
    r"""Read a file of measurements and describe its contents.

    Parameters
    ----------
    path : path-like
        The file.
    options : PredictOptions, optional
        Columns, CRS and selection.

    Returns
    -------
    LogSummary

    Raises
    ------
    RmGeoError
        If the file cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.csv")
    ...     _ = path.write_text("lon,lat,pci,rsrp\n13,52,40,-90\n13,52.001,40,-95\n")
    ...     summary = inspect_log(path)
    >>> [(cell.name, cell.points, cell.median_dbm) for cell in summary.cells]
    [('40', 2, -92.5)]
    """
    chosen = PredictOptions() if options is None else options
    measurements, report = read_selected(path, chosen)
    cells = tuple(
        _summary(name, rows, measurements) for name, rows in measurements.by_cell().items()
    )
    west, south, east, north = measurements.bounds
    to_degrees = Transformer.from_crs(measurements.crs, 4326, always_xy=True)
    bounds = to_degrees.transform_bounds(west, south, east, north)
    first, last = _times(measurements)
    return LogSummary(
        Path(path),
        report,
        cells,
        (float(bounds[0]), float(bounds[1]), float(bounds[2]), float(bounds[3])),
        str(measurements.crs.name),
        first,
        last,
        len(measurements.visits()),
        tuple(_sample(measurements, to_degrees)),
        _command(path, chosen),
    )


def _summary(name: str, rows: Measurements, everything: Measurements) -> CellSummary:
    """Summarise a cell."""
    original = rows.cell[0]
    identity = everything.identity_of(original)
    west, south, east, north = rows.bounds
    return CellSummary(
        name,
        original or "",
        len(rows),
        float(np.median(rows.rsrp_dbm)),
        identity.operator,
        identity.technology,
        identity.carrier,
        float(np.hypot(east - west, north - south)),
    )


def _times(measurements: Measurements) -> tuple[str, str]:
    """Earliest and latest time."""
    if measurements.time is None or bool(np.isnat(measurements.time).all()):
        return "", ""
    known = measurements.time[~np.isnat(measurements.time)]
    return str(known.min()), str(known.max())


def _sample(measurements: Measurements, to_degrees: Transformer) -> list[dict[str, Any]]:
    """Return the first rows."""
    rows = []
    for row in range(min(_SAMPLE_ROWS, len(measurements))):
        longitude, latitude = to_degrees.transform(measurements.x[row], measurements.y[row])
        values: dict[str, Any] = {
            "longitude": round(float(longitude), 6),
            "latitude": round(float(latitude), 6),
            "cell": measurements.cell[row] or "",
            "rsrp_dbm": round(float(measurements.rsrp_dbm[row]), 2),
        }
        if measurements.time is not None:
            values["time"] = str(measurements.time[row])
        rows.append(values)
    return rows


def _command(path: str | os.PathLike[str], options: PredictOptions) -> str:
    """Format the command that maps the file with the same options."""
    words = ["rm-geo", "predict", os.fspath(path), "-o", "maps"]
    defaults = PredictOptions().flat()
    for name, value in options.flat().items():
        if value == defaults[name]:
            continue
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag)
        elif isinstance(value, (list, tuple)):
            words += [flag, ",".join(str(part) for part in value)]
        else:
            words += [flag, str(value)]
    return shlex.join(words)
