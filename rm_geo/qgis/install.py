"""The plugin put into a profile of QGIS, looked at there, and taken out again."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rm_geo._util.atomic import PART_SUFFIX, output_error, prepare_output_folder, replacing
from rm_geo._version import __version__
from rm_geo.errors import InputError, OutputError
from rm_geo.qgis.bundle import FOLDER, plugin_version
from rm_geo.qgis.profiles import Profile, is_enabled, with_plugin

RECORD: Final = "environment.json"
"""File in the plugin's folder that names the interpreter for the worker."""


@dataclass(frozen=True)
class PluginStatus:
    """The plugin in one profile.

    Attributes
    ----------
    profile : str
        Name of the profile.
    folder : Path
        Where the plugin is, or would be.
    version : str or None
        Version that is installed; None for none.
    is_current : bool
        Whether it is the one that this rm_geo has.
    is_enabled : bool
        Whether QGIS loads it when it starts.
    python : str or None
        Interpreter that was recorded for the worker.
    problem : str or None
        What is wrong, and what to do.
    """

    profile: str
    folder: Path
    version: str | None
    is_current: bool = False
    is_enabled: bool = False
    python: str | None = None
    problem: str | None = None


def install(
    profile: Profile,
    files: Mapping[str, bytes],
    *,
    python: str | None = None,
    enable: bool = True,
) -> Path:
    """Put the plugin into a profile, in the place of an older one; gives its folder.

    Parameters
    ----------
    profile : Profile
        Where; made if it is not there.
    files : mapping
        See :func:`rm_geo.qgis.bundle.plugin_files`.
    python : str, optional
        Interpreter for the worker; that of this process if not given.
    enable : bool
        Have QGIS load it at its next start.

    Raises
    ------
    InputError
        If the interpreter does not exist.
    OutputError
        If it cannot be written, or something else has that name.
    """
    interpreter = os.path.abspath(python or sys.executable)  # noqa: PTH100 - keeps a venv's link
    if not Path(interpreter).is_file():
        raise InputError(f"There is no Python interpreter {interpreter}.", hint="See `python`.")
    folder = profile.plugins / FOLDER
    _require_ours(folder)
    record = json.dumps({"python": interpreter, "rm_geo": __version__}, indent=2) + "\n"
    prepare_output_folder(profile.plugins)
    try:
        with tempfile.TemporaryDirectory(dir=profile.plugins, suffix=PART_SUFFIX) as name:
            staging = Path(name)
            for relative, data in {**files, RECORD: record.encode()}.items():
                path = staging / "new" / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            if folder.exists():
                folder.replace(staging / "old")
            (staging / "new").replace(folder)
    except OSError as error:
        raise output_error(folder, error) from error
    if enable:
        _change_settings(profile, enabled=True)
    return folder


def uninstall(profile: Profile) -> bool:
    """Take the plugin out of a profile; says whether it was there.

    Raises
    ------
    OutputError
        If it cannot be removed, or is not this plugin.
    """
    folder = profile.plugins / FOLDER
    if not folder.exists() and not folder.is_symlink():
        return False
    _require_ours(folder)
    try:
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)
    except OSError as error:
        raise output_error(folder, error) from error
    if profile.settings.is_file():
        _change_settings(profile, enabled=None)
    return True


def status(profile: Profile, files: Mapping[str, bytes]) -> PluginStatus:
    """Look at the plugin in a profile."""
    folder = profile.plugins / FOLDER
    try:
        version = plugin_version((folder / "metadata.txt").read_text("utf-8"))
    except OSError:
        return PluginStatus(profile.name, folder, None)
    python = _recorded(folder)
    is_current = all(_holds(folder / name, data) for name, data in files.items())
    enabled = is_enabled(profile, FOLDER)
    problem = None
    if python is None:
        problem = "No interpreter is recorded: run 'rm-geo qgis install' again."
    elif not Path(python).is_file():
        problem = f"The interpreter {python} is gone: run 'rm-geo qgis install' again."
    elif not is_current:
        problem = f"It is not that of rm_geo {__version__}: run 'rm-geo qgis install'."
    elif not enabled:
        problem = "It is not enabled: tick it in QGIS under Plugins, Manage and Install Plugins."
    return PluginStatus(profile.name, folder, version, is_current, enabled, python, problem)


def _require_ours(folder: Path) -> None:
    """Refuse to touch a folder of that name that is something else."""
    if not folder.exists():
        return
    metadata = folder / "metadata.txt"
    if not metadata.is_file() or b"rm_geo" not in metadata.read_bytes():
        raise OutputError(
            f"{folder} is not the plugin of rm_geo.", hint="Move it away, and run this again."
        )


def _change_settings(profile: Profile, *, enabled: bool | None) -> None:
    """Have QGIS load the plugin or not; its other settings stay as they are."""
    path = profile.settings
    try:
        old = path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else ""
    except OSError as error:
        raise output_error(path, error) from error
    new = with_plugin(old.replace("\r\n", "\n"), FOLDER, enabled=enabled)
    if "\r\n" in old:
        new = new.replace("\n", "\r\n")
    if new == old:
        return
    prepare_output_folder(path.parent)
    with replacing(path) as part:
        part.write_bytes(new.encode("utf-8", "surrogateescape"))


def _recorded(folder: Path) -> str | None:
    """Interpreter that was recorded at installation."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    python = record.get("python") if isinstance(record, dict) else None
    return python if isinstance(python, str) else None


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file has that content."""
    try:
        return path.read_bytes() == data
    except OSError:
        return False
