"""Inputs and outputs in object storage: fetched before the work, stored after it.

Whoever speaks of ``s3://bucket/key`` may also say ``/vsis3/bucket/key``, as GDAL does. What is
fetched is the whole object; results are made on this machine and then stored one by one, each
object whole or not at all, as object stores have it.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from rm_geo.errors import (
    DependencyError,
    FetchError,
    InputError,
    OutputError,
    RmGeoError,
    UsageError,
)
from rm_geo.locations import Location, file_name, url_of

T = TypeVar("T")

_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_COMPANIONS: Final = (".shx", ".dbf", ".prj", ".cpg")
_SUMMARY: Final = "summary"


@contextmanager
def fetched(location: str) -> Iterator[Path]:
    """Fetch a file of measurements, the companions of a shapefile too, for the time of a block.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL.

    Yields
    ------
    Path
        The local copy. Errors of the block name the location in its place.

    Raises
    ------
    InputError
        If it does not exist.
    FetchError
        If it cannot be read, perhaps for now only.
    DependencyError
        If the package for this kind of storage is not installed.
    UsageError
        If the location cannot be meant.
    """
    url = url_of(location)
    name = file_name(url)
    if not name:
        raise UsageError(f"{location} names no file.")
    with tempfile.TemporaryDirectory(prefix="rm_geo-") as folder:
        system, path = open_storage(url)
        attempt(
            lambda: _get(system, path, Path(folder) / name), location, "read", FetchError,
            InputError,
        )  # fmt: skip
        try:
            yield Path(folder) / name
        except RmGeoError as error:
            told = error.message.replace(str(Path(folder) / name), location)
            raise type(error)(told, hint=error.hint) from error


@contextmanager
def stored(location: str, part: str = "") -> Iterator[Path]:
    """Give a folder for results, and store what it holds at a location when the block is done.

    A block that fails leaves the folder, so that the same command goes on from there.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL, of a folder.
    part : str
        Which part of the results these are, where several are made at the same time.

    Yields
    ------
    Path
        A local folder.

    Raises
    ------
    OutputError
        If a file cannot be stored; the local copies are kept, and the message says where.
    DependencyError
        If the package for this kind of storage is not installed.
    UsageError
        If the location cannot be meant.
    """
    url = url_of(location)
    system, root = open_storage(url)
    # An address has no blank, so that no other one has the folder of a part.
    which = f"{url} {part}" if part else url
    folder = outbox() / hashlib.sha256(which.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    # The summary last: who finds it finds everything that it speaks of.
    for path in sorted(files, key=lambda path: (path.stem == _SUMMARY, path)):
        target = f"{root.rstrip('/')}/{path.relative_to(folder).as_posix()}"
        attempt(
            partial(_put, system, path, target),
            f"{location} ({path.name}; the results are in {folder})",
            "written",
            OutputError,
            OutputError,
        )
    shutil.rmtree(folder, ignore_errors=True)


def local(
    location: Location,
    places: ExitStack,
    stand_in: Callable[[str], AbstractContextManager[Path]],
) -> Path:
    """Give the file or folder on this machine that stands for a place while work is done.

    Parameters
    ----------
    location : Path or str
        A path stands for itself.
    places : ExitStack
        Ends what stands for a place in object storage.
    stand_in : callable
        :func:`fetched` or :func:`stored`.
    """
    return location if isinstance(location, Path) else places.enter_context(stand_in(location))


def remove(location: str) -> None:
    """Remove a file from object storage, if it is there.

    Raises
    ------
    OutputError
        If the storage refuses.
    """
    system, path = open_storage(url_of(location))

    def removed() -> None:
        with suppress(FileNotFoundError):
            system.rm_file(path)

    attempt(removed, location, "removed", OutputError, OutputError)


def outbox() -> Path:
    """Folder where results wait to be stored."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rm_geo" / "outbox"


def open_storage(url: str) -> tuple[Any, str]:
    """Open the file system of a URL; gives it and the path on it.

    Raises
    ------
    DependencyError
        If its package is not installed.
    UsageError
        If there is no such kind of storage.
    """
    scheme = urlsplit(url).scheme
    try:
        core = importlib.import_module("fsspec.core")
        system, path = core.url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(scheme, "fsspec")
        raise DependencyError(
            f"{scheme}:// needs a package that is not installed ({error}).",
            hint=f"Install it with: pip install fsspec {package}",
        ) from error
    except ValueError as error:
        raise UsageError(f"{url} cannot be used: {error}.") from error
    return system, str(path)


def _get(system: Any, path: str, target: Path) -> None:  # noqa: ANN401 - of fsspec, untyped
    """Fetch one file, and what belongs to it where it is a shapefile."""
    system.get_file(path, str(target))
    if path.lower().endswith(".shp"):
        for suffix in _COMPANIONS:
            if system.exists(path[:-4] + suffix):
                system.get_file(path[:-4] + suffix, str(target.with_suffix(suffix)))


def _put(system: Any, path: Path, target: str) -> None:  # noqa: ANN401 - of fsspec, untyped
    """Store one file."""
    system.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
    system.put_file(str(path), target)


def attempt(
    action: Callable[[], T],
    location: str,
    what: str,
    failure: type[RmGeoError],
    missing: type[RmGeoError],
) -> T:
    """Do something with a storage, whose errors are of all kinds.

    Raises
    ------
    RmGeoError
        The one named ``missing`` if there is nothing at the location, ``failure`` otherwise.
    """
    try:
        return action()
    except FileNotFoundError as error:
        raise missing(f"{location} does not exist.", hint="Check the address.") from error
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise failure(
            f"{location} cannot be {what}: {reason}.",
            hint="Check the address and the credentials that its storage expects.",
        ) from error
