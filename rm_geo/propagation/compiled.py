"""Import of the modules that numba compiles.

Without numba the error says what to install. numba keeps the compiled code beside the source, or
in the user's cache folder. Where neither can be written, it is kept in a private folder below the
system's temporary folder.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rm_geo.errors import DependencyError, OutputError

PRIVATE_CACHE_PREFIX: Final = "rm_geo-numba-"
"""First part of the name of the folder for compiled code below the temporary folder."""

_NO_CACHE: Final = "no locator available"
"""Part of numba's message when none of its cache folders can be written."""


def import_compiled(name: str) -> Any:  # noqa: ANN401 - a module
    """Import a module of this package that needs numba.

    Parameters
    ----------
    name : str
        Name of the module inside :mod:`rm_geo.propagation`.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    DependencyError
        If numba is not installed.
    OutputError
        If there is no folder in which numba can keep compiled code.
    """
    try:
        return _import(f"rm_geo.propagation.{name}")
    except ModuleNotFoundError as missing:
        if missing.name != "numba":
            raise
        raise DependencyError(
            "The dominant path model needs numba, which is not installed.",
            hint='Install it with: pip install "rm-geo[simulate]"',
        ) from missing


def private_cache_folder() -> Path:
    """Make the folder for compiled code below the temporary folder, one for each user.

    numba runs what it reads from its cache. The folder is therefore refused if another user
    could have written to it.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If it cannot be made, or belongs to another user.
    """
    user = os.getuid() if hasattr(os, "getuid") else None
    try:
        name = f"{PRIVATE_CACHE_PREFIX}{'cache' if user is None else user}"
        folder = Path(tempfile.gettempdir()) / name
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _no_cache(str(error)) from error
    is_shared = user is not None and (
        found.st_uid != user or bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    )
    if is_shared or not stat.S_ISDIR(found.st_mode):
        raise _no_cache(f"{folder} can be written by other users")
    return folder


def _import(module: str) -> Any:  # noqa: ANN401 - a module
    """Import a module; with the private cache folder where numba has no other."""
    try:
        return importlib.import_module(module)
    except RuntimeError as error:
        if _NO_CACHE not in str(error):
            raise
    with _cache_in(private_cache_folder()):
        return importlib.import_module(module)


@contextlib.contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Have the functions that are declared inside the block cached in a folder."""
    config: Any = importlib.import_module("numba").config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _no_cache(reason: str) -> OutputError:
    """Say that there is no place for compiled code."""
    return OutputError(
        f"numba has no folder that it can write compiled code to ({reason.rstrip('.')}).",
        hint="Set the environment variable NUMBA_CACHE_DIR to a folder that you may write to.",
    )
