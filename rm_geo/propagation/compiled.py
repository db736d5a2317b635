"""Import of the modules compiled by numba, with an error that names the missing extra."""

from __future__ import annotations

import importlib
from typing import Any

from rm_geo.errors import DependencyError


def import_compiled(name: str) -> Any:  # noqa: ANN401 - a module
    """Import a module of this package that needs numba.

    Parameters
    ----------
    name : str
        Name of the module within :mod:`rm_geo.propagation`.

    Returns
    -------
    module

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
