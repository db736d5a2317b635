"""ZIP archives of other programs: their members, bounds of what they unpack to, and unpacking."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from rm_geo.errors import InputError

ZIP_MAGIC: Final = b"PK\x03\x04"
"""First bytes of an archive with members."""

LARGEST_RATIO: Final = 500
"""Largest ratio of unpacked to packed bytes; text of logs has some 5 to 30."""

_LARGEST_BYTES: Final = 16 << 30
_MOST_MEMBERS: Final = 10_000
_SPREADSHEETS: Final = ("[Content_Types].xml", "mimetype")
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def zip_members(path: Path) -> list[zipfile.ZipInfo]:
    """List the members of an archive that are data.

    Parameters
    ----------
    path : Path
        A ZIP archive.

    Returns
    -------
    list of zipfile.ZipInfo
        Without folders, hidden files and metadata of an operating system.

    Raises
    ------
    InputError
        If the archive is damaged.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.zip")
    ...     with zipfile.ZipFile(path, "w") as archive:
    ...         archive.writestr("log/drive.csv", "lon,lat,rsrp")
    ...         archive.writestr(".DS_Store", "")
    ...     [member.filename for member in zip_members(path)]
    ['log/drive.csv']
    """
    with _opened(path) as archive:
        return [info for info in archive.infolist() if not _is_hidden(info)]


def is_spreadsheet(members: Sequence[zipfile.ZipInfo]) -> bool:
    """Whether an archive is one document, such as XLSX or ODS, not a folder of files.

    Parameters
    ----------
    members : sequence of zipfile.ZipInfo
        As of :func:`zip_members`.

    Returns
    -------
    bool
    """
    return any(info.filename in _SPREADSHEETS for info in members)


def require_bounded(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse members that unpack to an unreasonable size, together.

    Parameters
    ----------
    path : Path
        The archive.
    members : sequence of zipfile.ZipInfo
        What will be unpacked.

    Raises
    ------
    InputError
        If there are too many, or they are too large for the size of the archive.
    """
    unpacked = sum(info.file_size for info in members)
    packed = max(path.stat().st_size, 1 << 18)
    if unpacked > min(_LARGEST_BYTES, LARGEST_RATIO * packed) or len(members) > _MOST_MEMBERS:
        raise InputError(
            f"{path} would unpack to {unpacked / 2**30:,.1f} GiB in {len(members)} files.",
            hint="Unpack it yourself if it can be trusted.",
            path=path,
        )


def unpack_table(
    path: Path, suffixes: tuple[str, ...]
) -> tuple[tempfile.TemporaryDirectory[str], PurePosixPath] | None:
    """Unpack the only table of an archive, and files beside it with the same stem.

    Parameters
    ----------
    path : Path
        A ZIP archive.
    suffixes : tuple of str
        Suffixes of table names, in lower case.

    Returns
    -------
    folder : tempfile.TemporaryDirectory
        Where the files are, without the folders of the archive.
    name : PurePosixPath
        The table, as the archive names it.
        None in place of both if the archive is a spreadsheet, or has no file with these suffixes.

    Raises
    ------
    InputError
        If it is damaged, has several tables, or would unpack to an unreasonable size.
    """
    members = zip_members(path)
    tables = [info for info in members if info.filename.lower().endswith(suffixes)]
    if is_spreadsheet(members) or not tables:
        return None
    if len(tables) > 1:
        names = ", ".join(info.filename for info in tables[:10])
        raise InputError(
            f"{path} holds {len(tables)} tables: {names}.",
            hint="Unpack it, and give one of them.",
            path=path,
        )
    chosen = PurePosixPath(tables[0].filename)
    stem = chosen.name.split(".")[0]
    beside = [
        info
        for info in members
        if PurePosixPath(info.filename).parent == chosen.parent
        and PurePosixPath(info.filename).name.split(".")[0] == stem
    ]
    require_bounded(path, beside)
    folder = tempfile.TemporaryDirectory(prefix="rm_geo-zip-")
    with _opened(path) as archive:
        for info in beside:
            target = Path(folder.name, PurePosixPath(info.filename).name)
            # Reading ends at the size that the archive states, which is bounded above.
            with archive.open(info) as packed, target.open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
    return folder, chosen


@contextmanager
def unzipped(path: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Give the only table of an archive, unpacked for the time of a block.

    Parameters
    ----------
    path : Path
        Any file; what is no archive of files is given as it is.
    suffixes : tuple of str
        Suffixes of table names, in lower case.

    Yields
    ------
    Path
        A file.

    Raises
    ------
    InputError
        As :func:`unpack_table`.
    """
    unpacked = unpack_table(path, suffixes) if _is_zip(path) else None
    if unpacked is None:
        yield path
        return
    folder, name = unpacked
    with folder:
        yield Path(folder.name, name.name)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; errors name it."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGE as error:
        raise InputError(
            f"{path} cannot be unpacked: {str(error).rstrip('.')}.",
            hint="Copy it again, or unpack it with another program.",
            path=path,
        ) from error


def _is_zip(path: Path) -> bool:
    """Whether a file begins like an archive with members."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(ZIP_MAGIC)) == ZIP_MAGIC


def _is_hidden(info: zipfile.ZipInfo) -> bool:
    """Whether a member is a folder, a hidden file, or metadata of an operating system."""
    parts = PurePosixPath(info.filename).parts
    if not info.filename:  # damaged; is_dir() needs a name
        return True
    return info.is_dir() or any(part.startswith((".", "__MACOSX")) for part in parts)
