"""Tables in ZIP archives and in their folders."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from rm_geo.errors import InputError, RmGeoError
from rm_geo.io.tables.source import Request, Source, Table

_LARGEST_BYTES: Final = 16 << 30
_LARGEST_RATIO: Final = 500  # of unpacked to packed bytes; text of logs has some 5 to 30
_SPREADSHEET: Final = "[Content_Types].xml"


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
    >>> from rm_geo.io.tables import open_source
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.zip")
    ...     with zipfile.ZipFile(path, "w") as archive:
    ...         archive.writestr("log/drive.csv", "lon,lat,rsrp\n13.4,52.5,-90\n")
    ...     source = open_zipped(path, (".csv",), open_source)
    >>> source.names
    ('lon', 'lat', 'rsrp')
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not _is_hidden(info)]
            if any(info.filename == _SPREADSHEET for info in members):
                return None
            tables = [i for i in members if i.filename.lower().endswith(suffixes)]
            if not tables:
                return None
            if len(tables) > 1:
                names = ", ".join(info.filename for info in tables[:10])
                raise InputError(
                    f"{path} holds {len(tables)} tables: {names}.",
                    hint="Unpack it, and give one of them.",
                    path=path,
                )
            chosen = PurePosixPath(tables[0].filename)
            beside = [
                info
                for info in members
                if PurePosixPath(info.filename).parent == chosen.parent
                and PurePosixPath(info.filename).name.split(".")[0] == chosen.name.split(".")[0]
            ]
            folder = tempfile.TemporaryDirectory(prefix="rm_geo-zip-")
            for info in beside:
                _unpack(archive, info, Path(folder.name), path)
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{path} cannot be unpacked: {str(error).rstrip('.')}.",
            hint="Copy it again, or unpack it with another program.",
            path=path,
        ) from error
    unpacked = Path(folder.name) / chosen.name
    known = f"{path} ({chosen})"
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


def _is_hidden(info: zipfile.ZipInfo) -> bool:
    """Whether a member is a folder, a hidden file, or metadata of an operating system."""
    parts = PurePosixPath(info.filename).parts
    return info.is_dir() or any(part.startswith((".", "__MACOSX")) for part in parts)


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, path: Path) -> None:
    """Unpack a member under its own name, up to its stated size."""
    if info.file_size > _LARGEST_BYTES or info.file_size > _LARGEST_RATIO * max(
        info.compress_size, 1 << 20
    ):
        raise InputError(
            f"{path} would unpack to {info.file_size / 2**30:,.1f} GiB.",
            hint="Unpack it yourself if it can be trusted.",
            path=path,
        )
    target = folder / PurePosixPath(info.filename).name
    with archive.open(info) as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain, 1 << 20)
