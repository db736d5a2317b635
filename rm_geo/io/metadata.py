"""Questions about files, local or in object storage, answered without downloading them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rm_geo.errors import FetchError, InputError
from rm_geo.io.object_store import attempt, remote_path, remote_sidecars
from rm_geo.io.paths import Location, file_name

if TYPE_CHECKING:
    from upath import UPath

T = TypeVar("T")
L = TypeVar("L")

_THREADS: Final = 16


def for_each(question: Callable[[L], T], items: Iterable[L]) -> list[T]:
    """Call a function for many items in parallel threads: a storage answers in milliseconds.

    Parameters
    ----------
    question : callable
        Takes one item.
    items : iterable
        Such as locations.

    Returns
    -------
    list
        The answers, in the order of the items. The first error is raised.

    Examples
    --------
    >>> for_each(len, ["a", "bcd"])
    [1, 3]
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(question, items))


def exists(location: Location) -> bool:
    """Whether there is a file or folder at a location.

    Parameters
    ----------
    location : Path or str

    Returns
    -------
    bool

    Raises
    ------
    FetchError
        If a storage does not answer.
    DependencyError, UsageError
        As :func:`rm_geo.io.object_store.fetched`.

    Examples
    --------
    >>> from pathlib import Path
    >>> exists(Path("/nowhere/drive.csv"))
    False
    """
    if not isinstance(location, str):
        try:
            return location.exists()
        except OSError:  # such as a name that is longer than the system allows
            return False
    return _info(remote_path(location), location) is not None


def head_of(location: Location, size: int) -> bytes:
    """Read the first bytes of a file, and no more than those.

    Parameters
    ----------
    location : Path or str
    size : int
        Number of bytes.

    Returns
    -------
    bytes
        Fewer than ``size`` if the file is shorter.

    Raises
    ------
    InputError
        If the file does not exist or cannot be read.
    FetchError
        If a storage fails.
    """
    if isinstance(location, str):
        remote = remote_path(location)

        def head() -> bytes:
            return bytes(remote.fs.cat_file(remote.path, start=0, end=size))

        return attempt(head, location, "read", FetchError, InputError)
    try:
        with location.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise InputError(f"{location} cannot be read: {error.strerror}.", path=location) from error


def version_of(location: Location) -> str:
    """Give a text that changes with the content of a file: its size and time, or its tag.

    Parameters
    ----------
    location : Path or str
        A shapefile in object storage includes its sidecars.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the file does not exist.
    FetchError
        If a storage does not answer.
    """
    if isinstance(location, str):
        remote = remote_path(location)

        def version() -> str:
            parts = [remote, *remote_sidecars(remote)]
            return " ".join(str(part.fs.checksum(part.path)) for part in parts)

        return attempt(version, location, "read", FetchError, InputError)
    try:
        status = location.stat()
    except OSError as error:
        raise InputError(f"{location} cannot be read: {error.strerror}.", path=location) from error
    return f"{status.st_size} {status.st_mtime_ns}"


def file_sizes(location: Location) -> dict[str, int | None]:
    """List the files in a folder, which need not exist, with their sizes.

    Parameters
    ----------
    location : Path or str

    Returns
    -------
    dict of str to int or None
        Sizes in bytes by name; None if a storage does not know a size.

    Raises
    ------
    FetchError
        If a storage does not answer.
    """
    if not isinstance(location, str):
        inside = location.iterdir() if location.is_dir() else iter(())
        return {path.name: path.stat().st_size for path in inside if path.is_file()}
    entries = _list_files(remote_path(location), location)
    return {file_name(str(entry["name"])): entry.get("size") for entry in entries}


def find(location: str, suffixes: Sequence[str]) -> list[str]:
    """Expand a file, a folder or a pattern in object storage.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL.
    suffixes : sequence of str
        Endings of the files to list in a folder, in lower case.

    Returns
    -------
    list of str
        URLs; empty if there is nothing.

    Raises
    ------
    FetchError
        If the storage does not answer.
    """
    remote = remote_path(location)
    info = _info(remote, location)
    if info is not None and info["type"] != "directory":
        return [location]
    if info is None:
        names = attempt(
            lambda: remote.fs.glob(remote.path), location, "read", FetchError, InputError
        )
    else:
        inside = _list_files(remote, location)
        names = [e["name"] for e in inside if e["name"].lower().endswith(tuple(suffixes))]
    return [str(remote.fs.unstrip_protocol(name)) for name in names]


def _info(remote: UPath, location: str) -> dict[str, Any] | None:
    """Ask a storage about a location; None if there is nothing."""

    def info() -> dict[str, Any] | None:
        try:
            return dict(remote.fs.info(remote.path))
        except FileNotFoundError:
            return None

    return attempt(info, location, "read", FetchError, InputError)


def _list_files(remote: UPath, location: str) -> list[dict[str, Any]]:
    """List what a storage knows of the files in a folder, with one request."""

    def files() -> list[dict[str, Any]]:
        try:
            entries = remote.fs.ls(remote.path, detail=True)
        except FileNotFoundError:
            return []
        return [entry for entry in entries if entry["type"] == "file"]

    return attempt(files, location, "read", FetchError, InputError)
