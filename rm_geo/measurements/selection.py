"""Selecting measurements by time, network, carrier and size of the cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rm_geo._util.disk_columns import iter_blocks
from rm_geo.errors import InputError, UsageError
from rm_geo.measurements.identity import technology_of
from rm_geo.measurements.model import Measurements


@dataclass(frozen=True)
class Selection:
    """What measurements are used.

    Attributes
    ----------
    begin, end : numpy.datetime64, optional
        Times from ``begin`` on, before or at ``end``.
    technologies, operators : tuple of str
        Only these, in any case; all if empty.
    channels : tuple of int
        Only these EARFCNs or NR-ARFCNs; all if empty.
    min_points : int
        Cells with fewer measurements are left out.
    top : int, optional
        Only so many cells, those with the most measurements.
    """

    begin: np.datetime64 | None = None
    end: np.datetime64 | None = None
    technologies: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    min_points: int = 0
    top: int | None = None

    def apply(self, measurements: Measurements) -> tuple[Measurements, tuple[str, ...]]:
        """Select rows.

        Parameters
        ----------
        measurements : Measurements
            All measurements.

        Returns
        -------
        measurements : Measurements
            Those selected; visited places are kept.
        notes : tuple of str
            How many were left out, and by what.

        Raises
        ------
        InputError
            If nothing is left, or a time is asked for and the measurements have none.

        Examples
        --------
        >>> from pyproj import CRS
        >>> points = Measurements(np.arange(3.0), np.zeros(3), np.full(3, -90, np.float32),
        ...                       ["1", "1", "2"], CRS.from_epsg(32633))
        >>> few, notes = Selection(top=1).apply(points)
        >>> few.cell.tolist(), notes
        (['1', '1'], ('1 cell and its 1 measurement are left out by the selection.',))
        """
        kept = self._rows(measurements)
        cells = self._cells(measurements, kept)
        if cells is not None:
            before = _present(measurements, kept)
            kept = np.ones(len(measurements), dtype=np.bool_) if kept is None else kept
            for codes, block in iter_blocks(measurements.cell.codes, kept):
                block &= cells[codes]
            gone = before - int(cells[_codes(measurements)].sum())
        else:
            gone = 0
        if kept is None:
            return measurements, ()
        left = int(np.count_nonzero(kept))
        if left == 0:
            raise InputError(
                f"No measurement of {measurements.source or 'the measurements'} is left by the "
                "selection of time, network and cells.",
                hint="Widen the selection.",
            )
        out = len(measurements) - left
        if not out:
            return measurements, ()
        rows = f"{out:,} measurement{'s' if out != 1 else ''}"
        if gone > 0:
            noun = "cell and its" if gone == 1 else "cells and their"
            note = f"{gone:,} {noun} {rows} are left out by the selection."
        else:
            note = f"{rows} are left out by the selection."
        return measurements.select(kept), (note,)

    def _rows(self, measurements: Measurements) -> NDArray[np.bool_] | None:
        """Rows within the time; None for all."""
        if self.begin is None and self.end is None:
            return None
        if measurements.time is None:
            raise InputError(
                f"{measurements.source or 'The measurements'} have no times that are understood, "
                "so none can be selected.",
                hint="Name the column of the time, or leave the time out of the selection.",
            )
        kept = np.zeros(len(measurements), dtype=np.bool_)
        for times, block in iter_blocks(measurements.time, kept):
            block[:] = ~np.isnat(times)
            if self.begin is not None:
                block &= times >= self.begin
            if self.end is not None:
                block &= times <= self.end
        return kept

    def _cells(
        self, measurements: Measurements, kept: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        """Which names of cells are selected; None for all."""
        names = measurements.cell.names
        chosen = np.ones(len(names), dtype=np.bool_)
        wanted = (
            ("technology", {technology_of(text).casefold() for text in self.technologies}),
            ("operator", {text.casefold() for text in self.operators}),
        )
        for attribute, values in wanted:
            if values:
                stated = [getattr(measurements.identity_of(name), attribute) for name in names]
                chosen &= [text.casefold() in values for text in stated]
        if self.channels:
            stated_channels = [measurements.identity_of(name).channel for name in names]
            chosen &= np.isin(stated_channels, self.channels)
        if self.min_points > 0 or self.top is not None:
            counts = _counts(measurements, kept)
            chosen &= counts >= max(self.min_points, 1)
            if self.top is not None:
                ranked = np.argsort(-np.where(chosen, counts, 0), kind="stable")
                chosen[ranked[self.top :]] = False
        return None if chosen.all() else chosen


def parse_time(text: str, parameter: str) -> np.datetime64:
    """Read a time of ISO 8601 in UTC, or as the log's clock says.

    Parameters
    ----------
    text : str
        Such as ``2024-05-01`` or ``2024-05-01T10:30``.
    parameter : str
        What it is for, for messages.

    Raises
    ------
    UsageError
        If it is none.

    Examples
    --------
    >>> str(parse_time("2024-05-01T10:30", "time_from"))
    '2024-05-01T10:30:00.000'
    """
    moment: np.datetime64
    try:
        moment = np.datetime64(text.strip().removesuffix("Z").replace(" ", "T"), "ms")
    except ValueError:
        moment = np.datetime64("NaT", "ms")
    if np.isnat(moment):
        raise UsageError(
            f"{text!r} is no time.",
            parameter=parameter,
            hint="Write it as 2024-05-01 or 2024-05-01T10:30.",
        )
    return moment


def _codes(measurements: Measurements) -> NDArray[np.intp]:
    """Codes of the cells that occur."""
    return np.flatnonzero(measurements.cell.counts())


def _counts(measurements: Measurements, kept: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Rows of each name that are kept."""
    if kept is None:
        return measurements.cell.counts()
    found = np.zeros(len(measurements.cell.names), dtype=np.int64)
    for codes, block in iter_blocks(measurements.cell.codes, kept):
        found += np.bincount(codes[block], minlength=found.size)
    return found


def _present(measurements: Measurements, kept: NDArray[np.bool_] | None) -> int:
    """Count the cells that are kept."""
    return int(np.count_nonzero(_counts(measurements, kept)))
