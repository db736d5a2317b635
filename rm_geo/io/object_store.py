"""Inputs from and outputs to object storage, through fsspec and universal-pathlib.

An input is downloaded whole before the work. Outputs are written to a local outbox and uploaded
file by file when they are complete; object stores make each object visible whole or not at all.
``s3://bucket/key`` and GDAL's ``/vsis3/bucket/key`` mean the same.

The download caches of fsspec (``filecache``, ``simplecache``) are not used: a file of which the
download was interrupted stays in their folder and is later returned as if it were complete, and
they have neither a size limit nor locks between threads. fsspec has no outbox.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from rm_geo._util.cache import user_cache_folder
from rm_geo._util.own_folder import refuse_link
from rm_geo._util.tempdirs import owned_folder
from rm_geo.errors import (
    DependencyError,
    FetchError,
    InputError,
    OutputError,
    RmGeoError,
    UsageError,
    redacted,
)
from rm_geo.io.paths import Location, file_name, url_of
from rm_geo.io.sidecars import SIDECARS

if TYPE_CHECKING:
    from upath import UPath

T = TypeVar("T")

_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_SUMMARY: Final = "summary"
_PROBE: Final = ".rm_geo-probe"


@contextmanager
def fetched(location: str) -> Iterator[Path]:
    """Download an input file for the time of a block, a shapefile with its sidecars.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL.

    Yields
    ------
    Path
        The local copy, removed afterwards. Errors of the block name the location instead.

    Raises
    ------
    InputError
        If the file does not exist.
    FetchError
        If it cannot be downloaded; another try may succeed.
    DependencyError
        If the package for this kind of storage is not installed.
    UsageError
        If the location is not valid.

    Examples
    --------
    >>> with fetched("s3://drives/today.parquet") as path:  # doctest: +SKIP
    ...     print(path.stat().st_size)
    """
    with owned_folder() as folder:
        copy = fetch(location, folder)
        with named_as(copy, location):
            yield copy


def fetch(location: str, folder: Path) -> Path:
    """Download a file into a folder, a shapefile with its sidecars.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL.
    folder : Path
        Local folder, which exists.

    Returns
    -------
    Path
        The local copy, under the name of the original.

    Raises
    ------
    InputError, FetchError, DependencyError, UsageError
        As :func:`fetched`.
    """
    remote = remote_path(location)
    name = file_name(location)
    if not name:
        raise UsageError(f"{redacted(location)} names no file.")
    copy = folder / name

    def download() -> Path:
        remote.fs.get_file(remote.path, str(copy))
        for sidecar in remote_sidecars(remote):
            sidecar.fs.get_file(sidecar.path, str(copy.with_suffix(sidecar.suffix)))
        return copy

    return attempt(download, location, "read", FetchError, InputError)


@contextmanager
def named_as(copy: Path, location: str) -> Iterator[None]:
    """Name a location instead of its local copy in the errors of a block.

    Parameters
    ----------
    copy : Path
        The local copy.
    location : str
        What it is a copy of; shown without credentials.

    Yields
    ------
    None
        While the block runs.

    Raises
    ------
    RmGeoError
        The error of the block, about the location.
    """
    try:
        yield
    except RmGeoError as error:
        raise error.known_as(copy, redacted(location)) from error


@contextmanager
def stored(location: str, names: Collection[str], part: str = "") -> Iterator[Path]:
    """Provide a local folder for outputs, and upload them when the block is complete.

    If the block fails, the folder stays, and the same command continues from there.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL, of a folder.
    names : collection of str
        Names of the files to upload, read when the block is complete; names without a file are
        ignored. Other files are not uploaded.
    part : str
        Identifies this part of the outputs, if several are written at the same time.

    Yields
    ------
    Path
        The local folder.

    Raises
    ------
    OutputError
        If a file cannot be uploaded. The local files are kept; the message names their folder.
    DependencyError
        If the package for this kind of storage is not installed.
    UsageError
        If the location is not valid.

    Examples
    --------
    >>> with stored("s3://maps/today", ["7_rsrp.tif"]) as folder:  # doctest: +SKIP
    ...     write_map(folder / "7_rsrp.tif")
    """
    root = remote_path(location)
    # A URL contains no blank, so that a part never shares the folder of another URL.
    url = url_of(location)
    key = f"{url} {part}" if part else url
    folder = outbox() / hashlib.sha256(key.encode()).hexdigest()[:16]
    refuse_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
    files = [folder / name for name in {*names} if (folder / name).is_file()]
    # The summary last: it lists files that must be there when it is read.
    for path in sorted(files, key=lambda path: (path.stem == _SUMMARY, path)):
        attempt(
            partial(_upload, path, root),
            f"{location} ({path.name}; the results are in {folder})",
            "written",
            OutputError,
            OutputError,
        )
    shutil.rmtree(folder, ignore_errors=True)


def local(
    location: Location,
    stack: ExitStack,
    stand_in: Callable[[str], AbstractContextManager[Path]],
) -> Path:
    """Give the local file or folder that stands for a location.

    Parameters
    ----------
    location : Path or str
        A path stands for itself.
    stack : ExitStack
        Closes the context of a remote location.
    stand_in : callable
        Gives that context, such as :func:`fetched` or :func:`stored`.

    Returns
    -------
    Path

    Examples
    --------
    >>> with ExitStack() as stack:
    ...     local(Path("drive.csv"), stack, fetched).name
    'drive.csv'
    """
    return location if isinstance(location, Path) else stack.enter_context(stand_in(location))


def remove(location: str) -> None:
    """Remove a file from object storage, if it exists.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL.

    Raises
    ------
    OutputError
        If the storage refuses.
    """
    remote = remote_path(location)

    def unlink() -> None:
        with suppress(FileNotFoundError):
            remote.fs.rm_file(remote.path)

    attempt(unlink, location, "removed", OutputError, OutputError)


def require_writable(location: str) -> None:
    """Check that a folder in object storage accepts files, before hours of work for it.

    An empty object is written there, and removed if the storage allows it.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL, of a folder.

    Raises
    ------
    OutputError
        If the object cannot be written.
    DependencyError, UsageError
        As :func:`stored`.
    """
    probe = remote_path(location) / _PROBE

    def write() -> None:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.fs.pipe_file(probe.path, b"")

    attempt(write, location, "written", OutputError, OutputError)
    # Credentials that may write need not be allowed to remove.
    with suppress(Exception):
        probe.unlink()


def outbox() -> Path:
    """Give the folder of outputs that wait for their upload.

    Returns
    -------
    Path
        Below ``XDG_CACHE_HOME`` if that is set, else below ``~/.cache``.
    """
    return user_cache_folder() / "outbox"


def remote_path(location: str) -> UPath:
    """Open a location as a path of universal-pathlib.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL.

    Returns
    -------
    UPath
        Its file system is available.

    Raises
    ------
    DependencyError
        If a package for this kind of storage is not installed.
    UsageError
        If there is no such kind of storage.
    """
    url = url_of(location)
    scheme = urlsplit(url).scheme
    try:
        from upath import UPath  # only for remote locations: part of the extra 'remote'

        path = UPath(url)
        _ = path.fs
    except ImportError as error:
        packages = " ".join(filter(None, ["rm-geo[remote]", _PACKAGES.get(scheme)]))
        raise DependencyError(
            f"{scheme}:// needs a package that is not installed ({error}).",
            hint=f"Install it with: pip install {packages}",
        ) from error
    except ValueError as error:
        raise UsageError(f"{redacted(f'{url} cannot be used: {error}')}.") from error
    return path


def remote_sidecars(path: UPath) -> list[UPath]:
    """List the sidecars of a shapefile in object storage that exist.

    Parameters
    ----------
    path : UPath
        Any file; only a name ending in ``.shp`` has sidecars.

    Returns
    -------
    list of UPath
        Empty for other kinds of files. Errors of the storage pass through.
    """
    found = []
    for suffix in SIDECARS if path.path.lower().endswith(".shp") else ():
        with suppress(FileNotFoundError):
            sidecar = path.with_suffix(suffix)
            sidecar.fs.info(sidecar.path)  # fsspec's exists() takes every failure for "no"
            found.append(sidecar)
    return found


def attempt(
    action: Callable[[], T],
    location: str,
    what: str,
    failure: type[RmGeoError],
    missing: type[RmGeoError],
) -> T:
    """Call a storage, and turn its errors, which are of any type, into errors of rm_geo.

    Parameters
    ----------
    action : callable
        The call.
    location : str
        What it concerns; named in the error without credentials.
    what : str
        The action as a participle, such as ``read``.
    failure, missing : type of RmGeoError
        Error if the call fails, and if nothing is at the location.

    Returns
    -------
    object
        Result of ``action``.

    Raises
    ------
    RmGeoError
        Of type ``missing`` or ``failure``.
    """
    try:
        return action()
    except FileNotFoundError as error:
        raise missing(f"{redacted(location)} does not exist.", hint="Check the address.") from error
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = lines[0].rstrip(".") if lines else type(error).__name__
        raise failure(
            f"{redacted(f'{location} cannot be {what}: {reason}')}.",
            hint="Check the address and the credentials that its storage expects.",
        ) from error


def _upload(path: Path, root: UPath) -> None:
    """Upload one file into a folder."""
    root.mkdir(parents=True, exist_ok=True)
    target = root / path.name
    target.fs.put_file(str(path), target.path)
