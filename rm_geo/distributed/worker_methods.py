"""Methods on the workers: opened once, then used for many batches of tiles.

Open methods are an attribute of Dask's worker object, and are released with it.
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
"""Number of methods that a worker keeps open, for jobs that alternate."""


@dataclass(frozen=True)
class MethodFacts:
    """Properties of an open method on which the values of its maps depend.

    Attributes
    ----------
    provenance : mapping of str to str
        Parameters, model, checksum, precision and engine.
    device : str
        Kind of the device, such as ``cuda``, without its number.
    """

    provenance: Mapping[str, str]
    device: str

    @classmethod
    def of(cls, method: OpenMethod) -> MethodFacts:
        """Collect the properties of an open method."""
        return cls(dict(method.provenance), method.device.partition(":")[0])


@dataclass(frozen=True)
class RemoteMethod:
    """A method as a worker opened it.

    Attributes
    ----------
    facts : MethodFacts
        Its properties.
    device : str
        Device on which it runs.
    batch_size : int
        Number of tiles in a batch.
    """

    facts: MethodFacts
    device: str
    batch_size: int


class _HeldMethod:
    """An open method, and the lock that serializes its use."""

    def __init__(self, recipe: MethodRecipe) -> None:
        self.recipe = recipe
        self.method = recipe.opened()
        # A network uses all cores and the device's memory; other methods run in parallel.
        self.lock: contextlib.AbstractContextManager[Any] = (
            threading.Lock() if self.method.is_network else contextlib.nullcontext()
        )


class HeldMethods:
    """The methods that one worker process keeps open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[_HeldMethod] = []

    def held(self, recipe: MethodRecipe) -> _HeldMethod:
        """Open a method, or return it if it is open already.

        Parameters
        ----------
        recipe : MethodRecipe
            The method.

        Returns
        -------
        _HeldMethod
            The open method. The one opened first is closed if there are too many.

        Raises
        ------
        ClusterError
            If the driver has another version of rm_geo.
        RmGeoError
            If the method cannot be opened.
        """
        if recipe.version != __version__:
            raise ClusterError(
                f"It has rm_geo {__version__}, but the client has rm_geo {recipe.version}.",
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
    """Open a method on the worker that runs this function.

    Parameters
    ----------
    recipe : MethodRecipe
        The method.

    Returns
    -------
    RemoteMethod or RmGeoError
        Its properties, or why it cannot be opened.
    """

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
        Properties that it must have, so that all tiles of a map are computed alike.
    tiles : PackedTiles
        The batch.

    Returns
    -------
    (Estimate, float) or RmGeoError
        The estimate and the seconds inside the estimator; an error if the worker cannot open the
        method, or if it has other properties here.
    """

    def estimate(methods: HeldMethods) -> tuple[Estimate, float]:
        held = methods.held(recipe)
        here = MethodFacts.of(held.method)
        if here != facts:
            raise ClusterError(
                f"Its method differs from that of the other workers: {_differences(facts, here)}.",
                hint="Workers need the same models and the same kind of device; choose it by "
                "`device`, or leave the worker out.",
            )
        clock = Clock()
        with held.lock:
            (found,) = run_tiles(held.method.estimator, [tiles.unpacked()], clock=clock)
        return found, clock.forward_s

    return _with_methods(estimate)


def release_methods(dask_worker: Any) -> None:  # noqa: ANN401 - distributed carries no types
    """Close the methods of a worker.

    Parameters
    ----------
    dask_worker : distributed.Worker
        Passed by Dask, which recognizes the name of the parameter.
    """
    vars(dask_worker).pop(_ATTRIBUTE, None)


def _with_methods(work: Callable[[HeldMethods], T]) -> T | RmGeoError:
    """Call a function with the methods of this worker.

    Errors of rm_geo are returned, with the worker's address: Dask would wrap raised ones.
    """
    distributed: Any = importlib.import_module("distributed")
    worker = distributed.get_worker()
    try:
        # Atomic, so that two threads of a worker share one object.
        methods = vars(worker).setdefault(_ATTRIBUTE, HeldMethods())
        assert isinstance(methods, HeldMethods)
        return work(methods)
    except RmGeoError as error:
        return type(error)(f"Worker {worker.address}: {error.message}", hint=error.hint)


def _differences(wanted: MethodFacts, here: MethodFacts) -> str:
    """List the differences."""
    pairs = [("device", wanted.device, here.device)]
    names = sorted({*wanted.provenance, *here.provenance})
    pairs += [(n, wanted.provenance.get(n, "-"), here.provenance.get(n, "-")) for n in names]
    return ", ".join(f"{name} {b} instead of {a}" for name, a, b in pairs if a != b)
