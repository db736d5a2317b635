"""Temporary folders that do not outlive their process for long, however it ends."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rm_geo._util.atomic import output_error

if TYPE_CHECKING:
    from filelock import FileLock

_PREFIX: Final = "rm_geo-copies-"
_LOCK: Final = ".lock"


@contextmanager
def owned_folder() -> Iterator[Path]:
    """Give a temporary folder for the time of a block.

    Whoever makes one removes those of processes that were killed: the lock in each is the
    operating system's, and falls with its process.

    Raises
    ------
    OutputError
        If it cannot be made.
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
    """Remove the folders whose processes are gone; those of other users, and links, stay."""
    from filelock import FileLock  # slow to import, for the commands that need none

    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if folder.is_symlink() or (folder / _LOCK).is_symlink():
            continue  # none of ours, and others may write here: what is behind it stays
        with suppress(OSError):  # Timeout, too: its process lives
            lock = FileLock(folder / _LOCK)
            lock.acquire(timeout=0)
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()


def _made() -> tuple[Path, FileLock]:
    """Make a folder, and lock it."""
    from filelock import FileLock, Timeout

    while True:
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        except OSError as error:
            raise output_error(Path(tempfile.gettempdir()), error) from error
        # Not of a thread: whoever removes the folder may be another one.
        lock = FileLock(folder / _LOCK, thread_local=False)
        with suppress(Timeout, FileNotFoundError):
            lock.acquire(timeout=0)
            if (folder / _LOCK).exists():
                return folder, lock
            lock.release()
        # Before it was locked, somebody took it for abandoned.
        shutil.rmtree(folder, ignore_errors=True)
