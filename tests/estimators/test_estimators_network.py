"""Networks as estimators: what a model must be, and what its results depend on."""

from functools import partial

import numpy as np
import pytest
import torch

from rm_geo.errors import InputError, ModelError, UsageError
from rm_geo.estimators.base import Estimator, TileBatch
from rm_geo.estimators.interpolation_net import InterpolationNetEstimator
from rm_geo.estimators.mars import MarsEstimator
from rm_geo.estimators.network import gain_offset_db
from rm_geo.estimators.radiocycle import RadioCycleEstimator
from rm_geo.estimators.srresnet import SRResNetEstimator
from rm_geo.estimators.super_resolution import averaged
from rm_geo.estimators.supreme import SupremeEstimator
from rm_geo.networks import build
from rm_geo.units import GAIN_TOP_DB
from rm_geo.zoo.catalog import find_model
from rm_geo.zoo.superres_network import SuperResolutionNetwork
from rm_geo.zoo.weights import save_model

CONFIGS = {
    "radiocycle-drive": {
        "f_widths": [8, 12],
        "f_depths": [1, 1],
        "g_widths": [8, 12],
        "g_depths": [1, 1],
    },
    "radiocycle": {"width": 0.05},
    "interpolation-net": {"width": 0.05},
    "mars": {"scale": 4, "width": 16, "blocks": 1, "repeats": 1, "heads": 4, "residual": True},
    "srresnet": {"scale": 4, "width": 8, "blocks": 1},
    "supreme": {"scale": 4, "width": 8, "blocks": 1},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A small model of each kind with random weights."""
    folder = tmp_path_factory.mktemp("models")
    for kind, config in CONFIGS.items():
        torch.manual_seed(0)
        network = build(kind, config)
        for p in network.parameters():
            p.data += 0.02 * torch.randn(p.shape)
        save_model(folder / kind, network, kind, config)
    return folder


def batch(seed=0, share=0.1, side=64, known=True, tiles=2):
    rng = np.random.default_rng(seed)
    rsrp = rng.normal(-90.0, 8.0, (tiles, side, side)).astype(np.float32)
    rsrp[rng.random(rsrp.shape) > share] = np.nan
    rsrp[:, 5, 7] = -80.0
    position = np.full((tiles, 2), 20.5 if known else np.nan, dtype=np.float32)
    intercept = np.full(tiles, -30.0 if known else np.nan, dtype=np.float32)
    return TileBatch(rsrp, 1.0, position, intercept)


def lattice(step=4, phase=(1, 3), side=64):
    rows, cols = np.mgrid[:side, :side]
    rsrp = np.full((1, side, side), np.nan, dtype=np.float32)
    on = (rows % step == phase[0]) & (cols % step == phase[1])
    rsrp[0, on] = (-60.0 - 0.3 * rows - 0.2 * cols)[on]
    return TileBatch(rsrp, 1.0, np.full((1, 2), np.nan), np.full(1, np.nan))


def with_empty_tile(one):
    rsrp = one.rsrp_dbm.copy()
    rsrp[1] = np.nan
    return TileBatch(rsrp, one.spacing_m, one.transmitter_rc, one.intercept_dbm)


@pytest.mark.parametrize("kind", ["radiocycle-drive", "radiocycle"])
def test_radiocycle_maps_signal_and_buildings(models, kind):
    estimator = RadioCycleEstimator(models / kind, device="cpu")
    assert isinstance(estimator, Estimator)
    estimate = estimator.estimate(batch())
    assert estimate.rsrp_dbm.shape == (2, 64, 64)
    assert estimate.rsrp_dbm.dtype == np.float32
    assert np.isfinite(estimate.rsrp_dbm).all()
    assert estimate.building_probability.min() >= 0.0
    assert estimate.building_probability.max() <= 1.0


def test_the_field_model_says_how_sure_it_is(models):
    estimate = RadioCycleEstimator(models / "radiocycle-drive", "cpu").estimate(batch())
    assert (estimate.std_db > 0.0).all()


@pytest.mark.parametrize("kind", ["radiocycle-drive", "radiocycle"])
def test_a_tile_without_measurements_is_left_empty(models, kind):
    estimate = RadioCycleEstimator(models / kind, "cpu").estimate(with_empty_tile(batch()))
    assert np.isnan(estimate.rsrp_dbm[1]).all()
    assert np.isnan(estimate.building_probability[1]).all()
    assert np.isfinite(estimate.rsrp_dbm[0]).all()


def test_the_same_batch_gives_the_same_bytes(models):
    estimator = RadioCycleEstimator(models / "radiocycle-drive", "cpu")
    first, second = estimator.estimate(batch()), estimator.estimate(batch())
    assert first.rsrp_dbm.tobytes() == second.rsrp_dbm.tobytes()


@pytest.mark.parametrize(("turns", "mirror"), [(1, False), (2, True), (3, True)])
def test_averaging_symmetries_makes_the_estimate_symmetric(models, turns, mirror):
    estimator = RadioCycleEstimator(models / "radiocycle-drive", "cpu", symmetries=8)
    one = batch(tiles=1)

    def turn(image):
        return np.rot90(image[:, :, ::-1] if mirror else image, turns, (1, 2))

    row, col = one.transmitter_rc[0]
    col = 64 - col if mirror else col
    for _ in range(turns):
        row, col = 64 - col, row
    turned = TileBatch(
        np.ascontiguousarray(turn(one.rsrp_dbm)),
        1.0,
        np.array([[row, col]], dtype=np.float32),
        one.intercept_dbm,
    )
    expected, got = estimator.estimate(one), estimator.estimate(turned)
    assert np.allclose(turn(expected.rsrp_dbm), got.rsrp_dbm, atol=1e-2)
    assert np.allclose(turn(expected.building_probability), got.building_probability, atol=1e-3)


def test_symmetries_are_those_of_the_square(models):
    with pytest.raises(UsageError, match="1, 2, 4 or 8"):
        RadioCycleEstimator(models / "radiocycle-drive", "cpu", symmetries=3)


def test_tile_sizes_that_the_pyramid_cannot_halve_are_refused(models):
    with pytest.raises(UsageError, match="multiple of"):
        RadioCycleEstimator(models / "radiocycle-drive", "cpu").estimate(batch(side=36))


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        (RadioCycleEstimator, "mars"),
        (MarsEstimator, "radiocycle"),
        (InterpolationNetEstimator, "mars"),
    ],
)
def test_a_model_of_another_kind_is_refused(models, estimator, kind):
    with pytest.raises(ModelError, match="is no"):
        estimator(models / kind, "cpu")


def test_provenance_names_model_and_checksum(models):
    provenance = RadioCycleEstimator(models / "radiocycle-drive", "cpu").provenance
    assert provenance["model"] == "radiocycle-drive"
    assert len(provenance["model_sha256"]) == 64


def test_interpolation_net_follows_the_power(models):
    estimator = InterpolationNetEstimator(models / "interpolation-net", "cpu")
    one = batch()
    louder = TileBatch(one.rsrp_dbm + 10.0, 1.0, one.transmitter_rc, one.intercept_dbm + 10.0)
    a, b = estimator.estimate(one).rsrp_dbm, estimator.estimate(louder).rsrp_dbm
    assert np.allclose(a + 10.0, b, atol=1e-2)
    assert np.isnan(estimator.estimate(with_empty_tile(one)).rsrp_dbm[1]).all()


def test_the_offset_is_the_intercept_where_it_is_known():
    assert np.allclose(gain_offset_db(batch(known=True)), -30.0 - GAIN_TOP_DB)


def test_the_offset_follows_the_power_where_nothing_is_known():
    one = batch(known=False)
    louder = TileBatch(one.rsrp_dbm + 7.0, 1.0, one.transmitter_rc, one.intercept_dbm)
    assert np.allclose(gain_offset_db(louder), gain_offset_db(one) + 7.0, atol=1e-3)


@pytest.mark.parametrize("phase", [(0, 0), (2, 2), (3, 1)])
def test_mars_puts_a_lattice_back_where_it_was(models, phase):
    untrained = build("mars", CONFIGS["mars"])
    for p in (*untrained.tail.parameters(), *untrained.branch.parameters()):
        p.data.zero_()  # what is left is the bilinear enlargement
    path = models / f"bilinear-{phase[0]}{phase[1]}"
    save_model(path, untrained, "mars", CONFIGS["mars"])
    one = lattice(phase=phase)
    level = MarsEstimator(path, "cpu").estimate(one).rsrp_dbm[0]
    rows, cols = np.mgrid[:64, :64]
    plane = -60.0 - 0.3 * rows - 0.2 * cols
    # an even step has no pixel in a cell's centre: the enlargement is half a pixel off
    assert np.abs(level - plane)[8:-8, 8:-8].max() < 0.3


LATTICE_ESTIMATORS = [
    (MarsEstimator, "mars"),
    (SRResNetEstimator, "srresnet"),
    (SupremeEstimator, "supreme"),
]


@pytest.mark.parametrize(("estimator", "kind"), LATTICE_ESTIMATORS)
@pytest.mark.parametrize("share", [0.004, 0.02, 0.2])
def test_super_resolution_refuses_a_drive_test_and_says_what_to_use(models, estimator, kind, share):
    with pytest.raises(InputError, match="no regular lattice") as refusal:
        estimator(models / kind, "cpu").estimate(batch(share=share))
    assert "radiocycle" in refusal.value.hint


@pytest.mark.parametrize(("estimator", "kind"), LATTICE_ESTIMATORS)
def test_super_resolution_maps_a_lattice_with_gaps_for_buildings(models, estimator, kind):
    one = lattice()
    one.rsrp_dbm[0, 20:36, 20:36] = np.nan
    level = estimator(models / kind, "cpu").estimate(one).rsrp_dbm
    assert np.isfinite(level).all()


def test_a_lattice_smaller_than_its_tile_is_mapped_as_it_would_be_alone(models):
    estimator = MarsEstimator(models / "mars", "cpu")
    whole = lattice(side=64)
    corner = whole.rsrp_dbm.copy()
    corner[:, 32:] = corner[:, :, 32:] = np.nan
    alone = TileBatch(corner[:, :32, :32], 1.0, whole.transmitter_rc, np.full(1, -30.0))
    within = TileBatch(corner, 1.0, whole.transmitter_rc, np.full(1, -30.0))
    a, b = estimator.estimate(alone).rsrp_dbm, estimator.estimate(within).rsrp_dbm
    np.testing.assert_array_equal(a, b[:, :32, :32])


def place_samples(coarse, scale):
    """Put every sample at the pixel south-east of its cell's centre."""
    fine = np.zeros(
        (*coarse.shape[:2], coarse.shape[2] * scale, coarse.shape[3] * scale), np.float32
    )
    fine[..., scale // 2 :: scale, scale // 2 :: scale] = coarse
    return fine


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetries", [1, 2, 4, 8])
def test_averaging_orientations_leaves_the_samples_in_their_place(scale, symmetries):
    coarse = np.random.default_rng(0).random((1, 1, 6, 6), np.float32)
    placed = averaged(partial(place_samples, scale=scale), coarse, symmetries, scale)
    # a shift away from an edge repeats the outermost pixels
    expected = place_samples(coarse, scale)
    np.testing.assert_allclose(placed[..., 1:, 1:], expected[..., 1:, 1:], atol=1e-6)


def test_averaging_makes_super_resolution_follow_a_turned_lattice(models):
    network = SuperResolutionNetwork(find_model(models / "srresnet"), "cpu")
    coarse = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    one = averaged(network, coarse, 8, 3)  # odd, so that nothing is shifted
    other = averaged(network, np.rot90(coarse, 1, (-2, -1)), 8, 3)
    np.testing.assert_allclose(np.rot90(one, 1, (-2, -1)), other, atol=1e-5)
