"""Temporary folders that are removed even if their process was killed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rm_geo._util.atomic import output_error
from rm_geo._util.own_folder import is_link

if TYPE_CHECKING:
    from filelock import FileLock

_PREFIX: Final = "rm_geo-copies-"
_LOCK: Final = ".lock"


@contextmanager
def owned_folder() -> Iterator[Path]:
    """Provide a temporary folder for the time of a block.

    Each call also removes the folders of processes that were killed: the lock file in each
    folder is released by the operating system when its process ends.

    Yields
    ------
    Path
        An empty folder.

    Raises
    ------
    OutputError
        If it cannot be created.

    Examples
    --------
    >>> with owned_folder() as folder:
    ...     folder.is_dir()
    True
    """
    remove_abandoned()
    folder, lock = _made()
    inside = folder / "files"
    try:
        inside.mkdir()
        yield inside
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove temporary folders whose process is gone, except those of other users and links.

    Examples
    --------
    >>> remove_abandoned()
    """
    from filelock import FileLock  # slow to import, for the commands that need none

    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if is_link(folder) or is_link(folder / _LOCK):
            continue  # not created by rm_geo: other users may write to this folder
        with suppress(OSError):  # includes Timeout: its process is alive
            lock = FileLock(folder / _LOCK)
            lock.acquire(timeout=0)
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()
            # Windows kept the lock file while it was open.
            shutil.rmtree(folder, ignore_errors=True)


def _made() -> tuple[Path, FileLock]:
    """Create a folder, and lock it."""
    from filelock import FileLock, Timeout

    while True:
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        except OSError as error:
            raise output_error(Path(tempfile.gettempdir()), error) from error
        # Not bound to a thread: another one may remove the folder.
        lock = FileLock(folder / _LOCK, thread_local=False)
        with suppress(Timeout, FileNotFoundError):
            lock.acquire(timeout=0)
            if (folder / _LOCK).exists():
                return folder, lock
            lock.release()
        # Another process removed it as abandoned before it was locked.
        shutil.rmtree(folder, ignore_errors=True)
