"""What every classical method promises, whatever its samples; and what each alone promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.estimators.base import Estimator, TileBatch
from rm_geo.estimators.registry import get_method

INTERPOLATORS = (
    "knn",
    "idw",
    "nearest",
    "linear",
    "rbf",
    "ordinary-kriging",
    "random-forest",
    "matrix-completion",
)
METRIC = ("street-ensemble",)
"""Methods that know how far levels correlate, in metres."""
EXACT = ("knn", "idw", "nearest", "linear", "rbf", "ordinary-kriging")
WITHIN_RANGE = ("knn", "idw", "nearest", "linear", "random-forest")
QUICK = {"random-forest": {"trees": 5}}


def make(name: str) -> Estimator:
    if name == "ordinary-kriging":
        pytest.importorskip("pykrige")
    return get_method(name, **QUICK.get(name, {}))


def batch_of(*tiles, spacing_m=1.0) -> TileBatch:
    tiles = np.stack(tiles).astype(np.float32)
    unknown = np.full((len(tiles), 2), np.nan, np.float32)
    return TileBatch(tiles, spacing_m, unknown, unknown[:, 0])


def tile_with(samples: dict, shape=(20, 24)) -> np.ndarray:
    tile = np.full(shape, np.nan, np.float32)
    for (row, col), value in samples.items():
        tile[row, col] = value
    return tile


def smooth_field(shape=(48, 48)) -> np.ndarray:
    rows, cols = np.indices(shape)
    field = -60.0 - 20.0 * np.log10(np.hypot(rows + 10, cols - 20) + 5.0)
    return field.astype(np.float32)


def sampled(field: np.ndarray, share: float, seed=0) -> np.ndarray:
    keep = np.random.default_rng(seed).random(field.shape) < share
    return np.where(keep, field, np.nan).astype(np.float32)


HARD = {
    "two": {(3, 4): -80.0, (15, 20): -100.0},
    "row": {(7, c): -80.0 - c for c in range(0, 24, 2)},
    "column": {(r, 5): -80.0 - r for r in range(0, 20, 3)},
    "diagonal": {(i, i): -80.0 - i for i in range(18)},
    "two lanes": {(r, c): -90.0 + (r - 8) * c for r in (8, 9) for c in range(24)},
    "lattice": {(r, c): -80.0 - r + c for r in range(2, 20, 6) for c in range(1, 24, 6)},
    "clump and outlier": {(r, c): -90.0 - r for r in range(3) for c in range(3)} | {(19, 23): -40},
    "two values": {
        (r, c): (-80.0 if c < 12 else -100.0) for r in range(20) for c in range(0, 24, 5)
    },
}


@pytest.mark.parametrize("name", INTERPOLATORS + METRIC)
class TestEveryMethod:
    def test_is_an_estimator_that_says_what_it_is(self, name):
        estimator = make(name)
        assert isinstance(estimator, Estimator)
        assert estimator.name == name == estimator.provenance["method"]
        assert estimator.maps_buildings is False
        assert all(isinstance(value, str) for value in estimator.provenance.values())

    def test_a_tile_without_samples_is_nan_and_does_not_disturb_its_neighbours(self, name):
        full, empty = sampled(smooth_field(), 0.1), np.full((48, 48), np.nan)
        together = make(name).estimate(batch_of(full, empty, full)).rsrp_dbm
        alone = make(name).estimate(batch_of(full)).rsrp_dbm
        assert np.isnan(together[1]).all()
        np.testing.assert_array_equal(together[0], alone[0])
        np.testing.assert_array_equal(together[2], alone[0])

    @pytest.mark.parametrize("samples", [{(0, 0): -90.0}, {(19, 23): -90.0, (4, 4): -90.0}])
    def test_one_sample_or_one_value_gives_that_value_everywhere(self, name, samples):
        rsrp_dbm = make(name).estimate(batch_of(tile_with(samples))).rsrp_dbm
        assert rsrp_dbm.dtype == np.float32
        assert (rsrp_dbm == -90.0).all()

    @pytest.mark.parametrize("kind", HARD)
    def test_hard_samples_give_finite_maps_near_their_range(self, name, kind):
        values = list(HARD[kind].values())
        rsrp_dbm = make(name).estimate(batch_of(tile_with(HARD[kind]))).rsrp_dbm
        assert np.isfinite(rsrp_dbm).all()
        margin = 1e-3 if name in WITHIN_RANGE else 15.0
        assert rsrp_dbm.min() >= min(values) - margin
        assert rsrp_dbm.max() <= max(values) + margin

    def test_the_map_is_closer_to_the_truth_than_the_mean_of_the_samples(self, name):
        truth = smooth_field()
        tile = sampled(truth, 0.25)
        error = make(name).estimate(batch_of(tile)).rsrp_dbm[0] - truth
        assert np.sqrt(np.mean(error**2)) < 0.5 * np.std(truth)

    def test_tiles_larger_than_a_block_and_not_square(self, name):
        tile = sampled(smooth_field((40, 150)), 0.05)
        rsrp_dbm = make(name).estimate(batch_of(tile)).rsrp_dbm
        assert rsrp_dbm.shape == (1, 40, 150)
        assert np.isfinite(rsrp_dbm).all()

    def test_an_offset_of_the_samples_is_an_offset_of_the_map(self, name):
        tile = sampled(smooth_field(), 0.1)
        low, high = make(name).estimate(batch_of(tile, tile + 16.0)).rsrp_dbm
        # Trees of the street ensemble cut rounded levels: the last digit may move a cut.
        atol = 0.1 if name == "street-ensemble" else 0.02
        np.testing.assert_allclose(high - low, 16.0, atol=atol)


@pytest.mark.parametrize("name", INTERPOLATORS)
def test_the_unit_of_length_does_not_matter(name):
    tile = sampled(smooth_field(), 0.1)
    fine = make(name).estimate(batch_of(tile, spacing_m=1.0)).rsrp_dbm
    coarse = make(name).estimate(batch_of(tile, spacing_m=4.0)).rsrp_dbm
    np.testing.assert_allclose(fine, coarse, atol=0.05)


@pytest.mark.parametrize("name", EXACT)
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**16), share=st.floats(0.02, 0.5))
def test_exact_methods_keep_the_measurements(name, seed, share):
    tile = sampled(smooth_field((24, 24)), share, seed)
    rsrp_dbm = make(name).estimate(batch_of(tile)).rsrp_dbm[0]
    observed = np.isfinite(tile)
    np.testing.assert_allclose(rsrp_dbm[observed], tile[observed], atol=0.01)


@pytest.mark.parametrize("name", WITHIN_RANGE)
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**16), share=st.floats(0.01, 0.5))
def test_averaging_methods_stay_within_the_range_of_their_samples(name, seed, share):
    rng = np.random.default_rng(seed)
    tile = sampled(rng.normal(-90.0, 10.0, (24, 24)), share, seed)
    rsrp_dbm = make(name).estimate(batch_of(tile)).rsrp_dbm[0]
    if np.isfinite(tile).any():
        assert rsrp_dbm.min() >= np.nanmin(tile) - 1e-3
        assert rsrp_dbm.max() <= np.nanmax(tile) + 1e-3


def test_nearest_takes_the_value_of_the_closest_sample():
    tile = tile_with({(0, 0): -70.0, (0, 10): -90.0}, (1, 11))
    rsrp_dbm = make("nearest").estimate(batch_of(tile)).rsrp_dbm[0, 0]
    assert (rsrp_dbm[:5] == -70.0).all()
    assert (rsrp_dbm[6:] == -90.0).all()


def test_linear_is_bilinear_inside_a_lattice_and_clamped_beyond():
    rows, cols = np.indices((33, 33))
    plane = (-90.0 + 0.5 * rows - 0.25 * cols + 0.01 * rows * cols).astype(np.float32)
    tile = np.full((33, 33), np.nan, np.float32)
    tile[2:31:4, 2:31:4] = plane[2:31:4, 2:31:4]
    rsrp_dbm = make("linear").estimate(batch_of(tile)).rsrp_dbm[0]
    np.testing.assert_allclose(rsrp_dbm[2:31, 2:31], plane[2:31, 2:31], atol=1e-4)
    np.testing.assert_array_equal(rsrp_dbm[0], rsrp_dbm[2])


def test_linear_reproduces_a_plane_from_scattered_samples():
    rows, cols = np.indices((30, 30))
    plane = (-90.0 + 0.5 * rows - 0.25 * cols).astype(np.float32)
    tile = sampled(plane, 0.2, 3)
    tile[[0, 0, -1, -1], [0, -1, 0, -1]] = plane[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose(
        make("linear").estimate(batch_of(tile)).rsrp_dbm[0], plane, atol=1e-3
    )


def test_idw_weights_fall_with_the_power_of_the_distance():
    tile = tile_with({(0, 0): -70.0, (0, 3): -100.0}, (1, 4))
    at_one_and_two_m = get_method("idw", power=2.0).estimate(batch_of(tile)).rsrp_dbm[0, 0, 1]
    assert at_one_and_two_m == pytest.approx((-70.0 / 1 - 100.0 / 4) / (1 + 1 / 4))


def test_idw_survives_any_power():
    tile = sampled(smooth_field(), 0.1)
    for power in (0.0, 300.0):
        assert np.isfinite(get_method("idw", power=power).estimate(batch_of(tile)).rsrp_dbm).all()


class TestOrdinaryKriging:
    def test_does_not_depend_on_the_blocks(self, monkeypatch):
        make("ordinary-kriging")
        from rm_geo.estimators import ordinary_kriging

        tile = sampled(smooth_field(), 0.1)
        blocks = make("ordinary-kriging").estimate(batch_of(tile))
        monkeypatch.setattr(ordinary_kriging, "KRIGING_BLOCK_PIXELS", 48)
        whole = make("ordinary-kriging").estimate(batch_of(tile))
        # The window of a pixel with equally distant samples may hold one or the other.
        assert np.median(np.abs(blocks.rsrp_dbm - whole.rsrp_dbm)) < 1e-4
        assert np.abs(blocks.rsrp_dbm - whole.rsrp_dbm).max() < 0.2

    def test_std_is_zero_at_the_measurements_and_grows_away_from_them(self):
        tile = sampled(smooth_field(), 0.3)
        tile[:, 24:] = np.nan
        std_db = make("ordinary-kriging").estimate(batch_of(tile)).std_db[0]
        observed = np.isfinite(tile)
        np.testing.assert_allclose(std_db[observed], 0.0, atol=1e-3)
        assert std_db[:, 40:].mean() > 2.0 * std_db[:, :24][~observed[:, :24]].mean()

    def test_without_pykrige_names_the_extra(self, monkeypatch):
        import sys

        from rm_geo.errors import DependencyError

        monkeypatch.setitem(sys.modules, "pykrige.ok", None)
        with pytest.raises(DependencyError, match=r"rm-geo\[geostat\]"):
            get_method("ordinary-kriging")


def test_random_forest_uses_a_known_transmitter():
    rows, cols = np.indices((64, 64))
    truth = (-40.0 - 30.0 * np.log10(np.hypot(rows - 32, cols - 12) + 1.0)).astype(np.float32)
    tile = sampled(truth, 0.02)
    unknown = batch_of(tile)
    known = TileBatch(tile[None], 1.0, np.array([[32.5, 12.5]], np.float32), unknown.intercept_dbm)
    errors = [
        np.sqrt(np.mean((make("random-forest").estimate(batch).rsrp_dbm[0] - truth) ** 2))
        for batch in (known, unknown)
    ]
    assert errors[0] < errors[1]


def test_matrix_completion_recovers_a_matrix_of_low_rank():
    rng = np.random.default_rng(0)
    truth = -90.0 + 5.0 * rng.normal(size=(60, 2)) @ rng.normal(size=(2, 50))
    rsrp_dbm = make("matrix-completion").estimate(batch_of(sampled(truth, 0.5))).rsrp_dbm[0]
    assert np.sqrt(np.mean((rsrp_dbm - truth) ** 2)) < 0.1 * truth.std()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**16), st.floats(0.1, 5.0), st.booleans())
def test_singular_values_are_shrunk(seed, shrinkage, wide):
    from rm_geo.estimators.matrix_completion import shrink_singular_values

    matrix = np.random.default_rng(seed).normal(size=(6, 9) if wide else (9, 6))
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    expected = (left * np.maximum(values - shrinkage, 0.0)) @ right
    np.testing.assert_allclose(shrink_singular_values(matrix, shrinkage), expected, atol=1e-6)
