from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from rm_geo.errors import ConfigError, DependencyError, InputError
from rm_geo.propagation import Antenna, DominantPathModel, Scene, compiled
from rm_geo.propagation.outlines import orient, signed_area

pytest.importorskip("numba")


def two_blocks() -> np.ndarray:
    mask = np.zeros((50, 60), dtype=bool)
    mask[10:30, 10:25] = True
    mask[20:40, 35:50] = True
    return mask


class TestFromMask:
    def test_walls_follow_the_mask(self):
        scene = Scene.from_mask(two_blocks())
        np.testing.assert_array_equal(scene.solid, scene.indoor)
        assert scene.walls.shape == (8, 5)
        assert len(scene.corners) == 8

    @pytest.mark.parametrize("first", range(0, 300, 60))
    def test_slanted_blocks_have_corners_near_the_true_ones(self, first):
        for seed in range(first, first + 60):
            self.check_slanted_block(seed)

    @pytest.mark.parametrize("seed", [263, 775, 921, 947, 1052, 1073, 1359, 1456])
    def test_walls_that_cross_beside_a_corner_keep_the_corner(self, seed):
        # In these blocks two fitted walls intersect less than a pixel beside the kept corner; the
        # hook between them would turn a convex corner into a reflex one.
        self.check_slanted_block(seed)

    @staticmethod
    def check_slanted_block(seed):
        rng = np.random.default_rng(seed)
        turn = np.radians(rng.uniform(0.0, 90.0))
        along = np.array([np.cos(turn), np.sin(turn)])
        across = np.array([-along[1], along[0]])
        middle = 40.0 + rng.uniform(-1, 1, 2)
        half = (rng.uniform(12, 20), rng.uniform(10, 18))
        rows, cols = np.indices((80, 80)) + 0.5
        offset = np.stack([cols - middle[0], rows - middle[1]], axis=-1)
        mask = (np.abs(offset @ along) < half[0]) & (np.abs(offset @ across) < half[1])
        scene = Scene.from_mask(mask)
        truth = [
            middle + i * half[0] * along + j * half[1] * across for i in (-1, 1) for j in (-1, 1)
        ]
        found = scene.corners[:, :2]
        assert max(np.hypot(*(found - corner).T).min() for corner in truth) < 1.6, seed
        assert (scene.solid != mask).sum() < 0.05 * mask.sum(), seed

    def test_courts_stay_open(self):
        mask = np.zeros((40, 40), dtype=bool)
        mask[5:35, 5:35] = True
        mask[15:25, 15:25] = False
        scene = Scene.from_mask(mask)
        np.testing.assert_array_equal(scene.solid, mask)
        # Corners of a court are not convex, so no path diffracts around them.
        assert len(scene.corners) == 4

    def test_spacing_scales_the_scene(self):
        fine, coarse = Scene.from_mask(two_blocks()), Scene.from_mask(two_blocks(), spacing_m=4.0)
        np.testing.assert_allclose(coarse.walls[:, :4], 4.0 * fine.walls[:, :4])
        # Viewpoints are a fixed distance in front of their walls: a run may shift by one pixel.
        assert np.abs(coarse.runs - fine.runs).max() <= 1
        assert (coarse.runs != fine.runs).mean() < 0.01

    def test_an_offset_moves_walls_and_indoor_pixels(self):
        still = Scene.from_mask(two_blocks())
        moved = Scene.from_mask(two_blocks(), offset_px=(2.0, -1.0))
        np.testing.assert_allclose(moved.walls[:, :4], still.walls[:, :4] + [2.0, -1.0, 2.0, -1.0])
        np.testing.assert_array_equal(moved.indoor[:-1, 2:], still.indoor[1:, :-2])

    def test_walls_and_corners_take_the_heights_of_their_buildings(self):
        mask = two_blocks()
        heights = np.where(np.arange(60)[None, :] < 30, 12.0, 33.0) * np.ones((50, 1))
        scene = Scene.from_mask(mask, heights)
        assert set(np.unique(scene.walls[:, 4])) == {12.0, 33.0}
        assert set(np.unique(scene.corners[:, 6])) == {12.0, 33.0}
        assert (scene.roof_m[~mask] == 0).all()

    @pytest.mark.parametrize(
        ("mask", "heights"),
        [
            (np.zeros(5), 25.0),
            (np.zeros((0, 4)), 25.0),
            (np.ones((4, 4)), np.ones((3, 3))),
            (np.ones((4, 4)), 0.0),
            (np.ones((4, 4)), np.nan),
        ],
    )
    def test_invalid_masks_and_heights_are_rejected(self, mask, heights):
        with pytest.raises(InputError):
            Scene.from_mask(mask, heights)

    def test_zero_spacing_is_rejected(self):
        with pytest.raises(ConfigError):
            Scene.from_mask(two_blocks(), spacing_m=0.0)


