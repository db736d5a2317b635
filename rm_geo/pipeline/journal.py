"""What a run has done so far, beside its outputs: a run that was killed goes on from there.

A journal belongs to one cell in one output folder, and is bound to the measurements, the
parameters, the model and the version by a key. It holds the blended rows that are final, the
estimates of tiles whose rows are not, and when the cell is complete its result, until the
whole run is. Nothing in it decides what a result is: whatever is missing or damaged is
computed again, in the same batches, and gives the same bytes.
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
    """The journal of one cell; made by :func:`open_journal`.

    Parameters
    ----------
    folder : Path
        Its folder.
    resumed : bool
        Whether an earlier run left something.
    """

    def __init__(self, folder: Path, resumed: bool) -> None:
        self.folder = folder
        self.resumed = resumed
        self._kept: set[int] = set()
        self._keeping = Lock()  # rows are blended, and estimates dropped, in a thread of its own

    @property
    def staging(self) -> Path:
        """A folder for files that are not complete."""
        return self.folder / "staging"

    def scratch(self, shape: tuple[int, int], channels: int) -> Scratch:
        """Rasters of blended rows."""
        return Scratch(self.folder / "blended.f32", shape, channels)

    # Single facts.

    def recall(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        """Give a fact that was noted under a name; None if there is none."""
        try:
            return json.loads((self.folder / f"{name}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def note(self, name: str, value: object) -> None:
        """Note a fact that JSON can hold."""
        with replacing(self.folder / f"{name}.json") as part:
            part.write_text(json.dumps(value), "utf-8")

    # Final rows.

    def note_band(self, band: Band, scratch: Scratch) -> None:
        """Keep final rows; those without any value cost nothing."""
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
        """Take the rows of an earlier run into a scratch file; give the first one missing."""
        path = self.folder / "bands.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        accepted: list[str] = []
        next_row = 0
        for line in lines:
            try:
                row, count, checksum = json.loads(line)
            except ValueError:  # cut short
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
        """Keep the estimate of a batch of tiles until its rows are final."""
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
        """Give the estimate of a batch; None if there is none that is whole."""
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
        """Forget the estimates of batches that are not needed any more."""
        with self._keeping:
            dropped = {batch for batch in self._kept if batch < before}
            self._kept -= dropped
        for batch in dropped:
            self._batch(batch).unlink(missing_ok=True)

    # The end.

    def finish(self, result: Mapping[str, Any]) -> None:
        """Note the result of a complete cell; the rest is not needed any more."""
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
            If there is a symbolic link in it or in its place.
        """
        refuse_links(self.folder)
        # The manifest last: without it, a folder is no journal.
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
    """What a journal is bound to.

    Attributes
    ----------
    digest : str
        sha256 of all of it.
    about : mapping of str to str
        What a person can compare, such as the input and the method.
    """

    digest: str
    about: Mapping[str, str]


def journal_folder(output: Path, cell: str) -> Path:
    """Folder of the journal of a cell."""
    return output / f".{cell}.rmgeo-journal"


def refuse_links(folder: Path) -> None:
    """Refuse a journal with a symbolic link in it or in its place, before anything is touched.

    Raises
    ------
    OutputError
        If there is one.
    """
    refuse_link(folder)
    for place, folders, files in os.walk(folder):  # follows no link
        for name in (*folders, *files):
            refuse_link(Path(place, name))


def open_journal(output: Path, cell: str, key: JournalKey, *, fresh: bool = False) -> Journal:
    """Open what an earlier run of the same key left, or begin a journal.

    Parameters
    ----------
    output : Path
        Folder of the outputs, in which the caller holds the cell's lock.
    cell : str
        Name of the cell.
    key : JournalKey
        What the results depend on.
    fresh : bool
        Discard whatever an earlier run left.

    Raises
    ------
    JournalError
        If an earlier run of another key left a journal.
    OutputError
        If the folder cannot be written, or there is a symbolic link in it or in its place.
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
    """Name what differs between two keys."""
    before = old if isinstance(old, dict) else {}
    names = [name for name in new if before.get(name) != new[name]]
    names += [name for name in before if name not in new]
    return ", ".join(name.replace("_", " ") for name in names) or "inputs"


def _layers(estimate: Estimate) -> list[Any]:
    """Rasters that an estimate has."""
    layers = (estimate.rsrp_dbm, estimate.building_probability, estimate.std_db)
    return [layer for layer in layers if layer is not None]
