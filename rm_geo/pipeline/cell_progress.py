"""How far the cells of a run are, in fractions of their work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rm_geo.products.rows import CellRows
from rm_geo.products.summary import CellResult
from rm_geo.progress import Progress

_HELD_OUT_TILE: Final = 2.0
"""Work of a tile of a fold that weighs a network, in tiles of the tile pass."""

_MAP_OF_A_TILE: Final = 4.0
"""Work of the map pass for each tile, in tiles of the tile pass."""

_ROWS_READY: Final = 0.7
"""Share of the map pass until the last rows are computed; the files are completed in the rest."""


class CellListener:
    """Receives events of the cells of a run, beside its progress; this base class ignores them.

    The map of a cell is made while the next cell is estimated: :meth:`at` and :meth:`finished` may
    come from another thread than the progress of the run, and from two cells in turns.

    Examples
    --------
    >>> class Printed(CellListener):
    ...     def at(self, cell, part):
    ...         print(f"{cell}: {part:.0%}")
    >>> Printed().at("7", 0.25)
    7: 25%
    """

    def prepared(self, part: float) -> None:
        """Receive how much of the joint estimate of all cells is done, before the first of them.

        Parameters
        ----------
        part : float
            Fraction from 0 to 1; may come from another thread.
        """

    def at(self, cell: str, part: float) -> None:
        """Receive how much of the work of a cell is done.

        Parameters
        ----------
        cell : str
            Name of the cell, as in file names.
        part : float
            Fraction from 0 to 1.
        """

    def finished(self, result: CellResult) -> None:
        """Receive a cell whose files are complete.

        Parameters
        ----------
        result : CellResult
            Its files, in the output folder of the run.

        Raises
        ------
        RmGeoError
            To end the run.
        """


class CellProgress:
    """Progress of one cell: passes its stage on, and reports the share of its work that is done.

    The work of a cell is the weighing of a network, the tiles, and the map.

    Parameters
    ----------
    progress : Progress
        Receives the stage of the tiles.
    listener : CellListener
        Receives the fractions, in ascending order.
    cell : str
        Name of the cell.
    tiles : int
        Tiles of the tile pass.
    folds : int
        Folds that weigh the method; 0 where it is not weighed.
    fold_tiles : int
        Tiles of each fold.

    Examples
    --------
    >>> from rm_geo.progress import SilentProgress
    >>> class Printed(CellListener):
    ...     def at(self, cell, part):
    ...         print(f"{cell}: {part:.0%}")
    >>> work = CellProgress(SilentProgress(), Printed(), "7", tiles=4, folds=0)
    7: 0%
    >>> work.advance(4)
    7: 20%
    """

    def __init__(
        self,
        progress: Progress,
        listener: CellListener,
        cell: str,
        *,
        tiles: int,
        folds: int,
        fold_tiles: int = 4,
    ) -> None:
        self._progress, self._listener, self._cell = progress, listener, cell
        self._fold = fold_tiles * _HELD_OUT_TILE
        self._weighing = folds * self._fold
        self._tiles = max(tiles, 1)
        self._map = self._tiles * _MAP_OF_A_TILE
        self._done = 0.0
        self._at(0.0)

    def weighed(self) -> None:
        """Count a fold that is done."""
        self.check()
        self._at(min(self._done + self._fold, self._weighing))

    def start(self, total: int, unit: str, label: str) -> None:
        """Pass on the start of the tile pass.

        Parameters
        ----------
        total : int
            Number of units.
        unit : str
            What is counted.
        label : str
            Name of the stage.
        """
        self._at(self._weighing)
        self._progress.start(total, unit, label)

    def advance(self, amount: int = 1) -> None:
        """Count tiles that are done."""
        self._progress.advance(amount)
        self._at(min(self._done + amount, self._weighing + self._tiles))

    def log(self, message: str) -> None:
        """Pass on a line."""
        self._progress.log(message)

    def check(self) -> None:
        """Raise if the work is to stop."""
        self._progress.check()

    def finish(self) -> None:
        """Pass on the end of the tile pass."""
        self._progress.finish()

    def watch(
        self, bands: Iterator[CellRows], rows: int, begin: float, end: float
    ) -> Iterator[CellRows]:
        """Yield rows of the map, and count them as work.

        Parameters
        ----------
        bands : iterator of CellRows
            The rows, from north to south.
        rows : int
            Their number.
        begin, end : float
            Part of the computation of the rows that these are, from 0 to 1.

        Yields
        ------
        CellRows
            The same rows.
        """
        before = self._weighing + self._tiles
        for band in bands:
            part = begin + (end - begin) * band.rows.stop / rows
            self._at(before + self._map * _ROWS_READY * part)
            yield band

    def _at(self, done: float) -> None:
        """Say how much is done."""
        self._done = done
        self._listener.at(self._cell, done / (self._weighing + self._tiles + self._map))
