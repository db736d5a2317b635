"""The side of the workers: a method is opened there once, kept, and asked for batch after batch.

What is kept hangs on Dask's own worker object, so that it lives and dies with the worker.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from rm_geo._version import __version__
from rm_geo.distributed.packing import PackedTiles
from rm_geo.errors import ClusterError, RmGeoError
from rm_geo.estimators.base import Estimate
from rm_geo.inference.method_spec import MethodRecipe
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock, run_tiles

T = TypeVar("T")

_ATTRIBUTE: Final = "rm_geo_methods"
_KEPT: Final = 2
"""Methods that a worker keeps open: those of two jobs may take turns."""


@dataclass(frozen=True)
class MethodFacts:
    """What decides the bytes that a method gives.

    Attributes
    ----------
    provenance : mapping of str to str
        Parameters, model, checksum, precision and engine.
    device : str
        Kind of the device, without its number.
    """

    provenance: Mapping[str, str]
    device: str

    @classmethod
    def of(cls, method: OpenMethod) -> MethodFacts:
        """Tell the facts of an open method."""
        return cls(dict(method.provenance), method.device.partition(":")[0])


@dataclass(frozen=True)
class RemoteMethod:
    """A method as a worker opened it.

    Attributes
    ----------
    facts : MethodFacts
        Which.
    device : str
        Where it runs.
    batch_size : int
        Tiles that it takes at once.
    """

    facts: MethodFacts
    device: str
    batch_size: int


class _HeldMethod:
    """An open method, and the turn of who computes with it."""

    def __init__(self, recipe: MethodRecipe) -> None:
        self.recipe = recipe
        self.method = recipe.opened()
        # A network has the device's memory and all cores to itself; others run side by side.
        self.turn: contextlib.AbstractContextManager[Any] = (
            threading.Lock() if self.method.is_network else contextlib.nullcontext()
        )


class HeldMethods:
    """The methods that one worker process keeps open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[_HeldMethod] = []

    def held(self, recipe: MethodRecipe) -> _HeldMethod:
        """Give an open method; the one that was opened first makes room."""
        if recipe.version != __version__:
            raise ClusterError(
                f"It has rm_geo {__version__}, and this is rm_geo {recipe.version}.",
                hint="Install one version on all machines.",
            )
        with self._lock:
            for held in self._held:
                if held.recipe == recipe:
                    return held
            del self._held[: len(self._held) + 1 - _KEPT]
            self._held.append(_HeldMethod(recipe))
            return self._held[-1]


def describe_remote(recipe: MethodRecipe) -> RemoteMethod | RmGeoError:
    """Open a method on the worker that runs this, and tell what it is, or why it cannot."""

    def describe(methods: HeldMethods) -> RemoteMethod:
        method = methods.held(recipe).method
        return RemoteMethod(MethodFacts.of(method), method.device, method.batch_size)

    return _with_methods(describe)


def estimate_remotely(
    recipe: MethodRecipe, facts: MethodFacts, tiles: PackedTiles
) -> tuple[Estimate, float] | RmGeoError:
    """Estimate a batch on the worker that runs this.

    Parameters
    ----------
    recipe : MethodRecipe
        The method.
    facts : MethodFacts
        What it must be here too, so that all tiles of a map are of one kind.
    tiles : PackedTiles
        The batch.

    Returns
    -------
    (Estimate, float) or RmGeoError
        The estimate and the seconds inside the estimator; or why the worker cannot open the
        method, or that it opens another one.
    """

    def estimate(methods: HeldMethods) -> tuple[Estimate, float]:
        held = methods.held(recipe)
        here = MethodFacts.of(held.method)
        if here != facts:
            raise ClusterError(
                f"It computes otherwise than the others: {_differences(facts, here)}.",
                hint="Workers need the same models and the same kind of device; choose it by "
                "`device`, or leave the worker out.",
            )
        clock = Clock()
        with held.turn:
            (found,) = run_tiles(held.method.estimator, [tiles.unpacked()], clock=clock)
        return found, clock.forward_s

    return _with_methods(estimate)


def release_methods(dask_worker: Any) -> None:  # noqa: ANN401 - distributed carries no types
    """Close what a worker keeps open; Dask passes the worker by the parameter's name."""
    vars(dask_worker).pop(_ATTRIBUTE, None)


def _with_methods(work: Callable[[HeldMethods], T]) -> T | RmGeoError:
    """Do something with the methods of this worker, which is named where they fail.

    Errors are returned: Dask would tell of those that are raised in words of its own.
    """
    distributed: Any = importlib.import_module("distributed")
    worker = distributed.get_worker()
    try:
        # One step, so that two threads of a worker get the same.
        methods = vars(worker).setdefault(_ATTRIBUTE, HeldMethods())
        assert isinstance(methods, HeldMethods)
        return work(methods)
    except RmGeoError as error:
        return type(error)(f"Worker {worker.address}: {error.message}", hint=error.hint)


def _differences(wanted: MethodFacts, here: MethodFacts) -> str:
    """Name what differs."""
    pairs = [("device", wanted.device, here.device)]
    names = sorted({*wanted.provenance, *here.provenance})
    pairs += [(n, wanted.provenance.get(n, "-"), here.provenance.get(n, "-")) for n in names]
    return ", ".join(f"{name} {b} instead of {a}" for name, a, b in pairs if a != b)
