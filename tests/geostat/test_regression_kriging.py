"""Regression kriging reproduces the data, decays to the prediction, and filters noise."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.neighbors import KNeighborsRegressor

from rm_geo._util import disk_columns, row_blocks
from rm_geo.geostat.covariance import fit_reml
from rm_geo.geostat.multiscale_kriging import krige_points
from rm_geo.geostat.regression_kriging import RegressionKrigingOptions, krige, regression_krige
from rm_geo.raster.blocks import block_means
from rm_geo.raster.points import Points
from rm_geo.raster.resample import resample_blocks

SHAPE = (120, 140)


def smooth_field(seed: int, scale_px: float, std_db: float, shape=SHAPE) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    field = ndimage.gaussian_filter(noise, scale_px, mode="wrap")
    return (field / field.std() * std_db).astype(np.float32)


def observe(truth: np.ndarray, share: float, seed: int, noise_db: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    measured = truth + rng.normal(0.0, noise_db, truth.shape)
    return np.where(rng.random(truth.shape) < share, measured, np.nan).astype(np.float32)


def rmse(estimate: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(estimate - truth)[where])))


def knn(base: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The prediction, corrected by the residuals of the five nearest measurements."""
    known = np.isfinite(observed)
    model = KNeighborsRegressor(5, weights="distance")
    model.fit(np.argwhere(known), (observed - base)[known])
    everywhere = np.argwhere(np.ones(base.shape, bool))
    return base + model.predict(everywhere).reshape(base.shape)


def test_map_is_the_same_from_memory_and_from_disk(monkeypatch) -> None:
    shape = (600, 90)
    truth = smooth_field(0, 9.0, 6.0, shape)
    observed = observe(truth, 0.05, 1, noise_db=2.0)
    observed[5::97, ::11] += 60.0  # some are cut off
    settings = RegressionKrigingOptions(noise_db=1.0)
    expected = regression_krige(np.zeros(shape), observed, parameters=settings).rsrp_dbm
    monkeypatch.setattr(disk_columns, "IN_MEMORY_ROWS", 50)
    monkeypatch.setattr(disk_columns, "BLOCK_ROWS", 37)
    monkeypatch.setattr(row_blocks, "BAND_PIXELS", 1)
    assert len(row_blocks.row_bands(shape)) == 3
    found = regression_krige(np.zeros(shape), observed, parameters=settings).rsrp_dbm
    np.testing.assert_array_equal(found, expected)


# Residuals below the outlier limit, so that none is cut.
residual_maps = st.tuples(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(0.0, 1.0),
    st.floats(0.1, 3.0),
    st.integers(0, 2**32 - 1),
)


@settings(max_examples=25, deadline=None)
@given(residual_maps)
def test_result_equals_the_measurements_where_there_are_some(case) -> None:
    shape, share, std_db, seed = case
    rng = np.random.default_rng(seed)
    prediction = rng.normal(-90.0, 5.0, shape).astype(np.float32)
    observed = observe(prediction + rng.uniform(-std_db, std_db, shape), share, seed)
    result = regression_krige(prediction, observed).rsrp_dbm
    known = np.isfinite(observed)
    assert result.dtype == np.float32
    assert result.shape == shape
    np.testing.assert_allclose(result[known], observed[known], atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(residual_maps)
def test_correction_stays_within_the_residuals(case) -> None:
    shape, share, std_db, seed = case
    rng = np.random.default_rng(seed)
    prediction = rng.normal(-90.0, 5.0, shape).astype(np.float32)
    observed = observe(prediction + rng.uniform(-std_db, std_db, shape), share, seed)
    residual = (observed - prediction)[np.isfinite(observed)]
    low, high = min(residual.min(initial=0.0), 0.0), max(residual.max(initial=0.0), 0.0)
    correction = regression_krige(prediction, observed).rsrp_dbm - prediction
    assert correction.min() >= low - 1e-3
    assert correction.max() <= high + 1e-3


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100), st.floats(-30.0, 30.0))
def test_shifting_prediction_and_data_together_shifts_the_result(seed, shift_db) -> None:
    prediction = smooth_field(seed, 10.0, 5.0) - 90.0
    observed = observe(prediction + smooth_field(seed + 1, 8.0, 3.0), 0.01, seed)
    plain = regression_krige(prediction, observed).rsrp_dbm
    moved = regression_krige(prediction + shift_db, observed + shift_db).rsrp_dbm
    np.testing.assert_allclose(moved, plain + shift_db, atol=0.02)


