"""Networks of the methods as PyTorch modules, and their construction by name.

All sources of published networks are named in the docstrings of their classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

from rm_geo.errors import ModelError
from rm_geo.networks.mars import MARS
from rm_geo.networks.radio_unet import InterpolationNet
from rm_geo.networks.radiocycle import DriveTestRadioCycle, RadioCycle
from rm_geo.networks.ray_buildings import RayBuildings
from rm_geo.networks.srresnet import SRResNet
from rm_geo.networks.supreme import Supreme

__all__ = [
    "MARS",
    "DriveTestRadioCycle",
    "InterpolationNet",
    "RadioCycle",
    "RayBuildings",
    "SRResNet",
    "SuperResolutionNet",
    "Supreme",
    "build",
    "channels_last",
    "complete_arguments",
    "kinds",
]

SuperResolutionNet: TypeAlias = MARS | SRResNet | Supreme
"""Networks that enlarge a coarse radio map by their ``scale``."""


def _kinds() -> dict[str, Callable[..., nn.Module]]:
    """Constructors by the name of the kind in a model file."""
    return {
        "radiocycle": RadioCycle,
        "radiocycle-drive": DriveTestRadioCycle,
        "interpolation-net": InterpolationNet,
        "ray-buildings": RayBuildings,
        "mars": MARS,
        "srresnet": SRResNet,
        "supreme": Supreme,
    }


def kinds() -> tuple[str, ...]:
    """Return the kinds of network that :func:`build` accepts."""
    return tuple(_kinds())


def build(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """Build an untrained network from its description in a model file.

    Parameters
    ----------
    kind : str
        One of :func:`kinds`.
    config : mapping
        Keyword arguments of the class of the network.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ModelError
        If the kind or an argument is unknown, or a value is invalid.

    Examples
    --------
    >>> network = build("mars", {"scale": 4, "width": 16, "blocks": 1})
    >>> network(torch.rand(1, 1, 8, 8)).shape
    torch.Size([1, 1, 32, 32])
    """
    constructors = _kinds()
    if kind not in constructors:
        raise ModelError(
            f"Unknown kind of network {kind!r}.", hint=f"Known: {', '.join(constructors)}."
        )
    try:
        return constructors[kind](**config)
    except (TypeError, ValueError) as error:
        raise ModelError(f"The network {kind!r} cannot be built: {error}.") from error


def complete_arguments(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of the class of a network, including the default values.

    Parameters
    ----------
    kind : str
        One of :func:`kinds`.
    config : mapping
        Keyword arguments of the class of the network.

    Returns
    -------
    dict
        Value of each argument. Tuples are converted to lists, as in JSON.

    Examples
    --------
    >>> complete_arguments("srresnet", {"scale": 8})
    {'scale': 8, 'width': 64, 'blocks': 16}
    """
    bound = inspect.signature(_kinds()[kind]).bind(**config)
    bound.apply_defaults()
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in bound.arguments.items()
    }


def channels_last(network: nn.Module) -> nn.Module:
    """Convert the 2-D convolutions of a network to the memory format channels-last.

    This format is faster on CPUs and GPUs. Networks with strided convolutions of fewer than 16
    channels keep their format: their float32 backward pass in oneDNN corrupts the memory of the
    process on CPUs with AVX-512 (PyTorch 2.13). Networks of the built-in sizes have none.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.

    Returns
    -------
    torch.nn.Module
        The same network.
    """
    convolutions = [
        module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    if any(
        isinstance(module, nn.Conv2d) and module.in_channels < 16 and max(module.stride) > 1
        for module in convolutions
    ):
        return network
    for module in convolutions:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
