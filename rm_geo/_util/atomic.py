"""Files that appear complete or not at all: written beside their target, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rm_geo._util.own_folder import OwnFolder, can_open_relative, is_link
from rm_geo.errors import OutputError

PART_SUFFIX: Final = ".part"
"""Suffix of incomplete files and their folders; safe to delete while no run is active."""

_LOCK: Final = ".lock"
_FILES: Final = "files"
_MOST_WRITERS: Final = 64
"""Most runs that write one target at the same time."""

_HELD: Final = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK})
"""Codes of a lock that another process holds."""

_NAME_LIMIT: Final = 255  # bytes of one file name on ext4, APFS and NTFS
_PROBE_BYTES: Final = 1 << 20

_FULL: Final = frozenset(
    code for code in (errno.ENOSPC, getattr(errno, "EDQUOT", None), errno.EFBIG) if code is not None
)
_IN_USE: Final = frozenset({5, 32, 33})
"""Windows' codes of files that are open elsewhere: access denied, sharing and lock violation."""
_IN_USE_HINT: Final = (
    "Another program may have it open: close it there (in QGIS, remove the layer), or choose "
    "another output."
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
    """Write a file beside its target, and rename it to the target when it is complete.

    If the block ends in any way, a cancellation included, the target is either the
    new file, complete and flushed to the device, or unchanged. A link in the place of the target
    is replaced; what it leads to is not touched.

    Parameters
    ----------
    path : path-like
        The file to create or replace. Its folder must exist.

    Yields
    ------
    Path
        The file that the block must write: of the name of the target, in a folder as of
        :func:`part_folder`, in which the block may write further temporary files.

    Raises
    ------
    OutputError
        If the target is a folder, its folder is missing or cannot be written, the disk is full,
        or a symbolic link has the name of the temporary folder. Other errors of the block pass
        through.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as part:
    ...         _ = part.write_text("complete")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.txt']
    """
    target = require_file_target(path)
    with part_folder(target) as folder:
        part = folder / target.name
        try:
            yield part
            _flush(part)
            part.replace(target)
        except OSError as error:
            if not _concerns(error, part, target):
                raise
            raise output_error(target, error) from error


@contextlib.contextmanager
def part_folder(target: Path) -> Iterator[Path]:
    """Provide a private folder beside a target, for files in the making.

    The folder is removed at the end of the block. A killed process leaves it; the next call for
    the same target empties it and uses it again: the lock in it is released by the operating
    system when its process ends.

    Parameters
    ----------
    target : Path
        The file or folder that is made. Its folder must exist.

    Yields
    ------
    Path
        An empty folder that no other run uses.

    Raises
    ------
    OutputError
        If it cannot be created, or a symbolic link is in its place.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with part_folder(Path(folder, "map.tif")) as parts:
    ...         print(parts.relative_to(folder).as_posix())
    .map.tif.part/files
    """
    own, release = _locked_part(target)
    files = own.folder(_FILES)
    try:
        try:
            files.create()
        except OSError as error:
            raise output_error(target, error) from error
        yield files.path
    finally:
        # Nothing of another run is lost: this one holds the lock until the folder is empty.
        with contextlib.suppress(OSError, OutputError):
            own.clear(keep=_LOCK)
            own.remove_file(_LOCK)
        release()
        own.remove_empty()


def _locked_part(target: Path) -> tuple[OwnFolder, Callable[[], None]]:
    """Create the first folder for parts of a target that no living process holds.

    Gives the folder, and what releases its lock.
    """
    number = 1
    while number <= _MOST_WRITERS:
        own = OwnFolder(target.parent, (_part_name(target, number),))
        try:
            own.create()
            if is_link(own.path / _LOCK):  # removed, and not followed
                own.remove_file(_LOCK)
            if (release := _locked(own)) is not None:
                own.clear(keep=_LOCK)
                return own, release
        except FileNotFoundError as error:
            if not target.parent.is_dir():
                raise output_error(target, error) from error
            continue  # removed by the run that held it, between two of these lines
        except PermissionError as error:  # left by a run of another user
            if not own.path.is_dir():
                raise output_error(target, error) from error
        except OSError as error:
            raise output_error(target, error) from error
        number += 1
    raise OutputError(
        f"Cannot write {target}: {_MOST_WRITERS} other runs are writing it.",
        hint=f"Wait for them, or remove the folders {_part_name(target, 1)} and so on.",
    )


def _locked(own: OwnFolder) -> Callable[[], None] | None:
    """Lock a folder; gives what releases it, or None where a living process holds it.

    The lock file is opened relative to the folder, which filelock cannot: a folder that is
    replaced by a link is not followed. Raises FileNotFoundError if the last holder removes it.
    """
    if not can_open_relative():
        return _locked_by_path(own.path / _LOCK)
    import fcntl

    file = own.open_file(_LOCK, "ab")
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(file.fileno()), (own.path / _LOCK).lstat()):
            raise FileNotFoundError(errno.ENOENT, "the lock was replaced", str(own.path / _LOCK))
    except OSError as error:
        file.close()
        if error.errno == errno.ENOSYS:  # a file system without such locks
            return _locked_by_path(own.path / _LOCK)
        if error.errno in _HELD:
            return None
        raise

    def release() -> None:
        with file:
            fcntl.flock(file.fileno(), fcntl.LOCK_UN)  # forked processes have it open, too

    return release


