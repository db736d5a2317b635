"""Copies of remote files that a worker holds for the tasks of a batch, each fetched once."""

from __future__ import annotations

import importlib
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

_KEPT_BYTES: Final = 2 << 30
_ATTRIBUTE: Final = "_rm_geo_copies"


@dataclass
class _Copy:
    """One version of a file: fetched by the first who wants it, while others wait."""

    folder: Path
    path: Path | None = None
    users: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.iterdir())

    def remove(self) -> None:
        """Remove it from disk."""
        for file in self.folder.iterdir():
            file.unlink(missing_ok=True)
        self.folder.rmdir()


class FileCache:
    """Copies of files in object storage, in a folder that goes with this process.

    Parameters
    ----------
    kept_bytes : int
        Copies that nobody uses go, the longest unused first, while all take more.
    """

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._places = ExitStack()
        self._folder: Path | None = None
        self._number = 0
        self._copies: dict[str, _Copy] = {}  # the last used last
        self._turn = threading.Lock()

    @contextmanager
    def copy_of(self, location: str) -> Iterator[Path]:
        """Give the local copy of a file for the time of a block.

        It is fetched anew where the storage says that the file changed. As
        :func:`rm_geo.io.object_store.fetched`, whose errors it raises.
        """
        key = f"{identity(location)} {version_of(location)}"
        with self._turn:
            copy = self._copies.pop(key, None) or self._begun()
            self._copies[key] = copy
            copy.users += 1
        try:
            with copy.turn:
                if copy.path is None:
                    copy.path = fetch(location, copy.folder)
            with named_as(copy.path, location):
                yield copy.path
        finally:
            with self._turn:
                copy.users -= 1
                self._drop_unused()

    def close(self) -> None:
        """Remove all copies; the next one that is wanted is fetched again."""
        with self._turn:
            self._copies.clear()
            self._folder = None
            self._places.close()

    def _begun(self) -> _Copy:
        """Make room for a copy."""
        if self._folder is None:
            self._folder = self._places.enter_context(owned_folder())
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        return _Copy(folder)

    def _drop_unused(self) -> None:
        """Remove what was not fetched after all, and what is too much."""
        unused = {key: copy for key, copy in self._copies.items() if copy.users == 0}
        too_much = sum(copy.size for copy in self._copies.values()) - self._kept_bytes
        for key, copy in unused.items():
            if copy.path is None or too_much > 0:
                too_much -= copy.size
                copy.remove()
                del self._copies[key]


def worker_file_cache() -> FileCache:
    """Give the copies of the Dask worker that runs this."""
    distributed: Any = importlib.import_module("distributed")
    # One step, so that two threads of a worker get the same.
    copies = vars(distributed.get_worker()).setdefault(_ATTRIBUTE, FileCache())
    assert isinstance(copies, FileCache)
    return copies


def release_copies(dask_worker: Any) -> None:  # noqa: ANN401 - distributed carries no types
    """Remove a worker's copies, and those of workers that were killed beside it.

    Dask passes the worker by the parameter's name.
    """
    copies = vars(dask_worker).pop(_ATTRIBUTE, None)
    if isinstance(copies, FileCache):
        copies.close()
    remove_abandoned()
