"""Measurements: received power at points, and their split by cell."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo._types import Float64Array
from rm_geo._util.disk_columns import drop_pages, empty_column, iter_blocks
from rm_geo.io.provenance import InputFile
from rm_geo.io.tables.cell_ids import CellColumn
from rm_geo.measurements.cell_names import safe_file_names
from rm_geo.measurements.identity import CellIdentity
from rm_geo.measurements.visits import Visits

_SERVING_ONLY: Final = 1.05
"""Most cells at each visit of a log that lists the serving cell alone."""


class CellPart(NamedTuple):
    """Rows of one cell in :meth:`Measurements.grouped`.

    Attributes
    ----------
    rows : slice
        The rows.
    original : str or None
        Name of the cell in the measurements; None for rows without one.
    """

    rows: slice
    original: str | None


@dataclass(frozen=True)
class Measurements:
    """Received power at points, in metres.

    Attributes
    ----------
    x, y : ndarray of float64, shape (N,)
        Positions in metres in ``crs``.
    rsrp_dbm : ndarray of float32, shape (N,)
        RSRP in -156..-20 dBm; finite.
    cell : CellColumn, shape (N,)
        Identity of the cell; None where unknown. An array of names is accepted, too.
    crs : pyproj.CRS
        A projected CRS with metres.
    time : ndarray of datetime64[ms], shape (N,), optional
        UTC; local time of the logger where the file has no time zone.
    earfcn : ndarray of float64, shape (N,), optional
        EARFCN or NR-ARFCN of the carrier; NaN where unknown.
    source : Path, optional
        The file; the first one of several logs together.
    identities : tuple of CellIdentity
        Operator, technology, carrier and site table keys of the cells in ``cell``.
    places : Visits, optional
        Further places that the measuring device visited without a valid level.
    further_sources : tuple of Path
        The other files of several logs together
        (:func:`rm_geo.measurements.joining.join_measurements`).
    files : tuple of InputFile
        The files as they were read; none for measurements in memory.
    partly_serving_only : bool
        Whether some of the rows come from a log that lists the serving cell alone.

    Raises
    ------
    ValueError
        If the arrays have different lengths.

    Notes
    -----
    The arrays of a large file are on disk (:mod:`rm_geo._util.disk_columns`): read them in
    blocks.

    Examples
    --------
    >>> points = Measurements(np.array([0.0, 5.0, 9.0]), np.zeros(3), np.full(3, -90, np.float32),
    ...                       ["1", "2", "1"], CRS.from_epsg(32633))
    >>> points.bounds
    (0.0, 0.0, 9.0, 0.0)
    >>> {name: len(rows) for name, rows in points.by_cell().items()}
    {'1': 2, '2': 1}
    >>> points.select(slice(0, 2)).cell.tolist()
    ['1', '2']
    """

    x: Float64Array
    y: Float64Array
    rsrp_dbm: NDArray[np.float32]
    cell: CellColumn
    crs: CRS
    time: NDArray[np.datetime64] | None = None
    earfcn: Float64Array | None = None
    source: Path | None = None
    identities: tuple[CellIdentity, ...] = ()
    places: Visits | None = None
    further_sources: tuple[Path, ...] = ()
    files: tuple[InputFile, ...] = ()
    partly_serving_only: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "cell", CellColumn.of(self.cell))
        arrays = (self.y, self.rsrp_dbm, self.cell, self.time, self.earfcn)
        if any(array is not None and array.shape != self.x.shape for array in arrays):
            raise ValueError("the arrays of Measurements must have one shape")

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @property
    def sources(self) -> tuple[Path, ...]:
        """All files of the measurements; none if they were made in memory."""
        return (*(() if self.source is None else (self.source,)), *self.further_sources)

    @property
    def inputs(self) -> tuple[InputFile | Path, ...]:
        """All files for provenance: as they were read, or their paths where that is not known."""
        read = {file.path: file for file in self.files}
        return tuple(read.get(path, path) for path in self.sources)

    @property
    def source_label(self) -> str | None:
        """Name of the file or files in messages; None for measurements in memory."""
        if not self.sources:
            return None
        first, more = self.sources[0], len(self.sources) - 1
        return f"{first} and {more} more" if more else str(first)

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """Bounding box of the positions.

        Returns
        -------
        tuple of float
            West, south, east, north in metres.
        """
        blocks = [(x.min(), y.min(), x.max(), y.max()) for x, y in iter_blocks(self.x, self.y)]
        west, south, east, north = zip(*blocks, strict=True)
        return float(min(west)), float(min(south)), float(max(east)), float(max(north))

    def select(self, rows: NDArray[Any] | slice) -> Measurements:
        """Select rows.

        Parameters
        ----------
        rows : ndarray of bool or int, or slice
            A mask or indices, which copy the rows, or a slice, which gives a view.

        Returns
        -------
        Measurements
            The rows, with the same CRS and sources.
        """
        return replace(
            self,
            x=self.x[rows],
            y=self.y[rows],
            rsrp_dbm=self.rsrp_dbm[rows],
            cell=self.cell[rows],
            time=None if self.time is None else self.time[rows],
            earfcn=None if self.earfcn is None else self.earfcn[rows],
        )

    def checksum(self) -> str:
        """Compute the sha256 of CRS, positions, levels and times.

        Returns
        -------
        str
            Hexadecimal digits.
        """
        digest = hashlib.sha256(self.crs.to_wkt().encode())
        columns: list[NDArray[Any]] = [self.x, self.y, self.rsrp_dbm]
        if self.time is not None:
            columns.append(self.time)
        for column in columns:
            for (block,) in iter_blocks(column):
                digest.update(np.ascontiguousarray(block).view(np.uint8).data)
        return digest.hexdigest()

    def visits(self) -> Visits:
        """Return the visited places, each once, for all cells.

        Rows with one time and position are one visit; without times, rows with one position.

        Returns
        -------
        Visits
            Positions of all rows, and of places without a valid level.
        """
        own = Visits(self.x, self.y, self.time)
        return own.distinct() if self.places is None else own.joined(self.places).distinct()

    @property
    def lists_serving_only(self) -> bool:
        """Whether a log of several cells lists one cell at a time: the serving one.

        That a cell is not reported has no meaning there. Up to a twentieth of the visits may report
        a second cell, as at a handover. Of several logs together it is enough if one is such a log.
        """
        several = len(np.unique(self.cell.codes)) > 1
        return several and (self.partly_serving_only or self.lists_one_cell)

    @property
    def lists_one_cell(self) -> bool:
        """Whether one cell is listed at each visit; a twentieth may list a second one."""
        columns: list[NDArray[Any]] = [self.x, self.y]
        if self.time is not None:
            columns.append(self.time.view(np.int64))
        order = np.lexsort([self.cell.codes, *columns])
        visits = np.logical_or.reduce([np.diff(column[order]) != 0 for column in columns])
        other_cell = np.diff(self.cell.codes[order]) != 0
        reports = 1 + int(np.count_nonzero(visits | other_cell))
        return reports <= _SERVING_ONLY * (1 + int(np.count_nonzero(visits)))

    @cached_property
    def _identity_by_name(self) -> dict[str | None, CellIdentity]:
        """Identities by the names of their cells."""
        return {identity.name: identity for identity in self.identities}

    def identity_of(self, name: str | None) -> CellIdentity:
        """Look up the identity of a cell.

        Parameters
        ----------
        name : str or None
            Name in ``cell``.

        Returns
        -------
        CellIdentity
            With the name only, if nothing else is known.
        """
        unknown = CellIdentity(name, () if name is None else (name,))
        return self._identity_by_name.get(name, unknown)

    def by_cell(self) -> dict[str, Measurements]:
        """Split the measurements by cell.

        A physical cell identity is reused on every carrier: an identity with several channels is
        split into one cell for each, such as ``40_earfcn1300``. Rows without an identity are the
        cell ``unknown``.

        Returns
        -------
        dict of str to Measurements
            By names that are valid and unique file names; cells with the most rows first.
        """
        grouped, parts = self.grouped()
        return {name: grouped.select(part.rows) for name, part in parts.items()}

    def grouped(self) -> tuple[Measurements, dict[str, CellPart]]:
        """Sort the rows by cell, and keep their order within each cell.

        Returns
        -------
        measurements : Measurements
            The sorted rows; not copied if there is only one cell.
        parts : dict of str to CellPart
            Rows of each cell; names and their order are those of :meth:`by_cell`.
        """
        cells, _ = split_carriers(self.cell, self.earfcn)
        counts = cells.counts()
        occur = [int(k) for k in np.flatnonzero(counts)]
        names = safe_file_names([cells.names[k] for k in occur])
        largest = sorted(occur, key=lambda k: (-int(counts[k]), names[cells.names[k]]))
        starts = np.cumsum(counts) - counts
        parts = {
            names[cells.names[k]]: CellPart(
                slice(int(starts[k]), int(starts[k] + counts[k])), cells.names[k]
            )
            for k in largest
        }
        return (self if len(occur) <= 1 else self._sorted(cells.codes, starts)), parts

    def _sorted(self, codes: NDArray[np.int32], starts: NDArray[np.int64]) -> Measurements:
        """Sort the rows by codes; the rows of each code begin at ``starts``."""
        columns: dict[str, NDArray[Any] | None] = {
            "x": self.x,
            "y": self.y,
            "rsrp_dbm": self.rsrp_dbm,
            "cell": self.cell.codes,
            "time": self.time,
            "earfcn": self.earfcn,
        }
        there = {name: column for name, column in columns.items() if column is not None}
        targets: dict[str, Any] = {
            name: empty_column(len(self), column.dtype) for name, column in there.items()
        }
        free = starts.copy()
        for block, *values in iter_blocks(codes, *there.values()):
            order = np.argsort(block, kind="stable")
            counts = np.bincount(block, minlength=free.size)
            place = np.repeat(free - np.cumsum(counts) + counts, counts) + np.arange(block.size)
            for value, target in zip(values, targets.values(), strict=True):
                target[place] = value[order]
                drop_pages(target)
            free += counts
        targets["cell"] = CellColumn(targets["cell"], self.cell.names)
        return replace(self, **targets)


def split_carriers(
    cells: CellColumn, earfcn: Float64Array | None
) -> tuple[CellColumn, tuple[int, ...]]:
    """Split identities with several carriers into one cell for each carrier.

    Parameters
    ----------
    cells : CellColumn, shape (N,)
        Cell of each row.
    earfcn : ndarray of float64, shape (N,), optional
        Channel of each row; NaN where unknown. Such rows keep their cell.

    Returns
    -------
    cells : CellColumn, shape (N,)
        With further names for the cells of identities with several carriers.
    origin : tuple of int
        For each name, its index in the names before.

    Examples
    --------
    >>> cells, origin = split_carriers(CellColumn.of(["40", "40"]), np.array([1300.0, 6300.0]))
    >>> cells.tolist(), origin
    (['40_earfcn1300', '40_earfcn6300'], (0, 1, 0, 0))
    """
    same = tuple(range(len(cells.names)))
    if earfcn is None:
        return cells, same
    found: set[tuple[int, int]] = set()
    for codes, channels in iter_blocks(cells.codes, earfcn):
        heard = np.isfinite(channels)
        pairs = np.column_stack([codes[heard], channels[heard].astype(np.int64)])
        found.update(map(tuple, np.unique(pairs, axis=0).tolist()))
    carriers = Counter(code for code, _ in found)
    several = sorted(pair for pair in found if carriers[pair[0]] > 1)
    if not several:
        return cells, same
    split = empty_column(len(cells), np.int32)
    for before, after, channels in iter_blocks(cells.codes, split, earfcn):
        after[:] = before
        for place, (code, channel) in enumerate(several, start=len(cells.names)):
            after[(before == code) & (channels == channel)] = place
    names = (f"{cells.names[code] or 'unknown'}_earfcn{channel}" for code, channel in several)
    return CellColumn(split, (*cells.names, *names)), (*same, *(code for code, _ in several))