def test_prediction_stays_where_it_agrees_with_the_data() -> None:
    prediction = smooth_field(0, 10.0, 5.0) - 90.0
    result = regression_krige(prediction, observe(prediction, 0.05, 1)).rsrp_dbm
    assert np.array_equal(result, prediction)


def test_prediction_stays_without_data() -> None:
    prediction = smooth_field(0, 10.0, 5.0) - 90.0
    result = regression_krige(prediction, np.full(SHAPE, np.nan), with_std=True)
    assert np.array_equal(result.rsrp_dbm, prediction)
    assert np.isnan(result.std_db).all()


def test_prediction_stays_far_from_the_data() -> None:
    # Residuals known in the west only, correlated over some ten pixels.
    prediction = np.full((100, 400), -90.0, np.float32)
    observed = observe(prediction + smooth_field(3, 5.0, 4.0, (100, 400)), 0.05, 4)
    observed[:, 80:] = np.nan
    correction = regression_krige(prediction, observed).rsrp_dbm - prediction
    assert np.abs(correction[:, :80]).mean() > 1.0
    assert np.abs(correction[:, 300:]).max() < 0.2


def test_constant_offset_is_taken_over_by_the_whole_area() -> None:
    prediction = smooth_field(0, 10.0, 5.0) - 90.0
    result = regression_krige(prediction, observe(prediction + 7.0, 0.02, 1)).rsrp_dbm
    np.testing.assert_allclose(result, prediction + 7.0, atol=0.7)


def test_single_measurement_is_reproduced() -> None:
    prediction = np.full((30, 30), -90.0, np.float32)
    observed = np.full((30, 30), np.nan)
    observed[10, 20] = -85.0
    result = regression_krige(prediction, observed, with_std=True)
    assert result.rsrp_dbm[10, 20] == -85.0
    assert np.isfinite(result.rsrp_dbm).all()
    assert np.isfinite(result.std_db).all()


def test_missing_prediction_is_filled_by_measurements_only() -> None:
    prediction = np.array([[np.nan, np.nan, -90.0, -90.0]])
    observed = np.array([[-80.0, np.nan, -88.0, np.nan]])
    result = regression_krige(prediction, observed).rsrp_dbm
    assert result[0, 0] == -80.0
    assert np.isnan(result[0, 1])
    assert result[0, 2] == -88.0


def test_inputs_are_left_as_they_were() -> None:
    prediction = smooth_field(0, 10.0, 5.0)
    observed = observe(prediction + 1.0, 0.05, 1)
    copies = prediction.copy(), observed.copy()
    regression_krige(prediction, observed)
    assert np.array_equal(prediction, copies[0])
    assert np.array_equal(observed, copies[1], equal_nan=True)


# With 84 measurements chance looks like structure now and then; with 340 hardly ever.
@pytest.mark.parametrize(("share", "bound_db"), [(0.005, 1.5), (0.02, 0.5), (0.3, 0.5)])
def test_residuals_without_correlation_hardly_move_the_prediction(share, bound_db) -> None:
    truth = smooth_field(0, 10.0, 8.0) - 90.0
    observed = observe(truth, share, 1, noise_db=4.0)
    unknown = np.isnan(observed)
    assert rmse(regression_krige(truth, observed).rsrp_dbm, truth, unknown) < bound_db
    assert rmse(knn(truth, observed), truth, unknown) > 1.8


# 50 measurements are few to find the correlation from.
@pytest.mark.parametrize(("share", "slack"), [(0.003, 1.25), (0.02, 1.1), (0.2, 1.1)])
@pytest.mark.parametrize("scale_px", [3.0, 12.0])
@pytest.mark.parametrize("noise_db", [0.0, 2.0])
def test_smooth_errors_are_corrected_about_as_well_as_by_neighbours(
    share, slack, scale_px, noise_db
) -> None:
    prediction = smooth_field(5, 15.0, 8.0) - 90.0
    truth = prediction + smooth_field(6, scale_px, 4.0)
    observed = observe(truth, share, 7, noise_db)
    unknown = np.isnan(observed)
    ours = rmse(regression_krige(prediction, observed).rsrp_dbm, truth, unknown)
    # What nothing correlates with cannot be corrected; else it must be.
    assert ours < 4.1
    assert ours < slack * rmse(knn(prediction, observed), truth, unknown) + 0.1


