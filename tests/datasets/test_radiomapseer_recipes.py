import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rm_geo.datasets.generate import main
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.errors import InputError
from rm_geo.training.data import describe_data
from rm_geo.training.run import read_config

SIDE = 64


@pytest.fixture
def inputs(tmp_path):
    """Two maps with three transmitters each, and a gain image of one transmitter of each map."""
    buildings = np.zeros((2, SIDE, SIDE), np.uint8)
    buildings[:, 20:30, 24:40] = 1
    roads = np.zeros_like(buildings)
    roads[:, 8] = roads[:, :, 8] = 1
    packed = [np.packbits(mask, axis=-1) for mask in (buildings, roads)]
    places = np.broadcast_to(np.array([[8, 8], [8, 50], [50, 8]]), (2, 3, 2))
    np.savez(tmp_path / "maps.npz", buildings=packed[0], roads=packed[1], transmitters=places)
    gains = tmp_path / "gains"
    gains.mkdir()
    grey = np.where(buildings[0] == 1, 0, 102).astype(np.uint8)
    for name in ("0_2", "1_1"):
        Image.fromarray(grey).save(gains / f"{name}.png")
    (gains / "notes.txt").write_text("not an image")
    return tmp_path


def made(inputs, *more):
    """Run the command and return its result and its folder."""
    out = inputs / "out"
    words = [
        "--recipe",
        "references",
        "--source",
        inputs / "maps.npz",
        "--gains",
        inputs / "gains",
        "--grey",
        "noise-floor",
        "--maps",
        "0-1",
        "--workers",
        "1",
        "--out",
        out,
        *more,
    ]
    return CliRunner().invoke(main, [str(word) for word in words]), out


def test_each_image_gives_a_scene_with_its_transmitter(inputs):
    result, out = made(inputs)
    assert result.exit_code == 0, result.output
    data = SimulatedSet.open(out)
    assert data.scene_ids == ("map_0_2", "map_1_1")
    assert data.antennas[:, 0, :2].tolist() == [[50, 8], [8, 50]]
    assert data.antenna_column("transmitter")[:, 0].tolist() == [2, 1]
    scene = data.scene(0)
    # 102 of 255 on a scale of 79.3 dB that ends at -47.84 dB
    assert np.unique(scene.gains_db[0][~scene.buildings]) == pytest.approx(-95.4, abs=0.1)
    assert (scene.gains_db[0][scene.buildings] == -200.0).all()
    config = read_config("mars", {"data": [str(out)], "loop": {"max_minutes": 1}})
    assert "2 scenes" in describe_data(config)
    assert "genuine" in describe_data(config)


def test_gains_can_be_simulated_for_the_same_transmitters(inputs):
    result, out = made(inputs, "--simulate")
    assert result.exit_code == 0, result.output
    data = SimulatedSet.open(out)
    assert data.antennas[:, 0, :2].tolist() == [[50, 8], [8, 50]]
    gain_db = data.scene(1).gains_db[0].astype(float)
    assert gain_db[8, 51] > gain_db[8, 60] > gain_db[60, 8]
    assert data.manifest["dominant_path"] is not None


def test_only_requested_maps_are_included(inputs):
    result, out = made(inputs, "--maps", "1")
    assert result.exit_code == 0, result.output
    assert SimulatedSet.open(out).scene_ids == ("map_1_1",)


def small_image(folder):
    Image.fromarray(np.ones((8, 8), np.uint8)).save(folder / "gains" / "1_1.png")


def no_such_transmitter(folder):
    (folder / "gains" / "1_1.png").rename(folder / "gains" / "1_7.png")


def damaged(folder):
    file = folder / "gains" / "1_1.png"
    file.write_bytes(file.read_bytes()[:60])


def no_images(folder):
    for file in (folder / "gains").glob("*.png"):
        file.unlink()


def no_folder(folder):
    (folder / "gains").rename(folder / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (small_image, "8 x 8 px, but its map 64 x 64"),
        (no_such_transmitter, "none with number 7"),
        (damaged, "1_1.png is damaged"),
        (no_images, "contains no gain image"),
        (no_folder, "There is no folder"),
    ],
)
def test_inconsistent_inputs_give_one_error_message(inputs, spoil, message):
    spoil(inputs)
    result, out = made(inputs)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output
    assert not out.exists()
    assert not out.with_name("out.part").exists()  # corrected inputs would be another recipe


def test_image_names_with_leading_zeros_are_ignored(inputs):
    (inputs / "gains" / "1_1.png").rename(inputs / "gains" / "01_01.png")
    result, out = made(inputs)
    assert result.exit_code == 0, result.output
    assert SimulatedSet.open(out).scene_ids == ("map_0_2",)


@pytest.mark.parametrize(
    "words", [("--drives", "-1"), ("--seed", "-1"), ("--maps", "9-3"), ("--maps", "1-99999999999")]
)
def test_invalid_numbers_are_rejected(inputs, words):
    result, out = made(inputs, *words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not out.with_name("out.part").exists()


def test_the_gains_option_is_required(inputs):
    words = ["--recipe", "references", "--source", inputs / "maps.npz", "--out", inputs / "out"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code != 0
    assert "--gains" in result.output


def test_a_missing_image_is_named(inputs):
    from rm_geo.datasets.radiomapseer import read_grey

    with pytest.raises(InputError, match=r"9_9\.png is missing"):
        read_grey(inputs / "gains" / "9_9.png")
