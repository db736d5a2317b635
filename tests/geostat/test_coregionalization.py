"""Joint estimates of the cells of a log."""

import numpy as np
import pytest

from rm_geo.errors import CancelledError, UsageError
from rm_geo.geostat.coregionalization import (
    MIN_READINGS,
    JointCalibration,
    calibrate_joint,
    estimate_jointly,
)
from rm_geo.geostat.factor_analysis import FactorModel
from rm_geo.geostat.joint_correction import JointCorrection
from rm_geo.geostat.sparse_gaussian_process import CovariateProcess
from rm_geo.raster.log_bins import LogBins

ALL_JOINT = JointCalibration({}, 1.0, (3.0,) * 5, 3.0, 5.0, 100)


def log(level_dbm, position_m=None):
    """Bins along a street, or at given positions."""
    level_dbm = np.asarray(level_dbm, dtype=np.float32)
    number, cells = level_dbm.shape
    if position_m is None:
        position_m = np.column_stack([5.0 * np.arange(number), np.zeros(number)])
    reported = np.isfinite(level_dbm)
    return LogBins(
        position_m,
        level_dbm,
        reported.astype(np.int32),
        np.ones(number, np.int32),
        tuple(f"c{k}" for k in range(cells)),
    )


def shared_shadowing(cells=4, number=300, noise_db=1.0, share=1.0, seed=0):
    """Levels of cells that share their shadowing; the truth, and what is read."""
    rng = np.random.default_rng(seed)
    x = np.arange(number)

    def shadow():
        return sum(6 * np.sin(x / period + rng.uniform(0, 6)) for period in (4.0, 9.0, 31.0))

    common = shadow()
    truth = np.column_stack(
        [-90 - 3 * k + share * common + (1 - share) * shadow() for k in range(cells)]
    )
    return truth, truth + rng.normal(0, noise_db, truth.shape)


def rmse(estimate, truth):
    return float(np.sqrt(np.mean((estimate - truth) ** 2)))


def test_other_cells_estimate_a_cell_where_it_was_not_reported():
    truth, level = shared_shadowing()
    level[100:160, 0] = np.nan
    bins = log(level)
    joint = estimate_jointly(bins, ["c0"])
    assert rmse(joint.level_dbm[100:160, 0], truth[100:160, 0]) < 2.5
    assert joint.others == (3,)
    assert joint.calibration.joint_rmse_db < 0.5 * joint.calibration.single_rmse_db


def test_unrelated_cells_are_given_little_weight():
    _, level = shared_shadowing(share=0.0)
    calibration = calibrate_joint(log(level))
    assert calibration.joint_rmse_db < 1.03 * calibration.single_rmse_db


def test_deviations_cover_the_errors_and_do_not_fall_with_the_distance():
    truth, level = shared_shadowing(noise_db=2.0, seed=3)
    hidden = np.zeros(level.shape, dtype=bool)
    hidden[40:70, 1] = hidden[200:260, 1] = True
    bins = log(np.where(hidden, np.nan, level))
    joint = estimate_jointly(bins, ["c1"])
    error = joint.level_dbm[hidden[:, 1], 0] - truth[hidden[:, 1], 1]
    assert np.mean(np.abs(error) < 1.645 * joint.std_db[hidden[:, 1], 0]) > 0.8
    assert list(joint.calibration.std_db) == sorted(joint.calibration.std_db)


@pytest.mark.parametrize(
    "level_dbm",
    [
        shared_shadowing(cells=1)[1],
        shared_shadowing(cells=2)[1],
        np.where(np.arange(300)[:, None] % 4 == np.arange(4), -90.0, np.nan),
        np.where((np.arange(300) < MIN_READINGS - 1)[:, None], -90.0, np.full((300, 4), np.nan)),
    ],
    ids=["one cell", "one other cell", "cells that never overlap", "few readings"],
)
def test_without_evidence_there_is_no_joint_estimate(level_dbm):
    joint = estimate_jointly(log(level_dbm))
    assert np.isnan(joint.level_dbm).all()
    assert set(joint.others) == {0}


def test_constant_levels_and_equal_positions_are_estimated():
    level = np.full((80, 4), -90.0)
    level[20:30, 0] = np.nan
    joint = estimate_jointly(log(level, np.zeros((80, 2))), calibration=ALL_JOINT)
    np.testing.assert_allclose(joint.level_dbm, -90.0, atol=0.1)


def test_bins_out_of_reach_have_no_estimate():
    _, level = shared_shadowing()
    level[60:, 0] = np.nan
    joint = estimate_jointly(log(level), ["c0"], calibration=ALL_JOINT, reach_m=100.0)
    assert np.isfinite(joint.level_dbm[:79, 0]).all()
    assert np.isnan(joint.level_dbm[81:, 0]).all()


def test_cells_that_may_not_be_used_change_nothing():
    _, level = shared_shadowing(cells=5)
    level[100:130, 0] = np.nan
    evidence = np.ones((5, 5), dtype=bool)
    evidence[0, 4] = False
    first = estimate_jointly(log(level), ["c0"], calibration=ALL_JOINT, evidence=evidence)
    level[:, 4] += 20.0 * np.random.default_rng(1).normal(size=len(level))
    second = estimate_jointly(log(level), ["c0"], calibration=ALL_JOINT, evidence=evidence)
    np.testing.assert_array_equal(first.level_dbm, second.level_dbm)


