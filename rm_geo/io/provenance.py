"""Where a result comes from, as tags that travel inside its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rm_geo._version import __version__
from rm_geo.io.sidecars import companions

_CHUNK: Final = 2**20


def describe_software() -> dict[str, str]:
    """Name and version of the program."""
    return {"software": f"rm_geo {__version__}", "rm_geo_version": __version__}


def describe_input(path: Path | None, prefix: str = "") -> dict[str, str]:
    """Name, size and sha256 of a file that was read; nothing of where it lay.

    Of a shapefile also one checksum of the files beside it that belong to it.

    Parameters
    ----------
    path : Path or None
        None where the measurements came from memory.
    prefix : str
        Of the tags of a file beside the measurements, such as ``buildings_``.
    """
    if path is None:
        return {f"{prefix}input": "measurements in memory"}
    if not path.is_file():
        return {f"{prefix}input": path.name}
    beside = companions(path)
    return {
        f"{prefix}input": path.name,
        f"{prefix}input_bytes": str(path.stat().st_size),
        f"{prefix}input_sha256": files_sha256(path),
        **({f"{prefix}input_companions_sha256": files_sha256(*beside)} if beside else {}),
    }


def files_sha256(*paths: Path) -> str:
    """Checksum of the bytes of some files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_CHUNK):
                digest.update(block)
    return digest.hexdigest()


def describe_values(values: Mapping[str, object]) -> dict[str, str]:
    """Turn parameters into tags; what is None is left out."""
    return {key: _text(value) for key, value in values.items() if value is not None}


def _text(value: object) -> str:
    """Write a value as short as it can be without losing anything."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
