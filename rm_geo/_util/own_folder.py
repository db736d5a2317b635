"""Folders of this program below a folder of the user, reached without following links.

A user chooses an output folder, which may itself be reached through links. Everything below it
that a run creates, reads again or removes has a name that others can guess. Where the system
allows it (Linux, macOS), each level is opened relative to the one above and without following a
link, so that a link that appears between a check and its use is not followed either. On Windows
each level is checked for a link or a junction first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from rm_geo.errors import OutputError

PRIVATE_MODE: Final = 0o700
"""Mode of new folders: other users can neither read nor plant files in them."""

_JUNCTION: Final = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE: Final = (
    getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a named pipe must not stop the program
    | getattr(os, "O_BINARY", 0)
    | _NO_FOLLOW
)
_FLAGS: Final = {
    "rb": os.O_RDONLY,
    "wb": os.O_WRONLY | os.O_CREAT,
    "ab": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "r+b": os.O_RDWR | os.O_CREAT,
}
_FILE_MODE: Final = 0o666
_LINK_CODES: Final = frozenset({errno.ELOOP, errno.ENOTDIR, getattr(errno, "EMLINK", -1)})
_PART: Final = ".part"

FileMode = Literal["rb", "wb", "ab", "r+b"]
"""How a file is opened; ``r+b`` creates it if it is missing."""


def can_open_relative() -> bool:
    """Whether this system opens files relative to an open folder without following links.

    Returns
    -------
    bool

    Examples
    --------
    >>> isinstance(can_open_relative(), bool)
    True
    """
    return bool(_NO_FOLLOW) and {os.open, os.mkdir, os.unlink, os.rmdir} <= os.supports_dir_fd


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
        raise _link_error(path)


@dataclass(frozen=True)
class OwnFolder:
    """A folder of this program.

    All methods raise OutputError for a symbolic link in the place of the folder, of one between
    it and the user's folder, or of a file; nothing is changed then. Other failures are OSErrors.

    Attributes
    ----------
    root : Path
        Folder of the user, which may be reached through links.
    inside : tuple of str
        Names of the folders below it, down to this one.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     folder = OwnFolder(Path(root), (".journal",))
    ...     folder.create()
    ...     folder.write("note.txt", b"kept")
    ...     content = folder.read("note.txt")
    ...     folder.remove()
    ...     print(content, list(Path(root).iterdir()))
    b'kept' []
    """

    root: Path
    inside: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Path of the folder, for libraries that take paths only."""
        return self.root.joinpath(*self.inside)

    def folder(self, name: str) -> OwnFolder:
        """Name a folder inside."""
        return OwnFolder(self.root, (*self.inside, name))

    def create(self) -> None:
        """Create the folder and those above it, with access for this user alone."""
        for depth in range(len(self.inside)):
            above, name = OwnFolder(self.root, self.inside[:depth]), self.inside[depth]
            with above._opened() as place, contextlib.suppress(FileExistsError):
                os.mkdir(above._at(name, place), PRIVATE_MODE, dir_fd=place)
        with self._opened():
            pass

    def refuse_links(self) -> None:
        """Refuse a folder that is or contains a link, at any depth."""
        refuse_link(self.path)
        for place, folders, files in os.walk(self.path):  # does not follow links
            for name in (*folders, *files):
                refuse_link(Path(place, name))

    def open_file(self, name: str, mode: FileMode) -> BinaryIO:
        """Open a file.

        Parameters
        ----------
        name : str
            Its name.
        mode : {"rb", "wb", "ab", "r+b"}
            ``r+b`` creates a missing file.

        Returns
        -------
        BinaryIO

        Raises
        ------
        OutputError
            If it is a link, a device, or a file that has a second name elsewhere.
        """
        with self._opened() as place:
            path = self.path / name
            if place is None:
                refuse_link(path)
            try:
                descriptor = os.open(
                    self._at(name, place), _FLAGS[mode] | _FILE, _FILE_MODE, dir_fd=place
                )
            except OSError as error:
                raise self._explained(error, path) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or (mode != "rb" and status.st_nlink > 1):
                raise OutputError(
                    f"{path} is no file of this program: it is a device, or has a second name.",
                    hint="Remove it, or choose another output.",
                )
            if mode == "wb":
                os.ftruncate(descriptor, 0)
            return os.fdopen(descriptor, mode)
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, name: str, most_bytes: int = 1 << 26) -> bytes:
        """Read a file.

        Parameters
        ----------
        name : str
            Its name.
        most_bytes : int
            Size from which it is refused.

        Returns
        -------
        bytes

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        OutputError
            If it is a link.
        OSError
            If it is larger.
        """
        with self.open_file(name, "rb") as file:
            content = file.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self.path / name))
        return content

    def write(self, name: str, *content: bytes | memoryview, flush: bool = True) -> None:
        """Create or replace a file, which is complete or unchanged.

        Parameters
        ----------
        name : str
            Its name. One process writes it at a time.
        *content : bytes or memoryview
            What it holds, one part after another.
        flush : bool
            Whether to wait until it is on the device.
        """
        part = name + _PART
        self.remove_file(part)
        with self.open_file(part, "wb") as file:
            for block in content:
                file.write(block)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        with self._opened() as place:
            source, target = self._at(part, place), self._at(name, place)
            os.replace(source, target, src_dir_fd=place, dst_dir_fd=place)

    def remove_file(self, name: str) -> None:
        """Remove a file if it exists; of a link, the link."""
        with contextlib.suppress(FileNotFoundError), self._opened() as place:
            os.unlink(self._at(name, place), dir_fd=place)

    def clear(self, *, keep: str | None = None) -> None:
        """Remove everything inside, as far as the system allows; links without their targets.

        Parameters
        ----------
        keep : str, optional
            Name that stays.
        """
        with contextlib.suppress(FileNotFoundError), self._opened() as place:
            if place is not None:
                _clear_open(place, keep)
                return
            for entry in list(self.path.iterdir()):
                if entry.name == keep:
                    continue
                with contextlib.suppress(OSError):
                    if is_link(entry) or not entry.is_dir():
                        entry.unlink()
                    else:
                        shutil.rmtree(entry, ignore_errors=True)

    def remove(self) -> None:
        """Remove the folder with everything inside, as far as the system allows."""
        self.clear()
        self.remove_empty()

    def remove_empty(self) -> None:
        """Remove the folder if it is empty."""
        above, name = OwnFolder(self.root, self.inside[:-1]), self.inside[-1]
        with contextlib.suppress(OSError), above._opened() as place:
            os.rmdir(above._at(name, place), dir_fd=place)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """Open the folder; None where the system opens nothing relative to it."""
        if not can_open_relative():
            for depth in range(1, len(self.inside) + 1):
                refuse_link(self.root.joinpath(*self.inside[:depth]))
            self.path.lstat()
            yield None
            return
        place = os.open(self.root, _FOLDER)
        try:
            for depth, name in enumerate(self.inside, start=1):
                try:
                    below = os.open(name, _FOLDER | _NO_FOLLOW, dir_fd=place)
                except OSError as error:
                    raise self._explained(
                        error, self.root.joinpath(*self.inside[:depth])
                    ) from error
                os.close(place)
                place = below
            yield place
        finally:
            os.close(place)

    def _at(self, name: str, place: int | None) -> str:
        """Name a file relative to the open folder, or by its path."""
        return str(self.path / name) if place is None else name

    @staticmethod
    def _explained(error: OSError, path: Path) -> Exception:
        """Name a link, or complete the error with the path."""
        if error.errno in _LINK_CODES and is_link(path):
            return _link_error(path)
        return type(error)(error.errno, error.strerror, str(path))


def _clear_open(place: int, keep: str | None = None) -> None:
    """Remove everything inside an open folder."""
    with os.scandir(place) as entries:
        found = [entry for entry in entries if entry.name != keep]
    for entry in found:
        with contextlib.suppress(OSError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=place)
                continue
            below = os.open(entry.name, _FOLDER | _NO_FOLLOW, dir_fd=place)
            try:
                _clear_open(below)
            finally:
                os.close(below)
            os.rmdir(entry.name, dir_fd=place)


def _link_error(path: Path) -> OutputError:
    return OutputError(
        f"{path} is a symbolic link in the place of a temporary file or folder.",
        hint="Remove the link, or choose another output; its target was not touched.",
    )
