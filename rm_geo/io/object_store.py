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
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from rm_geo._util.atomic import refuse_link
from rm_geo._util.tempdirs import owned_folder
from rm_geo.errors import (
    DependencyError,
    FetchError,
    InputError,
    OutputError,
    RmGeoError,
    UsageError,
)
from rm_geo.io.paths import Location, file_name, url_of
from rm_geo.io.sidecars import SIDECARS

T = TypeVar("T")

_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_SUMMARY: Final = "summary"
_PROBE: Final = ".rm_geo-probe"


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
    with owned_folder() as folder:
        copy = fetch(location, folder)
        with named_as(copy, location):
            yield copy


def fetch(location: str, folder: Path) -> Path:
    """Fetch a file, and the companions of a shapefile, into a folder; gives the copy.

    Raises
    ------
    InputError, FetchError, DependencyError, UsageError
        As :func:`fetched`.
    """
    url = url_of(location)
    name = file_name(url)
    if not name:
        raise UsageError(f"{location} names no file.")
    system, path = open_storage(url)
    attempt(lambda: _get(system, path, folder / name), location, "read", FetchError, InputError)
    return folder / name


@contextmanager
def named_as(copy: Path, location: str) -> Iterator[None]:
    """Name a location in place of its copy in the errors of a block."""
    try:
        yield
    except RmGeoError as error:
        told = error.message.replace(str(copy), location)
        raise type(error)(told, hint=error.hint) from error


@contextmanager
def stored(location: str, names: Collection[str], part: str = "") -> Iterator[Path]:
    """Give a folder for results, and store them at a location when the block is done.

    A block that fails leaves the folder, so that the same command goes on from there.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL, of a folder.
    names : collection of str
        Names of the results in that folder, as they are when the block is done; those that
        are not there are passed over. Whatever else lies there is not stored.
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
    refuse_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
    files = [folder / name for name in {*names} if (folder / name).is_file()]
    # The summary last: who finds it finds everything that it speaks of.
    for path in sorted(files, key=lambda path: (path.stem == _SUMMARY, path)):
        target = f"{root.rstrip('/')}/{path.name}"
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


def require_writable(location: str) -> None:
    """Refuse a folder in object storage that takes no file, before hours of work for it.

    An empty object is written there, and removed where the storage lets it.

    Raises
    ------
    OutputError
        If it cannot be written.
    DependencyError, UsageError
        As :func:`stored`.
    """
    system, root = open_storage(url_of(location))
    probe = f"{root.rstrip('/')}/{_PROBE}"

    def written() -> None:
        system.makedirs(root.rstrip("/"), exist_ok=True)
        system.pipe_file(probe, b"")

    attempt(written, location, "written", OutputError, OutputError)
    # Credentials that may write need not be such that may remove.
    with suppress(Exception):
        system.rm_file(probe)


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
        for suffix in SIDECARS:
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
