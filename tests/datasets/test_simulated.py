import json

import numpy as np
import pytest
from click.testing import CliRunner

from rm_geo.datasets.generate import main as generate_command
from rm_geo.datasets.generation import antenna_from_row, generate
from rm_geo.datasets.maps_archive import read_maps_archive
from rm_geo.datasets.recipes import CityRecipe, FieldRecipe, draw_field_antennas
from rm_geo.datasets.simulated import ANTENNA_COLUMNS, SimulatedSet
from rm_geo.datasets.street_scenes import PaperRecipe
from rm_geo.errors import CancelledError, ConfigError, InputError, OutputError
from rm_geo.progress import SilentProgress

SIDE = 48


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Six small maps with houses, streets and five transmitters, one of them indoors."""
    buildings = np.zeros((6, SIDE, SIDE), bool)
    roads = np.zeros_like(buildings)
    for number in range(6):
        buildings[number, 10 : 20 + number, 8:24] = True
        buildings[number, 30:40, 28:40] = True
        roads[number, 26] = True
        roads[number, :, 44] = True
    places = np.array([[4, 4], [26, 26], [12, 12], [44, 20], [5, 40]], np.int16)
    path = tmp_path_factory.mktemp("maps") / "maps.npz"
    np.savez(
        path,
        buildings=np.packbits(buildings, axis=-1),
        roads=np.packbits(roads, axis=-1),
        transmitters=np.broadcast_to(places, (6, 5, 2)),
    )
    return path


class StopAfter(SilentProgress):
    """Progress that cancels after a number of scenes."""

    def __init__(self, scenes):
        self.left = scenes + 1  # the first call reports the scenes of an earlier run

    def advance(self, amount=1):
        self.left -= 1

    def check(self):
        if self.left <= 0:
            raise CancelledError("Stopped.")


def paper(**options):
    return PaperRecipe(**{"maps": (1, 2, 3), "transmitters": 2, "drives": 2, **options})


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def column(table, name):
    return table[..., ANTENNA_COLUMNS.index(name)]


@pytest.fixture(scope="module")
def paper_set(archive, tmp_path_factory):
    return generate(paper(), tmp_path_factory.mktemp("sets") / "p", source=archive, workers=1)


# --- contents of a set ------------------------------------------------------------------


def test_a_paper_scene_has_its_map_and_published_transmitters(archive, paper_set):
    maps = read_maps_archive(archive)
    for index, scene_id in enumerate(("map_1", "map_2", "map_3")):
        scene = paper_set.scene(index)
        assert scene.scene_id == scene_id
        assert (scene.buildings == maps.buildings(index + 1)).all()
        assert (scene.roads == maps.roads(index + 1)).all()
        assert (scene.heights_m == np.where(scene.buildings, 25, 0)).all()
        for antenna in scene.antennas:
            number = int(column(antenna, "transmitter"))
            place = [column(antenna, "row"), column(antenna, "col")]
            assert place == maps.transmitters[index + 1, number].tolist()
            assert number != 2  # the indoor one
            assert column(antenna, "sector") == 0
            assert np.isnan(column(antenna, "azimuth_deg"))


def test_gains_are_largest_at_the_antenna_and_at_the_floor_indoors(paper_set):
    scene = paper_set.scene(0)
    inside = scene.buildings.copy()
    inside[1:-1, 1:-1] &= scene.buildings[:-2, 1:-1] & scene.buildings[2:, 1:-1]
    inside[1:-1, 1:-1] &= scene.buildings[1:-1, :-2] & scene.buildings[1:-1, 2:]
    for antenna, gain in zip(scene.antennas, scene.gains_db, strict=True):
        row, col = int(column(antenna, "row")), int(column(antenna, "col"))
        assert gain[row, col] == gain.max() == pytest.approx(-47.84, abs=0.1)
        assert gain[inside].max() < -150
        assert gain[~scene.buildings].max() > -60


def test_drives_number_outdoor_pixels(paper_set):
    scene = paper_set.scene(1)
    assert scene.orders.shape == (2, SIDE, SIDE)
    assert (scene.orders >= 0).any()
    assert not (scene.orders[:, scene.buildings] >= 0).any()


def test_a_field_scene_consists_of_whole_maps_with_varying_heights(archive, tmp_path):
    recipe = FieldRecipe(maps=(0, 1, 2, 3, 4), scenes=2, transmitters=2, drives=1)
    made = generate(recipe, tmp_path / "f", source=archive, workers=1)
    maps = read_maps_archive(archive)
    for index in range(2):
        scene = made.scene(index)
        numbers = made.manifest["map_ids"][index]
        assert scene.buildings.shape == (2 * SIDE, 2 * SIDE)
        assert scene.buildings.sum() == sum(maps.buildings(n).sum() for n in numbers)
        assert scene.heights_m[scene.buildings].min() >= 8
        assert scene.heights_m.max() <= 40
        assert len(np.unique(scene.heights_m)) > 2


def test_the_city_recipe_needs_no_maps(tmp_path):
    recipe = CityRecipe(scenes=1, transmitters=1, drives=1, side_px=104)
    made = generate(recipe, tmp_path / "c", workers=1)
    assert made.map_ids == ()
    assert np.isfinite(made.gains_db).all()


def test_field_antennas_are_above_roofs_and_sectors_have_an_azimuth():
    heights = np.zeros((40, 40), np.uint8)
    heights[10:30, 10:30] = 20
    table = draw_field_antennas(np.random.default_rng(0), heights, 200)
    roof = heights[column(table, "row").astype(int), column(table, "col").astype(int)]
    assert (column(table, "height_m") > roof).all()
    assert 1.5 <= column(table, "height_m").min() < 3
    assert column(table, "height_m").max() > 30
    sectors = column(table, "sector") == 1
    assert 0.3 < sectors.mean() < 0.8
    assert np.isfinite(column(table, "azimuth_deg")[sectors]).all()
    assert antenna_from_row(table[sectors][0]).pattern is not None
    assert antenna_from_row(table[~sectors][0]).pattern is None


# --- resuming and repeating -------------------------------------------------------------


def test_a_resumed_run_gives_the_same_files(archive, paper_set, tmp_path):
    out = tmp_path / "p"
    with pytest.raises(CancelledError):
        generate(paper(), out, source=archive, workers=1, progress=StopAfter(1))
    assert not out.exists()
    assert np.load(tmp_path / "p.part" / "done.npy").tolist() == [True, False, False]
    generate(paper(), out, source=archive, workers=1)
    assert files(out) == files(paper_set.path)
    assert not (tmp_path / "p.part").exists()


def test_the_number_of_workers_does_not_change_the_files(archive, paper_set, tmp_path):
    made = generate(paper(), tmp_path / "p", source=archive, workers=2)
    assert files(made.path) == files(paper_set.path)


def test_a_complete_set_is_not_computed_again(archive, paper_set):
    before = {file.name: file.stat().st_mtime_ns for file in paper_set.path.iterdir()}
    generate(paper(), paper_set.path, source=archive)
    assert {file.name: file.stat().st_mtime_ns for file in paper_set.path.iterdir()} == before


def test_another_seed_gives_other_drives(archive, paper_set, tmp_path):
    other = generate(paper(seed=1), tmp_path / "p", source=archive, workers=1)
    assert (other.orders != paper_set.orders).any()


# --- errors -----------------------------------------------------------------------------


def test_another_recipe_does_not_overwrite_a_set(archive, paper_set):
    with pytest.raises(OutputError, match="another recipe"):
        generate(paper(transmitters=1), paper_set.path, source=archive)


def test_a_folder_with_other_contents_is_kept(archive, tmp_path):
    (tmp_path / "thesis").mkdir()
    with pytest.raises(OutputError, match="contains no simulated scenes"):
        generate(paper(), tmp_path / "thesis", source=archive)


def test_disk_space_is_checked_before_the_computation(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(OutputError, match="are needed"):
        generate(paper(), tmp_path / "p", source=archive)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (paper(maps=(5, 6)), "no map 6"),
        (paper(transmitters=5), "4 transmitters outdoors"),
        (paper(maps=()), "0 scenes"),
    ],
)
def test_missing_maps_and_transmitters_are_named(archive, tmp_path, recipe, message):
    with pytest.raises(ConfigError, match=message):
        generate(recipe, tmp_path / "p", source=archive, workers=1)


def test_recipes_with_maps_require_an_archive(tmp_path):
    with pytest.raises(ConfigError, match="archive"):
        generate(paper(), tmp_path / "p")


@pytest.mark.parametrize(
    ("recipe", "option"),
    [
        ("city", ("--maps", "1-6")),
        ("city", ("--source", "maps.npz")),
        ("city", ("--maps", "1-500")),  # set explicitly to the default
        ("paper", ("--scenes", "3")),
        ("paper", ("--side-px", "64")),
        ("field", ("--side-px", "64")),
        ("field", ("--grey", "noise-floor")),
        ("paper", ("--simulation", "IRT2")),
        ("paper", ("--gains", "folder")),
        ("radiomapseer", ("--simulate",)),
        ("references", ("--transmitters", "4")),
    ],
)
def test_unused_options_are_rejected(tmp_path, recipe, option):
    words = ["--recipe", recipe, *option, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(generate_command, words)
    assert result.exit_code == 2, result.output
    assert f"{option[0]} is not used by the recipe {recipe}" in result.output
    assert not list(tmp_path.iterdir())


def test_training_on_test_maps_is_rejected(archive, paper_set):
    paper_set.require_trainable()
    manifest = {**paper_set.manifest, "map_ids": [[1], [601], [3]]}
    spoilt = SimulatedSet(**{**vars(paper_set), "manifest": manifest})
    with pytest.raises(ConfigError, match="601"):
        spoilt.require_trainable()


def test_an_incomplete_or_damaged_set_is_rejected(paper_set, tmp_path):
    with pytest.raises(InputError, match="contains no simulated scenes"):
        SimulatedSet.open(tmp_path)
    for name, content in files(paper_set.path).items():
        (tmp_path / name).write_bytes(content)
    gains = tmp_path / "gains_db.npy"
    gains.write_bytes(gains.read_bytes()[:200])
    with pytest.raises(InputError, match=r"gains_db\.npy"):
        SimulatedSet.open(tmp_path)
    np.save(gains, np.zeros((1, 2, 3), np.float16))
    with pytest.raises(InputError, match="manifest declares"):
        SimulatedSet.open(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(InputError, match="not a manifest of format"):
        SimulatedSet.open(tmp_path)


def test_pickled_objects_are_rejected(paper_set, tmp_path):
    for name, content in files(paper_set.path).items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "antennas.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"antennas\.npy"):
        SimulatedSet.open(tmp_path)


def test_a_symbolic_link_instead_of_the_part_folder_is_rejected(archive, tmp_path):
    behind = tmp_path / "behind"
    behind.mkdir()
    (tmp_path / "p.part").symlink_to(behind)
    with pytest.raises(OutputError, match="symbolic link"):
        generate(paper(), tmp_path / "p", source=archive, workers=1)
    assert not list(behind.iterdir())
