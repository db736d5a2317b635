"""Who computes the tiles of a cell: this process, or whoever the caller names instead."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Protocol

from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock, run_tiles
from rm_geo.progress import Progress


class TileExecutor(Protocol):
    """Turns the batches of one cell after another into estimates.

    Attributes
    ----------
    allows_onnx_export : bool
        Whether the network may be exported for a faster engine before it is opened: where
        others have it open already, they would compute otherwise.
    """

    @property
    def allows_onnx_export(self) -> bool:
        """Whether the network may be exported."""

    def prepare(self, method: OpenMethod, progress: Progress) -> OpenMethod:
        """Give the method as it will be computed: on which device, in which batches.

        Raises
        ------
        RmGeoError
            If it cannot be computed there.
        """

    def estimates(
        self,
        method: OpenMethod,
        batches: Iterable[TileBatch],
        tiles: int,
        progress: Progress,
        clock: Clock,
    ) -> Generator[Estimate, None, None]:
        """Estimate batches in order, as :func:`rm_geo.inference.runner.run_tiles` does.

        Parameters
        ----------
        method : OpenMethod
            The method, as :meth:`prepare` gave it.
        batches : iterable of TileBatch
            Consumed lazily, a bounded number ahead.
        tiles : int
            Tiles in all batches together.
        progress : Progress
            Advanced by the tiles of each estimate, and asked whether the work is to stop.
        clock : Clock
            Filled with the time inside the estimator, wherever it runs.
        """


class LocalExecutor:
    """Computes tiles in this process."""

    allows_onnx_export = True

    def prepare(self, method: OpenMethod, progress: Progress) -> OpenMethod:
        """Give the method as it is."""
        return method

    def estimates(
        self,
        method: OpenMethod,
        batches: Iterable[TileBatch],
        tiles: int,
        progress: Progress,
        clock: Clock,
    ) -> Generator[Estimate, None, None]:
        """Estimate batches in order, the next prepared meanwhile."""
        return run_tiles(method.estimator, batches, progress, clock)
