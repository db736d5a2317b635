"""``rm-geo doctor``: every dependency, folder, device and model, with what to do."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata

import pytest
from click.testing import CliRunner

from rm_geo.cli.group import rm_geo
from rm_geo.workflows import dependencies, doctor


def checks_of(section, checks):
    return {check.name: check for check in checks if check.section == section}


@pytest.fixture
def requires(monkeypatch):
    """Sets what the metadata of rm_geo declares."""

    def declare(*requirements):
        monkeypatch.setattr(metadata, "requires", lambda _: list(requirements))

    return declare


class TestPackages:
    def test_every_dependency_of_the_metadata_has_a_line(self, monkeypatch):
        monkeypatch.setattr(dependencies, "import_errors", lambda _: {})
        checks = list(doctor._check_packages())
        declared = {
            re.match(r"[\w.-]+", text).group().lower()
            for text in metadata.requires("rm-geo")
            if "extra ==" not in text
        }
        assert set(checks_of("packages", checks)) == declared
        extras = checks_of("extras", checks)
        assert set(extras) == set(metadata.metadata("rm-geo").get_all("Provides-Extra"))
        assert "numba" in extras["simulate"].detail

    def test_a_missing_and_an_old_package_are_errors_with_a_command(self, requires):
        requires("no-such-package>=1.5", "numpy>=999", "click>=8")
        found = checks_of("packages", doctor._check_packages())
        assert {name: check.status for name, check in found.items()} == {
            "no-such-package": "error",
            "numpy": "error",
            "click": "ok",
        }
        assert 'pip install --upgrade "numpy>=999"' in found["numpy"].line()
        assert ">=999 is needed" in found["numpy"].detail
        assert found["no-such-package"].detail == "not installed"

    def test_an_absent_extra_is_noted_and_an_old_one_is_a_warning(self, requires):
        requires("no-such-package>=1; extra == 'stac'", "numpy>=999; extra == 'dask'")
        found = checks_of("extras", doctor._check_packages())
        assert found["stac"].status == "note"
        assert found["dask"].status == "warning"
        assert 'pip install --upgrade "rm-geo[stac]"' in found["stac"].line()

    def test_a_package_that_cannot_be_imported_is_an_error(self, requires, monkeypatch):
        requires("numpy>=1", "click>=8")
        monkeypatch.setattr(
            dependencies, "import_errors", lambda names: {names[0]: "ImportError: libz"}
        )
        found = checks_of("packages", doctor._check_packages())
        assert found["numpy"].status == "error"
        assert "cannot be imported (ImportError: libz)" in found["numpy"].detail
        assert found["click"].status == "ok"

    def test_a_crash_during_an_import_is_that_of_one_module(self, tmp_path, monkeypatch):
        (tmp_path / "crashes.py").write_text("import os; os.abort()\n")
        (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
        (tmp_path / "prints.py").write_text("print('hello'); print('[1]')\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        errors = dependencies.import_errors(["json", "crashes", "prints", "leaves", "csv"])
        assert set(errors) == {"crashes", "leaves"}
        assert "ended with status" in errors["crashes"]
        assert errors["leaves"] == "SystemExit: 3"

    def test_an_extra_of_extras_and_other_platforms_are_left_out(self):
        found = dependencies.declared_dependencies(
            [
                "A_b>=1",
                "rm-geo[x]; extra == 'y'",
                "other; sys_platform == 'plan9'",
                "c>=2; extra == 'x'",
                "c>=2; extra == 'y'",
                "a-b>=1; extra == 'x'",
            ],
            ["x", "y"],
        )
        assert [(one.name, one.extras) for one in found] == [("a-b", ()), ("c", ("x", "y"))]


class TestFolders:
    def test_a_cache_that_cannot_be_written_names_its_variable(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        monkeypatch.setenv("RM_GEO_ONNX", str(tmp_path / "file" / "onnx"))
        found = checks_of("folders", doctor._check_folders())
        assert found["cache"].status == found["ONNX exports"].status == "warning"
        assert "XDG_CACHE_HOME" in found["cache"].line()
        assert "RM_GEO_ONNX" in found["ONNX exports"].line()
        assert found["temporary"].status == "ok"

    def test_a_cache_that_does_not_exist_yet_is_not_made(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
        found = checks_of("folders", doctor._check_folders())
        assert found["cache"].status == "ok"
        assert not (tmp_path / "new" / "rm_geo").exists()


class TestDevice:
    @pytest.mark.parametrize(
        ("gpus", "build", "status", "text"),
        [
            (0, "cuda = None", "ok", "build without CUDA"),
            (2, "cuda = None", "warning", "Install the CUDA build"),
            (0, "cuda: Optional[str] = '12.4'", "note", "no driver reports a GPU"),
            (1, "cuda: Optional[str] = '12.4'", "warning", "Update the driver"),
        ],
    )
    def test_the_build_of_torch_is_held_against_the_driver(
        self, tmp_path, monkeypatch, gpus, build, status, text
    ):
        torch = pytest.importorskip("torch")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        (tmp_path / "version.py").write_text(f"{build}\nhip = None\n")
        (check,) = doctor._check_torch(tmp_path / "version.py", gpus, "cpu")
        assert check.status == status
        assert text in check.line()

    def test_a_gpu_without_torch_is_a_warning(self, monkeypatch):
        monkeypatch.setattr(doctor, "_spec_of_torch", lambda: None)
        monkeypatch.setattr(doctor, "count_cuda_devices", lambda: 1)
        found = checks_of("device", doctor._check_device("cpu"))
        assert 'pip install "rm-geo[torch]"' in found["GPU"].line()
        monkeypatch.setattr(doctor, "count_cuda_devices", lambda: 0)
        assert "GPU" not in checks_of("device", doctor._check_device("cpu"))

    def test_the_providers_of_onnx_runtime_are_listed(self):
        pytest.importorskip("onnxruntime")
        found = checks_of("device", doctor._check_device("cpu"))
        assert "CPUExecutionProvider" in found["ONNX Runtime"].detail


def test_proj_data_of_another_program_is_detected(tmp_path):
    code = (
        "from rm_geo.workflows.doctor import _check_formats\n"
        "print([c.line() for c in _check_formats() if c.status == 'error'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PROJ_DATA": str(tmp_path), "PROJ_LIB": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"PROJ_DATA={tmp_path}" in done.stdout


def test_the_report_is_text_or_json_and_this_environment_is_whole():
    result = CliRunner().invoke(rm_geo, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["device"] in {"cpu", "cuda", "mps"}
    assert found["models"]
    assert {check["section"] for check in found["checks"]} == {
        "packages",
        "extras",
        "folders",
        "device",
        "formats",
        "models",
    }
    assert not [check for check in found["checks"] if check["status"] == "error"]


def test_a_broken_environment_exits_with_1_and_still_reports_everything(requires, monkeypatch):
    requires("no-such-package>=1.5")
    monkeypatch.setenv("RM_GEO_MODELS", os.devnull)
    result = CliRunner().invoke(rm_geo, ["doctor"])
    assert result.exit_code == 1
    assert "Missing or broken: no-such-package." in result.stderr
    assert "GDAL" in result.stdout
    assert "no trained models" in result.stdout
