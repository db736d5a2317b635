"""Sizes of the networks, and their invariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.errors import ModelError
from rm_geo.networks import MARS, DriveTestRadioCycle, RadioCycle, SRResNet, Supreme, build, kinds
from rm_geo.networks.features import SparseTiles, pull_push, tile_features
from rm_geo.networks.mars import ARFB, HPB, EfficientTransformer
from rm_geo.networks.radio_unet import InterpolationNet, RadioUNet
from rm_geo.networks.res_unet import ResUNet
from rm_geo.units import LEVEL_SCALE_DB

TINY = {
    "f_widths": (8, 12),
    "f_depths": (1, 1),
    "g_widths": (8, 12),
    "g_depths": (1, 1),
}


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def trained_like(network, seed=0):
    """Give a network random weights, none of them 0."""
    generator = torch.Generator().manual_seed(seed)
    for p in network.parameters():
        p.data = 0.1 * torch.randn(p.shape, generator=generator)
    return network.eval()


def tiles(seed=0, batch=2, side=32, share=0.2, known=True):
    generator = torch.Generator().manual_seed(seed)
    observed = (torch.rand((batch, 1, side, side), generator=generator) < share).float()
    observed[:, :, 3, 5] = 1.0
    rsrp = (-90.0 + 10.0 * torch.randn(observed.shape, generator=generator)) * observed
    position = torch.full((batch, 2), 10.0 if known else float("nan"))
    intercept = torch.full((batch,), -40.0 if known else float("nan"))
    return SparseTiles(rsrp, observed, position, intercept)


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (lambda: RadioUNet(2), 10_921_405),
        (lambda: ResUNet(2), 8_220_353),
        (lambda: RadioCycle(), 8_220_353 + 10_921_405),
        (lambda: InterpolationNet(), 10_921_405),
        (lambda: ARFB(32), 29_995),
        (lambda: HPB(32), 122_190),
        (lambda: EfficientTransformer(32), 188_424),
        (lambda: MARS(4), 1_449_819),
        (lambda: MARS(8), 1_523_803),
        (lambda: SRResNet(4), 1_515_284),
        (lambda: SRResNet(8), 1_662_997),
        (lambda: Supreme(4), 1_514_451),
        (lambda: Supreme(8), 1_662_163),
    ],
)
def test_parameter_counts_are_those_of_the_papers(network, count):
    assert parameters(network()) == count


ENLARGERS = [
    lambda scale: MARS(scale, width=16, blocks=1),
    lambda scale: MARS(scale, width=16, blocks=1, residual=True, masked=True),
    lambda scale: SRResNet(scale, width=8, blocks=1),
    lambda scale: Supreme(scale, width=8, blocks=1),
]


@pytest.mark.parametrize("make", ENLARGERS)
def test_every_parameter_of_a_super_resolution_network_is_used(make):
    network = make(4)
    network(torch.rand(1, 1, 16, 16)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("make", ENLARGERS)
def test_super_resolution_networks_enlarge_by_their_scale(make, scale):
    enlarged = make(scale)(torch.rand(1, 1, 8, 12))
    assert enlarged.shape == (1, 1, 8 * scale, 12 * scale)


@pytest.mark.parametrize("kind", ["mars", "srresnet", "supreme"])
@pytest.mark.parametrize("scale", [0, 1, 3, 6])
def test_scales_that_are_no_power_of_two_are_rejected(kind, scale):
    with pytest.raises(ModelError, match="power of two"):
        build(kind, {"scale": scale})


def test_an_untrained_residual_mars_is_the_bilinear_enlargement():
    coarse = torch.rand(1, 1, 8, 8)
    bilinear = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear")
    network = MARS(4, width=16, blocks=1, residual=True, masked=True)
    assert torch.allclose(network(coarse), bilinear, atol=1e-6)


def test_a_masked_mars_distinguishes_buildings_from_the_weakest_signal():
    network = trained_like(MARS(4, width=16, blocks=1, masked=True))
    faint, building = torch.full((1, 1, 8, 8), 1e-6), torch.zeros(1, 1, 8, 8)
    assert not torch.allclose(network(faint), network(building), atol=1e-3)
    plain = trained_like(MARS(4, width=16, blocks=1))
    assert torch.allclose(plain(faint), plain(building), atol=1e-3)


def test_only_a_walled_mars_accepts_buildings_and_requires_them():
    coarse, buildings = torch.rand(1, 1, 8, 8), torch.zeros(1, 1, 32, 32)
    with pytest.raises(ValueError, match="buildings are required"):
        MARS(4, width=16, blocks=1, residual=True, walled=True)(coarse)
    with pytest.raises(ValueError, match="buildings are required"):
        MARS(4, width=16, blocks=1)(coarse, buildings)
    with pytest.raises(ModelError, match="exclude"):
        build("mars", {"masked": True, "walled": True})


def test_a_walled_mars_depends_on_every_pixel_and_fills_samples_in_buildings():
    network = trained_like(MARS(4, width=16, blocks=1, residual=True, walled=True))
    coarse, walls = torch.rand(1, 1, 8, 8) + 0.1, torch.zeros(1, 1, 32, 32)
    plain = network(coarse, walls)
    for row, col in ((0, 0), (13, 22), (31, 31)):
        one = walls.clone()
        one[..., row, col] = 1.0
        assert not torch.allclose(network(coarse, one), plain, atol=1e-6)
    fresh = MARS(4, width=16, blocks=1, residual=True, walled=True)
    level = torch.full((1, 1, 8, 8), 0.5)
    level[..., 2:4, 5] = 0.0
    assert torch.allclose(fresh(level, walls), torch.full((1, 1, 32, 32), 0.5), atol=1e-6)


@pytest.mark.parametrize("network", [RadioCycle(0.05)])
def test_radiocycle_maps_images_of_the_same_size(network):
    x = torch.rand(2, 1, 64, 64)
    logits, gain = network.eval()(x, torch.zeros_like(x))
    assert logits.shape == gain.shape == x.shape
    assert (gain >= 0).all()


def test_interpolation_net_maps_images_of_the_same_size():
    x = torch.rand(1, 1, 64, 64)
    assert InterpolationNet(0.05)(x, x).shape == x.shape


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 10**6))
def test_pull_push_keeps_samples_and_stays_between_them(rows, cols, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = (torch.rand((1, 1, rows, cols), generator=generator) < 0.2).float()
    weights[0, 0, rows // 2, cols // 2] = 1.0
    values = torch.randn(weights.shape, generator=generator) * weights
    filled = pull_push(values, weights)
    seen = weights > 0
    assert filled.shape == values.shape
    assert torch.allclose(filled[seen], values[seen], atol=1e-5)
    assert filled.min() >= values[seen].min() - 1e-4
    assert filled.max() <= values[seen].max() + 1e-4


def test_pull_push_of_a_constant_is_the_constant():
    weights = torch.zeros(1, 1, 50, 33)
    weights[..., 7, 9] = 1.0
    assert torch.allclose(pull_push(2.5 * weights, weights), torch.full((1, 1, 50, 33), 2.5))


@pytest.mark.parametrize("trend", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_a_constant_offset_of_all_levels_is_added_to_the_map(known, trend):
    network = trained_like(DriveTestRadioCycle(**TINY, trend=trend))
    one = tiles(known=known)
    louder = SparseTiles(
        one.rsrp_dbm + 13.0 * one.observed,
        one.observed,
        one.transmitter_rc,
        one.intercept_dbm + 13.0,
    )
    a, b = network(one), network(louder)
    assert torch.allclose(a.rsrp_dbm + 13.0, b.rsrp_dbm, atol=1e-3)
    assert torch.allclose(a.building_logits, b.building_logits, atol=1e-4)


@pytest.mark.parametrize("trend", [True, False])
def test_an_untrained_drive_test_network_is_the_interpolation(trend):
    one = tiles()
    features = tile_features(one, trend=trend)
    base = features.level_dbm + LEVEL_SCALE_DB * features.base
    assert torch.allclose(DriveTestRadioCycle(**TINY, trend=trend)(one).rsrp_dbm, base, atol=1e-4)


def test_the_interpolation_keeps_measurements_and_depends_on_the_trend():
    one = tiles()
    seen = one.observed > 0
    for trend in (True, False):
        features = tile_features(one, trend=trend)
        base = features.level_dbm + LEVEL_SCALE_DB * features.base
        assert torch.allclose(base[seen], one.rsrp_dbm[seen], atol=1e-3)
    known, unknown = tiles(known=True), tiles(known=False)
    assert not torch.allclose(
        tile_features(known, trend=True).base, tile_features(known, trend=False).base, atol=1e-3
    )
    assert torch.equal(
        tile_features(unknown, trend=True).base, tile_features(unknown, trend=False).base
    )


def test_a_tile_does_not_depend_on_its_batch():
    network = trained_like(DriveTestRadioCycle(**TINY))
    both = tiles(batch=2)
    first = SparseTiles(
        both.rsrp_dbm[:1], both.observed[:1], both.transmitter_rc[:1], both.intercept_dbm[:1]
    )
    together, alone = network(both).rsrp_dbm[:1], network(first).rsrp_dbm
    assert torch.allclose(together, alone, atol=1e-4)


def test_the_drive_test_network_depends_on_the_transmitter():
    network = trained_like(DriveTestRadioCycle(**TINY))
    known, unknown = network(tiles(known=True)), network(tiles(known=False))
    assert not torch.allclose(known.rsrp_dbm, unknown.rsrp_dbm, atol=1e-3)


def test_a_tile_without_measurements_stays_finite():
    empty = SparseTiles(
        torch.zeros(1, 1, 32, 32),
        torch.zeros(1, 1, 32, 32),
        torch.full((1, 2), float("nan")),
        torch.full((1,), float("nan")),
    )
    for trend in (True, False):
        pair = trained_like(DriveTestRadioCycle(**TINY, trend=trend))
        assert torch.isfinite(pair(empty).rsrp_dbm).all()


def test_build_knows_every_kind_and_refuses_others():
    assert set(kinds()) >= {"radiocycle", "radiocycle-drive", "interpolation-net", "mars"}
    assert isinstance(build("radiocycle-drive", TINY), DriveTestRadioCycle)
    with pytest.raises(ModelError, match="Unknown kind"):
        build("unet", {})
    with pytest.raises(ModelError, match="trend must be true or false"):
        build("radiocycle-drive", {**TINY, "trend": "maybe"})
    with pytest.raises(ModelError, match="cannot be built"):
        build("mars", {"depth": 3})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("width", [0.05, 0.25])
def test_an_untrained_radio_unet_has_a_positive_output(seed, width):
    torch.manual_seed(seed)
    images = torch.zeros(1, 2, 64, 64)
    images[0, 0, 10:30, 20:40] = images[0, 1, 50, 50] = 1.0
    assert (RadioUNet(2, width)(images) > 0.0).float().mean() > 0.9


@pytest.mark.parametrize("unet", [ResUNet, RadioUNet])
@given(width=st.floats(0.01, 0.99) | st.floats(1.01, 1.5))
@settings(max_examples=10, deadline=None)
def test_channel_counts_are_multiples_of_8(unet, width):
    channels = {m.out_channels for m in unet(2, width).modules() if hasattr(m, "out_channels")}
    assert all(count % 8 == 0 for count in channels - {1})
