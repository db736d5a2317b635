"""Inputs and outputs in object storage: fetched before the work, stored after it.

Whoever speaks of ``s3://bucket/key`` may also say ``/vsis3/bucket/key``, as GDAL does. What is
fetched is the whole object; results are made on this machine and then stored one by one, each
object whole or not at all, as object stores have it.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from rm_geo.errors import DependencyError, InputError, OutputError, RmGeoError, UsageError

_GDAL_SCHEMES: Final = {"vsis3": "s3", "vsigs": "gs", "vsiaz": "az", "vsiadls": "abfs"}
_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_COMPANIONS: Final = (".shx", ".dbf", ".prj", ".cpg")
_SUMMARY: Final = "summary"


def is_remote(location: str | os.PathLike[str]) -> bool:
    """Whether a location is a URL, or one of GDAL's virtual paths.

    Examples
    --------
    >>> is_remote("s3://drives/today.parquet"), is_remote("/vsis3/drives/today.parquet")
    (True, True)
    >>> is_remote("drives/today.parquet"), is_remote("C:/drives/today.parquet")
    (False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://|/vsi[a-z0-9]+/", os.fspath(location)) is not None


def url_of(location: str) -> str:
    """Give the URL that a virtual path of GDAL stands for; URLs are left as they are.

    Raises
    ------
    UsageError
        If nobody but GDAL could read it.

    Examples
    --------
    >>> url_of("/vsis3/drives/today.parquet")
    's3://drives/today.parquet'
    """
    virtual = re.match(r"/(vsi[a-z0-9]+)/(.*)", location)
    if virtual is None:
        return location
    kind, rest = virtual.groups()
    if kind == "vsicurl":
        return rest
    if kind not in _GDAL_SCHEMES:
        raise UsageError(
            f"{location} cannot be used: /{kind}/ is not known here.",
            hint=f"Known: /vsicurl/, {', '.join(f'/{name}/' for name in _GDAL_SCHEMES)}.",
        )
    return f"{_GDAL_SCHEMES[kind]}://{rest}"


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
        If it does not exist or cannot be read.
    DependencyError
        If the package for this kind of storage is not installed.
    UsageError
        If the location cannot be meant.
    """
    url = url_of(location)
    parts = urlsplit(url)
    name = Path(parts.path or parts.netloc).name
    if not name:
        raise UsageError(f"{location} names no file.")
    with tempfile.TemporaryDirectory(prefix="rm_geo-") as folder:
        system, path = _open(url)
        _attempt(lambda: _get(system, path, Path(folder) / name), location, InputError, "read")
        try:
            yield Path(folder) / name
        except RmGeoError as error:
            told = error.message.replace(str(Path(folder) / name), location)
            raise type(error)(told, hint=error.hint) from error


@contextmanager
def stored(location: str) -> Iterator[Path]:
    """Give a folder for results, and store what it holds at a location when the block is done.

    A block that fails leaves the folder, so that the same command goes on from there.

    Parameters
    ----------
    location : str
        URL or virtual path of GDAL, of a folder.

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
    system, root = _open(url)
    folder = outbox() / hashlib.sha256(url.encode()).hexdigest()[:16]
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
        _attempt(
            lambda path=path, target=target: _put(system, path, target),  # type: ignore[misc]
            f"{location} ({path.name}; the results are in {folder})",
            OutputError,
            "written",
        )
    shutil.rmtree(folder, ignore_errors=True)


def outbox() -> Path:
    """Folder where results wait to be stored."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rm_geo" / "outbox"


def _open(url: str) -> tuple[Any, str]:
    """Open the file system of a URL; gives it and the path on it."""
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


def _attempt(
    action: Callable[[], object], location: str, kind: type[RmGeoError], what: str
) -> None:
    """Do something with a storage, whose errors are of all kinds."""
    try:
        action()
    except FileNotFoundError as error:
        raise kind(f"{location} does not exist.", hint="Check the address.") from error
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise kind(
            f"{location} cannot be {what}: {reason}.",
            hint="Check the address and the credentials that its storage expects.",
        ) from error
