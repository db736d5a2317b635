"""Install, inspect and remove the plugin in a profile of QGIS."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rm_geo._util.atomic import output_error, part_folder, prepare_output_folder, replacing
from rm_geo._version import __version__
from rm_geo.errors import InputError, OutputError
from rm_geo.qgis.bundle import FOLDER, plugin_version
from rm_geo.qgis.profiles import Profile, is_enabled, with_plugin

RECORD: Final = "environment.json"
"""File in the plugin's folder that names the Python interpreter of the worker."""


@dataclass(frozen=True)
class PluginStatus:
    """State of the plugin in one profile.

    Attributes
    ----------
    profile : str
        Name of the profile.
    folder : Path
        Folder of the plugin, whether it exists or not.
    version : str or None
        Installed version; None if the plugin is not installed.
    is_current : bool
        Whether its files are those of this version of rm_geo.
    is_enabled : bool
        Whether QGIS loads it at its start.
    python : str or None
        Python interpreter recorded for the worker.
    problem : str or None
        What is wrong and what to do; None if nothing is wrong.
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
    """Install the plugin into a profile; an older version is replaced.

    Parameters
    ----------
    profile : Profile
        Target; its folder is created if necessary.
    files : mapping of str to bytes
        See :func:`rm_geo.qgis.bundle.plugin_files`.
    python : str, optional
        Python interpreter for the worker (default: that of this process).
    enable : bool
        Whether QGIS loads the plugin at its next start.

    Returns
    -------
    Path
        Folder of the plugin.

    Raises
    ------
    InputError
        If the interpreter does not exist.
    OutputError
        If the plugin cannot be written, or its folder belongs to something else.

    Examples
    --------
    >>> from rm_geo.qgis.bundle import plugin_files
    >>> from rm_geo.qgis.profiles import choose_profiles
    >>> for profile in choose_profiles(None, None, create=True):  # doctest: +SKIP
    ...     install(profile, plugin_files())
    """
    interpreter = os.path.abspath(python or sys.executable)  # noqa: PTH100 - keeps a venv's link
    if not Path(interpreter).is_file():
        raise InputError(f"There is no Python interpreter {interpreter}.", hint="See `python`.")
    folder = profile.plugins / FOLDER
    _require_ours(folder)
    record = json.dumps({"python": interpreter, "rm_geo": __version__}, indent=2) + "\n"
    prepare_output_folder(profile.plugins)
    try:
        with part_folder(folder) as staging:
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
    """Remove the plugin from a profile.

    Parameters
    ----------
    profile : Profile
        The profile.

    Returns
    -------
    bool
        Whether the plugin was installed.

    Raises
    ------
    OutputError
        If it cannot be removed, or the folder belongs to something else.

    Examples
    --------
    >>> uninstall(Profile(Path("no/such/profile")))
    False
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
    """Inspect the plugin in a profile.

    Parameters
    ----------
    profile : Profile
        The profile.
    files : mapping of str to bytes
        Current files, see :func:`rm_geo.qgis.bundle.plugin_files`.

    Returns
    -------
    PluginStatus
        State of the plugin.

    Examples
    --------
    >>> status(Profile(Path("no/such/profile")), {}).version is None
    True
    """
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
        problem = f"The interpreter {python} does not exist: run 'rm-geo qgis install' again."
    elif not is_current:
        problem = f"It differs from that of rm_geo {__version__}: run 'rm-geo qgis install'."
    elif not enabled:
        problem = "It is not enabled: tick it in QGIS under Plugins, Manage and Install Plugins."
    return PluginStatus(profile.name, folder, version, is_current, enabled, python, problem)


def _require_ours(folder: Path) -> None:
    """Raise if the folder exists and is not this plugin."""
    if not folder.exists():
        return
    metadata = folder / "metadata.txt"
    if not metadata.is_file() or b"rm_geo" not in metadata.read_bytes():
        raise OutputError(
            f"{folder} is not the plugin of rm_geo.", hint="Move it away, and run this again."
        )


def _change_settings(profile: Profile, *, enabled: bool | None) -> None:
    """Enable, disable or (None) remove the plugin in the settings; others are not changed."""
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
    """Python interpreter recorded at installation."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    python = record.get("python") if isinstance(record, dict) else None
    return python if isinstance(python, str) else None


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file has the given content."""
    try:
        return path.read_bytes() == data
    except OSError:
        return False
