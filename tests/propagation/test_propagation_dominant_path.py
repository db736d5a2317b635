from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.errors import ConfigError
from rm_geo.propagation import (
    Antenna,
    DominantPathModel,
    DominantPathParameters,
    Scene,
    SectorPattern,
    free_space_path_loss_db,
)
from rm_geo.units import gain_to_unit

pytest.importorskip("numba")

FLOOR_DB = DominantPathParameters().gain_floor_db
SIZE = 96


def town(size: int = SIZE) -> np.ndarray:
    """Mask of a few blocks, one with a court."""
    mask = np.zeros((size, size), dtype=bool)
    mask[20:40, 20:45] = True
    mask[20:40, 55:80] = True
    mask[52:80, 24:60] = True
    mask[60:70, 34:50] = False
    mask[60:75, 70:84] = True
    return mask


def town_map(antenna: Antenna, heights_m: float = 25.0, mask: np.ndarray | None = None):
    scene = Scene.from_mask(town() if mask is None else mask, heights_m)
    return DominantPathModel().path_gain(scene, antenna), scene


@pytest.fixture(scope="module")
def town_scene() -> Scene:
    return Scene.from_mask(town())


class TestFreeSpace:
    @settings(max_examples=15, deadline=None)
    @given(
        row=st.integers(0, 39),
        col=st.integers(0, 49),
        height_m=st.sampled_from([1.5, 10.0, 60.0]),
        frequency_hz=st.sampled_from([7e8, 1.8e9, 5.9e9]),
        spacing_m=st.sampled_from([1.0, 2.0, 4.0]),
    )
    def test_free_space_is_exact_without_buildings(
        self, row, col, height_m, frequency_hz, spacing_m
    ):
        scene = Scene.from_mask(np.zeros((40, 50)), spacing_m=spacing_m)
        antenna = Antenna.at_pixel(
            row, col, spacing_m=spacing_m, height_m=height_m, frequency_hz=frequency_hz
        )
        rows, cols = np.indices(scene.shape)
        plan = np.hypot(rows - row, cols - col) * spacing_m
        distance = np.maximum(np.hypot(plan, height_m - 1.5), 1.0)
        expected = -free_space_path_loss_db(distance, frequency_hz)
        gain = DominantPathModel().path_gain(scene, antenna)
        np.testing.assert_allclose(gain, expected, atol=2e-5 * 130)

    def test_frequency_moves_every_path_by_the_free_space_constant(self, town_scene):
        model = DominantPathModel()
        low, high = model.path_gains(
            town_scene, [Antenna(10, 10, frequency_hz=f) for f in (1e9, 1e10)]
        )
        outdoor = ~town_scene.indoor
        np.testing.assert_allclose((low - high)[outdoor], 20.0, atol=1e-4)


