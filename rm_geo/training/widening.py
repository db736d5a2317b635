"""Start a wide network from a narrow trained one that computes the same (Net2Net)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor, nn

from rm_geo.errors import ConfigError
from rm_geo.networks.compact_unet import CompactUNet, ResidualBlock
from rm_geo.networks.res_unet import ResUNet

_WIDENED: Final = (ResUNet, CompactUNet)
"""Networks of plain convolutions, batch normalisation, sums and concatenations."""

_UNEVEN: Final = 0.5
"""How far the shares of two copies may lie apart, as a part of an even share."""


def widen(network: nn.Module, narrow: nn.Module, random: torch.Generator) -> None:
    """Give a network the weights of a narrower or shallower one, and its function with them.

    Every channel of a narrow U-Net becomes ``k`` copies beside each other, and whatever
    reads them shares its weight out among the copies, at random, so that they can part when
    training goes on. Residual blocks that the narrow one lacks stay the identity. All that is
    no such U-Net must have the same shape in both.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place. Parts of it that are a :class:`~rm_geo.networks.res_unet.ResUNet`
        or a :class:`~rm_geo.networks.compact_unet.CompactUNet` may be wider.
    narrow : torch.nn.Module
        The trained network, of the same kind.
    random : torch.Generator
        Where the shares come from.

    Raises
    ------
    ConfigError
        If the narrow network is no part of this one; nothing is changed then.

    Notes
    -----
    Net2WiderNet and Net2DeeperNet of Chen, Goodfellow and Shlens, ICLR 2016
    (arXiv 1511.05641). Copies beside each other, not behind one another, keep their place
    where two stacks of channels are concatenated.
    """
    network.load_state_dict(network.state_dict() | dict(_started(network, narrow, random, "")))


def _started(
    network: nn.Module, narrow: nn.Module, random: torch.Generator, prefix: str
) -> Iterator[tuple[str, Tensor]]:
    """Weights of a network that starts from another, by their names."""
    parts, trained = dict(network.named_children()), dict(narrow.named_children())
    if isinstance(network, _WIDENED) and type(network) is type(narrow):
        yield from _widened(network, narrow, random, prefix)
    elif parts and parts.keys() == trained.keys():
        yield from _alike(_own(network), _own(narrow), prefix)
        for name, part in parts.items():
            yield from _started(part, trained[name], random, f"{prefix}{name}.")
    else:
        yield from _alike(network.state_dict(), narrow.state_dict(), prefix)


def _own(module: nn.Module) -> dict[str, Tensor]:
    """State of a module without that of its parts."""
    return {name: value for name, value in module.state_dict().items() if "." not in name}


def _alike(
    own: dict[str, Tensor], narrow: dict[str, Tensor], prefix: str
) -> Iterator[tuple[str, Tensor]]:
    """Take weights over that have the same names and shapes."""
    if unknown := sorted(own.keys() ^ narrow.keys()):
        raise ConfigError(f"One of the two networks lacks {prefix}{unknown[0]}.")
    for name, value in narrow.items():
        if value.shape != own[name].shape:
            raise _other(prefix + name, value.shape, own[name].shape)
        yield prefix + name, value


def _widened(
    network: nn.Module, narrow: nn.Module, random: torch.Generator, prefix: str
) -> Iterator[tuple[str, Tensor]]:
    """Weights of a U-Net by those of a narrower one."""
    own, trained = network.state_dict(), narrow.state_dict()
    if unknown := sorted(set(trained) - set(own)):
        raise ConfigError(f"The trained network has {prefix}{unknown[0]}, which the other lacks.")
    if missing := set(own) - set(trained) - set(_identities(network)):
        raise ConfigError(f"The trained network lacks {prefix}{min(missing)}.")
    times = {
        name: _times(prefix + name, value.shape, own[name].shape) for name, value in trained.items()
    }
    normalised = {times[name][0] for name in times if name.endswith("running_mean")}
    if len(normalised) > 1:  # levels are concatenated: copies of one would stand for another's
        raise ConfigError(
            "The levels of the trained network grow by different factors, "
            f"{' and '.join(str(n) for n in sorted(normalised))}."
        )
    for name, value in trained.items():
        yield prefix + name, _repeated(value, times[name], random)


def _identities(network: nn.Module) -> Iterator[str]:
    """Names of the state of blocks that start as the identity."""
    for name, module in network.named_modules():
        if isinstance(module, ResidualBlock):
            yield from (f"{name}.{part}" for part in module.state_dict())


def _times(name: str, thin: torch.Size, wide: torch.Size) -> tuple[int, ...]:
    """How often a tensor's outputs and inputs are repeated up to a shape."""
    times = tuple(w // t for w, t in zip(wide[:2], thin[:2], strict=False))
    grown = [n * t for n, t in zip(times, thin, strict=False)]
    if len(thin) != len(wide) or thin[2:] != wide[2:] or grown != list(wide[:2]):
        raise _other(name, thin, wide)
    return times


def _repeated(value: Tensor, times: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Repeat a tensor's channels; a kernel's inputs share its weight out."""
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
    """Say that a tensor does not grow to a shape."""
    return ConfigError(
        f"{name} of the trained network is {tuple(thin)}, which does not grow to {tuple(wide)}."
    )
