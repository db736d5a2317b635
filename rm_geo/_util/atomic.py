"""Files that appear complete or not at all: written beside their target, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rm_geo.errors import OutputError

PART_SUFFIX: Final = ".part"
"""Suffix of an incomplete file; safe to delete while no run is active."""

_NAME_LIMIT: Final = 255  # bytes of one file name on ext4, APFS and NTFS
_PROBE_BYTES: Final = 1 << 20

_FULL: Final = frozenset(
    code for code in (errno.ENOSPC, getattr(errno, "EDQUOT", None), errno.EFBIG) if code is not None
)
_JUNCTION: Final = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT
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
def replacing(path: str | os.PathLike[str], *, single_writer: bool = False) -> Iterator[Path]:
    """Write a file beside its target, and rename it to the target when it is complete.

    If the block ends in any way, a cancellation included, the target is either the
    new file, complete and flushed to the device, or unchanged.

    Parameters
    ----------
    path : path-like
        The file to create or replace. Its folder must exist.
    single_writer : bool
        Use one fixed temporary name, for files that are written again and again by one process:
        a killed process leaves at most one incomplete file, which the next write replaces.

    Yields
    ------
    Path
        A name in the same folder, ending in ``.part``, that the block must write. It does not
        exist yet. Without ``single_writer``, two runs with the same target get different names.

    Raises
    ------
    OutputError
        If the target is a folder, its folder is missing or cannot be written, the disk is full,
        or a symbolic link has the temporary name. Other errors of the block pass through.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as part:
    ...         _ = part.write_text("complete")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.txt']
    """
    target = require_file_target(path)
    part = target.with_name(target.name + PART_SUFFIX) if single_writer else _part_of(target)
    if single_writer:
        refuse_link(part)
        with contextlib.suppress(OSError):
            part.unlink()
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


def refuse_link(path: Path) -> None:
    """Refuse a link in the place of a temporary file or folder of this program.

    The target of a link must not be written or deleted.

    Parameters
    ----------
    path : Path
        Where a run creates, reuses or removes something of its own.

    Raises
    ------
    OutputError
        If it is a symbolic link, or a junction on Windows; whether or not its target exists.

    Examples
    --------
    >>> refuse_link(Path("/nowhere/.lock"))
    """
    if is_link(path):
        raise OutputError(
            f"{path} is a symbolic link in the place of a temporary file or folder.",
            hint="Remove the link, or choose another output; its target was not touched.",
        )


def is_link(path: Path) -> bool:
    """Whether a path is a symbolic link, or a junction on Windows.

    Parameters
    ----------
    path : Path
        Need not exist.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_link(Path("/nowhere"))
    False
    """
    if path.is_symlink():
        return True
    try:
        attributes = getattr(path.lstat(), "st_reparse_tag", 0)
    except (OSError, ValueError):
        return False
    return bool(attributes == _JUNCTION)


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
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".rm_geo_", suffix=PART_SUFFIX):
            pass
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


def _part_of(target: Path) -> Path:
    """Give a sibling name that no other run uses, within the length limit of names."""
    ending = f".{os.urandom(4).hex()}{PART_SUFFIX}"
    stem = target.name.encode()[: _NAME_LIMIT - len(ending)].decode(errors="ignore")
    return target.with_name(stem + ending)


def _claim(part: Path) -> None:
    """Fail before the work if the folder does not accept the file."""
    part.touch(exist_ok=False)
    part.unlink()


def _flush(part: Path) -> None:
    """Flush a file to the device before it is renamed."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def _concerns(error: OSError, part: Path, target: Path) -> bool:
    """Whether an error concerns this output, not a file that the block read."""
    if error.errno in _FULL:
        return True
    names = {os.fspath(name) for name in (error.filename, error.filename2) if name is not None}
    return bool(names & {str(part), str(target), str(part.parent)})