class TestPhysics:
    @pytest.mark.parametrize("sender", [(5, 5), (48, 30), (48, 90), (90, 66)])
    def test_path_gain_is_reciprocal(self, town_scene, sender):
        model = DominantPathModel()
        forth = model.path_gain(town_scene, Antenna.at_pixel(*sender))
        rng = np.random.default_rng(1)
        rows, cols = np.nonzero(~town_scene.indoor)
        pairs = []
        for k in rng.choice(rows.size, 25, replace=False):
            back = model.path_gain(town_scene, Antenna.at_pixel(rows[k], cols[k]))
            pairs.append((forth[rows[k], cols[k]], back[sender]))
        difference = np.abs(np.subtract(*np.transpose(pairs)))
        # Rays are discrete: the two directions may fall on different sides of a shadow edge.
        assert np.quantile(difference, 0.9) < 0.25

    def test_gain_falls_with_the_angle_turned_around_a_corner(self):
        mask = np.zeros((120, 120), dtype=bool)
        mask[60:, :60] = True  # corner at (60, 60)
        scene = Scene.from_mask(mask, 200.0)
        gain = DominantPathModel().path_gain(scene, Antenna(x_m=20.0, y_m=50.0))
        # On a circle around the corner, from the straight direction to the back of the wall.
        turns = np.radians(np.arange(18, 62, 4))
        straight_on = np.arctan2(60 - 50, 60 - 20)
        rows = np.floor(60 + 40 * np.sin(straight_on + turns)).astype(int)
        cols = np.floor(60 + 40 * np.cos(straight_on + turns)).astype(int)
        assert (np.diff(gain[rows, cols]) < 0).all()

    def test_gain_behind_one_corner_follows_the_formula(self):
        mask = np.zeros((120, 120), dtype=bool)
        mask[60:, :60] = True
        scene = Scene.from_mask(mask, 200.0)
        p = DominantPathParameters()
        antenna = Antenna(x_m=20.5, y_m=40.5)
        gain = DominantPathModel(p).path_gain(scene, antenna)
        corner = np.array([60.0, 60.0])
        receiver = np.array([70.5, 100.5])
        before, after = corner - [20.5, 40.5], receiver - corner
        turn = np.degrees(
            np.arccos(before @ after / (np.linalg.norm(before) * np.linalg.norm(after)))
        )
        length = np.linalg.norm(before) + np.linalg.norm(after)
        expected = (
            antenna.reference_gain_db
            - p.nlos_exponent_db * np.log10(length)
            - p.first_interaction_db
            - p.turn_db_per_degree * turn
        )
        assert gain[100, 70] == pytest.approx(expected, abs=0.02)

    def test_no_pixel_exceeds_free_space(self, town_scene):
        for height_m in (1.5, 20.0, 40.0):
            antenna = Antenna.at_pixel(48, 50, height_m=height_m)
            gain = DominantPathModel().path_gain(town_scene, antenna)
            rows, cols = np.indices(gain.shape)
            distance = np.hypot(np.hypot(rows - 48, cols - 50), height_m - 1.5)
            free = -free_space_path_loss_db(np.maximum(distance, 1.0), antenna.frequency_hz)
            assert (gain <= free + 1e-3).all()

    @pytest.mark.parametrize("turn", range(8))
    def test_symmetries_of_the_square(self, turn):
        def moved(image: np.ndarray) -> np.ndarray:
            image = np.rot90(image, turn % 4)
            return image.T if turn >= 4 else image

        spot = np.zeros((SIZE, SIZE), dtype=bool)
        spot[46, 50] = True
        straight, _ = town_map(Antenna.at_pixel(46, 50))
        (row,), (col,) = np.nonzero(moved(spot))
        turned, scene = town_map(Antenna.at_pixel(row, col), mask=moved(town()))
        difference = np.abs(moved(straight) - turned)[~scene.indoor]
        assert np.quantile(difference, 0.99) < 0.1


