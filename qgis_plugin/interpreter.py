"""Python interpreter and environment variables of the worker.

QGIS's own Python is not used: its GDAL and PROJ conflict with those of rasterio and geopandas.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "RM_GEO_PYTHON"
RECORD = "environment.json"
"""File in the plugin's folder, written by ``rm-geo qgis install``."""

SETTING_HELP = "Settings > Options > Radio maps (rm_geo)"

_REMOVED = frozenset(
    (
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONEXECUTABLE",
        "__PYVENV_LAUNCHER__",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "DYLD_LIBRARY_PATH",
        "DYLD_INSERT_LIBRARIES",
        "DYLD_FRAMEWORK_PATH",
    )
)
_REMOVED_PREFIXES = ("PROJ_", "GDAL_", "OGR_", "CPL_", "QGIS_", "QT_")


class NoInterpreterError(Exception):
    """No interpreter is set, or it cannot be run; the message says what to do."""


@dataclass(frozen=True)
class Interpreter:
    """Path of a Python interpreter with rm_geo, and the origin of the path."""

    path: str
    origin: str


def choose_interpreter(
    setting: str, environment: Mapping[str, str], plugin_folder: Path
) -> Interpreter:
    """Return the interpreter of the setting, else of ``RM_GEO_PYTHON``, else the recorded one.

    Parameters
    ----------
    setting : str
        Path in the plugin's setting; may be empty.
    environment : mapping of str to str
        Environment variables.
    plugin_folder : Path
        Folder of the plugin.

    Returns
    -------
    Interpreter
        The first that is set.

    Raises
    ------
    NoInterpreterError
        If none is set, or the file does not exist or is not executable.
    """
    candidates = (
        (setting, f"the setting in {SETTING_HELP}"),
        (environment.get(VARIABLE, ""), f"the environment variable {VARIABLE}"),
        (recorded_interpreter(plugin_folder) or "", "'rm-geo qgis install'"),
    )
    for value, origin in candidates:
        path = os.path.expanduser(value.strip().strip('"'))
        if not path:
            continue
        if not os.path.isfile(path):
            raise NoInterpreterError(
                f"The Python interpreter {path} does not exist. It was named by {origin}.\n"
                f"Choose the Python of the environment in which rm_geo is installed in "
                f"{SETTING_HELP}, or run 'rm-geo qgis install' in that environment."
            )
        if not os.access(path, os.X_OK):
            raise NoInterpreterError(
                f"{path} cannot be run. It was named by {origin}.\n"
                f"Choose the Python of the environment in which rm_geo is installed in "
                f"{SETTING_HELP}."
            )
        return Interpreter(path, origin)
    raise NoInterpreterError(
        "No Python interpreter with rm_geo is set.\n"
        "Install rm_geo in an environment of its own (python -m venv, then pip install with the "
        "name rm-geo or the path of its folder or wheel) and run 'rm-geo qgis install' there; or "
        f"choose that environment's Python in {SETTING_HELP}."
    )


def recorded_interpreter(plugin_folder: Path) -> str | None:
    """Read the interpreter that ``rm-geo qgis install`` recorded.

    Parameters
    ----------
    plugin_folder : Path
        Folder of the plugin.

    Returns
    -------
    str or None
        None if there is no readable record.
    """
    try:
        record = json.loads((plugin_folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    python = record.get("python") if isinstance(record, dict) else None
    return python if isinstance(python, str) else None


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of the worker, without those of QGIS's libraries.

    Parameters
    ----------
    environment : mapping of str to str
        Environment variables of QGIS.

    Returns
    -------
    dict
        Environment variables of the worker.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name.upper() not in _REMOVED and not name.upper().startswith(_REMOVED_PREFIXES)
    }
    if root := environment.get("OSGEO4W_ROOT"):
        # On Windows, QGIS puts its own libraries first on PATH.
        parts = kept.get("PATH", "").split(os.pathsep)
        outside = [part for part in parts if not part.lower().startswith(root.lower())]
        kept["PATH"] = os.pathsep.join(outside)
    return kept
