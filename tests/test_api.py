"""The public API: names, types for users, quick import, examples that work without files."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS

import rm_geo
from rm_geo.measurements.model import Measurements

STUB = Path(rm_geo.__file__).with_suffix(".pyi")

LIBRARIES = [
    "torch",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
    "geopandas",
    "shapely",
    "PIL",
    "xarray",
    "dask",
    "distributed",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "rasterio",
    "pyogrio",
    "numba",
    "pykrige",
    "yaml",
    "fsspec",
    "upath",
    "pystac",
    "rich",
    "click",
]

SCRIPT = """
import numpy as np
from pathlib import Path
import rm_geo
from rm_geo import (
    CellMap, PlanData, PlanInputs, PlanResult, PlanSettings, RadioMapSet, derive_products,
    make_plan, open_radio_map_set,
    Buildings, CellResult, Estimate, Estimator, Grid, Measurements, PointEstimator,
    PredictOptions, Progress, RadioMap, RmGeoError, Site, SparseRaster, Tile, TileBatch,
    bin_measurements, dry_run, errors, export_map, find_model, get_method, interpolate,
    list_methods, list_models, load_network, open_radio_map, predict, read_buildings,
    read_measurements, read_raster, read_sites, simulate, superresolve, validate,
    write_raster, ComparisonOptions, ComparisonResult, JointEstimate, LogBins,
    LogScore, LogValidation, compare, estimate_jointly, join_measurements, write_report,
)

points, report = read_measurements("drive.gpkg")
grid = Grid.covering(points.x, points.y, points.crs)
sparse = bin_measurements(points, grid)
reveal_type(points)  # Measurements
reveal_type(sparse)  # SparseRaster
reveal_type(interpolate(sparse, "idw", neighbors=8))  # RadioMap
reveal_type(predict("drive.gpkg"))  # list[RadioMap]
reveal_type(predict("drive.gpkg", "maps"))  # list[CellResult]
reveal_type(predict(points, Path("maps"))[0].open_map("maps"))  # RadioMap
reveal_type(predict(["monday.csv", Path("tuesday.gpkg"), points], "maps"))  # list[CellResult]
reveal_type(join_measurements([points, points]))  # Measurements
reveal_type(open_radio_map("40_rsrp.tif").rsrp_dbm)  # ndarray
reveal_type(export_map("40_rsrp.tif", "40.kmz", "kmz"))  # tuple
reveal_type(write_report(["plan", "maps"], "report.html"))  # Path
reveal_type(validate(["monday.csv", "tuesday.gpkg"], ["knn"]).scores[0])  # LogScore
joint: JointEstimate = estimate_jointly(LogBins.of(points))
reveal_type(joint.level_dbm)  # ndarray
compared: ComparisonResult = compare("old", "new", options=ComparisonOptions(std_db=6.0))
judged: LogValidation = validate(points, ["knn", "joint"])
reveal_type(read_sites("sites.csv", target_crs=points.crs)[0])  # Site
reveal_type(read_buildings("houses.gpkg"))  # Buildings
reveal_type(get_method("knn"))  # Estimator
reveal_type(errors.InputError("x"))  # InputError
names: list[str] = [method.name for method in list_methods()] + [m.name for m in list_models()]
version: str = rm_geo.__version__
maps: RadioMapSet = open_radio_map_set("maps", sites="sites.csv")
cells: list[CellMap] = list(maps.cells)
inputs = PlanInputs(population=Path("persons.tif"))
settings: PlanSettings = PlanSettings(preset="lte").replace(holes={"min_area_m2": 100})
reveal_type(maps.grid)  # Grid
reveal_type(make_plan(maps, "plan", settings, only=["holes"], inputs=inputs))  # PlanResult
plan: PlanResult = make_plan("maps", "plan")
data: PlanData = derive_products(maps, ["coverage"], settings)
reveal_type(data.rasters["coverage.tif"].values)  # ndarray
site: Site = Site(0.0, 0.0)
options: PredictOptions = PredictOptions(method="idw")


def check(
    a: Estimate, b: Estimator, c: PointEstimator, d: TileBatch, e: Tile, f: Progress, g: RmGeoError,
    h: CellResult, i: LogScore, j: Buildings, k: RadioMap, m: SparseRaster, n: Measurements,
) -> None:
    print(c.estimate_at(m, [0.5], [0.5]), b.estimate(d).rsrp_dbm, k.sample(0.0, 0.0), e, f, g, h, i)
    print(a, j, n, dry_run, find_model, load_network, read_raster, simulate, superresolve)
    write_raster("x.tif", np.zeros(grid.shape, np.float32), grid)
"""


@pytest.fixture(scope="module")
def revealed(tmp_path_factory) -> list[str]:
    """What mypy --strict says of a user's script, which must have no error."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("user")
    (folder / "script.py").write_text(SCRIPT)
    # What the libraries below are typed as says nothing of rm_geo, and takes a minute to read.
    (folder / "mypy.ini").write_text(
        "[mypy]\nstrict = True\n"
        + "".join(f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in LIBRARIES)
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(folder / "cache"), "script.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(STUB.parent.parent)},
        capture_output=True,
        text=True,
    )
    own = [line for line in done.stdout.splitlines() if line.startswith("script.py")]
    assert not [line for line in own if " error: " in line], done.stdout + done.stderr
    return [line for line in own if "Revealed type" in line]