def test_stated_noise_shrinks_the_correction() -> None:
    prediction = np.full(SHAPE, -90.0, np.float32)
    truth = prediction + smooth_field(6, 12.0, 4.0)
    observed = observe(truth, 0.1, 7, noise_db=3.0)
    known = np.isfinite(observed)
    errors = [
        rmse(regression_krige(prediction, observed, parameters=parameters).rsrp_dbm, truth, known)
        for parameters in (None, RegressionKrigingOptions(noise_db=3.0))
    ]
    assert errors[0] == pytest.approx(3.0, rel=0.1)
    assert errors[1] < 1.6


def test_outlier_is_clipped() -> None:
    prediction = np.full(SHAPE, -90.0, np.float32)
    observed = observe(prediction, 0.1, 7, noise_db=1.0)
    observed[60, 70] = -30.0
    correction = regression_krige(prediction, observed).rsrp_dbm - prediction
    assert 8.0 < correction[60, 70] < 16.0
    around = correction[50:71, 60:81].copy()
    around[10, 10] = 0.0
    assert np.abs(around).max() < 5.0


def test_common_offset_of_many_measurements_is_kept() -> None:
    prediction = np.full(SHAPE, -90.0, np.float32)
    truth = prediction.copy()
    truth[:60, :70] = -60.0
    result = regression_krige(prediction, observe(truth, 0.1, 3)).rsrp_dbm
    assert result[5:50, 5:60].mean() == pytest.approx(-60.0, abs=1.0)


def test_few_data_are_kriged_exactly() -> None:
    rng = np.random.default_rng(0)
    field = smooth_field(8, 6.0, 4.0)
    row, col = np.nonzero(rng.random(SHAPE) < 0.02)
    points = Points(row, col, field[row, col])
    position = np.stack([row, col], axis=1).astype(float)
    covariance = fit_reml(position, points.value.astype(float))
    assert covariance is not None
    kernel = ConstantKernel(covariance.sill, "fixed") * Matern(
        covariance.longest_range, "fixed", nu=0.5
    )
    exact = GaussianProcessRegressor(kernel, alpha=covariance.nugget, optimizer=None)
    exact.fit(position, points.value)
    expected = exact.predict(np.argwhere(np.ones(SHAPE, bool))).reshape(SHAPE)
    assert points.value.size < 1000
    expected = np.clip(expected, points.value.min(), points.value.max())
    # Ours adds a mean that it finds in the data: here that of the field, next to nothing.
    assert rmse(krige_points(points, SHAPE), expected, np.ones(SHAPE, bool)) < 0.1


def test_gradient_is_interpolated_between_distant_streets() -> None:
    # What the empirical covariance calls uncorrelated, since it falls below zero far away.
    prediction = np.full(SHAPE, -90.0, np.float32)
    truth = prediction + 0.3 * np.arange(SHAPE[1], dtype=np.float32)[None, :]
    observed = np.full(SHAPE, np.nan)
    for col in (10, 70, 130):
        observed[::7, col] = truth[::7, col]
    result = regression_krige(prediction, observed).rsrp_dbm
    assert np.abs(result - truth)[:, 10:131].max() < 2.0


