"""``rm-geo qgis package --for-repository``: what the plugin repository of QGIS would refuse."""

import json
import zipfile

import pytest
from click.testing import CliRunner

from rm_geo._version import __version__
from rm_geo.cli.group import rm_geo
from rm_geo.errors import InputError, UsageError
from rm_geo.qgis import repository
from rm_geo.qgis.bundle import plugin_files
from rm_geo.qgis.repository import (
    code_findings,
    file_findings,
    metadata_findings,
    read_owner,
    with_owner,
)

OWNER = {
    "author": "Ada Lovelace",
    "email": "ada@radio-maps.org",
    "homepage": "https://radio-maps.org",
    "tracker": "https://radio-maps.org/faults",
    "repository": "https://radio-maps.org/code",
}


@pytest.fixture(scope="module")
def files():
    return with_owner(plugin_files(), OWNER)


def package(target, *more, code=0):
    arguments = ["qgis", "package", "-o", str(target), "--for-repository", "--json", *more]
    result = CliRunner().invoke(rm_geo, arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_placeholders_are_refused_all_at_once_and_no_zip_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(repository, "code_findings", lambda _: ["a.py:1: B101 assert."])
    message = package(tmp_path / "p.zip", "--author", "A / B", code=1)["message"]
    listed = [line.split()[2] for line in message.splitlines() if line.startswith("- metadata.txt")]
    assert listed == ["email", "homepage", "tracker", "repository", "author"]
    assert "6 findings" in message
    assert "\n- a.py:1: B101 assert." in message
    assert list(tmp_path.iterdir()) == []


def test_with_the_fields_of_the_owner_the_plugin_is_accepted(tmp_path):
    pytest.importorskip("bandit")
    pytest.importorskip("detect_secrets")
    owner = tmp_path / "owner.txt"
    lines = [f"{field}={value}" for field, value in OWNER.items() if field != "email"]
    owner.write_text("\n".join(["[general]", "email=x@example.com", "name=other", *lines]))
    package(tmp_path / "p.zip", "--metadata", str(owner), "--email", OWNER["email"])
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        metadata = archive.read("rm_geo_qgis/metadata.txt").decode()
    for field, value in OWNER.items():
        assert f"\n{field}={value}\n" in metadata
    assert "\nname=Radio maps (rm_geo)\n" in metadata


def test_a_file_of_the_owner_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(InputError, match="Cannot read"):
        read_owner(tmp_path / "none.txt")
    (tmp_path / "bad.txt").write_text("email=x")
    with pytest.raises(InputError, match="not a file like metadata"):
        read_owner(tmp_path / "bad.txt")
    with pytest.raises(UsageError, match="one line"):
        with_owner(plugin_files(), {"email": "a@b.org\nname=x"})


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("category=Raster", "category=Analysis", "category is 'Analysis'"),
        ("experimental=True", "experimental=yes", "experimental is 'yes'"),
        ("supportsQt6=True", "supportsQt6=yes", "supportsQt6 is 'yes'"),
        ("qgisMinimumVersion=3.22", "qgisMinimumVersion=new", "qgisMinimumVersion is 'new'"),
        ("icon=icon.svg", "icon=none.svg", "the icon none.svg is not in the zip"),
        ("icon=icon.svg", "icon=plugin.py", "is not a picture"),
        ("name=Radio maps", "name=Plugin of maps", "the word 'plugin'"),
        (f"version={__version__}", f"version={__version__}.dev1", "not numbers and dots"),
        (f"version={__version__}", "version=99.0", "that of rm_geo is"),
        (f"changelog={__version__}", "changelog=new", "does not mention version"),
        (OWNER["email"], "ada", "no address"),
        (OWNER["email"], "ada@lab.localhost", "placeholder"),
        (OWNER["tracker"], "radio-maps.org/faults", "no http address"),
        (OWNER["tracker"], "http://bugs", "placeholder"),
        ("tags=radio", "tag=radio", "tags is missing"),
        ("[general]", "[other]", "No section"),
        ("about=Turns", "about=100% turns", "must be followed by"),
    ],
)
def test_a_wrong_field_is_found(files, old, new, finding):
    assert list(metadata_findings(files)) == []
    text = files["metadata.txt"].decode()
    assert old in text
    changed = {**files, "metadata.txt": text.replace(old, new, 1).encode()}
    assert finding in " ".join(metadata_findings(changed))


def test_files_that_are_refused_are_found(files):
    assert list(file_findings(files)) == []
    wrong = {
        "tool.exe": b"",
        "x/__pycache__/a.pyc": b"",
        ".git/config": b"",
        "../up.py": b"",
        "data.bin": b"a\0b",
    }
    found = list(file_findings({**files, **wrong}))
    assert len(found) == len(wrong)
    assert all(any(name in line for line in found) for name in wrong)
    assert list(file_findings({k: v for k, v in files.items() if k != "LICENSE"})) == [
        "LICENSE is missing."
    ]


def test_code_that_is_refused_is_found():
    pytest.importorskip("bandit")
    pytest.importorskip("detect_secrets")
    code = {
        "asserts.py": b"assert print\n",
        "broken.py": b"def\n",
        "silent.py": b"import subprocess\nsubprocess.run(['x'])  # nosec\n",
        "reasoned.py": b"import subprocess\nsubprocess.run(['/x'])  # nosec B603 # constants\n",
        "key.json": b'{"key": "AKIA' + b'IOSFODNN7EXAMPLE"}',
    }
    found = sorted(line.split()[0] for line in code_findings(code))
    assert found == ["asserts.py:1:", "broken.py:1:", "key.json:1:", "silent.py:2:"]
