"""rm-geo plan: files, index, what cannot be made, bad input, nothing half-written."""

import json
import shutil
from typing import NamedTuple

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from pyproj import Transformer

from rm_geo.cli.group import rm_geo
from rm_geo.errors import (
    CancelledError,
    DependencyError,
    InputError,
    OutputError,
    OutputInUseError,
    UsageError,
)
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.planning.map_set import RadioMapSet
from rm_geo.planning.product import PlanInputs
from rm_geo.planning.settings import PlanSettings
from rm_geo.products.radio_map import RadioMap
from rm_geo.progress import SilentProgress
from rm_geo.sites.site import Site
from rm_geo.workflows.plan import derive_products, make_plan, read_index
from tests.support.measurements import drive_frame, write_frame

GRID = Grid.create(500_000.0, 5_000_000.0, (300, 420), 5.0, 32633)
OWN = [
    "composite",
    "best_server",
    "overlap",
    "dominance",
    "coverage",
    "probability",
    "holes",
    "contours",
]


def settings_of(preset="lte", **groups):
    """Settings with a short drive: its choice takes most of the time of a plan."""
    return PlanSettings(preset=preset, next_drive={"budget_km": 0.3}, **groups)


def cone(row, col, std_db=6.0, grid=GRID, slope=0.15, **site):
    rows, cols = np.indices(grid.shape)
    level = -70.0 - slope * np.hypot(rows - row, cols - col)
    level[:20, :20] = np.nan
    x, y = grid.to_world(row, col)
    deviation = None if std_db is None else np.full(grid.shape, std_db)
    at = Site(float(x), float(y), frequency_mhz=1815.0, **site)
    return RadioMap(grid, level, std_db=deviation, site=at, tags={"method": "test"})