def test_many_data_are_kriged_nearly_as_well_as_exactly() -> None:
    shape = (80, 80)
    rng = np.random.default_rng(0)
    field = smooth_field(8, 6.0, 4.0, shape)
    row, col = np.nonzero(rng.random(shape) < 0.18)
    points = Points(row, col, field[row, col] + rng.normal(0, 1.0, row.size).astype(np.float32))
    assert points.value.size > 1000
    kernel = ConstantKernel(16.0) * Matern(10.0, nu=1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exact = GaussianProcessRegressor(kernel, alpha=1.0, optimizer=None)
        exact.fit(np.stack([row, col], axis=1), points.value)
    everywhere = np.ones(shape, bool)
    expected = exact.predict(np.argwhere(everywhere)).reshape(shape)
    # The expected one knows the field's smoothness; ours has to find it out.
    assert rmse(krige_points(points, shape), field, everywhere) < 1.6 * rmse(
        expected, field, everywhere
    )


@pytest.mark.parametrize("share", [0.003, 0.02, 0.2])
def test_standard_deviation_is_that_of_the_errors(share: float) -> None:
    ratios = []
    for seed in range(3):
        prediction = np.full(SHAPE, -90.0, np.float32)
        truth = prediction + smooth_field(seed, 8.0, 4.0)
        observed = observe(truth, share, seed + 10, noise_db=1.5)
        result = regression_krige(prediction, observed, with_std=True)
        unknown = np.isnan(observed)
        new = truth + np.random.default_rng(seed).normal(0.0, 1.5, SHAPE)
        ratios.append(np.mean(np.square((result.rsrp_dbm - new) / result.std_db)[unknown]))
    assert 0.6 < np.sqrt(np.mean(ratios)) < 1.5


def test_standard_deviation_grows_away_from_the_data() -> None:
    prediction = np.full((100, 400), -90.0, np.float32)
    observed = observe(prediction + smooth_field(3, 8.0, 4.0, (100, 400)), 0.05, 4)
    observed[:, 80:] = np.nan
    std_db = regression_krige(prediction, observed, with_std=True).std_db
    assert std_db[:, :80].mean() < 0.7 * std_db[:, 300:].mean()
    assert std_db[:, 300:].mean() == pytest.approx(4.0, rel=0.3)


def test_kriging_without_a_prediction_reproduces_data_and_a_smooth_field() -> None:
    truth = smooth_field(1, 12.0, 8.0) - 95.0
    observed = observe(truth, 0.05, 2)
    result = krige(observed).rsrp_dbm
    known = np.isfinite(observed)
    np.testing.assert_allclose(result[known], observed[known], atol=1e-3)
    assert rmse(result, truth, ~known) < rmse(knn(np.zeros(SHAPE), observed), truth, ~known)


def test_kriging_nothing_gives_nothing() -> None:
    result = krige(np.full((5, 6), np.nan), with_std=True)
    assert np.isnan(result.rsrp_dbm).all()
    assert np.isnan(result.std_db).all()


def test_kriging_a_constant_gives_the_constant() -> None:
    observed = observe(np.full(SHAPE, -101.5), 0.05, 0)
    np.testing.assert_allclose(krige(observed).rsrp_dbm, -101.5, atol=1e-4)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        regression_krige(np.zeros((3, 4)), np.zeros((4, 3)))


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from([1, 2, 4, 8]))
def test_blocks_keep_the_mean_of_all_values(rows: int, cols: int, block_px: int) -> None:
    row, col = np.nonzero(np.ones((rows, cols), bool))
    value = np.random.default_rng(rows * cols).normal(size=row.size).astype(np.float32)
    blocks = block_means(Points(row, col, value), (rows, cols), block_px)
    assert blocks.count.sum() == rows * cols
    assert float((blocks.mean * blocks.count).sum()) == pytest.approx(value.sum(), abs=1e-3)


@settings(deadline=None)
@given(st.integers(4, 40), st.integers(4, 40), st.sampled_from([2, 4]))
def test_resampling_is_centred(rows: int, cols: int, block_px: int) -> None:
    # A plane, sampled at cell centres, comes back at pixel centres inside.
    plane = np.add.outer(np.arange(rows) + 0.5, 2.0 * (np.arange(cols) + 0.5))
    h, w = -(-rows // block_px), -(-cols // block_px)
    coarse = np.add.outer((np.arange(h) + 0.5) * block_px, 2.0 * (np.arange(w) + 0.5) * block_px)
    fine = resample_blocks(coarse.astype(np.float32), block_px, 1, (rows, cols))
    inner = (slice(block_px // 2, (h - 1) * block_px), slice(block_px // 2, (w - 1) * block_px))
    np.testing.assert_allclose(fine[inner], plane[inner], atol=1e-3)
