"""Files of the QGIS plugin, from a checkout or an installed wheel."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rm_geo._util.atomic import prepare_output_folder, replacing
from rm_geo._version import __version__
from rm_geo.errors import InputError

FOLDER: Final = "rm_geo_qgis"
"""Folder of the installed plugin; a Python module name that differs from the library's."""

_SUFFIXES: Final = {".json", ".py", ".qml", ".svg", ".png", ".model3"}
_TIMESTAMP: Final = (1980, 1, 1, 0, 0, 0)  # fixed, so that equal files give equal zips


def plugin_files() -> dict[str, bytes]:
    """Read the files of the plugin.

    Returns
    -------
    dict of str to bytes
        Contents by path inside the plugin's folder, with ``/`` as separator.

    Raises
    ------
    InputError
        If this installation of rm_geo has no plugin.

    Examples
    --------
    >>> sorted(plugin_files())[:2]
    ['LICENSE', '__init__.py']
    """
    package = Path(__file__).resolve().parents[1]
    inside, beside = package / "qgis_plugin", package.parent
    # A wheel has all files in one folder; a checkout has them at its top level.
    is_wheel = (inside / "metadata.txt").is_file()
    sources = inside if is_wheel else beside / "qgis_plugin"
    texts = inside if is_wheel else beside
    if not (sources / "__init__.py").is_file() or not (texts / "metadata.txt").is_file():
        raise InputError(
            f"This installation of rm_geo has no QGIS plugin (looked in {inside} and {beside}).",
            hint="Install rm_geo again: pip install --force-reinstall rm-geo",
        )
    files = {
        path.relative_to(sources).as_posix(): path.read_bytes()
        for path in sorted(sources.rglob("*"))
        if path.suffix in _SUFFIXES and "__pycache__" not in path.parts
    }
    files["metadata.txt"] = (texts / "metadata.txt").read_bytes()
    files["LICENSE"] = (texts / "LICENSE").read_bytes()
    return files


def plugin_version(metadata: str) -> str:
    r"""Read the version from a ``metadata.txt``.

    Parameters
    ----------
    metadata : str
        Content of the file.

    Returns
    -------
    str
        Empty if the file states no version.

    Examples
    --------
    >>> plugin_version("[general]\nversion=1.2.0\n")
    '1.2.0'
    """
    found = re.search(r"^version\s*=\s*(\S+)", metadata, re.MULTILINE)
    return found.group(1) if found else ""


def write_zip(target: Path, files: Mapping[str, bytes]) -> Path:
    """Write a zip for QGIS's plugin manager or the plugin repository.

    Parameters
    ----------
    target : Path
        A ``.zip`` file, or a folder for ``rm_geo_qgis-<version>.zip``.
    files : mapping of str to bytes
        See :func:`plugin_files`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If it cannot be written.

    Examples
    --------
    >>> write_zip(Path("dist"), plugin_files())  # doctest: +SKIP
    PosixPath('dist/rm_geo_qgis-0.1.0.zip')
    """
    if target.suffix.lower() != ".zip":
        target = target / f"{FOLDER}-{__version__}.zip"
    prepare_output_folder(target.parent)
    with replacing(target) as part:
        part.write_bytes(zip_bytes(files))
    return target


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Compress the files of the plugin; equal files give equal bytes.

    Parameters
    ----------
    files : mapping of str to bytes
        See :func:`plugin_files`.

    Returns
    -------
    bytes
        A zip with one folder.

    Examples
    --------
    >>> zip_bytes({"__init__.py": b""})[:2]
    b'PK'
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{FOLDER}/{name}", _TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()
