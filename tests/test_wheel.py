"""An installed wheel carries the trained models, and finds them away from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder with the unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
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


def test_models_in_the_wheel_are_those_of_the_checkout(installed):
    ours = {p.relative_to(ROOT): p.read_bytes() for p in (ROOT / "models").rglob("*.safetensors")}
    assert ours, "no trained models in the checkout"
    for path, data in ours.items():
        assert (installed / "rm_geo" / path).read_bytes() == data


def test_an_installed_wheel_verifies_and_loads_its_models(installed):
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