def _locked_by_path(path: Path) -> Callable[[], None] | None:
    """Lock a folder where nothing is opened relative to it; as :func:`_locked`."""
    from filelock import FileLock, Timeout  # slow to import, for the commands that write nothing

    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    if not path.exists():
        lock.release()
        raise FileNotFoundError(errno.ENOENT, "the lock was removed", str(path))
    return lock.release


def publish_files(files: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """Move finished files into a folder, so that they appear together.

    Each target is checked before the first file is moved: a folder in its place, or on Windows
    a file that another program has open, leaves everything unchanged.

    Parameters
    ----------
    files : sequence of Path
        Finished files, on the file system of ``folder``.
    folder : Path
        Where they appear, under their own names; files of these names are replaced.

    Returns
    -------
    tuple of Path
        The new paths, in the order of the files.

    Raises
    ------
    OutputError
        If a file cannot be moved.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     staging = Path(folder, "staging")
    ...     staging.mkdir()
    ...     _ = (staging / "map.tif").write_text("map")
    ...     [path.name for path in publish_files([staging / "map.tif"], Path(folder))]
    ['map.tif']
    """
    targets = tuple(folder / file.name for file in files)
    for target in targets:
        if target.is_dir():
            raise OutputError(
                f"Cannot write {target}: it is a folder.",
                hint="Move it away, or choose another output.",
            )
        try:
            # Does nothing, except that Windows refuses it for a file that is open.
            target.replace(target)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise output_error(target, error) from error
    for file, target in zip(files, targets, strict=True):
        try:
            file.replace(target)
        except OSError as error:
            raise output_error(target, error) from error
    return targets


def require_file_target(path: str | os.PathLike[str]) -> Path:
    """Check, before any work, that :func:`replacing` can replace a target.

    Parameters
    ----------
    path : path-like
        The target.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    OutputError
        If the name is empty or invalid, or belongs to a folder or a device.

    Examples
    --------
    >>> require_file_target("map.tif").name
    'map.tif'
    """
    target = Path(path)
    if not target.name:
        raise OutputError(f"{os.fspath(path)!r} is not the name of a file.", hint="Name a file.")
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    except OSError as error:  # a name that is too long, or a parent that is a file
        raise output_error(target, error) from error
    except ValueError as error:  # a null character
        raise OutputError(
            f"{str(target)!r} is not a valid file name.", hint="Name a file."
        ) from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"Cannot write {target}: it is a folder.", hint="Name a file.")
    if not stat.S_ISREG(mode):
        raise OutputError(
            f"Cannot write {target}: it is a device, which a file must not replace.",
            hint="Name a file.",
        )
    return target


