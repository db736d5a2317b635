"""Hold-out on measurements: folds, what the methods see, how they are scored."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from rm_geo.errors import TooSmallError, UsageError
from rm_geo.estimators.registry import get_method, list_methods
from rm_geo.measurements.model import Measurements
from rm_geo.validation.holdout import (
    estimator_predictor,
    holdout,
    map_predictor,
    split_folds,
)


def drive(count=120, side_m=200.0, seed=0, level=lambda x, y: -90.0 + 0.1 * x) -> Measurements:
    rng = np.random.default_rng(seed)
    x, y = 500_000.0 + rng.uniform(0, side_m, count), 4_000_000.0 + rng.uniform(0, side_m, count)
    return Measurements(
        x=x,
        y=y,
        rsrp_dbm=np.broadcast_to(level(x - 500_000.0, y - 4_000_000.0), x.shape).astype(np.float32),
        cell=np.full(count, None, dtype=object),
        crs=CRS.from_epsg(32617),
    )


def constant(value):
    return map_predictor(lambda seen, grid: np.full(grid.shape, value, np.float32))


@pytest.mark.parametrize("split", ["blocks", "random"])
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), folds=st.integers(2, 6), block_m=st.floats(10.0, 60.0))
def test_each_measurement_is_left_out_exactly_once(split, seed, folds, block_m):
    masks = list(
        split_folds(drive(seed=seed), folds=folds, block_m=block_m, split=split, seed=seed)
    )
    assert len(masks) == folds
    assert (np.sum(masks, axis=0) == 1).all()
    assert all(mask.any() for mask in masks)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), block_m=st.floats(10.0, 60.0))
def test_a_block_goes_to_one_fold_as_a_whole(seed, block_m):
    points = drive(seed=seed)
    origin = np.random.default_rng(seed).random(2)
    blocks = np.column_stack(
        [np.floor(points.x / block_m + origin[0]), np.floor(points.y / block_m + origin[1])]
    )
    for test in split_folds(points, block_m=block_m, seed=seed):
        left_out = {tuple(block) for block in blocks[test]}
        assert left_out.isdisjoint({tuple(block) for block in blocks[~test]})


def test_folds_have_about_equally_many_measurements():
    sizes = [mask.sum() for mask in split_folds(drive(500), block_m=20.0)]
    assert max(sizes) - min(sizes) <= 10


def test_the_seed_moves_the_blocks():
    first, second = (next(split_folds(drive(), seed=seed)) for seed in (0, 1))
    assert (first != second).any()
    assert (first == next(split_folds(drive(), seed=0))).all()


def test_methods_never_see_what_they_are_judged_on():
    points = drive()
    calls = []

    def spy(seen, grid):
        calls.append(len(seen))
        assert not np.isin(seen.x, points.x[unseen[len(calls) - 1]]).any()
        return np.zeros(grid.shape, np.float32)

    unseen = list(split_folds(points))
    holdout(points, {"spy": map_predictor(spy)})
    assert calls == [len(points) - int(test.sum()) for test in unseen]


def test_scores_of_a_known_error():
    points = drive(level=lambda x, y: -90.0)
    (score,) = holdout(points, {"three too high": constant(-87.0)})
    assert score.points == len(points)
    assert (score.missing, score.rmse_db, score.mae_db, score.bias_db) == (0, 3.0, 3.0, 3.0)
    assert score.worst_fold_rmse_db == 3.0


def test_the_pixel_around_the_measurement_is_compared():
    points = drive(level=lambda x, y: np.floor(x))

    def columns(seen, grid):
        x, _ = grid.to_world(0.5, np.arange(grid.shape[1]) + 0.5)
        return np.broadcast_to(np.floor(x - 500_000.0), grid.shape).astype(np.float32)

    assert holdout(points, {"exact": map_predictor(columns)}, spacing_m=1.0)[0].rmse_db == 0.0


def test_only_what_all_methods_predicted_is_judged_and_silence_is_counted():
    points = drive(level=lambda x, y: np.where(x < 100.0, -90.0, -120.0))

    def west_only(seen, grid):
        rsrp_dbm = np.full(grid.shape, np.nan, np.float32)
        rsrp_dbm[:, : grid.shape[1] // 2] = -90.0
        return rsrp_dbm

    silent, bold = holdout(
        points, {"west": map_predictor(west_only), "everywhere": constant(-90.0)}
    )
    assert silent.points == bold.points < len(points)
    assert silent.missing == len(points) - silent.points
    assert bold.missing == 0
    assert bold.rmse_db == silent.rmse_db


def test_a_method_that_says_nothing_has_no_score():
    (score,) = holdout(drive(), {"silent": constant(np.nan)})
    assert (score.points, score.missing) == (0, 120)
    assert math.isnan(score.rmse_db)


def test_blocks_are_harder_than_random_folds():
    def rough(x, y):
        return -90.0 + 8.0 * np.sin(x / 12.0) * np.cos(y / 9.0)

    knn = {"knn": estimator_predictor(get_method("knn"))}
    points = drive(400, level=rough)
    blocks = holdout(points, knn, block_m=40.0, spacing_m=2.0)[0].rmse_db
    random = holdout(points, knn, split="random", spacing_m=2.0)[0].rmse_db
    assert blocks > random


def test_an_estimator_sees_the_whole_area_and_the_transmitter():
    seen_batches = []

    class Spy:
        def estimate(self, batch):
            seen_batches.append(batch)
            return get_method("nearest").estimate(batch)

    holdout(
        drive(),
        {"spy": estimator_predictor(Spy(), (500_050.0, 4_000_020.0))},
        spacing_m=2.0,
        margin_m=4.0,
    )
    batch = seen_batches[0]
    assert batch.rsrp_dbm.shape[0] == 1
    assert min(batch.rsrp_dbm.shape[1:]) > 100
    row, col = batch.transmitter_rc[0]
    assert 0 < col < 40 < row < batch.rsrp_dbm.shape[1]


def test_too_few_blocks_and_senseless_folds_are_refused():
    with pytest.raises(TooSmallError, match=r"1 blocks, too few for 5 folds.*smaller blocks"):
        holdout(drive(side_m=1.0), {"any": constant(0.0)}, block_m=1e5)
    with pytest.raises(UsageError, match="at least 2 folds"):
        list(split_folds(drive(), folds=1))
    with pytest.raises(UsageError, match="above 0 m"):
        list(split_folds(drive(), block_m=0.0))


def test_a_map_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        holdout(drive(), {"wrong": map_predictor(lambda seen, grid: np.zeros((2, 2), np.float32))})


def test_the_duke_drive_test_is_predicted_better_than_by_its_mean(shared_data):
    from rm_geo.measurements.reader import read_measurements

    path = shared_data / "duke_cbrs" / "measurements.shp"
    cell = read_measurements(path, cell_column="pci")[0].by_cell()["7"]
    knn = {"knn": estimator_predictor(get_method("knn"))}
    (score,) = holdout(cell, knn, spacing_m=4.0)
    assert score.points == len(cell)
    assert score.rmse_db < 0.8 * cell.rsrp_dbm.std()


@pytest.mark.parametrize("name", [info.name for info in list_methods() if not info.is_network])
@pytest.mark.parametrize("split", ["blocks", "random"])
def test_estimates_at_positions_are_those_of_the_map(name, split):
    if name == "ordinary-kriging":
        pytest.importorskip("pykrige")
    points = drive(150, side_m=120.0, level=lambda x, y: -90.0 + 8.0 * np.sin(x / 30.0) + y / 20.0)
    estimator = get_method(name)

    class MapOnly:
        """The same estimator, of which only maps are known."""

        def estimate(self, batch):
            return estimator.estimate(batch)

    at_points, by_map = holdout(
        points,
        {"points": estimator_predictor(estimator), "map": estimator_predictor(MapOnly())},
        split=split,
        block_m=30.0,
        spacing_m=2.0,
    )
    assert at_points.points == by_map.points == 150
    for score in ("rmse_db", "mae_db", "bias_db", "worst_fold_rmse_db"):
        assert getattr(at_points, score) == pytest.approx(getattr(by_map, score), abs=1e-3)
