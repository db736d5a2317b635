"""One writer at a time for each output."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from rm_geo._util.atomic import output_error, refuse_link
from rm_geo.errors import OutputInUseError

_FILES_BESIDE: Final = 256
"""Files that a run holds open beside its locks."""


@contextlib.contextmanager
def output_lock(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file for the length of a block; the file is gone afterwards.

    The lock is the operating system's: it falls with the process that holds it, however it
    ends, so that a file left behind by a killed process locks nothing.

    Parameters
    ----------
    path : Path
        The lock file; holds the number of the process and the name of its machine.
    what : str
        What is being written, for messages.

    Raises
    ------
    OutputInUseError
        If another process holds it.
    OutputError
        If the file cannot be made, or there is a symbolic link in its place.
    """
    refuse_link(path)  # the lock's own opening would empty what is behind it
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
        # Between opening and locking, the last holder may have removed the file.
        while not path.exists():
            lock.release()
            lock.acquire(timeout=0)
        path.write_text(f"process {os.getpid()} on {platform.node()}\n", "utf-8")
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
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def allow_open_files(locks: int) -> None:
    """Let this process hold so many locks beside its other files, as far as the system does.

    Each is an open file, of which many systems grant 256 or 1024 to who does not ask.
    """
    if sys.platform == "win32":
        return
    import resource

    wanted = locks + _FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))


def _holder(path: Path) -> str:
    """Who holds a lock, as far as its file says."""
    try:
        name = path.read_text("utf-8").strip()
    except (OSError, UnicodeError):
        name = ""
    return f"Another run ({name})" if name else "Another run"