def test_hundreds_of_cells_of_which_most_are_rare():
    rng = np.random.default_rng(0)
    _, common = shared_shadowing(cells=6)
    rare = np.where(rng.random((300, 500)) < 0.01, -110.0, np.nan)
    joint = estimate_jointly(log(np.hstack([common, rare])), calibration=ALL_JOINT)
    assert joint.others[:6] == (5,) * 6
    assert set(joint.others[6:]) == {0}


def test_the_order_of_threads_changes_nothing(monkeypatch):
    _, level = shared_shadowing()
    level[100:130, 0] = np.nan
    estimates = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        estimates.append(estimate_jointly(log(level), ["c0", "c1"]).level_dbm)
    np.testing.assert_array_equal(*estimates)


def test_work_is_cancelled_between_cells():
    def check():
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        estimate_jointly(log(shared_shadowing()[1]), check=check)


def test_an_unknown_cell_is_refused():
    with pytest.raises(UsageError, match="no cell 'x'"):
        estimate_jointly(log(shared_shadowing()[1]), ["x"])


def test_factors_predict_missing_entries():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(400, 2))
    matrix = scores @ rng.normal(size=(2, 8)) * 5 - 90 + rng.normal(0, 0.5, (400, 8))
    known = np.where(rng.random(matrix.shape) < 0.3, np.nan, matrix)
    model = FactorModel.fit(known, 2)
    assert rmse(model.predict(known, 3), matrix[:, 3]) < 1.5
    assert model.predict(np.full((1, 8), np.nan), 3) == pytest.approx(model.mean[3])


def test_inducing_points_approximate_the_whole_process():
    rng = np.random.default_rng(0)
    position, other = rng.uniform(0, 500, (400, 2)), rng.normal(size=(400, 3))
    value = -90 + 4 * other[:, 0] + 3 * np.sin(2 * other[:, 1])
    read = value + rng.normal(0, 1, 400)
    errors = [
        rmse(
            CovariateProcess.fit(
                position, other, read[:, None], np.ones(400), inducing=inducing
            ).at(position, other),
            value[:, None],
        )
        for inducing in (400, 150)
    ]
    assert errors[0] < 1.5
    assert errors[1] < 1.25 * errors[0] + 0.3


def test_each_kind_of_value_has_a_process_of_its_own():
    rng = np.random.default_rng(0)
    position, other = rng.uniform(0, 500, (100, 2)), rng.normal(size=(100, 3))
    kinds = rng.normal([-90.0, 5.0], [8.0, 1.0], (100, 2))
    both = CovariateProcess.fit(position, other, kinds, np.ones(100)).at(position, other)
    for kind in range(2):
        alone = CovariateProcess.fit(position, other, kinds[:, [kind]], np.ones(100))
        np.testing.assert_allclose(both[:, kind], alone.at(position, other)[:, 0], atol=1e-9)


def test_corrections_reach_as_far_as_the_estimates_say_something():
    row_col = np.array([[50.0, 100.0]])
    correction = JointCorrection.fit(
        row_col, np.array([-10.0]), np.array([3.0]), np.array([[50.0, 20.0]]), 100, 1.0
    )
    near, reading, far = correction.at(np.array([[50.0, 100.0], [50.0, 20.0], [50.0, 400.0]]))
    assert near < -5.0
    assert abs(reading) < 1.0
    assert far == 0.0


def test_rows_of_a_correction_equal_those_of_the_whole_raster():
    rng = np.random.default_rng(0)
    correction = JointCorrection.fit(
        rng.uniform(0, 60, (20, 2)),
        rng.normal(0, 6, 20),
        np.full(20, 3.0),
        np.zeros((1, 2)),
        63,
        1.0,
    )
    level_dbm, std_db = np.full((2, 63, 57), [[[-80.0]], [[8.0]]], dtype=np.float32)
    whole_dbm, whole_db = correction.on_rows(slice(0, 63), level_dbm, std_db)
    for rows in (slice(0, 7), slice(7, 33), slice(33, 63)):
        wanted = rng.random((rows.stop - rows.start, 57)) < 0.3
        part = np.where(wanted, level_dbm[rows], np.float32(np.nan))
        part_dbm, part_db = correction.on_rows(rows, part, np.where(wanted, std_db[rows], np.nan))
        np.testing.assert_allclose(part_dbm[wanted], whole_dbm[rows][wanted], atol=1e-5)
        np.testing.assert_allclose(part_db[wanted], whole_db[rows][wanted], atol=1e-5)
        assert np.isnan(part_dbm[~wanted]).all()


def test_without_a_value_of_the_map_there_is_no_correction():
    nothing = np.array([np.nan])
    place = np.zeros((1, 2))
    assert JointCorrection.fit(place, nothing, np.ones(1), place, 5, 1.0) is None
