"""Function-preserving initialisation of a wide network from a narrower trained one (Net2Net)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor, nn

from rm_geo.errors import ConfigError
from rm_geo.networks.compact_unet import CompactUNet, ResidualBlock
from rm_geo.networks.res_unet import ResUNet

_WIDENED: Final = (ResUNet, CompactUNet)
"""Networks that can be widened: convolutions, batch normalisation, sums, concatenations."""

_UNEVEN: Final = 0.5
"""Largest deviation of the weight of a copy from an equal weight, as a fraction of it."""


def widen(network: nn.Module, narrow: nn.Module, random: torch.Generator) -> None:
    """Copy weights of a narrower or shallower network so that both compute the same function.

    Each channel of the narrow U-Net becomes ``k`` adjacent copies. The weights of the next layer
    are divided among the copies at random, so that the copies can diverge in training. Additional
    residual blocks stay the identity. Parts other than these U-Nets must have equal shapes.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place. Parts of it that are a :class:`~rm_geo.networks.res_unet.ResUNet`
        or a :class:`~rm_geo.networks.compact_unet.CompactUNet` may be wider.
    narrow : torch.nn.Module
        Trained network of the same kind.
    random : torch.Generator
        Random generator of the weights of the copies.

    Raises
    ------
    ConfigError
        If the shapes do not allow it. Nothing is changed then.

    Notes
    -----
    Net2WiderNet and Net2DeeperNet of Chen, Goodfellow and Shlens, ICLR 2016
    (arXiv 1511.05641). Adjacent copies keep their positions
    where two stacks of channels are concatenated.
    """
    network.load_state_dict(network.state_dict() | dict(_started(network, narrow, random, "")))


def _started(
    network: nn.Module, narrow: nn.Module, random: torch.Generator, prefix: str
) -> Iterator[tuple[str, Tensor]]:
    """Yield the initial weights of a network by name."""
    parts, trained = dict(network.named_children()), dict(narrow.named_children())
    if isinstance(network, _WIDENED) and type(network) is type(narrow):
        yield from _widened(network, narrow, random, prefix)
    elif parts and parts.keys() == trained.keys():
        yield from _copied(_own(network), _own(narrow), prefix)
        for name, part in parts.items():
            yield from _started(part, trained[name], random, f"{prefix}{name}.")
    else:
        yield from _copied(network.state_dict(), narrow.state_dict(), prefix)


def _own(module: nn.Module) -> dict[str, Tensor]:
    """Return the state of a module without that of its submodules."""
    return {name: value for name, value in module.state_dict().items() if "." not in name}


def _copied(
    own: dict[str, Tensor], narrow: dict[str, Tensor], prefix: str
) -> Iterator[tuple[str, Tensor]]:
    """Yield weights of equal names and shapes."""
    if unknown := sorted(own.keys() ^ narrow.keys()):
        raise ConfigError(f"One of the two networks lacks {prefix}{unknown[0]}.")
    for name, value in narrow.items():
        if value.shape != own[name].shape:
            raise _other(prefix + name, value.shape, own[name].shape)
        yield prefix + name, value


def _widened(
    network: nn.Module, narrow: nn.Module, random: torch.Generator, prefix: str
) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of a U-Net, computed from those of a narrower one."""
    own, trained = network.state_dict(), narrow.state_dict()
    if unknown := sorted(set(trained) - set(own)):
        raise ConfigError(f"The trained network has {prefix}{unknown[0]}, which the other lacks.")
    if missing := set(own) - set(trained) - set(_identities(network)):
        raise ConfigError(f"The trained network lacks {prefix}{min(missing)}.")
    times = {
        name: _times(prefix + name, value.shape, own[name].shape) for name, value in trained.items()
    }
    normalised = {times[name][0] for name in times if name.endswith("running_mean")}
    if len(normalised) > 1:  # levels are concatenated and would mix up their copies
        raise ConfigError(
            "The levels of the trained network grow by different factors, "
            f"{' and '.join(str(n) for n in sorted(normalised))}."
        )
    for name, value in trained.items():
        yield prefix + name, _repeated(value, times[name], random)


def _identities(network: nn.Module) -> Iterator[str]:
    """Yield the names of the state of blocks that are initialised as the identity."""
    for name, module in network.named_modules():
        if isinstance(module, ResidualBlock):
            yield from (f"{name}.{part}" for part in module.state_dict())


def _times(name: str, thin: torch.Size, wide: torch.Size) -> tuple[int, ...]:
    """Return the repetitions of the outputs and inputs of a tensor up to a shape."""
    times = tuple(w // t for w, t in zip(wide[:2], thin[:2], strict=False))
    grown = [n * t for n, t in zip(times, thin, strict=False)]
    if len(thin) != len(wide) or thin[2:] != wide[2:] or grown != list(wide[:2]):
        raise _other(name, thin, wide)
    return times


def _repeated(value: Tensor, times: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Repeat the channels of a tensor and divide weights among repeated inputs."""
    for dimension, n in enumerate(times):
        value = value.repeat_interleave(n, dimension)
    if len(times) < 2 or times[1] == 1:
        return value
    outputs, inputs = value.shape[:2]
    raw = torch.rand(outputs, inputs // times[1], times[1], generator=random)
    raw = 1.0 + _UNEVEN * (2.0 * raw - 1.0)
    shares = (raw / raw.sum(-1, keepdim=True)).flatten(1)
    return value * shares.reshape(outputs, inputs, *(1 for _ in value.shape[2:]))


def _other(name: str, thin: torch.Size, wide: torch.Size) -> ConfigError:
    """Return the error for a tensor that cannot be widened to a shape."""
    return ConfigError(
        f"{name} of the trained network is {tuple(thin)} and cannot be widened to {tuple(wide)}."
    )
