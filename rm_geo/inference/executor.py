"""Executors of tiles: this process, or the workers of a cluster behind the same interface."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Protocol

from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock, run_tiles
from rm_geo.progress import Progress


class TileExecutor(Protocol):
    """Protocol: estimates the batches of tiles of one cell after another.

    Attributes
    ----------
    allows_onnx_export : bool
        Whether the network may be exported for ONNX Runtime before it is opened. False if
        workers have opened it already, since they would compute with another engine.
    """

    @property
    def allows_onnx_export(self) -> bool:
        """Return whether the network may be exported."""

    def prepare(self, method: OpenMethod, progress: Progress) -> OpenMethod:
        """Set device and batch size of the method for the place of computation.

        Parameters
        ----------
        method : OpenMethod
            Method opened in this process.
        progress : Progress
            Reports waiting times.

        Returns
        -------
        OpenMethod
            Method for :meth:`estimates`.

        Raises
        ------
        RmGeoError
            If it cannot be computed there, for example on workers of another version.
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
            Result of :meth:`prepare`.
        batches : iterable of TileBatch
            Consumed lazily, a bounded number ahead.
        tiles : int
            Tiles in all batches together.
        progress : Progress
            Advanced by the tiles of each estimate, and checked for cancellation.
        clock : Clock
            Receives the time spent in the estimator, in this process or in workers.

        Returns
        -------
        generator of Estimate
            One per batch, in the order of the batches.
        """


class LocalExecutor:
    """Computes tiles in this process; see :class:`TileExecutor` for the parameters."""

    allows_onnx_export = True

    def prepare(self, method: OpenMethod, progress: Progress) -> OpenMethod:
        """Return the method unchanged.

        Parameters
        ----------
        method : OpenMethod
            Method opened in this process.
        progress : Progress
            Not used.

        Returns
        -------
        OpenMethod
            ``method``.
        """
        return method

    def estimates(
        self,
        method: OpenMethod,
        batches: Iterable[TileBatch],
        tiles: int,
        progress: Progress,
        clock: Clock,
    ) -> Generator[Estimate, None, None]:
        """Estimate batches in order, while a thread prepares the next one.

        Parameters
        ----------
        method : OpenMethod
            The method.
        batches : iterable of TileBatch
            The batches.
        tiles : int
            Not used.
        progress : Progress
            Receives the tiles that are done.
        clock : Clock
            Adds up the time of each stage.

        Returns
        -------
        generator of Estimate
            Estimates in the order of the batches.
        """
        return run_tiles(method.estimator, batches, progress, clock)
