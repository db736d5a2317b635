"""``rm-geo qgis``: the plugin in a profile and in a zip, and nothing else touched."""

import configparser
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rm_geo._version import __version__
from rm_geo.cli.group import rm_geo
from rm_geo.qgis.bundle import plugin_files, plugin_version
from rm_geo.qgis.profiles import ini_value, profile_roots, with_ini_value

SETTINGS = (
    "[General]\nx=1\n\n[PythonPlugins]\nother=true\nPluginPath=a%20b\n\n[UI]\nx=@ByteArray(\\0)\n"
)


@pytest.fixture
def root(tmp_path):
    for name in ("default", "Wörk üs"):
        (tmp_path / "profiles" / name / "QGIS").mkdir(parents=True)
        (tmp_path / "profiles" / name / "QGIS" / "QGIS3.ini").write_text(SETTINGS)
    return tmp_path


def run(root, command, *more, code=0):
    arguments = ["qgis", command, "--profiles-path", str(root), "--json", *more]
    result = CliRunner().invoke(rm_geo, arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return json.loads(result.stdout.splitlines()[-1])


def folder_in(root, profile="default"):
    return root / "profiles" / profile / "python" / "plugins" / "rm_geo_qgis"


def settings_of(root, profile="default"):
    return (root / "profiles" / profile / "QGIS" / "QGIS3.ini").read_text()


names = st.text("abcxyz_.", min_size=1, max_size=6)
sections = st.dictionaries(
    st.sampled_from(["A", "B", "PythonPlugins"]), st.dictionaries(names, names, max_size=3)
)


@given(sections, names, names)
def test_a_value_that_was_set_is_read_and_the_others_stay(content, key, value):
    text = "".join(
        f"[{section}]\n" + "".join(f"{k}={v}\n" for k, v in values.items()) + "\n"
        for section, values in content.items()
    )
    changed = with_ini_value(text, "PythonPlugins", key, value)
    assert ini_value(changed, "PythonPlugins", key) == value
    parser = configparser.RawConfigParser(delimiters="=", strict=True)
    parser.optionxform = str
    parser.read_string(changed)
    expected = {**content, "PythonPlugins": {**content.get("PythonPlugins", {}), key: value}}
    assert {section: dict(parser[section]) for section in parser.sections()} == expected
    assert (
        ini_value(with_ini_value(changed, "PythonPlugins", key, None), "PythonPlugins", key) is None
    )


def test_installing_puts_the_plugin_there_records_the_interpreter_and_enables_it(root):
    (status,) = run(root, "install")["profiles"]
    assert status["version"] == __version__
    assert status["is_current"]
    assert status["is_enabled"]
    assert status["problem"] is None
    folder = folder_in(root)
    assert (folder / "metadata.txt").is_file()
    assert (folder / "LICENSE").is_file()
    assert json.loads((folder / "environment.json").read_text())["python"] == sys.executable
    assert settings_of(root) == SETTINGS.replace("a%20b\n", "a%20b\nrm_geo_qgis=true\n")


def test_another_profile_is_left_alone(root):
    run(root, "install", "--profile", "Wörk üs")
    assert folder_in(root, "Wörk üs").is_dir()
    assert not folder_in(root).exists()
    assert settings_of(root) == SETTINGS


def test_the_default_profile_is_the_one_that_qgis_starts_with(root):
    (root / "profiles" / "work").mkdir()
    (root / "profiles" / "profiles.ini").write_text("[core]\ndefaultProfile=work\n")
    (status,) = run(root, "install")["profiles"]
    assert status["profile"] == "work"
    assert folder_in(root, "work").is_dir()
    assert not folder_in(root).exists()


def test_installing_replaces_an_older_plugin_whole(root):
    run(root, "install")
    (folder_in(root) / "forgotten.py").write_text("x = 1")
    (folder_in(root) / "plugin.py").write_text("x = 1")
    (status,) = run(root, "status")["profiles"]
    assert not status["is_current"]
    assert "rm-geo qgis install" in status["problem"]
    (status,) = run(root, "install")["profiles"]
    assert status["is_current"]
    assert not (folder_in(root) / "forgotten.py").exists()
    assert [path.name for path in folder_in(root).parent.iterdir()] == ["rm_geo_qgis"]


def test_uninstalling_leaves_no_trace(root):
    run(root, "install")
    assert run(root, "uninstall")["removed"] == ["default"]
    assert not folder_in(root).exists()
    assert settings_of(root) == SETTINGS
    assert run(root, "uninstall")["removed"] == []


def test_status_tells_of_an_interpreter_that_is_gone(root, tmp_path):
    python = tmp_path / "python"
    python.write_text("")
    run(root, "install", "--python", str(python))
    python.unlink()
    (status,) = run(root, "status")["profiles"]
    assert str(python) in status["problem"]


def test_status_tells_of_a_plugin_that_is_not_enabled(root):
    run(root, "install", "--no-enable")
    (status,) = run(root, "status")["profiles"]
    assert not status["is_enabled"]
    assert "tick" in status["problem"]


def test_folder_of_another_plugin_is_not_changed(root):
    folder_in(root).mkdir(parents=True)
    (folder_in(root) / "metadata.txt").write_text("[general]\nname=Other\n")
    for command in ("install", "uninstall"):
        assert "is not the plugin" in run(root, command, code=1)["message"]
    assert [path.name for path in folder_in(root).iterdir()] == ["metadata.txt"]


def test_an_unknown_profile_is_an_error_that_names_the_known_ones(root):
    error = run(root, "install", "--profile", "nope", code=1)
    assert "nope" in error["message"]
    assert "default" in error["hint"]
    assert run(root, "install", "--profile", "../x", code=2)


def test_a_missing_interpreter_is_an_error(root):
    assert "no/python" in run(root, "install", "--python", "no/python", code=1)["message"]
    assert not folder_in(root).exists()


def test_a_qgis_that_was_never_started_gets_its_default_profile(tmp_path):
    (status,) = run(tmp_path / "new", "install")["profiles"]
    assert status["profile"] == "default"
    assert status["is_enabled"]


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        (
            "linux",
            [
                ".local/share/QGIS/QGIS3/profiles",
                ".local/share/QGIS/QGIS4/profiles",
                ".var/app/org.qgis.qgis/data/QGIS/QGIS3/profiles",
                ".var/app/org.qgis.qgis/data/QGIS/QGIS4/profiles",
            ],
        ),
        (
            "darwin",
            [
                "Library/Application Support/QGIS/QGIS3/profiles",
                "Library/Application Support/QGIS/QGIS4/profiles",
            ],
        ),
        ("win32", ["AppData/Roaming/QGIS/QGIS3/profiles", "AppData/Roaming/QGIS/QGIS4/profiles"]),
    ],
)
def test_profiles_are_looked_for_where_each_system_keeps_them(platform, expected):
    home = Path("/home/a b")
    roots = profile_roots({}, platform, home)
    assert [path.relative_to(home).as_posix() for path, _ in roots] == expected
    assert [major for _, major in roots] == [3, 4] * (len(expected) // 2)


def test_the_variable_of_qgis_overrides_all(tmp_path):
    roots = profile_roots({"QGIS_CUSTOM_CONFIG_PATH": str(tmp_path)})
    assert roots == [(tmp_path / "profiles", 3)]


def test_a_folder_of_another_name_has_the_major_version_of_its_settings(root, tmp_path):
    variables = {"QGIS_CUSTOM_CONFIG_PATH": str(root)}
    assert profile_roots(variables) == [(root / "profiles", 3)]
    new = root / "profiles" / "default" / "QGIS" / "QGIS4.ini"
    new.write_text(SETTINGS)
    os.utime(new, (2e9, 2e9))  # QGIS 4 was started in it after QGIS 3
    assert profile_roots(variables) == [(root / "profiles", 4)]
    (status,) = run(root, "install")["profiles"]
    assert status["is_enabled"]
    assert "rm_geo_qgis=true" in new.read_text()
    assert settings_of(root) == SETTINGS
    assert run(root, "uninstall")["removed"] == ["default"]
    assert new.read_text() == SETTINGS


def test_the_zip_is_one_folder_with_metadata_and_licence_and_always_the_same(tmp_path):
    for name in ("a.zip", "b.zip"):
        result = CliRunner().invoke(rm_geo, ["qgis", "package", "-o", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        found = archive.namelist()
    assert {name.split("/")[0] for name in found} == {"rm_geo_qgis"}
    assert {"rm_geo_qgis/__init__.py", "rm_geo_qgis/metadata.txt", "rm_geo_qgis/LICENSE"} <= {
        *found
    }
    assert not [name for name in found if "__pycache__" in name or "environment.json" in name]


def test_the_plugin_has_the_version_of_the_library():
    assert plugin_version(plugin_files()["metadata.txt"].decode()) == __version__
