"""Lock files: one writer at a time for each output."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from rm_geo._util.atomic import output_error
from rm_geo._util.own_folder import OwnFolder, refuse_link
from rm_geo.errors import OutputError, OutputInUseError

_OTHER_FILES: Final = 256
"""Files that a run holds open besides its locks."""

_LONGEST_NOTE: Final = 4096  # bytes


@contextlib.contextmanager
def output_lock(path: Path, what: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock file during a block, and remove it afterwards.

    The operating system holds the lock and releases it when the process ends in any way: a file
    left by a killed process does not block others.

    Parameters
    ----------
    path : Path
        The lock file. It contains the process number and the machine, where the system allows
        writing to a locked file.
    what : str
        Name of the output, for messages.
    wait_s : float
        How long to wait for another process that holds the lock.

    Yields
    ------
    None

    Raises
    ------
    OutputInUseError
        If another process holds the lock.
    OutputError
        If the file cannot be created, or there is a symbolic link in its place.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, output_lock(Path(folder, "lock"), "maps"):
    ...     [path.name for path in Path(folder).iterdir()]
    ['lock']
    """
    refuse_link(path)
    own = OwnFolder(path.parent)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait_s)
        # Between opening and locking, the last holder may have removed the file.
        while not path.exists():
            lock.release()
            lock.acquire(timeout=wait_s)
        # Windows refuses to write to a file that is locked through another handle.
        with contextlib.suppress(PermissionError), own.open_file(path.name, "wb") as file:
            file.write(f"process {os.getpid()} on {platform.node()}\n".encode())
    except Timeout as error:
        raise OutputInUseError(
            f"{_holder(path)} is writing {what}.",
            hint="Wait for it, or choose another output folder.",
        ) from error
    except OSError as error:
        raise output_error(path, error) from error
    try:
        yield
    finally:
        # Before the release, so that no other process loses its lock file. Windows cannot
        # remove an open file; there, the release of filelock does.
        with contextlib.suppress(OSError):
            own.remove_file(path.name)
        lock.release()


def raise_open_file_limit(locks: int) -> None:
    """Raise the limit of open files of this process, as far as the system allows.

    Many systems grant 256 or 1024 open files by default. Windows has no such limit.

    Parameters
    ----------
    locks : int
        Number of locks to be held at the same time; each is an open file.

    Examples
    --------
    >>> raise_open_file_limit(1)
    """
    if sys.platform == "win32":
        return
    import resource

    wanted = locks + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))


def _holder(path: Path) -> str:
    """Describe the holder of a lock, as far as its file can be read."""
    try:
        name = OwnFolder(path.parent).read(path.name, _LONGEST_NOTE).decode("utf-8").strip()
    except (OSError, UnicodeError, OutputError):
        name = ""
    return f"Another run ({name})" if name else "Another run"