def two_cells(**options):
    return {"a": cone(100, 100, **options), "b": cone(200, 330, **options)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("maps")
    for name, radio_map in two_cells().items():
        radio_map.write(path / f"{name}_rsrp.tif")
    return path


@pytest.fixture(scope="module")
def planned(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("plan")
    return make_plan(folder, out, settings_of(coverage={"threshold_dbm": -100.0}))


class Facts(NamedTuple):
    unit: str
    epsg: int
    spacing: float
    bounds: tuple
    nodata: float
    tags: dict
    colours: dict


def read(path):
    with rasterio.open(path) as data:
        colours = data.colormap(1) if data.colorinterp[0].name == "palette" else {}
        facts = Facts(
            data.units[0],
            data.crs.to_epsg(),
            data.res[0],
            tuple(data.bounds),
            data.nodata,
            data.tags(),
            colours,
        )
        return data.read(1), facts


def test_all_files_are_in_the_index_and_nothing_else_is_left(planned):
    names = {path.name for path in planned.files}
    assert names == {path.name for path in planned.folder.iterdir()}
    assert planned.index == read_index(planned.folder)
    assert set(OWN) <= set(planned.products)
    for entry in planned.products.values():
        assert entry["files"]
        assert entry["definition"]
    assert planned.index["grid"]["rows"] == 300
    assert [cell["name"] for cell in planned.index["cells"]] == ["a", "b"]
    assert planned.index["parameters"]["settings"]["coverage"]["threshold_dbm"] == -100.0


def test_rasters_hold_what_the_maps_say(planned, folder):
    levels = np.stack([read(folder / f"{name}_rsrp.tif")[0] for name in "ab"])
    unknown = (levels == -9999.0).all(axis=0)
    best = levels.max(axis=0)
    composite, facts = read(planned.folder / "composite_rsrp.tif")
    assert facts[:4] == ("dBm", 32633, 5.0, GRID.bounds)
    np.testing.assert_array_equal(composite, best)
    server, facts = read(planned.folder / "best_server.tif")
    np.testing.assert_array_equal(server, np.where(unknown, 0, levels.argmax(axis=0) + 1))
    assert facts.colours[1] != facts.colours[2]
    assert json.loads(facts.tags["class_names"]) == {"1": "a", "2": "b"}
    difference, _ = read(planned.folder / "dominance.tif")
    np.testing.assert_allclose(
        difference[~unknown], np.abs(levels[0] - levels[1])[~unknown], atol=1e-4
    )
    number, _ = read(planned.folder / "coverage.tif")
    expected = 1 + sum(best < level for level in (-80.0, -90.0, -100.0, -110.0, -120.0))
    np.testing.assert_array_equal(number, np.where(unknown, 0, expected))


def test_class_names_reach_gdal(planned):
    sidecar = (planned.folder / "coverage.tif.aux.xml").read_text()
    assert "<Category>excellent</Category>" in sidecar
    if shutil.which("gdalinfo"):
        import subprocess

        shown = subprocess.run(
            ["gdalinfo", planned.folder / "coverage.tif"], capture_output=True, text=True
        ).stdout
        assert "1: excellent" in shown


def test_shares_add_to_one_and_areas_to_the_known_area(planned):
    import csv

    with (planned.folder / "coverage.csv").open() as file:
        rows = list(csv.DictReader(file))
    known_km2 = (GRID.shape[0] * GRID.shape[1] - 400) * 25e-6
    for cell in ("all", "a", "b"):
        own = [row for row in rows if row["cell"] == cell]
        assert sum(float(row["share"]) for row in own) == pytest.approx(1.0)
    area = {c: sum(float(r["area_km2"]) for r in rows if r["cell"] == c) for c in ("all", "a", "b")}
    assert area["all"] == pytest.approx(known_km2)
    assert area["a"] + area["b"] == pytest.approx(known_km2)
    shares = planned.products["coverage"]["statistics"]["share_by_class"]
    assert sum(shares.values()) == pytest.approx(1.0)


def test_holes_and_covered_places_partition_the_area(planned):
    holes = geopandas.read_file(planned.folder / "holes.gpkg")
    composite, _ = read(planned.folder / "composite_rsrp.tif")
    below = (composite < -100.0) & (composite > -9999.0)
    assert holes["area_m2"].sum() == below.sum() * 25.0
    assert (holes["area_m2"].diff().dropna() <= 0).all()
    assert holes["rank"].tolist() == list(range(1, len(holes) + 1))
    assert (holes["mean_rsrp_dbm"] < -100.0).all()
    assert (holes["worst_rsrp_dbm"] <= holes["mean_rsrp_dbm"]).all()
    assert holes["probability"].between(0.0, 0.5).all()
    assert set(holes["nearest_site"]) <= {"a", "b"}
    assert holes["population"].isna().all()
    assert holes.is_valid.all()
    assert holes.crs.to_epsg() == 32633


def test_polygons_of_servers_and_classes(planned):
    servers = geopandas.read_file(planned.folder / "best_server.gpkg")
    assert servers["cell"].tolist() == ["a", "b"]
    assert servers["area_m2"].sum() == (GRID.shape[0] * GRID.shape[1] - 400) * 25.0
    assert shapely.coverage_is_valid(servers.geometry.to_numpy())
    colours = {cell["name"]: cell["colour"] for cell in planned.index["cells"]}
    assert dict(zip(servers["cell"], servers["colour"], strict=True)) == colours
    classes = geopandas.read_file(planned.folder / "coverage.gpkg")
    assert classes["value"].is_monotonic_increasing
    assert classes.loc[0, "class"] == "excellent"
    overlap = geopandas.read_file(planned.folder / "overlap.gpkg")
    assert overlap["servers"].tolist() == ["2"]
    assert not overlap["polluted"].any()
    contours = geopandas.read_file(planned.folder / "contours.gpkg")
    ring = contours[contours["rsrp_dbm"] == -80.0].geometry.iloc[0]
    centres = [shapely.Point(GRID.to_world(r, c)) for r, c in ((100.5, 100.5), (200.5, 330.5))]
    assert sorted(round(line.distance(centres[0])) for line in ring.geoms)[0] == pytest.approx(
        10.0 / 0.15 * 5.0, abs=8.0
    )


def test_the_probability_is_calibrated_by_definition(planned):
    found = planned.products["probability"]["statistics"]
    raster, _ = read(planned.folder / "probability.tif")
    known = raster > -9999.0
    assert found["mean_probability"] == pytest.approx(raster[known].mean(), abs=1e-4)
    for share in (0.9, 0.95):
        assert found["share_at_least"][f"{share:g}"] == pytest.approx(
            (raster[known] >= share).mean(), abs=2e-3
        )


def test_results_do_not_depend_on_the_bands(tmp_path, folder, planned, monkeypatch):
    import rm_geo.planning.map_set as module

    original = module.RadioMapSet.bands

    def small(self, max_bytes=1, **options):
        return original(self, 1, **options)

    monkeypatch.setattr(module.RadioMapSet, "bands", small)
    again = make_plan(folder, tmp_path, settings_of(coverage={"threshold_dbm": -100.0}))
    assert again.index == planned.index
    for path in planned.folder.glob("*.tif"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_reasons_are_given_for_what_cannot_be_made(tmp_path):
    single = {"a": cone(100, 100, std_db=None)}
    made = make_plan(RadioMapSet.of(single), tmp_path, settings_of())
    assert "standard deviation" in made.not_made["probability"]
    assert "only one cell" in made.not_made["overlap"]
    assert not (tmp_path / "probability.tif").exists()
    assert not (tmp_path / "overlap.gpkg").exists()
    assert "holes" in made.products


def test_holes_by_probability_and_population(tmp_path):
    persons = np.zeros((15, 21), np.float32)
    persons[-1, 0] = 500.0
    grid = Grid.create(500_000.0, 5_000_000.0, persons.shape, 100.0, 32633)
    write_raster(tmp_path / "people.tif", persons, grid, nodata=None)
    line = shapely.LineString([(500_000, 4_998_600), (502_000, 4_998_600)])
    geopandas.GeoDataFrame(geometry=[line], crs=32633).to_crs(4326).to_file(tmp_path / "roads.gpkg")
    settings = settings_of(
        coverage={"threshold_dbm": -100.0},
        holes={"rank_by": "population", "min_probability": 0.9},
    )
    inputs = PlanInputs(population=tmp_path / "people.tif", roads=tmp_path / "roads.gpkg")
    maps = RadioMapSet.of(two_cells(slope=0.3))
    made = make_plan(maps, tmp_path / "out", settings, only=["holes", "coverage"], inputs=inputs)
    holes = geopandas.read_file(tmp_path / "out" / "holes.gpkg")
    assert holes["population"].iloc[0] == holes["population"].max() > 0.0
    assert holes["road_m"].sum() > 100.0
    assert (holes["probability"] < 0.9).all()
    statistics = made.products["coverage"]["statistics"]
    assert statistics["population"] == pytest.approx(500.0, rel=1e-3)
    assert sum(statistics["population_share_by_class"].values()) == pytest.approx(1.0)


def test_persons_are_kept_in_another_crs(tmp_path):
    from rm_geo.planning.weights import population_on

    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(*GRID.bounds)
    side = 0.000833
    shape = (int((north - south) / side) + 3, int((east - west) / side) + 3)
    transform = rasterio.transform.from_origin(west - side, north + side, side, side)
    persons = np.random.default_rng(0).random(shape).astype(np.float32)
    with rasterio.open(
        tmp_path / "p.tif",
        "w",
        driver="GTiff",
        height=shape[0],
        width=shape[1],
        count=1,
        dtype="float32",
        crs=4326,
        transform=transform,
    ) as file:
        file.write(persons, 1)
    found = population_on(tmp_path / "p.tif", GRID)
    inner = persons[1:-1, 1:-1].sum() * (
        (east - west) * (north - south) / (side**2 * (shape[0] - 2) * (shape[1] - 2))
    )
    assert found.sum() == pytest.approx(inner, rel=0.02)


def test_other_products_stay_with_only_and_go_with_a_full_plan(tmp_path, folder):
    make_plan(folder, tmp_path, settings_of(servers={"ranks": 2}))
    assert (tmp_path / "best_server_2.tif").exists()
    settings = settings_of(holes={"min_area_m2": 10_000.0})
    again = make_plan(folder, tmp_path, settings, only=["holes"])
    assert "dominance" in again.products
    assert (tmp_path / "best_server_2.tif").exists()
    full = make_plan(folder, tmp_path, settings)
    assert not (tmp_path / "best_server_2.tif").exists()
    assert {path.name for path in full.files} == {path.name for path in tmp_path.iterdir()}


def test_a_plan_in_the_folder_of_the_maps_can_be_repeated(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "run")
    first = make_plan(tmp_path / "run", tmp_path / "run", settings_of())
    second = make_plan(tmp_path / "run", tmp_path / "run", settings_of())
    assert first.index == second.index
    assert (tmp_path / "run" / "a_rsrp.tif").exists()


def test_cells_without_overlap_and_without_any_level(tmp_path):
    far = Grid.create(503_000.0, 5_000_000.0, (100, 100), 5.0, 32633)
    maps = {
        "a": cone(100, 100),
        "empty": RadioMap(far, np.full(far.shape, np.nan)),
        "far": cone(50, 50, grid=far),
    }
    made = make_plan(RadioMapSet.of(maps), tmp_path, settings_of())
    servers = geopandas.read_file(tmp_path / "best_server.gpkg")
    assert servers["cell"].tolist() == ["a", "far"]
    assert made.products["best_server"]["statistics"]["cells_that_serve_nowhere"] == ["empty"]
    nothing = make_plan(RadioMapSet.of({"a": maps["empty"], "b": maps["empty"]}), tmp_path / "none")
    assert nothing.products["coverage"]["statistics"]["area_km2"] == 0.0
    assert nothing.products["holes"]["statistics"]["holes"] == 0
    assert pyogrio.read_info(tmp_path / "none" / "best_server.gpkg")["features"] == 0
    raster, facts = read(tmp_path / "none" / "composite_rsrp.tif")
    assert (raster == facts.nodata).all()


class Stopping(SilentProgress):
    def __init__(self):
        self.checks = 0

    def check(self):
        self.checks += 1
        if self.checks > 2:
            raise CancelledError("Stopped.")


def test_a_cancelled_plan_leaves_the_earlier_one(tmp_path, folder):
    make_plan(folder, tmp_path, settings_of())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CancelledError):
        make_plan(folder, tmp_path, settings_of(preset="lora"), progress=Stopping())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_geopackage_that_is_open_elsewhere_is_refused_before_the_work(tmp_path, folder):
    make_plan(folder, tmp_path, settings_of())
    before = (tmp_path / "plan.json").read_bytes()
    (tmp_path / "holes.gpkg-wal").write_bytes(b"")
    with pytest.raises(OutputError, match=r"holes\.gpkg: another program has it open"):
        make_plan(folder, tmp_path, settings_of(preset="lora"))
    assert (tmp_path / "plan.json").read_bytes() == before


def test_two_plans_at_once_are_refused(tmp_path, folder):
    from rm_geo._util.locks import output_lock

    with (
        output_lock(tmp_path / ".rm_geo_plan.lock", "a plan"),
        pytest.raises(OutputInUseError, match="plan"),
    ):
        make_plan(folder, tmp_path, settings_of())


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"population": "none.tif"}, "does not exist"),
        ({"roads": "none.gpkg"}, "does not exist"),
    ],
)
def test_missing_inputs_are_refused_before_the_work(tmp_path, folder, inputs, reason):
    given = PlanInputs(**{name: tmp_path / file for name, file in inputs.items()})
    with pytest.raises(InputError, match=reason):
        make_plan(folder, tmp_path / "out", settings_of(), inputs=given)
    assert not (tmp_path / "out").exists()