class TestHeights:
    def test_lower_buildings_never_reduce_the_gain(self):
        high, scene = town_map(Antenna.at_pixel(48, 5), 30.0)
        low, _ = town_map(Antenna.at_pixel(48, 5), 8.0)
        assert (low >= high - 1e-3)[~scene.indoor].all()
        assert (low > high + 1.0).any()

    def test_each_further_row_of_buildings_adds_a_loss(self):
        def beyond(rows: int) -> float:
            mask = np.zeros((400, 260), dtype=bool)
            for k in range(rows):
                mask[:, 40 + 30 * k : 55 + 30 * k] = True
            mask[:, 190:205] = True
            scene = Scene.from_mask(mask, 10.0)
            return DominantPathModel().path_gain(scene, Antenna(5, 200))[200, 240]

        gains = [beyond(rows) for rows in (1, 2, 3)]
        graze = DominantPathParameters().roof_graze_db
        np.testing.assert_allclose(np.diff(gains), -2 * graze, atol=0.02)

    def test_a_roof_is_crossed_beside_the_vertical_plane_if_the_loss_is_lower(self):
        mask = np.zeros((160, 160), dtype=bool)
        mask[60:75, 10:150] = True  # the block to cross
        mask[45:55, 60:90] = True  # and a tower in the direct path
        heights = np.where(mask, 20.0, 0.0)
        heights[45:55, 60:90] = 60.0
        scene = Scene.from_mask(mask, heights)
        antenna = Antenna(75, 35)
        beside = DominantPathModel().path_gain(scene, antenna)
        nodeless = replace(scene, nodes=scene.nodes[:0], node_offsets=scene.node_offsets[:1])
        straight = DominantPathModel().path_gain(nodeless, antenna)
        assert (beside >= straight).all()
        assert (beside - straight).max() > 1.0

    def test_line_of_sight_over_a_roof_is_exact(self):
        mask = np.zeros((20, 200), dtype=bool)
        mask[:, 40:60] = True
        scene = Scene.from_mask(mask, 20.0)
        antenna = Antenna.at_pixel(10, 9, height_m=40.0)
        gain = DominantPathModel().path_gain(scene, antenna)[10]
        # Distance at which the ray over the far wall (x = 60, 20 m high) falls to 1.5 m.
        reach = (60.0 - 9.5) * (40.0 - 1.5) / (40.0 - 20.0)
        centres = np.arange(200) + 0.5 - 9.5
        free = -free_space_path_loss_db(
            np.maximum(np.hypot(centres, 38.5), 1.0), antenna.frequency_hz
        )
        sighted = np.abs(gain - free) < 1e-3
        behind = centres > 60 - 9.5
        np.testing.assert_array_equal(sighted[behind], centres[behind] > reach)

    def test_an_antenna_on_a_roof_has_line_of_sight_over_it(self):
        on_roof = Antenna.at_pixel(30, 30, height_m=45.0)
        gain, scene = town_map(on_roof)
        rows, cols = np.indices(gain.shape)
        distance = np.hypot(np.hypot(rows - 30, cols - 30), 43.5)
        free = -free_space_path_loss_db(distance, on_roof.frequency_hz)
        outdoor = ~scene.indoor
        assert (np.abs(gain - free)[outdoor] < 1e-3).mean() > 0.1
        # Close to its own building the edge of the roof obstructs the path.
        assert gain[41, 30] < free[41, 30] - 2.0

    def test_an_antenna_below_its_roof_is_moved_outdoors(self):
        inside, _ = town_map(Antenna.at_pixel(22, 30))
        beside, _ = town_map(Antenna.at_pixel(19, 30))
        np.testing.assert_array_equal(inside, beside)

    def test_touching_buildings_of_different_heights_leave_no_gap(self):
        mask = np.zeros((60, 60), dtype=bool)
        mask[25:35, 5:55] = True
        heights = np.where(mask, 30.0, 0.0)
        heights[25:35, 30:55] = 31.0
        one = DominantPathModel().path_gain(Scene.from_mask(mask, 30.0), Antenna(30, 10))
        two = DominantPathModel().path_gain(Scene.from_mask(mask, heights), Antenna(30, 10))
        assert np.abs(one - two)[~mask].max() < 0.6

    def test_an_antenna_outside_the_scene(self):
        far, scene = town_map(Antenna(x_m=-50.0, y_m=48.5, height_m=1.5))
        larger = np.pad(town(), ((0, 0), (60, 0)))
        near, _ = town_map(Antenna(x_m=10.0, y_m=48.5, height_m=1.5), mask=larger)
        difference = np.abs(far - near[:, 60:])[~scene.indoor]
        assert np.quantile(difference, 0.98) < 0.1


