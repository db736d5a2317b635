"""Staging folder: outputs are written in it and moved to the output folder when complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rm_geo._util.atomic import part_folder, prepare_output_folder, publish_files
from rm_geo._util.own_folder import refuse_link
from rm_geo.errors import CancelledError

_NAME: Final = "rm_geo_job"
_DOUBLES: Final = "shared"


class Staging:
    """Outputs of a job that are all published, or all removed; some may be shared before.

    :meth:`discard` may be called from another thread, to abandon a computation that cannot be
    interrupted. The first call of :meth:`publish` or :meth:`discard` is executed completely.

    Parameters
    ----------
    folder : path-like
        Output folder; created with its parents if missing.

    Attributes
    ----------
    folder : Path
        Output folder.
    path : Path
        Staging folder: inside ``folder`` and therefore on the same file system.
    hidden : Path
        The hidden folder that holds it, for those who remove what a killed worker left.
    made : tuple of Path
        Folders that were created, innermost first.

    Raises
    ------
    OutputError
        If the folder cannot be created or is not writable.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).absolute()
        self._lock = threading.Lock()
        self._is_closed = False
        self._shared: set[str] = set()
        self.made = tuple(f for f in (self.folder, *self.folder.parents) if not f.exists())
        prepare_output_folder(self.folder)
        # The next job in this folder removes what a killed one left.
        self._parts = contextlib.ExitStack()
        self.path = self._parts.enter_context(part_folder(self.folder / _NAME))
        self.hidden = self.path.parent

    def share(self, names: Iterable[str]) -> tuple[Path, ...]:
        """Put finished files into the output folder while others are still made.

        They stay there if the job fails or is cancelled later. They can still be read, and must
        not be changed, in the staging folder.

        Parameters
        ----------
        names : iterable of str
            Names of files in the staging folder.

        Returns
        -------
        tuple of Path
            Their new paths.

        Raises
        ------
        CancelledError
            If :meth:`discard` was called before.
        OutputError
            If a file cannot be written.
        """
        with self._lock:
            self._require_open()
            chosen = list(names)
            doubles = self.path / _DOUBLES
            doubles.mkdir(exist_ok=True)
            for name in chosen:
                try:
                    os.link(self.path / name, doubles / name)
                except OSError:  # a file system without links
                    shutil.copyfile(self.path / name, doubles / name)
            targets = publish_files([doubles / name for name in chosen], self.folder)
            self._shared.update(chosen)
            return targets

    def publish(self, *, obsolete: Iterable[str] = ()) -> tuple[Path, ...]:
        """Move all files to the output folder.

        Parameters
        ----------
        obsolete : iterable of str
            Names of files of an earlier run in the output folder, which are removed.

        Returns
        -------
        tuple of Path
            Their new paths, sorted.

        Raises
        ------
        CancelledError
            If :meth:`discard` was called before.
        OutputError
            If a file cannot be moved.
        """
        with self._lock:
            self._require_open()
            files = [
                path
                for path in self.path.iterdir()
                if path.is_file() and path.name not in self._shared
            ]
            publish_files(files, self.folder)
            names = {*self._shared, *(path.name for path in files)}
            targets = tuple(self.folder / name for name in sorted(names))
            for name in obsolete:
                if Path(name).name == name:
                    (self.folder / name).unlink(missing_ok=True)
            self._close()
            return targets

    def _require_open(self) -> None:
        """Raise if the work was given up, or a link is in the place of the folder."""
        if self._is_closed:
            raise CancelledError("The work was given up.")
        refuse_link(self.path)

    def discard(self) -> None:
        """Remove unpublished files and the folders that were created."""
        with self._lock:
            if not self._is_closed:
                self._close()

    def _close(self) -> None:
        """Remove the staging folder, even while another thread writes into it."""
        self._is_closed = True
        doomed = self.path.with_name("gone")
        try:
            # Renamed first, so that a thread that still writes cannot add files to it.
            self.path.rename(doomed)
        except OSError:  # on Windows, if a file in it is open
            doomed = self.path
        for _ in range(3):
            shutil.rmtree(doomed, ignore_errors=True)
            if not doomed.exists():
                break
        self._parts.close()
        for folder in self.made:
            with contextlib.suppress(OSError):  # not empty: it holds outputs
                folder.rmdir()
