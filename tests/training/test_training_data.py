"""Training data: splits, packed archives and RadioMapSeer."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from rm_geo.datasets.generate import main as generate_command
from rm_geo.datasets.packing import main, unpack
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.datasets.splits import MARS_SETTING_I, MARS_SETTING_II
from rm_geo.errors import ConfigError, DependencyError, InputError, OutputError
from rm_geo.progress import SilentProgress
from rm_geo.training.config import TrainingConfig
from rm_geo.training.data import describe_data, prepare_data, require_packages
from rm_geo.training.device_pool import DevicePool
from rm_geo.training.scenes import ScenePool, split_pairs
from tests.support.scenes import free_space_set, save_set

SIDE = 64


class TestSplits:
    def test_setting_one_separates_transmitters(self):
        data = free_space_set(scenes=3, antennas=80)
        train = split_pairs(data, MARS_SETTING_I, 0, validation=False)
        held = split_pairs(data, MARS_SETTING_I, 0, validation=True)
        assert set(train[:, 1]) == set(range(60))
        assert set(held[:, 1]) == set(range(60, 70))
        assert set(train[:, 0]) == set(held[:, 0]) == {0, 1, 2}

    def test_setting_two_separates_scenes(self):
        data = free_space_set(scenes=4, map_ids=[[1], [250], [251], [2]])
        train = split_pairs(data, MARS_SETTING_II, 1, validation=False)
        held = split_pairs(data, MARS_SETTING_II, 1, validation=True)
        assert set(train[:, 0]) == {0, 1}
        assert set(held[:, 0]) == {3}

    def test_a_set_without_maps_of_the_split_is_rejected(self):
        data = free_space_set(scenes=1, map_ids=[[300]])
        with pytest.raises(ConfigError, match="maps 1-250"):
            ScenePool([data], split=MARS_SETTING_II)

    def test_crops_come_only_from_scenes_of_the_split(self):
        data = free_space_set(scenes=3, map_ids=[[1], [2], [400]])
        data.gains_db[2] = -60.0
        pool = ScenePool([data], split=MARS_SETTING_II)
        crops = pool.draw(np.random.default_rng(0), 30, 8)
        assert not torch.isclose(crops.gain_db, torch.tensor(-60.0)).all((1, 2, 3)).any()


class TestPacking:
    def test_packing_changes_gains_only_by_rounding(self, tmp_path):
        data = free_space_set(scenes=2, side=SIDE)
        data.gains_db[0, 0, :4] = -200.0
        folder, archive = save_set(data, tmp_path / "scenes"), tmp_path / "scenes.npz"
        assert main([str(folder), str(archive)]) == 0
        again = unpack(archive, tmp_path / "again")
        for name in ("buildings", "heights_m", "roads", "orders", "antennas"):
            np.testing.assert_array_equal(getattr(again, name), getattr(data, name))
        assert again.scene_ids == data.scene_ids
        np.testing.assert_allclose(again.gains_db, data.gains_db, atol=0.3)
        assert archive.stat().st_size < data.gains_db.nbytes

    def test_archives_of_one_name_are_distinguished(self, tmp_path):
        for name, scenes in (("a", 2), ("b", 3)):
            (tmp_path / name).mkdir()
            folder = save_set(free_space_set(scenes=scenes, side=SIDE), tmp_path / f"{name}-scenes")
            assert main([str(folder), str(tmp_path / name / "set.npz")]) == 0
        both = TrainingConfig("mars", [str(tmp_path / name / "set.npz") for name in "ab"])
        made = prepare_data(both, tmp_path / "cache", SilentProgress())
        assert [len(SimulatedSet.open(path)) for path in made.data] == [2, 3]
        assert prepare_data(both, tmp_path / "cache", SilentProgress()).data == made.data

    def test_a_symbolic_link_instead_of_the_part_folder_is_rejected(self, tmp_path):
        data = free_space_set(scenes=1, side=SIDE)
        folder, archive = save_set(data, tmp_path / "scenes"), tmp_path / "scenes.npz"
        assert main([str(folder), str(archive)]) == 0
        (tmp_path / "behind").mkdir()
        (tmp_path / "again.part").symlink_to(tmp_path / "behind")
        with pytest.raises(OutputError, match="symbolic link"):
            unpack(archive, tmp_path / "again")
        assert not list((tmp_path / "behind").iterdir())

    def test_damaged_archives_are_rejected_without_output(self, tmp_path):
        archive = tmp_path / "scenes.npz"
        for content in (b"", b"PK\x03\x04 broken"):
            archive.write_bytes(content)
            with pytest.raises(InputError, match=r"scenes\.npz"):
                unpack(archive, tmp_path / "again")
        np.savez(archive, format=np.array("other"))
        with pytest.raises(InputError, match="another format"):
            unpack(archive, tmp_path / "again")
        assert not (tmp_path / "again").exists()


@pytest.fixture
def radiomapseer(tmp_path):
    """Three maps with two transmitters each, as published."""
    root = tmp_path / "RadioMapSeer"
    for folder in ("png/buildings_complete", "png/roads", "antenna", "gain/DPM"):
        (root / folder).mkdir(parents=True)
    buildings = np.zeros((SIDE, SIDE), np.uint8)
    buildings[10:20, 30:50] = 255
    roads = np.zeros_like(buildings)
    roads[40:42] = 255
    for number in (1, 2, 3):
        Image.fromarray(buildings).save(root / f"png/buildings_complete/{number}.png")
        Image.fromarray(roads).save(root / f"png/roads/{number}.png")
        (root / f"antenna/{number}.json").write_text(json.dumps([[3, 5]] * 80))
        for transmitter in range(80):
            grey = np.where(buildings > 0, 0, 100 + transmitter).astype(np.uint8)
            Image.fromarray(grey).save(root / f"gain/DPM/{number}_{transmitter}.png")
    return root


def config(path):
    return TrainingConfig("mars", [str(path)], split="mars-ii")


class TestRadioMapSeer:
    def test_published_gains_become_scenes(self, radiomapseer, tmp_path):
        made = prepare_data(config(radiomapseer), tmp_path / "cache", SilentProgress())
        data = SimulatedSet.open(made.data[0])
        assert data.scene_ids == ("map_1", "map_2", "map_3")
        expected = -147.0 + (107 / 255) * (147.0 - 47.84)
        assert data.gains_db[1, 7, 0, 0] == pytest.approx(expected, abs=0.1)
        scene = data.scene(0)
        assert (scene.gains_db[:, scene.buildings] == -200.0).all()
        assert (scene.orders[0][scene.roads] >= 0).any()
        assert scene.antennas[7, :2].tolist() == [SIDE - 1 - 5, 3]
        assert "3 scenes of RadioMapSeer maps 1-3, 80 transmitters each, genuine" in describe_data(
            made
        )
        again = prepare_data(config(radiomapseer), tmp_path / "cache", SilentProgress())
        assert again.data == made.data

    def test_copies_with_the_noise_floor_scale_are_read(self, radiomapseer, tmp_path):
        chosen = replace(config(radiomapseer), radiomapseer={"scale": "noise-floor"})
        made = prepare_data(chosen, tmp_path / "cache", SilentProgress())
        gain_db = SimulatedSet.open(made.data[0]).gains_db[1, 7, 0, 0]
        assert gain_db == pytest.approx(-127.14 + (107 / 255) * 79.3, abs=0.1)
        for wrong in ({"scale": "grey"}, {"simulation": "IRT3"}, {"scales": 1}):
            with pytest.raises(ConfigError, match=r"grey|IRT3|scales"):
                prepare_data(
                    replace(chosen, radiomapseer=wrong), tmp_path / "other", SilentProgress()
                )

    @pytest.mark.parametrize(
        ("hole", "match"),
        [
            ("gain/DPM/2_17.png", "2_17.png"),
            ("antenna/3.json", "3.json"),
            ("png/buildings_complete/2.png", "lacks 1 maps: 2"),
        ],
    )
    def test_missing_files_are_named_before_any_work(self, radiomapseer, tmp_path, hole, match):
        (radiomapseer / hole).unlink()
        with pytest.raises(InputError, match=match):
            prepare_data(config(radiomapseer), tmp_path / "cache", SilentProgress())
        assert not (tmp_path / "cache").exists()

    def test_images_of_different_sizes_are_named_before_any_work(self, radiomapseer, tmp_path):
        Image.new("L", (32, 64)).save(radiomapseer / "gain/DPM/3_79.png")
        with pytest.raises(InputError, match=r"3_79\.png has 64 x 32 px.*but the first map"):
            prepare_data(config(radiomapseer), tmp_path / "cache", SilentProgress())
        assert not (tmp_path / "cache").exists()

    def test_the_generate_command_converts_radiomapseer(self, radiomapseer, tmp_path):
        command = [
            "--recipe",
            "radiomapseer",
            "--source",
            radiomapseer,
            "--maps",
            "2-3",
            "--transmitters",
            "4",
            "--workers",
            "1",
            "--out",
            tmp_path / "set",
        ]
        result = CliRunner().invoke(generate_command, [str(word) for word in command])
        assert result.exit_code == 0, result.output
        data = SimulatedSet.open(tmp_path / "set")
        assert data.map_ids == (2, 3)
        assert data.antenna_column("transmitter").tolist() == [[0, 1, 2, 3]] * 2

    def test_other_folders_are_rejected(self, tmp_path):
        with pytest.raises(InputError, match="contains no training data"):
            prepare_data(config(tmp_path), tmp_path / "cache", SilentProgress())
        missing = replace(config(tmp_path), data=[str(tmp_path / "nowhere")])
        with pytest.raises(InputError, match="no training data at"):
            prepare_data(missing, tmp_path / "cache", SilentProgress())


def test_scenes_on_the_device_give_the_same_crops():
    sets = [free_space_set(scenes=4), free_space_set(scenes=4, seed=1)]
    disk, device = (pool(sets, [1.0, 2.0], held_out=1) for pool in (ScenePool, DevicePool))
    a = disk.draw(np.random.default_rng(5), 12, 32)
    b = device.draw(np.random.default_rng(5), 12, 32)
    for name in ("gain_db", "buildings", "free", "order", "transmitter_rc", "intercept_db"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    held = DevicePool(sets, held_out=1, validation=True)
    held.share_scenes(device)
    crops = held.draw(np.random.default_rng(5), 4, 32)
    own = ScenePool(sets, held_out=1, validation=True).draw(np.random.default_rng(5), 4, 32)
    assert torch.equal(crops.gain_db, own.gain_db)


def test_the_error_names_a_missing_package():
    expected = pytest.raises(DependencyError, match="Images need Pillow: no_such_module")
    with expected as refusal, require_packages("Pillow", "Images"):
        import no_such_module  # noqa: F401
    assert "packed archive" in refusal.value.hint