class TestPattern:
    def test_with_line_of_sight_the_pattern_applies_to_the_direct_direction(self):
        scene = Scene.from_mask(np.zeros((41, 41)))
        pattern = SectorPattern(azimuth_deg=90.0, downtilt_deg=10.0)
        sector = Antenna.at_pixel(20, 20, height_m=20.0, pattern=pattern)
        omni = Antenna.at_pixel(20, 20, height_m=20.0)
        gained = np.subtract(*DominantPathModel().path_gains(scene, [sector, omni]))
        rows, cols = np.indices(scene.shape)
        azimuth = np.degrees(np.arctan2(cols - 20, 20 - rows))
        elevation = np.degrees(np.arctan2(-18.5, np.hypot(rows - 20, cols - 20)))
        expected = pattern.gain_dbi(azimuth, elevation)
        away = (rows != 20) | (cols != 20)
        np.testing.assert_allclose(gained[away], expected[away], atol=1e-3)

    def test_no_gain_exceeds_the_main_beam(self, town_scene):
        pattern = SectorPattern(azimuth_deg=45.0)
        sector = Antenna.at_pixel(48, 50, pattern=pattern)
        omni = Antenna.at_pixel(48, 50)
        gained = np.subtract(*DominantPathModel().path_gains(town_scene, [sector, omni]))
        gained = gained[~town_scene.indoor]
        assert gained.max() <= pattern.max_gain_dbi + 1e-3
        assert gained.min() >= pattern.max_gain_dbi - pattern.front_to_back_db - 1e-3


class TestOutput:
    def test_only_indoor_pixels_have_the_floor(self, town_scene):
        gain = DominantPathModel().path_gain(town_scene, Antenna(48, 48))
        assert gain.dtype == np.float32
        np.testing.assert_array_equal(gain == FLOOR_DB, town_scene.indoor)

    def test_the_floor_is_a_lower_bound(self, town_scene):
        model = DominantPathModel(DominantPathParameters(gain_floor_db=-90.0))
        gain = model.path_gain(town_scene, Antenna(5, 5))
        assert gain.min() == -90.0

    def test_results_are_deterministic(self, town_scene):
        model = DominantPathModel()
        antenna = Antenna(48.3, 47.9, height_m=12.0)
        np.testing.assert_array_equal(
            model.path_gain(town_scene, antenna), model.path_gain(town_scene, antenna)
        )

    def test_no_antennas_give_an_empty_array(self, town_scene):
        assert DominantPathModel().path_gains(town_scene, []).shape == (0, SIZE, SIZE)

    def test_a_scene_full_of_buildings(self):
        scene = Scene.from_mask(np.ones((16, 16)))
        assert (DominantPathModel().path_gain(scene, Antenna(8, 8)) == FLOOR_DB).all()


@pytest.mark.parametrize(
    "faulty",
    [
        {"max_interactions": 0},
        {"receiver_height_m": 0.0},
        {"nlos_exponent_db": 0.0},
        {"near_distance_m": 0.0},
    ],
)
def test_parameters_out_of_range_are_rejected(faulty):
    with pytest.raises(ConfigError):
        DominantPathParameters(**faulty)


def test_rmse_against_radiomapseer(shared_data: Path):
    """RMSE on the noise-floor scale over the dominant path maps of RadioMapSeer."""
    from matplotlib.image import imread

    folder = shared_data / "radiomapseer"
    with np.load(folder / "maps.npz") as maps:
        buildings = np.unpackbits(maps["buildings"], axis=-1)
        transmitters = maps["transmitters"]
    scenes: dict[int, Scene] = {}
    squared, away = [], []
    for path in sorted((folder / "dpm_reference").glob("*.png")):
        number, transmitter = map(int, path.stem.split("_"))
        if number not in scenes:
            scenes[number] = Scene.from_mask(buildings[number], offset_px=(0.45, -0.45))
        scene = scenes[number]
        row, col = map(int, transmitters[number, transmitter])
        gain = DominantPathModel().path_gain(scene, Antenna.at_pixel(row, col))
        error = (gain_to_unit(gain) - imread(path).astype(np.float64)) ** 2
        squared.append(error)
        walls = scene.indoor.copy()
        for axis in (0, 1):
            for shift in (-1, 1):
                walls |= np.roll(scene.indoor, shift, axis)
                walls |= np.roll(np.roll(scene.indoor, shift, 0), -shift if axis else shift, 1)
        away.append(error[~walls])
    assert len(squared) == 47
    assert np.sqrt(np.mean(squared)) <= 0.0347
    assert np.sqrt(np.mean(np.concatenate(away))) <= 0.0215
