"""Networks of the methods, as torch modules, and the one place that builds them by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

from rm_geo.errors import ModelError
from rm_geo.networks.interpolation_net import InterpolationNet
from rm_geo.networks.mars import MARS
from rm_geo.networks.radiocycle import FieldRadioCycle, RadioCycle
from rm_geo.networks.srresnet import SRResNet
from rm_geo.networks.supreme import Supreme

__all__ = [
    "MARS",
    "FieldRadioCycle",
    "InterpolationNet",
    "RadioCycle",
    "SRResNet",
    "SuperResolutionNet",
    "Supreme",
    "build",
    "channels_last",
    "kinds",
    "settled_arguments",
]

SuperResolutionNet: TypeAlias = MARS | SRResNet | Supreme
"""Networks that enlarge coarse samples by their ``scale``."""


def _kinds() -> dict[str, Callable[..., nn.Module]]:
    """Constructors by the name that a model file carries."""
    return {
        "radiocycle": RadioCycle,
        "radiocycle-field": FieldRadioCycle,
        "interpolation-net": InterpolationNet,
        "mars": MARS,
        "srresnet": SRResNet,
        "supreme": Supreme,
    }


def kinds() -> tuple[str, ...]:
    """Names of the kinds of network that :func:`build` knows."""
    return tuple(_kinds())


def build(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """Build an untrained network from what a model file says of itself.

    Parameters
    ----------
    kind : str
        One of :func:`kinds`.
    config : mapping
        Keyword arguments of the network's class.

    Raises
    ------
    ModelError
        If the kind or a key is unknown.
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


def settled_arguments(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Give all arguments of a network's class, those that a model file leaves out too.

    Lists and tuples, of which JSON knows one, are the same.
    """
    bound = inspect.signature(_kinds()[kind]).bind(**config)
    bound.apply_defaults()
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in bound.arguments.items()
    }


def channels_last(network: nn.Module) -> nn.Module:
    """Lay out the 2-D convolutions of a network as CPUs and GPUs like it; gives it back."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
