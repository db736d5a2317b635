"""Local copies of remote files on a worker, shared by its tasks: each version downloaded once."""

from __future__ import annotations

import importlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rm_geo._util.tempdirs import owned_folder, remove_abandoned
from rm_geo.io.metadata import version_of
from rm_geo.io.object_store import fetch, named_as
from rm_geo.io.paths import identity

_MAX_BYTES: Final = 2 << 30
_ATTRIBUTE: Final = "_rm_geo_file_cache"


@dataclass
class _Copy:
    """One version of a file: downloaded by the first task that uses it; others wait for it."""

    folder: Path
    path: Path | None = None
    users: int = 0
    download: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.iterdir())


class FileCache:
    """Copies of files in object storage, in a temporary folder of this process.

    Parameters
    ----------
    max_bytes : int
        While all copies take more, unused ones are removed, the least recently used first.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._copies: dict[str, _Copy] = {}  # the most recently used last
        self._lock = threading.Lock()

    @contextmanager
    def copy_of(self, location: str) -> Iterator[Path]:
        """Give the local copy of a file for the time of a block.

        A file that changed in the storage is downloaded again.

        Parameters
        ----------
        location : str
            URL or virtual path of GDAL.

        Yields
        ------
        Path
            The local copy.

        Raises
        ------
        InputError, FetchError, DependencyError, UsageError
            As :func:`rm_geo.io.object_store.fetched`.
        """
        key = f"{identity(location)} {version_of(location)}"
        with self._lock:
            copy = self._copies.pop(key, None) or _Copy(self._new_folder())
            self._copies[key] = copy
            copy.users += 1
        try:
            with copy.download:
                if copy.path is None:
                    copy.path = fetch(location, copy.folder)
            with named_as(copy.path, location):
                yield copy.path
        finally:
            with self._lock:
                copy.users -= 1
                self._remove_unused()

    def close(self) -> None:
        """Remove all copies; a file that is used again is downloaded again."""
        with self._lock:
            self._copies.clear()
            self._folder = None
            self._stack.close()

    def _new_folder(self) -> Path:
        """Make a folder for a copy."""
        if self._folder is None:
            self._folder = self._stack.enter_context(owned_folder())
        return Path(tempfile.mkdtemp(dir=self._folder))

    def _remove_unused(self) -> None:
        """Remove incomplete downloads, and unused copies beyond the size limit."""
        excess = sum(copy.size for copy in self._copies.values()) - self._max_bytes
        for key, copy in list(self._copies.items()):
            if copy.users == 0 and (copy.path is None or excess > 0):
                excess -= copy.size
                shutil.rmtree(copy.folder, ignore_errors=True)
                del self._copies[key]


def worker_file_cache() -> FileCache:
    """Give the file cache of the Dask worker that runs this task.

    Returns
    -------
    FileCache
        The same one for all tasks of the worker.
    """
    distributed: Any = importlib.import_module("distributed")
    # setdefault is one step, so that two threads of a worker get the same cache.
    cache = vars(distributed.get_worker()).setdefault(_ATTRIBUTE, FileCache())
    assert isinstance(cache, FileCache)
    return cache


def release_copies(dask_worker: Any) -> None:  # noqa: ANN401 - distributed carries no types
    """Remove the copies of a worker, and those of processes that were killed on its machine.

    Parameters
    ----------
    dask_worker : distributed.Worker
        Dask passes the worker by the name of this parameter.
    """
    cache = vars(dask_worker).pop(_ATTRIBUTE, None)
    if isinstance(cache, FileCache):
        cache.close()
    remove_abandoned()
