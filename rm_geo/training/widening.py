"""Start a wide network from a narrow trained one that computes the same (Net2Net)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from rm_geo.errors import ConfigError
from rm_geo.networks.compact_unet import ResidualBlock

_UNEVEN = 0.5
"""How far the shares of two copies may lie apart, as a part of an even share."""


def widen(network: nn.Module, narrow: Mapping[str, Tensor], random: torch.Generator) -> None:
    """Give a network the weights of a narrower or shallower one, and its function with them.

    Every channel of the narrow network becomes ``k`` copies beside each other, and whatever
    reads them shares its weight out among the copies, at random, so that they can part when
    training goes on. Residual blocks that the narrow network lacks stay the identity.

    Parameters
    ----------
    network : torch.nn.Module
        Network of plain convolutions, batch normalisation, concatenations and sums, as
        :class:`~rm_geo.networks.res_unet.ResUNet` and
        :class:`~rm_geo.networks.compact_unet.CompactUNet`; changed in place.
    narrow : mapping of str to Tensor
        State of the narrow network.
    random : torch.Generator
        Where the shares come from.

    Raises
    ------
    ConfigError
        If the narrow network is no part of this one.

    Notes
    -----
    Net2WiderNet and Net2DeeperNet of Chen, Goodfellow and Shlens, ICLR 2016
    (arXiv 1511.05641). Copies beside each other, not behind one another, keep their place
    where two stacks of channels are concatenated.
    """
    own = network.state_dict()
    if unknown := sorted(set(narrow) - set(own)):
        raise ConfigError(f"The trained network has a part that the other lacks: {unknown[0]}.")
    missing = {name for name in own if name not in narrow} - set(_identities(network))
    if missing:
        raise ConfigError(f"The trained network lacks {min(missing)}, which must be learnt anew.")
    transposed = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.ConvTranspose2d)
    }
    network.load_state_dict(
        own
        | {
            name: _repeated(name, value, own[name].shape, int(name not in transposed), random)
            for name, value in narrow.items()
        }
    )


def _identities(network: nn.Module) -> Iterator[str]:
    """Names of the state of blocks that start as the identity."""
    for name, module in network.named_modules():
        if isinstance(module, ResidualBlock):
            yield from (f"{name}.{part}" for part in module.state_dict())


def _repeated(
    name: str, value: Tensor, shape: torch.Size, inputs: int, random: torch.Generator
) -> Tensor:
    """Repeat a tensor's channels up to a shape; dimension ``inputs`` of a kernel shares out."""
    if value.shape == shape:
        return value
    if value.ndim != len(shape) or value.shape[2:] != shape[2:]:
        raise _other(name, value.shape, shape)
    times = [wide // thin for wide, thin in zip(shape, value.shape, strict=True)]
    if any(n * thin != wide for n, thin, wide in zip(times, value.shape, shape, strict=True)):
        raise _other(name, value.shape, shape)
    for dimension, n in enumerate(times[:2]):
        value = value.repeat_interleave(n, dimension)
    if value.ndim == 1 or times[inputs] == 1:
        return value
    return value * _shares(value.shape[:2], inputs, times[inputs], random)[..., None, None]


def _shares(shape: torch.Size, inputs: int, times: int, random: torch.Generator) -> Tensor:
    """Draw positive factors whose sum over each ``times`` neighbouring inputs is 1."""
    outputs = 1 - inputs
    raw = 1.0 + _UNEVEN * (
        2.0 * torch.rand(shape[outputs], shape[inputs] // times, times, generator=random) - 1.0
    )
    shares = (raw / raw.sum(-1, keepdim=True)).flatten(1)
    return shares if inputs == 1 else shares.T


def _other(name: str, thin: torch.Size, wide: torch.Size) -> ConfigError:
    """Say that a tensor cannot be repeated up to a shape."""
    return ConfigError(
        f"{name} of the trained network is {tuple(thin)}, which does not divide {tuple(wide)}."
    )
