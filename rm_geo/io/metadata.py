"""What lies at a place, on this machine or in object storage, asked without fetching it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from rm_geo.errors import FetchError, InputError
from rm_geo.io.object_store import attempt, open_storage
from rm_geo.io.paths import Location, file_name, url_of
from rm_geo.io.sidecars import SIDECARS

T = TypeVar("T")
L = TypeVar("L")

_AT_ONCE: Final = 16


def for_each(question: Callable[[L], T], places: Iterable[L]) -> list[T]:
    """Ask the same of many places, some at once: a storage answers in tens of milliseconds."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(question, places))


def exists(location: Location) -> bool:
    """Whether there is something at a place.

    Raises
    ------
    FetchError
        If a storage does not say.
    DependencyError, UsageError
        As :func:`rm_geo.io.object_store.fetched`.
    """
    if not isinstance(location, str):
        return location.exists()
    return _details(location) is not None


def head_of(location: Location, size: int) -> bytes:
    """Give the first bytes of a file, fetching no more of it.

    Raises
    ------
    InputError
        If there is none, or it cannot be read.
    FetchError
        If a storage fails.
    """
    if isinstance(location, str):
        system, path = open_storage(url_of(location))
        return bytes(
            attempt(
                lambda: system.cat_file(path, start=0, end=size),
                location,
                "read",
                FetchError,
                InputError,
            )
        )
    try:
        with location.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise InputError(f"{location} cannot be read: {error.strerror}.") from error


def version_of(location: Location) -> str:
    """Give a text that changes with the content of a file, as far as size, time or tag tell.

    Raises
    ------
    InputError
        If there is none, or a storage does not say.
    """
    if isinstance(location, str):
        system, path = open_storage(url_of(location))

        def version() -> str:
            parts = [path]
            if path.lower().endswith(".shp"):
                others = (path[:-4] + suffix for suffix in SIDECARS)
                parts += [other for other in others if system.exists(other)]
            return " ".join(str(system.checksum(part)) for part in parts)

        return attempt(version, location, "read", FetchError, InputError)
    try:
        status = location.stat()
    except OSError as error:
        raise InputError(f"{location} cannot be read: {error.strerror}.") from error
    return f"{status.st_size} {status.st_mtime_ns}"


def file_sizes(location: Location) -> dict[str, int | None]:
    """Names of the files in a folder, which need not exist, and their sizes in bytes.

    A storage may not know a size: None.

    Raises
    ------
    FetchError
        If a storage does not say.
    """
    if not isinstance(location, str):
        inside = location.iterdir() if location.is_dir() else iter(())
        return {path.name: path.stat().st_size for path in inside if path.is_file()}
    system, path = open_storage(url_of(location))
    return {
        file_name(str(entry["name"])): entry.get("size")
        for entry in _listed(system, path, location)
    }


def find(location: str, suffixes: Sequence[str]) -> list[str]:
    """Find what a file, a folder or a pattern in object storage stands for.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL.
    suffixes : sequence of str
        Endings of the files that are meant of a folder.

    Returns
    -------
    list of str
        URLs; none if there is nothing.

    Raises
    ------
    FetchError
        If the storage does not say.
    """
    system, path = open_storage(url_of(location))
    details = _details(location)
    if details is None:
        names = attempt(lambda: system.glob(path), location, "read", FetchError, InputError)
        return [str(system.unstrip_protocol(name)) for name in names]
    if details["type"] != "directory":
        return [location]
    names = (str(entry["name"]) for entry in _listed(system, path, location))
    inside = [str(system.unstrip_protocol(name)) for name in names]
    return [url for url in inside if file_name(url).lower().endswith(tuple(suffixes))]


def _details(location: str) -> dict[str, Any] | None:
    """Ask a storage what it knows of a place; None if there is nothing."""
    system, path = open_storage(url_of(location))
    try:
        found = attempt(lambda: system.info(path), location, "read", FetchError, InputError)
    except FetchError:
        raise
    except InputError:
        return None
    return dict(found)


def _listed(
    system: Any,  # noqa: ANN401 - of fsspec, untyped
    path: str,
    location: str,
) -> list[dict[str, Any]]:
    """List what a storage knows of the files in a folder, which need not exist."""

    def inside() -> list[dict[str, Any]]:
        try:
            entries = system.ls(path, detail=True)
        except FileNotFoundError:
            return []
        return [entry for entry in entries if entry["type"] == "file"]

    return attempt(inside, location, "read", FetchError, InputError)
