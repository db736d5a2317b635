"""Widening of trained networks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rm_geo.errors import ConfigError
from rm_geo.networks import build
from rm_geo.networks.compact_unet import CompactUNet
from rm_geo.networks.res_unet import ResUNet
from rm_geo.training.builtin_recipes import network_of_size
from rm_geo.training.widening import widen


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def stirred(network, seed=0):
    """Give a network random weights, since equal ones would hide errors."""
    random = generator(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                noise = torch.rand(value.shape, generator=random)
                value.copy_(0.2 * noise + 0.5 if "running_var" in name else 0.4 * noise - 0.2)
    return network.eval()


@settings(max_examples=10, deadline=None)
@given(times=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_wider_residual_u_net_computes_the_same_function(times, seed):
    narrow, wide = stirred(ResUNet(2, 0.125), seed), ResUNet(2, 0.125 * times).eval()
    widen(wide, narrow, generator(seed))
    x = torch.rand(2, 2, 32, 32, generator=generator(seed))
    assert torch.allclose(wide(x), narrow(x), rtol=1e-4, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(times=st.integers(1, 3), more=st.integers(0, 2), seed=st.integers(0, 1000))
def test_a_wider_and_deeper_compact_u_net_computes_the_same_function(times, more, seed):
    narrow = stirred(CompactUNet(2, 3, 1, (8, 12), (1, 2)), seed)
    wide = CompactUNet(2, 3, 1, (8 * times, 12 * times), (1 + more, 2 + more)).eval()
    widen(wide, narrow, generator(seed))
    fine = torch.rand(2, 2, 32, 32, generator=generator(seed))
    smooth = torch.rand(2, 3, 8, 8, generator=generator(seed))
    assert torch.allclose(wide(fine, smooth), narrow(fine, smooth), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["mars", "srresnet", "supreme", "interpolation-net"])
def test_networks_with_shuffled_or_split_channels_cannot_be_widened(kind):
    small, large = (build(kind, network_of_size(kind, size)) for size in ("s", "full"))
    again = build(kind, network_of_size(kind, "s"))
    widen(again, small, generator())
    state = small.state_dict()
    assert all(torch.equal(state[name], value) for name, value in again.state_dict().items())
    with pytest.raises(ConfigError):
        widen(large, small, generator())


def test_copies_of_a_channel_diverge_in_training():
    wide = ResUNet(2, 0.25)
    widen(wide, stirred(ResUNet(2, 0.125)), generator())
    optimiser = torch.optim.SGD(wide.parameters(), lr=0.1)
    for _ in range(2):
        loss = (wide(torch.rand(2, 2, 32, 32)) - 1.0).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    first, second = wide.enc2.body[2].weight[:2]
    assert not torch.allclose(first, second, rtol=1e-3)


@pytest.mark.parametrize(
    ("narrow", "wide", "match"),
    [
        (ResUNet(2, 0.25), ResUNet(2, 0.125), "cannot be widened"),
        (ResUNet(2, 0.25), ResUNet(2, 0.375), "cannot be widened"),
        # 8, 8, 16 and 32 channels grow to 16, 32, 64 and 128.
        (ResUNet(2, 0.0625), ResUNet(2, 0.25), "different factors"),
        (CompactUNet(2, 3, 1, (8, 12), (2, 1)), CompactUNet(2, 3, 1, (8, 12), (1, 1)), "lacks"),
        (CompactUNet(2, 3, 1, (8,), (1,)), CompactUNet(2, 3, 1, (8, 12), (1, 1)), "lacks"),
        (nn.Conv2d(2, 2, 3), nn.Conv2d(4, 4, 3), "cannot be widened"),
        (nn.Conv2d(2, 2, 3), nn.Sequential(nn.Conv2d(2, 2, 3)), "lacks"),
    ],
)
def test_incompatible_networks_are_rejected(narrow, wide, match):
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    with pytest.raises(ConfigError, match=match):
        widen(wide, narrow, generator())
    assert all(torch.equal(before[name], value) for name, value in wide.state_dict().items())
