"""Compiled code is kept where there is a place for it, or the error names the variable."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rm_geo.errors import OutputError
from rm_geo.propagation.compiled import private_cache_folder

pytest.importorskip("numba")

PACKAGE = Path(__file__).resolve().parents[2] / "rm_geo"
CODE = """
from rm_geo.propagation.compiled import import_compiled
from numba import config
profile = import_compiled("profile")
print(profile.roof_profiles.stats.cache_path, repr(config.CACHE_DIR))
"""


@pytest.fixture
def without_a_cache(tmp_path):
    """A copy of the package beside which, and a home in which, no process can write.

    A file stands where the folder would be: that holds for the superuser as well.
    """
    copy = shutil.copytree(PACKAGE, tmp_path / "rm_geo", ignore=shutil.ignore_patterns("__py*"))
    (copy / "propagation" / "__pycache__").touch()
    home = tmp_path / "home"
    home.touch()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "LOCALAPPDATA": str(home),
        "XDG_CACHE_HOME": str(home),
        "TMPDIR": str(temporary),
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    return environment, temporary


def run(environment):
    return subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, cwd="/"
    )


def test_without_a_writable_cache_the_temporary_folder_is_used(without_a_cache):
    environment, temporary = without_a_cache
    done = run(environment)
    assert done.returncode == 0, done.stderr
    folder, setting = done.stdout.rsplit(maxsplit=1)
    (private,) = temporary.iterdir()
    assert Path(folder).parent == private
    assert setting == "''", "numba's setting is as it was for the user's own functions"
    if os.name == "posix":
        assert private.stat().st_mode & 0o777 == 0o700


def test_a_folder_chosen_by_the_user_goes_first(without_a_cache, tmp_path):
    environment, temporary = without_a_cache
    done = run({**environment, "NUMBA_CACHE_DIR": str(tmp_path / "chosen")})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "chosen"))
    assert not list(temporary.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="users and modes of POSIX")
@pytest.mark.parametrize("kind", ["writable by others", "file", "link"])
def test_a_folder_that_others_may_have_written_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = private_cache_folder()
    assert folder.parent == tmp_path
    if kind == "writable by others":
        folder.chmod(0o777)
    else:
        folder.rmdir()
        if kind == "file":
            folder.touch()
        else:
            (tmp_path / "elsewhere").mkdir()
            folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="NUMBA_CACHE_DIR"):
        private_cache_folder()
