"""Executors of tiles: this process, or the workers of a cluster behind the same interface."""

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
        Whether the network may be exported for ONNX Runtime before it is opened. Not where
        workers have opened it already: they would compute with another engine.
    """

    @property
    def allows_onnx_export(self) -> bool:
        """Whether the network may be exported."""

    def prepare(self, method: OpenMethod, progress: Progress) -> OpenMethod:
        """Adapt the method to where it will be computed: its device and batch size.

        Parameters
        ----------
        method : OpenMethod
            As opened in this process.
        progress : Progress
            Reports what is waited for.

        Returns
        -------
        OpenMethod

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
            Advanced by the tiles of each estimate, and checked for cancellation.
        clock : Clock
            Filled with the time inside the estimator, wherever it runs.

        Returns
        -------
        generator of Estimate
            One for each batch, in their order.
        """


class LocalExecutor:
    """Computes tiles in this process; see :class:`TileExecutor` for the parameters."""

    allows_onnx_export = True

    def prepare(self, method: OpenMethod, progress: Progress) -> OpenMethod:
        """Return the method unchanged."""
        return method

    def estimates(
        self,
        method: OpenMethod,
        batches: Iterable[TileBatch],
        tiles: int,
        progress: Progress,
        clock: Clock,
    ) -> Generator[Estimate, None, None]:
        """Estimate batches in order; a thread prepares the next one."""
        return run_tiles(method.estimator, batches, progress, clock)