class TestFromPolygons:
    ORIGIN = (500_000.0, 4_000_050.0)

    def blocks(self) -> list:
        east, north = self.ORIGIN
        return [
            box(east + 10, north - 30, east + 25, north - 10),
            box(east + 35, north - 40, east + 50, north - 20),
        ]

    def test_polygons_and_their_mask_give_the_same_map(self):
        drawn = Scene.from_polygons(self.blocks(), 25.0, origin=self.ORIGIN, shape=(50, 60))
        traced = Scene.from_mask(two_blocks())
        np.testing.assert_array_equal(drawn.indoor, traced.indoor)
        model, antenna = DominantPathModel(), Antenna(30.2, 5.1)
        np.testing.assert_allclose(
            model.path_gain(drawn, antenna), model.path_gain(traced, antenna), atol=0.01
        )

    def test_one_height_per_polygon(self):
        scene = Scene.from_polygons(self.blocks(), [8.5, 21.0], origin=self.ORIGIN, shape=(50, 60))
        assert set(np.unique(scene.roof_m)) == {0.0, 8.5, 21.0}

    def test_overlapping_polygons_take_the_larger_height(self):
        east, north = self.ORIGIN
        tower = box(east + 14, north - 25, east + 20, north - 15)
        scene = Scene.from_polygons(
            [tower, *self.blocks()], [60.0, 10.0, 10.0], origin=self.ORIGIN, shape=(50, 60)
        )
        assert scene.roof_m[20, 16] == 60.0
        assert len(scene.corners) == 8  # on the ground the tower is inside its block

    def test_terraced_houses_of_one_height_share_a_roof(self):
        east, north = self.ORIGIN
        houses = [box(east + x, north - 30, east + x + 5, north - 10) for x in (10, 15, 20)]
        scene = Scene.from_polygons(houses, 9.0, origin=self.ORIGIN, shape=(50, 60))
        assert not (scene.walls[:, 0] == scene.walls[:, 2])[
            (scene.walls[:, 0] > 10) & (scene.walls[:, 0] < 25)
        ].any()

    def test_multipolygons_are_split(self):
        one = Scene.from_polygons(
            [MultiPolygon(self.blocks())], 25.0, origin=self.ORIGIN, shape=(50, 60)
        )
        assert len(one.walls) == 8

    def test_a_scene_without_buildings(self):
        scene = Scene.from_polygons([], origin=self.ORIGIN, shape=(20, 30))
        assert not scene.indoor.any()
        assert np.isfinite(DominantPathModel().path_gain(scene, Antenna(3, 3))).all()

    def test_negative_heights_are_rejected(self):
        with pytest.raises(InputError):
            Scene.from_polygons(self.blocks(), -1.0, origin=self.ORIGIN, shape=(50, 60))


def test_orient_puts_the_building_to_the_left():
    square = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])
    assert signed_area(orient(square, court=False)) == 1.0
    assert signed_area(orient(square, court=True)) == -1.0


class TestWithoutNumba:
    def test_the_error_names_the_extra_to_install(self, monkeypatch):
        def missing(name: str):
            raise ModuleNotFoundError("No module named 'numba'", name="numba")

        monkeypatch.setattr(importlib, "import_module", missing)
        with pytest.raises(DependencyError, match=r"rm-geo\[simulate\]"):
            compiled.import_compiled("visibility")

    def test_the_package_imports_without_numba(self):
        code = (
            "import sys; sys.modules['numba'] = None; import rm_geo.propagation as p;"
            "p.DominantPathModel(); p.free_space_path_loss_db(1.0, 1e9)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
