"""Measurements: received power at points, and their split by cell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo._types import Float64Array
from rm_geo._util.disk_columns import drop_pages, empty_column, iter_blocks
from rm_geo.io.tables.cell_ids import CellColumn
from rm_geo.measurements.cell_names import safe_file_names
from rm_geo.measurements.identity import CellIdentity
from rm_geo.measurements.visits import Visits


class CellPart(NamedTuple):
    """Which rows are a cell's, and what the measurements call it (None for rows without one)."""

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
        Identity of the cell; None where unknown. An array of names may be given.
    crs : pyproj.CRS
        A projected CRS with metres.
    time : ndarray of datetime64[ms], shape (N,), optional
        UTC, or whatever the file's clock said.
    earfcn : ndarray of float64, shape (N,), optional
        EARFCN or NR-ARFCN of the carrier; NaN where unknown.
    source : Path, optional
        The file.
    identities : tuple of CellIdentity
        What is known of each cell of ``cell``: operator, technology, carrier, and the names under
        which a site table may list it.
    places : Visits, optional
        Further places where the measuring device was and recorded no usable level.

    Notes
    -----
    The arrays of a large file lie on disk (:mod:`rm_geo._util.disk_columns`): read them in
    blocks.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "cell", CellColumn.of(self.cell))
        arrays = (self.y, self.rsrp_dbm, self.cell, self.time, self.earfcn)
        if any(array is not None and array.shape != self.x.shape for array in arrays):
            raise ValueError("the arrays of Measurements must have one shape")

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the positions in metres."""
        blocks = [(x.min(), y.min(), x.max(), y.max()) for x, y in iter_blocks(self.x, self.y)]
        west, south, east, north = zip(*blocks, strict=True)
        return float(min(west)), float(min(south)), float(max(east)), float(max(north))

    def select(self, rows: NDArray[Any] | slice) -> Measurements:
        """Take some rows, by a mask, by indices, or as a view by a slice."""
        return replace(
            self,
            x=self.x[rows],
            y=self.y[rows],
            rsrp_dbm=self.rsrp_dbm[rows],
            cell=self.cell[rows],
            time=None if self.time is None else self.time[rows],
            earfcn=None if self.earfcn is None else self.earfcn[rows],
        )

    def visits(self) -> Visits:
        """Give the visited places, each once, whatever cell was reported there.

        Rows of one time and position are one visit; without times, rows of one position.

        Returns
        -------
        Visits
            Those of all rows, and of places without a usable level.
        """
        own = Visits(self.x, self.y, self.time)
        return own.distinct() if self.places is None else own.joined(self.places).distinct()

    def identity_of(self, name: str | None) -> CellIdentity:
        """Give what is known of a cell, by its name in ``cell``."""
        for identity in self.identities:
            if identity.name == name:
                return identity
        return CellIdentity(name, () if name is None else (name,))

    def by_cell(self) -> dict[str, Measurements]:
        """Split by cell, under names that are safe and unique as names of files.

        A physical cell id is reused on every carrier: where one identity was heard on
        several channel numbers, each is a cell of its own, ``40_earfcn1300``. Rows without
        an identity are the cell ``unknown``. Cells with the most rows come first.
        """
        grouped, parts = self.grouped()
        return {name: grouped.select(part.rows) for name, part in parts.items()}

    def grouped(self) -> tuple[Measurements, dict[str, CellPart]]:
        """Put the rows of each cell together, in their order; say which are whose.

        The names and their order are those of :meth:`by_cell`. Nothing is copied where there
        is one cell only.
        """
        cells = _split_carriers(self.cell, self.earfcn)
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
        """Sort the rows by small numbers, of which those of each begin at ``starts``."""
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


def _split_carriers(cells: CellColumn, earfcn: Float64Array | None) -> CellColumn:
    """Make each carrier on which one identity was heard a cell of its own."""
    if earfcn is None:
        return cells
    found: set[tuple[int, int]] = set()
    for codes, channels in iter_blocks(cells.codes, earfcn):
        heard = np.isfinite(channels)
        pairs = np.column_stack([codes[heard], channels[heard].astype(np.int64)])
        found.update(map(tuple, np.unique(pairs, axis=0).tolist()))
    carriers = Counter(code for code, _ in found)
    several = sorted(pair for pair in found if carriers[pair[0]] > 1)
    if not several:
        return cells
    split = empty_column(len(cells), np.int32)
    for before, after, channels in iter_blocks(cells.codes, split, earfcn):
        after[:] = before
        for place, (code, channel) in enumerate(several, start=len(cells.names)):
            after[(before == code) & (channels == channel)] = place
    names = (f"{cells.names[code] or 'unknown'}_earfcn{channel}" for code, channel in several)
    return CellColumn(split, (*cells.names, *names))
