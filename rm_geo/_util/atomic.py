"""Files that appear whole or not at all: written beside their target, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rm_geo.errors import OutputError

PART_SUFFIX: Final = ".part"
"""Ending of a file that is not complete yet; safe to delete when nothing is running."""

_NAME_LIMIT: Final = 255  # bytes of one file name on ext4, APFS and NTFS
_PROBE_BYTES: Final = 1 << 20

_FULL: Final = frozenset(
    code for code in (errno.ENOSPC, getattr(errno, "EDQUOT", None), errno.EFBIG) if code is not None
)
_HINTS: Final = {
    errno.EACCES: "Choose a folder that you may write to.",
    errno.EPERM: "Choose a folder that you may write to.",
    errno.EROFS: "The file system is read-only: choose another folder.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or map fewer cells at once.",
    errno.EIO: "The device reports an error: check it, or choose another folder.",
}


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file beside its target, and put it in the target's place when complete.

    Whatever happens inside the block, a cancellation included, the target is either the
    new file, complete and flushed to the device, or exactly what it was before.

    Parameters
    ----------
    path : path-like
        The file to make or to replace. Its folder must exist.

    Yields
    ------
    Path
        A name in the same folder, ending in ``.part``, that the block must write. It does
        not exist yet; two runs with the same target get different names.

    Raises
    ------
    OutputError
        If the target is a folder, its folder is missing or cannot be written, or the disk
        is full. Other errors of the block pass through unchanged.

    Examples
    --------
    >>> with replacing("/tmp/rm_geo_example.txt") as part:  # doctest: +SKIP
    ...     part.write_text("complete")
    """
    target = require_file_target(path)
    part = _part_of(target)
    try:
        _claim(part)
        yield part
        _flush(part)
        part.replace(target)
    except OSError as error:
        if not _concerns(error, part, target):
            raise
        raise output_error(target, error) from error
    finally:
        # After a success there is nothing left under this name.
        with contextlib.suppress(OSError):
            part.unlink()


def require_file_target(path: str | os.PathLike[str]) -> Path:
    """Refuse, before any work, what :func:`replacing` could not or must not replace.

    Raises
    ------
    OutputError
        If it names no file, no file can have that name, or there is a folder or a device of it.
    """
    target = Path(path)
    if not target.name:
        raise OutputError(f"{os.fspath(path)!r} names no file to write.", hint="Name a file.")
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    except OSError as error:  # a name that is too long, or a parent that is a file
        raise output_error(target, error) from error
    except ValueError as error:  # a null character
        raise OutputError(f"{str(target)!r} is no name of a file.", hint="Name a file.") from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"Cannot write {target}: it is a folder.", hint="Name a file.")
    if not stat.S_ISREG(mode):
        raise OutputError(
            f"Cannot write {target}: it is a device, which a file must not replace.",
            hint="Name a file.",
        )
    return target


def refuse_link(path: Path) -> None:
    """Refuse a symbolic link where a run makes, reuses or removes a file or folder of its own.

    What is behind a link is somebody else's, whatever the link is called.

    Raises
    ------
    OutputError
        If it is one, whether or not there is anything behind it.
    """
    if path.is_symlink():
        raise OutputError(
            f"{path} is a symbolic link in the place of a temporary file or folder.",
            hint="Remove the link, or choose another output; what is behind it was not touched.",
        )


@contextlib.contextmanager
def output_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder as :func:`prepare_output_folder` does, for the time of a block.

    A block that fails before anything was written leaves no folder that was not there before.
    """
    made = []
    with contextlib.suppress(OSError, ValueError):
        made = [folder for folder in (Path(path), *Path(path).parents) if not folder.exists()]
    folder = prepare_output_folder(path)
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(OSError):  # not empty
            for new in made:
                new.rmdir()
        raise


def prepare_output_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder, with its parents, and make sure that files can be created in it.

    To be called before any work, so that hours are not lost to a folder that cannot be
    written.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If it is a file, cannot be made, or does not take a new file.
    """
    folder = Path(path)
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(
                f"Cannot use {folder} as the output folder: it is a file.", hint="Name a folder."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".rm_geo_", suffix=PART_SUFFIX):
            pass
    except OSError as error:
        raise output_error(folder, error) from error
    except ValueError as error:  # a null character
        raise OutputError(f"{str(folder)!r} is no name of a folder.") from error
    return folder


def is_full(folder: Path) -> bool:
    """Whether a folder's disk takes no more bytes; found out by writing some.

    For libraries that do not say why a write failed.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno in _FULL
    return False


def full_disk_error(target: Path) -> OutputError:
    """Say that a target's disk has no room for it."""
    return OutputError(
        f"Cannot write {target}: the disk is full.",
        hint="Free some space or choose a folder on another disk.",
    )


def output_error(target: Path, error: OSError) -> OutputError:
    """Say in one sentence why a target could not be written, and what helps."""
    if error.errno in _FULL:
        return full_disk_error(target)
    reason = error.strerror or str(error)
    hint = _HINTS.get(error.errno or 0, "Check that the folder exists and can be written.")
    return OutputError(f"Cannot write {target}: {reason.rstrip('.')}.", hint=hint)


def _part_of(target: Path) -> Path:
    """Sibling name that no other run uses and that is not longer than names may be."""
    ending = f".{os.urandom(4).hex()}{PART_SUFFIX}"
    stem = target.name.encode()[: _NAME_LIMIT - len(ending)].decode(errors="ignore")
    return target.with_name(stem + ending)


def _claim(part: Path) -> None:
    """Fail now, before the work, if the folder takes no file."""
    part.touch(exist_ok=False)
    part.unlink()


def _flush(part: Path) -> None:
    """Bring a file's content to the device before its name changes."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def _concerns(error: OSError, part: Path, target: Path) -> bool:
    """Whether an error is about this output, not about something that the block read."""
    if error.errno in _FULL:
        return True
    names = {os.fspath(name) for name in (error.filename, error.filename2) if name is not None}
    return bool(names & {str(part), str(target), str(part.parent)})
