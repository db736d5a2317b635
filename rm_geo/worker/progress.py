"""One progress over all cells of a run, in fractions of the work."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from rm_geo.pipeline.cell_progress import CellListener
from rm_geo.progress import Progress

if TYPE_CHECKING:
    from rm_geo.pipeline.plan import RunPlan
    from rm_geo.products.summary import CellResult

_STAGE: Final = "Cell "
_JOINT: Final = 0.25
"""Share of the joint estimate of all cells in the work of a run that has one."""

_CELLS_AT_ONCE: Final = 2
"""Cells that report their work at the same time."""


class RunProgress(CellListener):
    """Reports the work of all cells as one stage, whose unit is a pixel of any map.

    It is the progress of the run, whose stages of single cells it keeps to itself, and the
    listener of its cells.

    Parameters
    ----------
    progress : Progress
        Receives the stage.
    pixels : mapping of str to int
        Number of pixels by cell, in the order of the run.
    finished : callable
        Called with the result of each cell whose files are complete.

    Examples
    --------
    >>> from rm_geo._util.console import JsonConsole
    >>> import sys
    >>> run = RunProgress(JsonConsole(sys.stdout), {"7": 100, "8": 300})
    >>> run.at("8", 1.0)
    {"event": "start", "total": 400, "unit": "pixels", "label": "Mapping 2 cells"}
    {"event": "progress", "done": 400, "total": 400}
    """

    def __init__(
        self,
        progress: Progress,
        pixels: Mapping[str, int],
        finished: Callable[[CellResult], None] = lambda _: None,
    ) -> None:
        self._progress = progress
        self._pixels = dict(pixels)
        self._begin, begin = {}, 0
        for cell, number in self._pixels.items():
            self._begin[cell] = begin
            begin += number
        self._total = begin
        self._finished = finished
        self._sent = 0
        self._before = 0.0
        self._parts: dict[str, float] = {}
        self._lock = threading.Lock()
        self._is_started = self._is_inside = False

    @classmethod
    def of(
        cls, plan: RunPlan, progress: Progress, finished: Callable[[CellResult], None]
    ) -> RunProgress:
        """Create the progress of a planned run.

        Parameters
        ----------
        plan : RunPlan
            The cells and their grids.
        progress : Progress
            Receives the stage.
        finished : callable
            Called with the result of each cell whose files are complete.

        Returns
        -------
        RunProgress
        """
        pixels = {
            cell.cell: 0 if cell.grid is None else math.prod(cell.grid.shape) for cell in plan.cells
        }
        return cls(progress, pixels, finished)

    def prepared(self, part: float) -> None:
        """Pass on how much of the joint estimate is done."""
        self._before = _JOINT
        self._send(_JOINT * part)

    def at(self, cell: str, part: float) -> None:
        """Pass on how much is done.

        A cell is estimated while the map of the one before is made; all cells before these are
        done, whatever became of them.
        """
        place = self._begin.__getitem__
        with self._lock:
            self._parts[cell] = part
            last = max(self._parts, key=place)
            ended = cell if part >= 1.0 else None  # maps are made one after another
            self._parts = {
                known: share
                for known, share in self._parts.items()
                if known == last or (ended is None or place(known) > place(ended))
            }
            while len(self._parts) > _CELLS_AT_ONCE:
                del self._parts[min(self._parts, key=place)]
            missing = sum(
                (1.0 - share) * self._pixels[known] for known, share in self._parts.items()
            )
            done = place(last) + self._pixels[last] - missing
        self._send(self._before + (1.0 - self._before) * done / max(self._total, 1))

    def _send(self, part: float) -> None:
        """Pass on a fraction of all the work."""
        with self._lock:
            if not self._is_started:
                self._is_started = True
                number = len(self._pixels)
                noun = "1 cell" if number == 1 else f"{number} cells"
                self._progress.start(self._total, "pixels", f"Mapping {noun}")
            done = round(part * self._total)
            if done > self._sent:
                self._progress.advance(done - self._sent)
                self._sent = done

    def finished(self, result: CellResult) -> None:
        """Pass on a cell that is complete."""
        self.at(result.cell, 1.0)
        self._finished(result)

    def start(self, total: int, unit: str, label: str) -> None:
        """Pass on the start of a stage, unless it is that of a single cell.

        Parameters
        ----------
        total : int
            Number of units.
        unit : str
            What is counted.
        label : str
            Name of the stage.
        """
        self._is_inside = label.removeprefix(_STAGE) in self._pixels
        if not self._is_inside:
            self._progress.start(total, unit, label)

    def advance(self, amount: int = 1) -> None:
        """Pass on units of a stage that is not that of a single cell."""
        if not self._is_inside:
            self._progress.advance(amount)

    def log(self, message: str) -> None:
        """Pass on a line."""
        self._progress.log(message)

    def check(self) -> None:
        """Raise if the run is cancelled."""
        self._progress.check()

    def finish(self) -> None:
        """Pass on the end of a stage that is not that of a single cell."""
        if not self._is_inside:
            self._progress.finish()
        self._is_inside = False
