"""Provenance tags: where a result comes from, written into its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rm_geo._version import __version__
from rm_geo.io.sidecars import sidecar_files

_CHUNK_BYTES = 2**20


def describe_software() -> dict[str, str]:
    """Give name and version of this program as tags.

    Returns
    -------
    dict of str to str
        ``software`` and ``rm_geo_version``.

    Examples
    --------
    >>> sorted(describe_software())
    ['rm_geo_version', 'software']
    """
    return {"software": f"rm_geo {__version__}", "rm_geo_version": __version__}


def describe_input(path: Path | None, prefix: str = "") -> dict[str, str]:
    """Give name, size and SHA-256 of an input file as tags; not the folder it was in.

    Parameters
    ----------
    path : Path or None
        The file. None if the measurements came from memory.
    prefix : str
        Prefix of the tags of a second input, such as ``buildings_``.

    Returns
    -------
    dict of str to str
        ``input``, ``input_bytes``, ``input_sha256``, and for a shapefile with sidecars
        ``input_sidecars_sha256``, one checksum of them all. Only ``input`` if the file is gone.

    Raises
    ------
    OSError
        If the file exists and cannot be read.

    Examples
    --------
    >>> describe_input(None)
    {'input': 'measurements in memory'}
    """
    if path is None:
        return {f"{prefix}input": "measurements in memory"}
    if not path.is_file():
        return {f"{prefix}input": path.name}
    sidecars = sidecar_files(path)
    return {
        f"{prefix}input": path.name,
        f"{prefix}input_bytes": str(path.stat().st_size),
        f"{prefix}input_sha256": files_sha256(path),
        **({f"{prefix}input_sidecars_sha256": files_sha256(*sidecars)} if sidecars else {}),
    }


def describe_inputs(paths: Sequence[Path]) -> dict[str, str]:
    """Give name, size and SHA-256 of one or several files of measurements as tags.

    Parameters
    ----------
    paths : sequence of Path
        The files. None if the measurements came from memory.

    Returns
    -------
    dict of str to str
        Of one file as :func:`describe_input`. Of several files ``input``, which names them all,
        ``input_1``, ``input_1_bytes``, ``input_1_sha256``, ``input_2`` and so on.

    Raises
    ------
    OSError
        If a file exists and cannot be read.

    Examples
    --------
    >>> describe_inputs([Path("gone/monday.csv"), Path("gone/tuesday.csv")])
    {'input': 'monday.csv, tuesday.csv', 'input_1': 'monday.csv', 'input_2': 'tuesday.csv'}
    """
    if len(paths) < 2:
        return describe_input(paths[0] if paths else None)
    tags = {"input": ", ".join(path.name for path in paths)}
    for number, path in enumerate(paths, start=1):
        for key, value in describe_input(path).items():
            tags[key.replace("input", f"input_{number}", 1)] = value
    return tags


def files_sha256(*paths: Path) -> str:
    """Compute the SHA-256 of the concatenated content of files.

    Parameters
    ----------
    *paths : Path
        The files, in order.

    Returns
    -------
    str
        Hexadecimal digest.

    Raises
    ------
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> files_sha256()[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_CHUNK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def describe_values(values: Mapping[str, object]) -> dict[str, str]:
    """Turn parameters into tags; parameters that are None are dropped.

    Parameters
    ----------
    values : mapping of str to object
        Floats are written with up to ten significant digits, booleans as ``yes`` and ``no``.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> describe_values({"reach_m": 500.0, "site": None, "preview": True})
    {'reach_m': '500', 'preview': 'yes'}
    """
    return {key: _text(value) for key, value in values.items() if value is not None}


def describe_method(method: str, **parameters: object) -> dict[str, str]:
    """Give the name and the parameters of an estimation method as tags.

    Parameters
    ----------
    method : str
        Name in the registry of estimators.
    **parameters : object
        As :func:`describe_values` takes them.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> describe_method("idw", power=2.0, neighbors=12)
    {'method': 'idw', 'power': '2', 'neighbors': '12'}
    """
    return {"method": method, **describe_values(parameters)}


def _text(value: object) -> str:
    """Write a value as short as possible without losing digits that matter."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
