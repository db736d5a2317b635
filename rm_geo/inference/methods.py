"""Opening of a method by name: choice of model, device and batch size."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rm_geo.devices import choose_batch_size, choose_device, require_device_name
from rm_geo.errors import DependencyError, UsageError
from rm_geo.estimators import registry
from rm_geo.estimators.base import Estimator
from rm_geo.zoo.catalog import find_model

_OWN_OPTIONS: Final = frozenset({"model", "device", "tile_size_px", "known_buildings"})
"""Parameters of methods that have their own options in a run."""


@dataclass(frozen=True)
class OpenMethod:
    """Estimator with its device and batch size.

    Attributes
    ----------
    estimator : Estimator
        The estimator.
    device : str
        ``cpu``, ``cuda``, ``cuda:<n>`` or ``mps``.
    batch_size : int
        Tiles per call of the estimator.
    is_network : bool
        Whether the method is a trained network.
    remote_provenance : mapping of str to str, optional
        Provenance of the estimator in the workers, if they compute the tiles.
    """

    estimator: Estimator
    device: str
    batch_size: int
    is_network: bool = False
    remote_provenance: Mapping[str, str] | None = None

    @property
    def provenance(self) -> Mapping[str, str]:
        """Return parameters, model and checksum of the estimator as tags."""
        if self.remote_provenance is not None:
            return self.remote_provenance
        return self.estimator.provenance


def open_method(
    method: str,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    tile_size_px: int = 256,
    options: Mapping[str, object] | None = None,
    known_buildings: bool = False,
) -> OpenMethod:
    """Open a method by name.

    Parameters
    ----------
    method : str
        One of :func:`rm_geo.estimators.registry.list_methods`.
    model : str or Path, optional
        Trained model of a network method. Default: the default model of the method.
    device : str
        Device of networks; classical methods run on the CPU.
    batch_size : int, optional
        Tiles per batch. Default: chosen by the memory of the device.
    tile_size_px : int
        Side of the tiles in pixels.
    options : mapping, optional
        Further parameters of the method.
    known_buildings : bool
        Whether the tiles will have known buildings.

    Returns
    -------
    OpenMethod
        Estimator with its device and batch size.

    Raises
    ------
    UsageError
        If the method or one of its options is unknown, or a model is given for a method
        without models.
    ModelError, DeviceError, DependencyError
        If the model, the device or an optional package is not available.
    """
    further = dict(options or {})
    _refuse_own_options(further)
    name = method.strip().lower().replace("_", "-")
    info = next((info for info in registry.list_methods() if info.name == name), None)
    is_network = info is not None and info.is_network
    if is_network:
        place = choose_device(device)
        further["device"] = place
        if model is not None:
            further["model"] = model
        if info is not None and info.accepts_buildings:
            further.update(tile_size_px=tile_size_px, known_buildings=known_buildings)
    else:
        if info is not None and model is not None:
            raise _no_model_to_choose(method)
        # A GPU that is not available is an error for classical methods too.
        place = "cpu" if device in {"auto", "cpu"} else choose_device(device)
    estimator = registry.get_method(method, **further)
    size = batch_size or choose_batch_size(place, tile_size_px)
    return OpenMethod(estimator, place, size, is_network)


def check_method(
    method: str,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    options: Mapping[str, object] | None = None,
    known_buildings: bool = False,
) -> None:
    """Check the arguments of :func:`open_method` on any machine, without opening a model.

    Parameters
    ----------
    method, model, device, options, known_buildings
        As for :func:`open_method`.

    Raises
    ------
    UsageError
        If the method, one of its options or the device is unknown, if a model is given for a
        method without models, or known buildings for a method that does not read them.
    ModelError
        If the model does not exist.
    """
    further = dict(options or {})
    _refuse_own_options(further)
    info = registry.method_info(method)
    require_device_name(device)
    if model is not None and not info.is_network:
        raise _no_model_to_choose(method)
    if model is not None:
        find_model(model)
    if known_buildings:
        registry.require_accepts_buildings(method)
    # Workers may have packages that are missing in this process.
    with contextlib.suppress(DependencyError, ImportError):
        registry.check_options(method, **further)


def _refuse_own_options(options: Mapping[str, object]) -> None:
    """Raise for method parameters that have their own options in a run."""
    if chosen := _OWN_OPTIONS & options.keys():
        raise UsageError(
            f"{' and '.join(sorted(chosen))} cannot be set as a parameter of the method.",
            hint="There are options for it: `model`, `device`, `tile_size_px`, `buildings`.",
        )


def _no_model_to_choose(method: str) -> UsageError:
    """Return the error of a model for a method without models."""
    return UsageError(
        f"The method {method!r} has no trained model to choose.", hint="Leave out `model`."
    )
