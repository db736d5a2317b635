"""The street ensemble follows streets, and stands bad input."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from rm_geo.geostat.idw import idw_mean
from rm_geo.geostat.street_ensemble import MEMBERS, Bins, StreetEnsemble
from rm_geo.grid import Grid
from rm_geo.raster.sparse import SparseRaster


def street_levels(place: np.ndarray, seed: int = 0) -> np.ndarray:
    """Levels that each street of a turned grid of 80 m has for itself, and a distance law."""
    angle = 0.4
    u = place @ [np.cos(angle), np.sin(angle)]
    w = place @ [-np.sin(angle), np.cos(angle)]
    own = np.random.default_rng(seed).normal(0.0, 8.0, (2, 64))
    along = np.abs(u - 80.0 * np.round(u / 80.0)) > np.abs(w - 80.0 * np.round(w / 80.0))
    number = np.round(np.where(along, w, u) / 80.0).astype(int) + 32
    return own[along.astype(int), number] - 30.0 * np.log10(np.hypot(u - 200.0, w - 100.0) + 10.0)


def street_drive(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    place = rng.uniform(0.0, 800.0, (count, 2))
    across = rng.integers(0, 2, count)
    place[np.arange(count), across] = np.round(place[np.arange(count), across] / 80.0) * 80.0
    cos, sin = np.cos(0.4), np.sin(0.4)
    return place @ np.array([[cos, sin], [-sin, cos]])


def test_held_out_stretches_of_streets_are_estimated_better_than_by_idw() -> None:
    place = street_drive(0, 3000)
    block = np.floor(place / 100.0).astype(int)
    held = (block.sum(axis=1) % 4) == 0
    level = street_levels(place)
    bins = Bins.of_points(place[~held], level[~held])
    ensemble = StreetEnsemble.fit(bins.position_m, bins.level_dbm, bins.noise_db2)
    assert ensemble.angle == pytest.approx(0.4, abs=0.05)
    idw, _ = idw_mean(KDTree(place[~held]), level[~held], place[held], neighbors=16)
    members = ensemble.members_at(place[held])
    rmse = np.sqrt(np.mean((members - level[held]) ** 2, axis=1))
    mean = np.sqrt(np.mean((ensemble.at(place[held]) - level[held]) ** 2))
    assert mean < 0.8 * np.sqrt(np.mean((idw - level[held]) ** 2))
    assert mean < rmse.mean()


def test_the_estimate_is_the_mean_of_its_members() -> None:
    place = street_drive(1, 200)
    ensemble = StreetEnsemble.fit(place, street_levels(place))
    members = ensemble.members_at(place[:10] + 3.0)
    assert members.shape == (len(MEMBERS), 10)
    np.testing.assert_allclose(ensemble.at(place[:10] + 3.0), members.mean(axis=0))


def test_far_coordinates_change_nothing() -> None:
    place = np.round(street_drive(2, 300))
    level = street_levels(place)
    here = StreetEnsemble.fit(place, level).at(place[:50] + 7.0)
    utm = np.array([500_000.0, 5_800_000.0])
    there = StreetEnsemble.fit(place + utm, level).at(place[:50] + 7.0 + utm)
    np.testing.assert_allclose(there, here, atol=1e-3)


def test_noisy_levels_count_less() -> None:
    place = street_drive(3, 400)
    level = street_levels(place)
    wrong = np.arange(400) % 2 == 0
    spoiled = level + np.where(wrong, 20.0, 0.0)

    def error(noise_db2):
        return np.abs(StreetEnsemble.fit(place, spoiled, noise_db2).at(place) - level).mean()

    assert error(np.where(wrong, 1000.0, 1.0)) < 0.6 * error(None)


def test_the_same_whatever_the_threads_and_the_other_positions(monkeypatch) -> None:
    place = street_drive(4, 400)
    level = street_levels(place)
    target = street_drive(5, 1500)
    together = StreetEnsemble.fit(place, level).at(target)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    again = StreetEnsemble.fit(place, level)
    np.testing.assert_array_equal(again.at(target), together)
    np.testing.assert_allclose(again.at(target[700:710]), together[700:710], atol=1e-9)


HARD = {
    "one reading": np.array([[5.0, 5.0]]),
    "three readings": np.array([[5.0, 5.0], [80.0, 5.0], [80.0, 400.0]]),
    "duplicates": np.repeat(np.array([[5.0, 5.0], [50.0, 20.0]]), 30, axis=0),
    "one row of points": np.column_stack([np.arange(0.0, 600.0, 5.0), np.zeros(120)]),
}


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("spread", [0.0, 12.0])
def test_hard_input_gives_levels_near_its_own(kind: str, spread: float) -> None:
    place = HARD[kind]
    level = -90.0 + spread * np.random.default_rng(0).uniform(-1.0, 1.0, len(place))
    around = np.vstack([place, place + 40.0, place - [0.0, 300.0]])
    estimate = StreetEnsemble.fit(place, level).at(around)
    assert np.isfinite(estimate).all()
    assert estimate.min() > level.min() - 15.0
    assert estimate.max() < level.max() + 15.0


def test_no_level_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one level"):
        StreetEnsemble.fit(np.zeros((0, 2)), np.zeros(0))


def test_bins_are_means_of_readings_at_their_mean_place() -> None:
    grid = Grid.create(500_000, 5_000_000, (10, 10), 1.0, 32633)
    level = np.full((10, 10), np.nan)
    level[1, 1], level[3, 1], level[8, 9] = -80.0, -84.0, -100.0
    sparse = SparseRaster.from_dense(
        grid,
        level.astype(np.float32),
        np.where(np.isfinite(level), np.where(level == -80.0, 3, 1), 0).astype(np.int32),
        np.zeros((10, 10), np.float32),
    )
    bins = Bins.of_raster(sparse)
    assert bins.level_dbm.tolist() == [-81.0, -100.0]
    assert bins.position_m.tolist() == [[2.0, 1.5], [8.5, 9.5]]
    assert bins.noise_db2[0] < bins.noise_db2[1]
