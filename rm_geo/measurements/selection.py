"""Selection of measurements by time, network, carrier and number of measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rm_geo._util.disk_columns import iter_blocks
from rm_geo.errors import InputError, UsageError
from rm_geo.measurements.identity import technology_of
from rm_geo.measurements.model import Measurements


@dataclass(frozen=True)
class Selection:
    """Criteria of a selection.

    Attributes
    ----------
    begin, end : numpy.datetime64, optional
        First and last time, both included.
    technologies, operators : tuple of str
        Selected values, compared without regard to case; all if empty.
    channels : tuple of int
        Selected EARFCNs or NR-ARFCNs; all if empty.
    min_points : int
        Cells with fewer measurements are dropped.
    top : int, optional
        Largest number of cells; those with the most measurements are kept.
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
            The selected rows. Visited places are kept, and rows that are left out for their
            cell's rank or number of measurements become places, unless the log lists the serving
            cell alone.
        notes : tuple of str
            Number of dropped rows and cells.

        Raises
        ------
        InputError
            If no row is selected, or a time is given and the measurements have no times.

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
        networks = self._networks(measurements)
        cells = self._largest(networks, measurements, kept)
        visited = np.zeros(0, dtype=np.bool_)
        if not cells.all():
            kept = np.ones(len(measurements), dtype=np.bool_) if kept is None else kept
            visited = np.zeros(len(measurements), dtype=np.bool_)
            for codes, block, apart in iter_blocks(measurements.cell.codes, kept, visited):
                apart[:] = block & networks[codes] & ~cells[codes]
                block &= cells[codes]
        if kept is None:
            return measurements, ()
        left = int(np.count_nonzero(kept))
        if left == 0:
            raise InputError(
                f"No measurement of {measurements.source_label or 'the measurements'} is left by "
                "the selection of time, network and cells.",
                hint="Widen the selection.",
                path=measurements.source,
            )
        gone = _present(measurements, None) - _present(measurements, kept)
        out = len(measurements) - left
        if not out:
            return measurements, ()
        rows = f"{out:,} measurement{'s' if out != 1 else ''}"
        if gone > 0:
            noun = "cell and its" if gone == 1 else "cells and their"
            note = f"{gone:,} {noun} {rows} are left out by the selection."
        else:
            note = f"{rows} are left out by the selection."
        selected = measurements.select(kept)
        if visited.any() and not measurements.lists_serving_only:
            left_out = replace(measurements.select(visited), places=measurements.places)
            selected = replace(selected, places=left_out.visits())
        return selected, (note,)

    def _rows(self, measurements: Measurements) -> NDArray[np.bool_] | None:
        """Mark the rows in the interval of time; None for all."""
        if self.begin is None and self.end is None:
            return None
        if measurements.time is None:
            raise InputError(
                f"{measurements.source_label or 'The measurements'} have no readable times, so "
                "they cannot be selected by time.",
                hint="Name the column of the time, or leave the time out of the selection.",
                parameter="time_column",
                path=measurements.source,
            )
        kept = np.zeros(len(measurements), dtype=np.bool_)
        for times, block in iter_blocks(measurements.time, kept):
            block[:] = ~np.isnat(times)
            if self.begin is not None:
                block &= times >= self.begin
            if self.end is not None:
                block &= times <= self.end
        return kept

    def _networks(self, measurements: Measurements) -> NDArray[np.bool_]:
        """Mark the names of cells of the selected networks and channels."""
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
        return np.asarray(chosen)

    def _largest(
        self,
        networks: NDArray[np.bool_],
        measurements: Measurements,
        kept: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_]:
        """Mark those names with enough measurements."""
        chosen = networks.copy()
        if self.min_points > 0 or self.top is not None:
            counts = _counts(measurements, kept)
            chosen &= counts >= max(self.min_points, 1)
            if self.top is not None:
                ranked = np.argsort(-np.where(chosen, counts, 0), kind="stable")
                chosen[ranked[self.top :]] = False
        return np.asarray(chosen)


def parse_time(text: str, parameter: str) -> np.datetime64:
    """Parse a time in ISO 8601, in UTC or in local time of the logger.

    Parameters
    ----------
    text : str
        Such as ``2024-05-01`` or ``2024-05-01T10:30``.
    parameter : str
        Name of the option, for messages.

    Returns
    -------
    numpy.datetime64
        In milliseconds.

    Raises
    ------
    UsageError
        If the text is not a time.

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
            f"{text!r} is not a time.",
            parameter=parameter,
            hint="Write it as 2024-05-01 or 2024-05-01T10:30.",
        )
    return moment


def _counts(measurements: Measurements, kept: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Count the selected rows of each name."""
    if kept is None:
        return measurements.cell.counts()
    found = np.zeros(len(measurements.cell.names), dtype=np.int64)
    for codes, block in iter_blocks(measurements.cell.codes, kept):
        found += np.bincount(codes[block], minlength=found.size)
    return found


def _present(measurements: Measurements, kept: NDArray[np.bool_] | None) -> int:
    """Count the cells with selected rows."""
    return int(np.count_nonzero(_counts(measurements, kept)))
