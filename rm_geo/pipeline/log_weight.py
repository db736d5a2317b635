"""Weight of a method that all maps of a log share."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Final

from rm_geo.pipeline.cell_plan import CellPlan
from rm_geo.pipeline.method_weight import MethodWeight

MAX_CELLS: Final = 4
"""Largest number of cells by which the weight is estimated."""

MAX_PLANNED: Final = 8
"""Largest cells of a log that are planned for it; some of them may not be mappable."""


class LogWeight:
    """Weight of a method in all maps of a log, estimated when the first map needs it.

    Parameters
    ----------
    cells : iterable of CellPlan
        Cells of the log, the largest first, whether they are mapped or not. The first four that
        can be mapped are used, so that the map of a cell does not depend on which other cells are
        requested.

    Examples
    --------
    >>> weight = LogWeight(())
    >>> weight.estimate(lambda cells: MethodWeight.given(0.4)).method
    0.4
    >>> weight.is_known
    True
    """

    def __init__(self, cells: Iterable[CellPlan]) -> None:
        self._cells = tuple(
            itertools.islice((cell for cell in cells if cell.grid is not None), MAX_CELLS)
        )
        self._found: MethodWeight | None = None

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def is_known(self) -> bool:
        """Whether the weight was estimated."""
        return self._found is not None

    @cached_property
    def checksum(self) -> str:
        """Checksum of the measurements and grids that the weight depends on."""
        state = hashlib.sha256()
        for cell in self._cells:
            assert cell.grid is not None
            about = f"{cell.measurements.checksum()} {cell.grid.transform.to_gdal()}"
            state.update(f"{about} {cell.grid.shape}\n".encode())
        return state.hexdigest()

    def estimate(self, estimate: Callable[[Sequence[CellPlan]], MethodWeight]) -> MethodWeight:
        """Return the weight; estimate it once.

        Parameters
        ----------
        estimate : callable
            Estimates the weight by some cells.

        Returns
        -------
        MethodWeight
        """
        if self._found is None:
            self._found = estimate(self._cells)
        return self._found
