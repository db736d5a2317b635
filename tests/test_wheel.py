"""The wheels: their size, and the models that they carry and find away from the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAPER_PROJECT = ROOT / "packages" / "rm-geo-paper-models"
LARGEST_WHEEL_BYTES = 25_000_000


def build_wheel(project, folder):
    """Build the wheel of a project into a folder."""
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def unpack(wheel, folder):
    """Unpack a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of rm_geo."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Folder with the unpacked wheel of rm_geo."""
    return unpack(wheel, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def paper_models(tmp_path_factory):
    """Folder with the unpacked wheel of the models for the papers' tables."""
    wheel = build_wheel(PAPER_PROJECT, tmp_path_factory.mktemp("paper"))
    return unpack(wheel, tmp_path_factory.mktemp("paper-site"))


def run(installed, *arguments, others=()):
    path = os.pathsep.join(str(folder) for folder in (installed, *others))
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("RM_GEO_MODELS", None)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=installed,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_the_wheel_is_typed_and_has_no_tests(installed):
    assert (installed / "rm_geo" / "py.typed").is_file()
    assert not (installed / "tests").exists()


def test_wheel_has_at_most_25_megabytes(wheel):
    assert wheel.stat().st_size <= LARGEST_WHEEL_BYTES


def test_models_in_the_wheel_are_those_of_the_checkout(installed):
    ours = {p.relative_to(ROOT): p.read_bytes() for p in (ROOT / "models").rglob("*.safetensors")}
    assert ours, "no trained models in the checkout"
    for path, data in ours.items():
        assert (installed / "rm_geo" / path).read_bytes() == data


def test_an_installed_wheel_verifies_and_loads_its_models(installed):
    pytest.importorskip("torch", reason="loading a network needs PyTorch")
    code = (
        "import rm_geo, pathlib; from rm_geo import list_models, load_network;"
        "here = pathlib.Path(rm_geo.__file__).parent; records = list_models();"
        "assert records and all(here in r.path.parents for r in records), records;"
        "print(sum(load_network(r)[1].sha256 is not None for r in records))"
    )
    done = run(installed, "-c", code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1


def test_importing_the_package_imports_nothing_heavy(installed):
    code = (
        "import sys, rm_geo; heavy = {'torch', 'numba', 'rasterio', 'geopandas', 'sklearn',"
        "'matplotlib', 'scipy'} & set(sys.modules); assert not heavy, heavy"
    )
    done = run(installed, "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_wheel_installs_the_same_plugin_as_the_checkout(installed):
    code = "from rm_geo.qgis.bundle import plugin_files; print(sorted(plugin_files().items()))"
    done = run(installed, "-c", code)
    assert done.returncode == 0, done.stderr
    from rm_geo.qgis.bundle import plugin_files

    assert done.stdout.strip() == str(sorted(plugin_files().items()))


ALL_MODELS = (
    "import json; from rm_geo.zoo.catalog import list_models, verify_model;"
    "[verify_model(r) for r in list_models()];"
    "print(json.dumps([[r.name, str(r.path)] for r in list_models()]))"
)


def test_paper_models_are_found_where_their_wheel_is_installed(installed, paper_models):
    done = run(installed, "-c", ALL_MODELS, others=[paper_models])
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(done.stdout))
    index = json.loads((ROOT / "models" / "index.json").read_text())
    assert set(found) == {model["name"] for model in index["models"]}
    of_papers = {name for name, path in found.items() if path.startswith(str(paper_models))}
    assert of_papers == {model["name"] for model in index["models"] if "package" in model}
    assert "radiocycle-drive-s" not in of_papers


def test_without_the_paper_models_the_list_and_the_methods_say_what_to_install(installed):
    done = run(installed, "-m", "rm_geo", "models", "list")
    assert done.returncode == 0, done.stderr
    assert "superres-4x-s" in done.stdout
    assert "supreme-4x-paper" not in done.stdout
    assert "pip install rm-geo-paper-models" in done.stdout
    code = "from rm_geo.estimators.registry import get_method; get_method('interpolation-net')"
    done = run(installed, "-c", code)
    assert "ModelError" in done.stderr
    assert "pip install rm-geo-paper-models" in done.stderr