def test_a_bad_population_raster_spoils_only_what_needs_it(tmp_path, folder):
    write_raster(tmp_path / "p.tif", np.full(GRID.shape, -5.0, np.float32), GRID)
    inputs = PlanInputs(population=tmp_path / "p.tif")
    made = make_plan(folder, tmp_path / "out", settings_of(), inputs=inputs)
    assert "no population raster" in made.not_made["coverage"]
    assert "composite" in made.products
    assert not list((tmp_path / "out").glob("coverage*"))


def test_unknown_products_and_folders_without_a_plan(tmp_path, folder):
    with pytest.raises(UsageError, match=r"no planning product 'hole'\. Did you mean 'holes'"):
        make_plan(folder, tmp_path / "out", only=["hole"])
    with pytest.raises(InputError, match="no plan"):
        read_index(tmp_path)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_index(tmp_path)


def test_predict_plans_with_the_maps_it_made(tmp_path):
    write_frame(drive_frame(400), tmp_path / "drive.gpkg")
    (tmp_path / "plan.yaml").write_text("coverage: {threshold_dbm: -90.0, std_db: 5.0}\n")
    result = CliRunner().invoke(
        rm_geo,
        [
            *("predict", str(tmp_path / "drive.gpkg"), "-o", str(tmp_path / "out")),
            *("--method", "nearest", "--no-preview", "--no-assimilate", "--single"),
            *("--plan", "--plan-settings", str(tmp_path / "plan.yaml"), "--json"),
        ],
    )
    assert result.exit_code == 0, result.output
    index = read_index(tmp_path / "out" / "plan")
    assert [cell["name"] for cell in index["cells"]] == ["7", "8"]
    assert index["parameters"]["inputs"]["measurements"] == "drive.gpkg"
    assert index["products"]["probability"]["statistics"]["threshold_dbm"] == -90.0
    last = json.loads(result.stdout.strip().splitlines()[-1])
    assert "holes" in last["plan"]["products"]


