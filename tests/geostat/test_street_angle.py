"""The direction of a street grid counts modulo a quarter turn."""

import numpy as np
import pytest

from rm_geo.geostat.street_angle import street_angle


def grid_drive(angle: float, seed: int = 0) -> np.ndarray:
    """Visited places 5 m apart on crossing streets, some metres off."""
    along = np.arange(0.0, 600.0, 5.0)
    streets = [np.column_stack([along, np.full_like(along, at)]) for at in (0.0, 150.0, 400.0)]
    streets += [street[:, ::-1] for street in streets]
    place = np.vstack(streets)
    place += np.random.default_rng(seed).normal(0.0, 1.0, place.shape)
    cos, sin = np.cos(angle), np.sin(angle)
    return place @ np.array([[cos, sin], [-sin, cos]])


@pytest.mark.parametrize("angle", [-0.7, -0.3, 0.0, 0.2, 0.7])
def test_angle_of_a_grid_is_recovered(angle: float) -> None:
    assert street_angle(grid_drive(angle)) == pytest.approx(angle, abs=0.03)


def test_quarter_turn_is_the_same_grid() -> None:
    found = street_angle(grid_drive(0.2 + np.pi / 2.0))
    assert found == pytest.approx(street_angle(grid_drive(0.2)), abs=1e-9)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_places_far_apart_have_no_direction(count: int) -> None:
    assert street_angle(np.arange(2.0 * count).reshape(count, 2) * 1000.0) == 0.0


def test_chunks_of_places_give_the_same_angle(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = street_angle(grid_drive(0.3))
    monkeypatch.setattr("rm_geo.geostat.street_angle._CHUNK", 50)
    assert street_angle(grid_drive(0.3)) == pytest.approx(whole, abs=1e-12)
