"""Sidecar files: the files beside a ``.shp`` that complete a shapefile."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SIDECARS: Final = (".shx", ".dbf", ".prj", ".cpg")
"""Extensions of the sidecars of a shapefile; the last two are optional."""


def sidecar_files(path: Path) -> list[Path]:
    """List the sidecars of a shapefile that exist.

    Parameters
    ----------
    path : Path
        Any file; only a name ending in ``.shp`` (in any case) has sidecars.

    Returns
    -------
    list of Path
        In the order of :data:`SIDECARS`; empty for other kinds of files.

    Examples
    --------
    >>> sidecar_files(Path("drive.gpkg"))
    []
    """
    if path.suffix.lower() != ".shp":
        return []
    found = (sidecar_file(path, suffix) for suffix in SIDECARS)
    return [file for file in found if file is not None]


def sidecar_file(path: Path, suffix: str) -> Path | None:
    """Find one sidecar of a shapefile, with its extension in lower or upper case.

    Parameters
    ----------
    path : Path
        The ``.shp`` file.
    suffix : str
        Extension of the sidecar in lower case, with the dot.

    Returns
    -------
    Path or None
        None if there is no such file.

    Examples
    --------
    >>> sidecar_file(Path("/nowhere/drive.shp"), ".dbf") is None
    True
    """
    for candidate in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
        if candidate.is_file():
            return candidate
    return None