def test_types_of_the_public_names_reach_users(revealed):
    lines = [line for line in SCRIPT.splitlines() if line.startswith("reveal_type")]
    expected = [line.rpartition("# ")[2] for line in lines]
    assert len(revealed) == len(expected)
    for line, name in zip(revealed, expected, strict=True):
        found = line.replace("builtins.", "")
        for part in name.rstrip("]").split("["):
            assert part in found, line
        assert '"Any"' not in line


def test_all_the_stub_and_the_modules_agree():
    tree = ast.parse(STUB.read_text())
    imported = {
        alias.asname
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (listed,) = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    assert imported | {"__version__"} == set(listed) == set(rm_geo.__all__)
    assert len(rm_geo.__all__) == len(set(rm_geo.__all__))
    for name in listed:
        assert getattr(rm_geo, name) is not None
    assert set(dir(rm_geo)) >= set(listed) - {"__version__"}


def test_every_public_name_is_used_in_the_script_of_types():
    words = set(SCRIPT.replace("(", " ").replace(",", " ").replace(".", " ").split())
    assert set(rm_geo.__all__) <= words


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = rm_geo.no_such_name


def test_the_import_loads_nothing_heavy():
    code = (
        "import sys, rm_geo; heavy = {'torch', 'rasterio', 'osgeo', 'pydantic', 'numpy', 'scipy'};"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def drive(count=60, side_m=60.0) -> Measurements:
    rng = np.random.default_rng(0)
    return Measurements(
        x=500_000.0 + rng.uniform(0, side_m, count),
        y=4_000_000.0 + rng.uniform(0, side_m, count),
        rsrp_dbm=rng.normal(-90.0, 3.0, count).astype(np.float32),
        cell=np.full(count, "7"),
        crs=CRS.from_epsg(32617),
    )


def test_maps_in_memory_are_those_of_the_files(tmp_path):
    options = rm_geo.PredictOptions(
        method="ordinary-kriging", reach_m=15, uncertainty=True, preview=False
    )
    pytest.importorskip("pykrige")
    (in_memory,) = rm_geo.predict(drive(), options=options)
    (result,) = rm_geo.predict(drive(), tmp_path, options)
    written = result.open_map(tmp_path)
    assert in_memory.grid == written.grid
    assert in_memory.layers == written.layers == ("rsrp_dbm", "std_db")
    np.testing.assert_array_equal(in_memory.rsrp_dbm, written.rsrp_dbm)
    np.testing.assert_array_equal(in_memory.std_db, written.std_db)
    assert in_memory.tags["method"] == "ordinary-kriging"
    assert np.isnan(in_memory.rsrp_dbm).any()


def test_the_map_of_a_cell_that_was_not_mapped_is_refused(tmp_path):
    skipped = rm_geo.CellResult("7", "skipped", "7", "too few pixels")
    with pytest.raises(rm_geo.errors.InputError, match="no map: too few"):
        skipped.open_map(tmp_path)


def test_too_large_maps_are_refused_before_they_are_computed():
    with pytest.raises(rm_geo.errors.AreaTooLargeError):
        rm_geo.predict(drive(side_m=5000.0), options=rm_geo.PredictOptions(max_tiles=2))
    points = drive(side_m=5000.0)
    grid = rm_geo.Grid.covering(points.x, points.y, points.crs)
    sparse = rm_geo.bin_measurements(points, grid)
    with pytest.raises(rm_geo.errors.AreaTooLargeError):
        rm_geo.interpolate(sparse, max_tiles=2)


class TestInterpolate:
    @pytest.fixture
    def sparse(self):
        points = drive()
        grid = rm_geo.Grid.covering(points.x, points.y, points.crs, spacing_m=2.0, margin_m=10.0)
        return rm_geo.bin_measurements(points, grid)

    @pytest.mark.parametrize("method", [m.name for m in rm_geo.list_methods() if not m.is_network])
    def test_every_classical_method_makes_a_map(self, sparse, method):
        if method == "ordinary-kriging":
            pytest.importorskip("pykrige")
        made = rm_geo.interpolate(sparse, method, site=rm_geo.Site(500_030.0, 4_000_030.0))
        assert made.grid == sparse.grid
        assert np.isfinite(made.rsrp_dbm).all()
        assert made.tags["method"] == method

    def test_a_network_is_blended_from_tiles(self, sparse):
        made = rm_geo.interpolate(sparse, "radiocycle", tile_size_px=128, overlap_px=16)
        assert made.building_probability is not None
        assert np.isfinite(made.rsrp_dbm).any()
        assert made.tags["model"]

    def test_residual_correction_brings_the_map_to_the_measurements(self, sparse):
        observed = sparse.dense_observed()
        levels = sparse.dense_rsrp_dbm()[observed]
        plain = rm_geo.interpolate(sparse, "spm").rsrp_dbm[observed] - levels
        corrected = rm_geo.interpolate(sparse, "spm", correct=True).rsrp_dbm[observed] - levels
        assert np.sqrt(np.mean(corrected**2)) < 0.9 * np.sqrt(np.mean(plain**2))

    def test_beyond_the_reach_nothing_is_known(self, sparse):
        made = rm_geo.interpolate(sparse, "nearest", reach_m=4.0)
        assert np.isnan(made.rsrp_dbm).any()
        assert np.isfinite(made.rsrp_dbm[sparse.dense_observed()]).all()

    def test_unknown_methods_and_parameters_are_refused(self, sparse):
        with pytest.raises(rm_geo.errors.UsageError, match="no method"):
            rm_geo.interpolate(sparse, "nearestt")
        with pytest.raises(rm_geo.errors.UsageError, match="no option"):
            rm_geo.interpolate(sparse, "idw", neighbours=3)
