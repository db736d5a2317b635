"""Search for Python environments with rm_geo in the usual places; runs none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_PARENTS = (
    ".virtualenvs",
    ".venvs",
    "venvs",
    "envs",
    ".local/share/pipx/venvs",
    ".local/pipx/venvs",
    "pipx/venvs",
    ".local/share/uv/tools",
    "AppData/Roaming/uv/tools",
    ".conda/envs",
    "miniconda3/envs",
    "anaconda3/envs",
    "miniforge3/envs",
    "mambaforge/envs",
    "micromamba/envs",
)
"""Folders of environments, below the home folder."""


def find_interpreters(home: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the interpreters of environments in which rm_geo is installed.

    Parameters
    ----------
    home : Path
        Home folder of the user.
    environment : mapping of str to str
        Environment variables: ``PATH`` and ``CONDA_PREFIX`` are searched too.

    Returns
    -------
    list of str
        Paths, the environment that was changed last first.
    """
    found = {}
    for folder in _environments(home, environment):
        python = _python_of(folder)
        if python is not None and _has_rm_geo(folder):
            found[str(python)] = folder.stat().st_mtime
    return sorted(found, key=lambda path: -found[path])


def _environments(home: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield folders that may be environments."""
    for part in environment.get("PATH", "").split(os.pathsep):
        if part and any(os.path.isfile(os.path.join(part, n)) for n in ("rm-geo", "rm-geo.exe")):
            yield Path(part).parent
    if environment.get("CONDA_PREFIX"):
        yield Path(environment["CONDA_PREFIX"])
    for folder in (home, *(home / name for name in _PARENTS)):
        for child in _folders_in(folder):
            yield child
            if folder == home:
                yield child / ".venv"
                yield child / "venv"


def _folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder; none if it cannot be read."""
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError:
        return []


def _python_of(folder: Path) -> Path | None:
    """Return the interpreter of an environment, or None."""
    for name in ("bin/python", "Scripts/python.exe", "python.exe"):
        if os.access(folder / name, os.X_OK) and (folder / name).is_file():
            return folder / name
    return None


def _has_rm_geo(folder: Path) -> bool:
    """Return whether rm_geo is installed in an environment, also from a checkout."""
    patterns = ("lib/python3*/site-packages/rm_geo*", "Lib/site-packages/rm_geo*")
    return any(True for pattern in patterns for _ in folder.glob(pattern))
