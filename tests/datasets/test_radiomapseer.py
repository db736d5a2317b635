import json

import numpy as np
import pytest
from PIL import Image

from rm_geo.datasets.maps_archive import read_maps_archive
from rm_geo.datasets.radiomapseer import RadioMapSeer, grey_to_gain_db
from rm_geo.errors import ConfigError, InputError

SIDE = 16


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two maps with three transmitters each, in the published layout."""
    root = tmp_path / "RadioMapSeer"
    for number in (0, 7):
        house = np.zeros((SIDE, SIDE))
        house[2:6, 3:9] = 255
        save(root / "png" / "buildings_complete" / f"{number}.png", house)
        save(root / "png" / "roads" / f"{number}.png", house.T)
        (root / "antenna").mkdir(exist_ok=True)
        (root / "antenna" / f"{number}.json").write_text(json.dumps([[1, 0], [4, 15], [9, 3]]))
        for transmitter in range(3):
            gain = np.full((SIDE, SIDE), 50 * transmitter + 100)
            gain[house > 0] = 0
            save(root / "gain" / "DPM" / f"{number}_{transmitter}.png", gain)
    return root


def test_masks_positions_and_gains_are_read(folder):
    data = RadioMapSeer.open(folder)
    assert data.map_ids == (0, 7)
    assert data.buildings(7).sum() == 24
    assert (data.roads(0) == data.buildings(0).T).all()
    # y counts from the south, rows count from the north.
    assert data.transmitters(0).tolist() == [[15, 1], [0, 4], [12, 9]]
    gain = data.gain_db(7, 2)
    assert gain.dtype == np.float32
    assert gain[0, 0] == pytest.approx(-147 + 200 / 255 * 99.16, abs=1e-3)
    assert gain[3, 4] == pytest.approx(-147)


def test_both_grey_scales_agree_at_the_top_and_at_the_noise_floor():
    grey = np.array([0, 51, 255], np.uint8)
    published = grey_to_gain_db(grey)
    floor = grey_to_gain_db(np.array([0, 255], np.uint8), "noise-floor")
    assert published[0] == pytest.approx(-147)
    assert published[2] == pytest.approx(-47.84, abs=1e-3) == floor[1]
    # Grey 51 is g = 0.2, where the noise floor lies.
    assert floor[0] == pytest.approx(published[1], abs=0.1)
    with pytest.raises(ConfigError):
        grey_to_gain_db(grey, "decibels")


def test_missing_files_are_counted_and_listed(folder):
    data = RadioMapSeer.open(folder)
    data.require((0, 7), range(3))
    (folder / "gain" / "DPM" / "7_1.png").unlink()
    (folder / "antenna" / "0.json").unlink()
    with pytest.raises(InputError, match=r"lacks 2 of 10 files: .*0\.json.*7_1\.png"):
        data.require((0, 7), range(3))
    with pytest.raises(InputError, match="lacks 7 of 10"):
        RadioMapSeer.open(folder).require((0, 7), range(3), "IRT2")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.unlink(), "missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:40]), "damaged"),
        (lambda file: file.write_bytes(b"<html>"), "damaged"),
        (lambda file: save(file, np.zeros((8, 8))), "but the first map 16 x 16 px"),
    ],
    ids=["missing", "truncated", "no image", "other size"],
)
def test_an_invalid_image_is_named(folder, spoil, message):
    file = folder / "gain" / "DPM" / "0_1.png"
    spoil(file)
    with pytest.raises(InputError, match=message) as caught:
        RadioMapSeer.open(folder).gain_db(0, 1)
    assert "0_1.png" in str(caught.value)


@pytest.mark.parametrize("text", ["[[1, 2", "{}", "[[1, 2, 3]]", "[[1, 99]]", '[["a", 1]]'])
def test_an_invalid_list_of_transmitters_is_named(folder, text):
    (folder / "antenna" / "0.json").write_text(text)
    with pytest.raises(InputError, match=r"0\.json"):
        RadioMapSeer.open(folder).transmitters(0)


def test_a_missing_folder_and_one_without_maps_have_different_errors(tmp_path):
    with pytest.raises(InputError, match="contains no maps"):
        RadioMapSeer.open(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        RadioMapSeer.open(tmp_path / "nowhere")


def test_an_unknown_simulation_is_rejected(folder):
    with pytest.raises(ConfigError, match="carsIRT2"):
        RadioMapSeer.open(folder).gain_db(0, 0, "FDTD")


def test_the_index_lists_the_maps_of_the_complete_data_set(folder):
    (folder / "dataset.csv").write_text("maps,json,Gain1\n7.png,7.json,7_0.png\n0.png,0.json,a\n")
    assert RadioMapSeer.open(folder).index() == (0, 7)
    (folder / "dataset.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"dataset\.csv"):
        RadioMapSeer.open(folder).index()


def write_archive(path, **changes):
    arrays = {
        "buildings": np.zeros((2, 16, 2), np.uint8),
        "roads": np.zeros((2, 16, 2), np.uint8),
        "transmitters": np.zeros((2, 3, 2), np.int16),
        **changes,
    }
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_maps_of_an_archive_are_indexed_by_number(tmp_path):
    mask = np.zeros((2, 16, 16), bool)
    mask[1, 3, 9] = True
    maps = read_maps_archive(write_archive(tmp_path / "m.npz", roads=np.packbits(mask, axis=-1)))
    assert len(maps) == 2
    assert maps.shape == (16, 16)
    assert np.argwhere(maps.roads(1)).tolist() == [[3, 9]]
    assert not maps.roads(0).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"roads": None}, "no array roads"),
        ({"roads": np.zeros((2, 16, 4), np.uint8)}, "one shape"),
        ({"buildings": np.zeros((2, 16, 2))}, "one shape"),
        ({"transmitters": np.zeros((3, 3, 2))}, "transmitters have shape"),
        ({"roads": np.array([{}], dtype=object)}, "cannot be read"),
    ],
)
def test_an_inconsistent_archive_is_rejected(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_maps_archive(write_archive(tmp_path / "m.npz", **changes))


def test_a_missing_archive_and_other_files_have_different_errors(tmp_path):
    with pytest.raises(InputError, match="no archive"):
        read_maps_archive(tmp_path / "m.npz")
    (tmp_path / "m.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_maps_archive(tmp_path / "m.npz")
    np.save(tmp_path / "m.npy", np.zeros(3))
    with pytest.raises(InputError, match="single array"):
        read_maps_archive(tmp_path / "m.npy")