def test_a_plan_of_predict_goes_where_the_maps_go(tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("upath")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_frame(drive_frame(400), tmp_path / "drive.gpkg")
    place = f"file://{tmp_path}/store"
    result = CliRunner().invoke(
        rm_geo,
        [
            *("predict", str(tmp_path / "drive.gpkg"), "-o", place, "--method", "nearest"),
            *("--no-preview", "--no-assimilate", "--single", "--plan"),
        ],
    )
    assert result.exit_code == 0, result.output
    made = fsspec.filesystem("file").ls(f"{tmp_path}/store/plan")
    assert f"{tmp_path}/store/plan/plan.json" in made
    assert f"{tmp_path}/store/plan/holes.gpkg" in made
    assert (tmp_path / "store" / "7_rsrp.tif").exists()


class TestCommand:
    @staticmethod
    def run(*arguments):
        return CliRunner().invoke(rm_geo, ["plan", *map(str, arguments)], prog_name="rm-geo")

    def test_it_shows_shares_and_reasons(self, folder, tmp_path):
        (tmp_path / "p.yaml").write_text("preset: nr-fr1\nservers: {ranks: 2}\n")
        result = self.run(
            folder,
            "-o",
            tmp_path / "out",
            "--settings",
            tmp_path / "p.yaml",
            "--threshold",
            -95,
            "--set",
            "holes.min_area_m2=100",
            "--only",
            "holes",
            "--only",
            "coverage",
            "--json",
        )
        assert result.exit_code == 0, result.output
        last = json.loads(result.output.strip().splitlines()[-1])
        assert set(last["products"]) == {"composite", "coverage", "probability", "holes"}
        settings = read_index(tmp_path / "out")["parameters"]["settings"]
        assert settings["coverage"]["threshold_dbm"] == -95.0
        assert settings["coverage"]["classes"][1]["from_dbm"] == -92.0
        assert (settings["servers"]["ranks"], settings["holes"]["min_area_m2"]) == (2, 100.0)

    def test_the_report_is_in_the_index(self, folder, tmp_path, monkeypatch):
        out = tmp_path / "out"
        assert self.run(folder, "-o", out, "--only", "holes", "--report").exit_code == 0
        assert read_index(out)["products"]["report"]["files"] == ["report.html"]
        assert (out / "report.html").exists()
        assert self.run(folder, "-o", out, "--no-report", "-q").exit_code == 0
        assert "report" not in read_index(out)["products"]
        assert not (out / "report.html").exists()

        def missing(*_args, **_options):
            raise DependencyError("Leaflet is not installed.")

        monkeypatch.setattr("rm_geo.report.page.write_report", missing)
        result = self.run(folder, "-o", out)
        assert result.exit_code == 0
        assert read_index(out)["not_made"]["report"] == "Leaflet is not installed."
        assert self.run(folder, "-o", out, "--report").exit_code == 1

    def test_a_site_table_without_a_crs_takes_the_one_given(self, folder, tmp_path):
        (tmp_path / "sites.csv").write_text("cell,x,y\na,500500,4999500\nb,501650,4999000\n")
        table = ("--sites", tmp_path / "sites.csv", "--sites-crs", "EPSG:32634")
        result = self.run(folder, "-o", tmp_path / "out", "--only", "composite", *table)
        assert result.exit_code == 0, result.output
        site = read_index(tmp_path / "out")["cells"][0]["site"]
        assert site["x"] > 900_000.0  # six degrees further east

    def test_lists_and_settings_need_no_maps(self, tmp_path):
        listed = self.run("--list")
        assert "holes.gpkg" in listed.output
        shown = self.run("--show-settings", "--preset", "lora", "-q")
        (tmp_path / "s.yaml").write_text(self.run("--show-settings", "--preset", "lora").output)
        assert shown.exit_code == 0
        again = self.run("--show-settings", "--settings", tmp_path / "s.yaml")
        assert again.output == self.run("--show-settings", "--preset", "lora").output

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-o", "x"], "Missing argument 'MAPS...'"),
            (["maps"], "Missing option '-o'"),
            (["maps", "-o", "x", "--set", "ranks=3"], "GROUP.NAME=VALUE"),
            (["maps", "-o", "x", "--set", "servers.rank=3"], "Did you mean 'ranks'"),
            (["maps", "-o", "x", "--settings", "none.yaml"], "none.yaml does not exist"),
            (["maps", "-o", "x"], "maps does not exist"),
        ],
    )
    def test_wrong_arguments_are_one_message(self, arguments, message):
        with CliRunner().isolated_filesystem():
            result = self.run(*arguments)
        assert result.exit_code in (1, 2)
        assert message in result.output
        assert "Traceback" not in result.output


def test_products_in_memory_are_those_of_the_files(tmp_path):
    maps = RadioMapSet.of(two_cells())
    settings = settings_of(coverage={"threshold_dbm": -100.0})
    made = derive_products(maps, ["coverage", "holes"], settings)
    written = make_plan(maps, tmp_path, settings, only=["coverage", "holes"])
    assert made.index == written.index
    for file, raster in made.rasters.items():
        values, facts = read(tmp_path / file)
        np.testing.assert_array_equal(
            np.nan_to_num(raster.values, nan=facts.nodata), values.astype(np.float32)
        )
        assert raster.grid == GRID
    (holes,) = made.features["holes.gpkg"]
    assert len(holes) == len(geopandas.read_file(tmp_path / "holes.gpkg"))
    assert sum(row["share"] for row in made.tables["coverage.csv"] if row["cell"] == "all") == (
        pytest.approx(1.0)
    )
