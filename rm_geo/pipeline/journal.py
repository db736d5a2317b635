"""Journal of a run: intermediate results from which an interrupted run resumes.

A journal belongs to one cell in one output folder. A key binds it to the measurements, the
parameters, the model and the version. It holds the final blended rows, the estimates of batches
with rows that are not final, and the result of a complete cell. It is removed when the run is
complete. Missing or damaged parts are computed again in the same batches, so that the outputs
are the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np

from rm_geo._util.atomic import output_error, refuse_link, replacing
from rm_geo.errors import JournalError
from rm_geo.estimators.base import Estimate
from rm_geo.raster.mosaic import Band
from rm_geo.raster.scratch import Scratch

_FORMAT: Final = 1
_HEADER: Final = struct.Struct("<I??4I")  # checksum, has buildings, has std, shape


class Journal:
    """Journal of one cell; opened by :func:`open_journal`.

    Parameters
    ----------
    folder : Path
        Folder of the journal.
    resumed : bool
        Whether the journal is that of an earlier run.
    """

    def __init__(self, folder: Path, resumed: bool) -> None:
        self.folder = folder
        self.resumed = resumed
        self._kept: set[int] = set()
        self._keeping = Lock()  # estimates are dropped in the blending thread

    @property
    def staging(self) -> Path:
        """Folder for incomplete output files."""
        return self.folder / "staging"

    def scratch(self, shape: tuple[int, int], channels: int) -> Scratch:
        """Return the scratch file of the blended rows.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns.
        channels : int
            Number of layers.

        Returns
        -------
        Scratch
            The file, not yet opened.
        """
        return Scratch(self.folder / "blended.f32", shape, channels)

    # Named values.

    def recall(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        """Read the value that :meth:`note` wrote under a name; None if there is none."""
        try:
            return json.loads((self.folder / f"{name}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def note(self, name: str, value: object) -> None:
        """Write a JSON value under a name.

        Parameters
        ----------
        name : str
            Name of the value.
        value : object
            What JSON can express.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with replacing(self.folder / f"{name}.json") as part:
            part.write_text(json.dumps(value), "utf-8")

    # Final rows.

    def note_band(self, band: Band, scratch: Scratch) -> None:
        """Write final rows to the scratch file and list them; rows without values take no space.

        Parameters
        ----------
        band : Band
            The final rows.
        scratch : Scratch
            File of the blended rows.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        checksum = None
        if band.values is not None:
            checksum = scratch.write_rows(band.row, band.values)
        line = json.dumps([band.row, band.rows, checksum])
        try:
            with (self.folder / "bands.jsonl").open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise output_error(self.folder, error) from error

    def accept_bands(self, scratch: Scratch) -> int:
        """Restore the rows of an earlier run.

        Parameters
        ----------
        scratch : Scratch
            Scratch file of the blended rows.

        Returns
        -------
        int
            First row that is missing or damaged.
        """
        path = self.folder / "bands.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        accepted: list[str] = []
        next_row = 0
        for line in lines:
            try:
                row, count, checksum = json.loads(line)
            except ValueError:  # truncated line
                break
            if row != next_row or not (
                checksum is None or scratch.accept_rows(row, count, checksum)
            ):
                break
            next_row += count
            accepted.append(line)
        if lines:
            with replacing(path) as part:
                part.write_text("".join(f"{line}\n" for line in accepted), "utf-8")
        return next_row

    # Estimates of batches.

    def keep_estimate(self, batch: int, estimate: Estimate) -> None:
        """Write the estimate of a batch of tiles.

        Parameters
        ----------
        batch : int
            Number of the batch.
        estimate : Estimate
            Its estimate.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        layers = _layers(estimate)
        content = np.ascontiguousarray(np.stack(layers), dtype=np.float32)
        header = _HEADER.pack(
            zlib.crc32(content.data),
            estimate.building_probability is not None,
            estimate.std_db is not None,
            *content.shape,
        )
        path = self._batch(batch)
        part = path.with_suffix(".part")
        for own in (self.folder, path.parent, part):
            refuse_link(own)
        try:
            path.parent.mkdir(exist_ok=True)
            with part.open("wb") as file:
                file.write(header)
                file.write(content.data)
            part.replace(path)
        except OSError as error:
            raise output_error(self.folder, error) from error
        with self._keeping:
            self._kept.add(batch)

    def recall_estimate(self, batch: int) -> Estimate | None:
        """Read the estimate of a batch; None if it is missing or damaged."""
        try:
            content = self._batch(batch).read_bytes()
            checksum, buildings, std, *shape = _HEADER.unpack_from(content)
        except (OSError, struct.error):
            return None
        body = memoryview(content)[_HEADER.size :]
        if len(body) != 4 * int(np.prod(shape)) or zlib.crc32(body) != checksum:
            return None
        layers = list(np.frombuffer(body, dtype=np.float32).reshape(shape))
        with self._keeping:
            self._kept.add(batch)
        return Estimate(layers[0], layers[1] if buildings else None, layers[-1] if std else None)

    def drop_estimates(self, before: int) -> None:
        """Remove the estimates of all batches before the given one."""
        with self._keeping:
            dropped = {batch for batch in self._kept if batch < before}
            self._kept -= dropped
        for batch in dropped:
            self._batch(batch).unlink(missing_ok=True)

    # End of a cell and of a run.

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result of a complete cell, and remove its rows and estimates."""
        refuse_links(self.folder)
        self.note("result", result)
        for name in ("blended.f32", "bands.jsonl"):
            (self.folder / name).unlink(missing_ok=True)
        for folder in ("estimates", "staging"):
            shutil.rmtree(self.folder / folder, ignore_errors=True)

    def remove(self) -> None:
        """Remove the journal.

        Raises
        ------
        OutputError
            If the journal is or contains a symbolic link.
        """
        refuse_links(self.folder)
        # The manifest last: a folder without a manifest is not a journal.
        for path in sorted(self.folder.glob("*"), key=lambda path: path.name == "manifest.json"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _batch(self, batch: int) -> Path:
        return self.folder / "estimates" / f"{batch:07d}.f32"


@dataclass(frozen=True)
class JournalKey:
    """Key of a journal: all inputs on which the outputs depend.

    Attributes
    ----------
    digest : str
        sha256 of the inputs.
    about : mapping of str to str
        Readable inputs by name, such as the input file and the method, for error messages.
    """

    digest: str
    about: Mapping[str, str]


def journal_folder(output: Path, cell: str) -> Path:
    """Return the folder of a cell's journal.

    Parameters
    ----------
    output : Path
        Output folder.
    cell : str
        Name of the cell in file names.

    Returns
    -------
    Path

    Examples
    --------
    >>> journal_folder(Path("maps"), "7").name
    '.7.rmgeo-journal'
    """
    return output / f".{cell}.rmgeo-journal"


def refuse_links(folder: Path) -> None:
    """Refuse a journal that is or contains a symbolic link, before any file is changed.

    Parameters
    ----------
    folder : Path
        Folder of the journal.

    Raises
    ------
    OutputError
        If there is a symbolic link.
    """
    refuse_link(folder)
    for place, folders, files in os.walk(folder):  # does not follow links
        for name in (*folders, *files):
            refuse_link(Path(place, name))


def open_journal(output: Path, cell: str, key: JournalKey, *, fresh: bool = False) -> Journal:
    """Open the journal of an earlier run with the same key, or create a journal.

    Parameters
    ----------
    output : Path
        Output folder, in which the caller holds the lock of the cell.
    cell : str
        Name of the cell in file names.
    key : JournalKey
        Key of the run.
    fresh : bool
        Whether to discard the journal of an earlier run.

    Returns
    -------
    Journal

    Raises
    ------
    JournalError
        If there is a journal with another key.
    OutputError
        If the folder cannot be written, or the journal is or contains a symbolic link.
    """
    folder = journal_folder(output, cell)
    refuse_links(folder)
    journal = Journal(folder, resumed=False)
    manifest = journal.recall("manifest")
    if fresh or not isinstance(manifest, dict):
        journal.remove()
    elif manifest.get("key") != key.digest or manifest.get("format") != _FORMAT:
        raise JournalError(
            f"{folder} is the journal of an interrupted run with other "
            f"{_difference(manifest.get('about'), key.about)}.",
            hint="Run that command again to complete it, or discard its work with `fresh`.",
        )
    else:
        shutil.rmtree(journal.staging, ignore_errors=True)
        return Journal(folder, resumed=True)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    journal.note("manifest", {"format": _FORMAT, "key": key.digest, "about": dict(key.about)})
    return journal


def _difference(old: object, new: Mapping[str, str]) -> str:
    """List the names of the inputs that differ between two keys."""
    before = old if isinstance(old, dict) else {}
    names = [name for name in new if before.get(name) != new[name]]
    names += [name for name in before if name not in new]
    return ", ".join(name.replace("_", " ") for name in names) or "inputs"


def _layers(estimate: Estimate) -> list[Any]:
    """Return the rasters of an estimate that are present."""
    layers = (estimate.rsrp_dbm, estimate.building_probability, estimate.std_db)
    return [layer for layer in layers if layer is not None]
