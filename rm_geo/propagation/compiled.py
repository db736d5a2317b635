"""The door to the modules that numba compiles: without numba they say what to install."""

from __future__ import annotations

import importlib
from typing import Any

from rm_geo.errors import DependencyError


def compiled(name: str) -> Any:  # noqa: ANN401 - a module
    """Import a module of this package that needs numba.

    Raises
    ------
    DependencyError
        If numba is not installed.
    """
    try:
        return importlib.import_module(f"rm_geo.propagation.{name}")
    except ModuleNotFoundError as missing:
        if missing.name != "numba":
            raise
        raise DependencyError(
            "The dominant path model needs numba, which is not installed.",
            hint='Install it with: pip install "rm-geo[simulate]"',
        ) from missing