@contextlib.contextmanager
def output_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Create an output folder for the time of a block.

    If the block fails before it wrote anything, folders that were created are removed.

    Parameters
    ----------
    path : path-like
        As of :func:`prepare_output_folder`.

    Yields
    ------
    Path
        The folder.

    Raises
    ------
    OutputError
        As :func:`prepare_output_folder`.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as parent, output_folder(Path(parent, "maps")) as maps:
    ...     maps.is_dir()
    True
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
    """Create a folder with its parents, and check that files can be created in it.

    Call it before any work, so that a long run does not fail at its end.

    Parameters
    ----------
    path : path-like
        The folder.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If it is a file, cannot be created, or does not accept a new file.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     prepare_output_folder(Path(folder, "maps", "today")).is_dir()
    True
    """
    folder = Path(path)
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(
                f"Cannot use {folder} as the output folder: it is a file.", hint="Name a folder."
            )
        folder.mkdir(parents=True, exist_ok=True)
        # Without a name where the system allows it: a kill leaves nothing.
        tempfile.TemporaryFile(dir=folder, prefix=".rm_geo_", suffix=PART_SUFFIX).close()
    except OSError as error:
        raise output_error(folder, error) from error
    except ValueError as error:  # a null character
        raise OutputError(f"{str(folder)!r} is not a valid folder name.") from error
    return folder


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder is full, tested by writing a megabyte.

    For libraries that do not report why a write failed.

    Parameters
    ----------
    folder : Path
        Any folder on the disk.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_full(Path(tempfile.gettempdir()))
    False
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
    """Create the error for a full disk.

    Parameters
    ----------
    target : Path
        The file that could not be written.

    Returns
    -------
    OutputError

    Examples
    --------
    >>> print(full_disk_error(Path("a.tif")))
    Cannot write a.tif: the disk is full. Free some space or choose a folder on another disk.
    """
    return OutputError(
        f"Cannot write {target}: the disk is full.",
        hint="Free some space or choose a folder on another disk.",
    )


def output_error(target: Path, error: OSError) -> OutputError:
    """Create the error for a target that could not be written: the reason, and what to do.

    Parameters
    ----------
    target : Path
        The file or folder.
    error : OSError
        The error of the operating system.

    Returns
    -------
    OutputError

    Examples
    --------
    >>> print(output_error(Path("a.tif"), OSError(errno.EROFS, "Read-only file system")))
    Cannot write a.tif: Read-only file system. The file system is read-only: choose another folder.
    """
    if error.errno in _FULL:
        return full_disk_error(target)
    reason = error.strerror or str(error)
    if getattr(error, "winerror", None) in _IN_USE and target.is_file():
        return OutputError(f"Cannot write {target}: {reason.rstrip('.')}.", hint=_IN_USE_HINT)
    hint = _HINTS.get(error.errno or 0, "Check that the folder exists and can be written.")
    return OutputError(f"Cannot write {target}: {reason.rstrip('.')}.", hint=hint)


def _part_name(target: Path, number: int) -> str:
    """Name a folder for parts of a target, within the length limit of names."""
    ending = f"{'' if number == 1 else f'.{number}'}{PART_SUFFIX}"
    stem = target.name.encode()[: _NAME_LIMIT - len(ending) - 1].decode(errors="ignore")
    return f".{stem}{ending}"


def _flush(part: Path) -> None:
    """Flush a file to the device before it is renamed."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def _concerns(error: OSError, part: Path, target: Path) -> bool:
    """Whether an error concerns this output, not a file that the block read."""
    if error.errno in _FULL:
        return True
    names = {os.fspath(name) for name in (error.filename, error.filename2) if name is not None}
    return bool(names & {str(part), str(target), str(part.parent), str(target.parent)})
