"""One progress over all cells of a run, in fractions of the work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from rm_geo.progress import Progress

if TYPE_CHECKING:
    from rm_geo.pipeline.plan import RunPlan

_STAGE: Final = "Cell "
_TILE_PASS: Final = 0.7
"""Share of a cell's work until its tiles are estimated; the rest is the correction and writing."""


class RunProgress:
    """Passes on the stages of single cells as one stage, whose unit is a pixel of any map.

    Parameters
    ----------
    progress : Progress
        Receives the stage.
    pixels : mapping of str to int
        Number of pixels by cell, in the order of the run.

    Examples
    --------
    >>> from rm_geo._util.console import JsonConsole
    >>> import sys
    >>> run = RunProgress(JsonConsole(sys.stdout), {"7": 100, "8": 300})
    >>> run.start(4, "tiles", "Cell 8")
    {"event": "start", "total": 400, "unit": "pixels", "label": "Mapping 2 cells"}
    {"event": "progress", "done": 100, "total": 400}
    """

    def __init__(self, progress: Progress, pixels: Mapping[str, int]) -> None:
        self._progress = progress
        self._pixels = dict(pixels)
        self._total = sum(pixels.values())
        self._begin = self._share = self._done = self._sent = 0
        self._units = 1
        self._is_started = False

    @classmethod
    def of(cls, plan: RunPlan, progress: Progress) -> RunProgress:
        """Create the progress of a planned run.

        Parameters
        ----------
        plan : RunPlan
            The cells and their grids.
        progress : Progress
            Receives the stage.

        Returns
        -------
        RunProgress
        """
        pixels = {
            cell.cell: 0 if cell.grid is None else math.prod(cell.grid.shape) for cell in plan.cells
        }
        return cls(progress, pixels)

    def start(self, total: int, unit: str, label: str) -> None:
        """Go on to a cell; all cells before it are done, whatever became of them.

        Parameters
        ----------
        total : int
            Tiles of the cell.
        unit : str
            Name of that unit.
        label : str
            ``Cell`` and its name; other stages are passed on as they are.
        """
        cell = label.removeprefix(_STAGE)
        if cell not in self._pixels:
            self._progress.start(total, unit, label)
            return
        if not self._is_started:
            self._is_started = True
            number = len(self._pixels)
            noun = "1 cell" if number == 1 else f"{number} cells"
            self._progress.start(self._total, "pixels", f"Mapping {noun}")
        names = list(self._pixels)
        self._begin = sum(self._pixels[name] for name in names[: names.index(cell)])
        self._share = round(_TILE_PASS * self._pixels[cell])
        self._units, self._done = max(total, 1), 0
        self._send(self._begin)

    def advance(self, amount: int = 1) -> None:
        """Count finished tiles of the cell."""
        if not self._is_started:
            self._progress.advance(amount)
            return
        self._done += amount
        self._send(self._begin + self._share * self._done // self._units)

    def log(self, message: str) -> None:
        """Pass on a line."""
        self._progress.log(message)

    def check(self) -> None:
        """Raise if the run is cancelled."""
        self._progress.check()

    def finish(self) -> None:
        """Go on: the map of the cell is still to be corrected and written."""
        if not self._is_started:
            self._progress.finish()

    def _send(self, pixels: int) -> None:
        """Pass on the number of pixels that are done."""
        if pixels > self._sent:
            self._progress.advance(pixels - self._sent)
            self._sent = pixels
