"""A folder beside the results in which they are made, and from which they are put in place."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from pathlib import Path

from rm_geo._util.atomic import (
    PART_SUFFIX,
    output_error,
    prepare_output_folder,
    publish_files,
    refuse_link,
)
from rm_geo.errors import CancelledError


class Staging:
    """Results in the making: they are published together, or nothing of them stays.

    Safe to discard from another thread, which is how work that cannot be interrupted is
    given up: whichever comes first, :meth:`publish` or :meth:`discard`, is carried out whole.

    Parameters
    ----------
    folder : path-like
        Where the results shall lie; made, with its parents, if it is not there.

    Attributes
    ----------
    folder : Path
        Where the results shall lie.
    path : Path
        The folder to write into: a hidden one inside ``folder``, hence on the same disk.
    made : tuple of Path
        Folders that were made for it, the innermost first.

    Raises
    ------
    OutputError
        If the folder cannot be made or does not take files.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).absolute()
        self._lock = threading.Lock()
        self._is_closed = False
        self.made = tuple(f for f in (self.folder, *self.folder.parents) if not f.exists())
        prepare_output_folder(self.folder)
        try:
            made = tempfile.mkdtemp(dir=self.folder, prefix=".rm_geo_", suffix=PART_SUFFIX)
        except OSError as error:
            raise output_error(self.folder, error) from error
        self.path = Path(made)

    def publish(self) -> tuple[Path, ...]:
        """Move all files into place; gives their new paths, sorted.

        Raises
        ------
        CancelledError
            If the work was given up meanwhile.
        OutputError
            If a file cannot be put into place.
        """
        with self._lock:
            if self._is_closed:
                raise CancelledError("The work was given up.")
            refuse_link(self.path)
            files = sorted(path for path in self.path.iterdir() if path.is_file())
            targets = publish_files(files, self.folder)
            self._close()
            return targets

    def discard(self) -> None:
        """Remove what is not published, and the folders that were made for it."""
        with self._lock:
            if not self._is_closed:
                self._close()

    def _close(self) -> None:
        """Take the hidden folder away; others may still be writing into it."""
        self._is_closed = True
        doomed = self.path.with_name(f"{self.path.stem}.gone{self.path.suffix}")
        try:
            # Under another name nothing new comes into it: who keeps making files could be
            # quicker than who removes them.
            self.path.rename(doomed)
        except OSError:  # such as Windows' where a file in it is open
            doomed = self.path
        for _ in range(3):
            shutil.rmtree(doomed, ignore_errors=True)
            if not doomed.exists():
                break
        for folder in self.made:
            with contextlib.suppress(OSError):  # those that hold results stay
                folder.rmdir()
