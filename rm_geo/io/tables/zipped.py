"""Tables in ZIP archives and in their folders."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from rm_geo.errors import RmGeoError
from rm_geo.io.tables.source import Request, Source, Table
from rm_geo.io.zip_files import unpack_table


def open_zipped(
    path: Path, suffixes: tuple[str, ...], opened: Callable[[Path], Source]
) -> Source | None:
    r"""Open the only table of an archive.

    The table, and files beside it with the same stem, are unpacked into a temporary folder, which
    is removed with the source.

    Parameters
    ----------
    path : Path
        A ZIP archive.
    suffixes : tuple of str
        Suffixes of table names, in lower case.
    opened : callable
        Opens an unpacked file.

    Returns
    -------
    Source or None
        None if the archive is a spreadsheet, or has no file with these suffixes.

    Raises
    ------
    InputError
        If it is damaged, has several tables, or would unpack to an unreasonable size.

    Examples
    --------
    >>> import zipfile
    >>> from rm_geo.io.tables import open_source
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.zip")
    ...     with zipfile.ZipFile(path, "w") as archive:
    ...         archive.writestr("log/drive.csv", "lon,lat,rsrp\n13.4,52.5,-90\n")
    ...     source = open_zipped(path, (".csv",), open_source)
    >>> source.names
    ('lon', 'lat', 'rsrp')
    """
    found = unpack_table(path, suffixes)
    if found is None:
        return None
    folder, name = found
    unpacked = Path(folder.name) / name.name
    known = f"{path} ({name})"
    try:
        source = opened(unpacked)
    except RmGeoError as error:
        raise error.known_as(unpacked, known) from error
    return replace(source, path=path, chunks=partial(_chunks, source, folder, known))


def _chunks(
    source: Source, folder: tempfile.TemporaryDirectory[str], known: str, request: Request
) -> Iterator[Table]:
    """Read an unpacked table; its folder is removed when the last reference to it is gone."""
    try:
        yield from source.chunks(request)
    except RmGeoError as error:
        raise error.known_as(Path(folder.name) / source.path.name, known) from error
