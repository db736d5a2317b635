"""The files that a shapefile consists of."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SIDECARS: Final = (".shx", ".dbf", ".prj", ".cpg")
"""Extensions of the files beside a .shp that belong to it; the last two may be missing."""


def companions(path: Path) -> list[Path]:
    """Find the files beside a shapefile that belong to it; of a file of another kind, none."""
    if path.suffix.lower() != ".shp":
        return []
    found = (companion(path, suffix) for suffix in SIDECARS)
    return [file for file in found if file is not None]


def companion(path: Path, suffix: str) -> Path | None:
    """Find ``name.shx`` beside ``name.shp``, whatever the case of its extension."""
    for candidate in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
        if candidate.is_file():
            return candidate
    return None
