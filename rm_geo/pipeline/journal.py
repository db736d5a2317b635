"""Journal of a run: intermediate results from which an interrupted run resumes.

A journal belongs to one cell in one output folder. A key binds it to the measurements, the
parameters, the model and the version. It holds the final blended rows, the estimates of batches
with rows that are not final, and the result of a complete cell. It is removed when the run is
complete. Missing or damaged parts are computed again in the same batches, so that the outputs
are the same bytes. Checksums find damage; they do not stop somebody who may write to the folder
and computes them anew, so the folder is open to its user alone.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np

from rm_geo._util.atomic import output_error
from rm_geo._util.checksummed import from_line, to_line
from rm_geo._util.own_folder import OwnFolder, refuse_link
from rm_geo.errors import JournalError
from rm_geo.estimators.base import Estimate
from rm_geo.raster.mosaic import Band
from rm_geo.raster.scratch import Scratch

_FORMAT: Final = 2
_CHECKSUM: Final = struct.Struct("<I")
_HEADER: Final = struct.Struct("<??4I")  # has buildings, has std, shape
_MANIFEST: Final = "manifest.txt"
_BLENDED: Final = "blended.f32"
_BANDS: Final = "bands.txt"
_ANY_RUN: Final = "manifest"
_LARGEST_BYTES: Final = 1 << 26
"""Size from which a file of the journal is taken for damaged."""


@dataclass(frozen=True)
class BlendedRows:
    """Blended rows of a cell, in the journal.

    Attributes
    ----------
    scratch : Scratch
        File of the rows.
    has_buildings, has_std : bool
        Whether there is a building probability, and a standard deviation, after the RSRP.
    first_row : int
        First row that is missing, or damaged since an earlier run.
    """

    scratch: Scratch
    has_buildings: bool
    has_std: bool
    first_row: int = 0


class Journal:
    """Journal of one cell; opened by :func:`open_journal`.

    Everything in it has a checksum, which also covers the key of the run. What is damaged, or
    belongs to another run, counts as absent.

    Parameters
    ----------
    own : OwnFolder
        Folder of the journal.
    key : str
        Digest of the key of the run.
    resumed : bool
        Whether the journal is that of an earlier run.
    """

    def __init__(self, own: OwnFolder, key: str, resumed: bool) -> None:
        self.own = own
        self.resumed = resumed
        self._key = key
        self._estimates = own.folder("estimates")
        self._kept: set[int] = set()
        self._keeping = Lock()  # estimates are dropped in the blending thread

    @property
    def folder(self) -> Path:
        """Path of the journal."""
        return self.own.path

    @property
    def staging(self) -> OwnFolder:
        """Folder for incomplete output files."""
        return self.own.folder("staging")

    # Named values.

    def recall(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        """Read the value that :meth:`note` wrote under a name; None if there is none."""
        try:
            return from_line(self.own.read(f"{name}.txt", _LARGEST_BYTES), self._purpose(name))
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
        try:
            self.own.write(f"{name}.txt", to_line(value, self._purpose(name)))
        except OSError as error:
            raise output_error(self.folder, error) from error

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
        line = to_line([band.row, band.rows, checksum], self._purpose("band"))
        try:
            with self.own.open_file(_BANDS, "ab") as file:
                file.write(line)
        except OSError as error:
            raise output_error(self.folder, error) from error

    def new_rows(
        self, shape: tuple[int, int], covered: int, *, has_buildings: bool, has_std: bool
    ) -> BlendedRows:
        """Begin the file of the blended rows.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns of the grid.
        covered : int
            Number of rows that will have values.
        has_buildings, has_std : bool
            Whether there is a building probability, and a standard deviation, after the RSRP.

        Returns
        -------
        BlendedRows
            Without rows.

        Raises
        ------
        OutputError
            If the disk has too little free space.
        """
        scratch = Scratch(self.own, _BLENDED, shape, 1 + has_buildings + has_std)
        scratch.require_space(covered)
        self.note("channels", [has_buildings, has_std])
        return BlendedRows(scratch, has_buildings, has_std)

    def resumed_rows(self, shape: tuple[int, int]) -> BlendedRows | None:
        """Restore the blended rows of an earlier run.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns of the grid.

        Returns
        -------
        BlendedRows or None
            None, and all work is discarded, if no earlier run has begun the file.
        """
        layout = self.recall("channels")
        if layout is None:
            self.forget_work()
            return None
        try:
            lines = self.own.read(_BANDS, _LARGEST_BYTES).splitlines(keepends=True)
        except OSError:
            lines = []
        has_buildings, has_std = layout
        scratch = Scratch(self.own, _BLENDED, shape, 1 + has_buildings + has_std)
        accepted: list[bytes] = []
        next_row = 0
        for line in lines:
            try:
                row, count, checksum = from_line(line, self._purpose("band"))
            except ValueError:  # damaged or truncated
                break
            if row != next_row or not (
                checksum is None or scratch.accept_rows(row, count, checksum)
            ):
                break
            next_row += count
            accepted.append(line.removesuffix(b"\n") + b"\n")
        try:
            self.own.write(_BANDS, *accepted)
        except OSError as error:
            raise output_error(self.folder, error) from error
        return BlendedRows(scratch, has_buildings, has_std, next_row)

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
            estimate.building_probability is not None,
            estimate.std_db is not None,
            *content.shape,
        )
        checksum = _CHECKSUM.pack(self._checksum(batch, header, content.data))
        refuse_link(self._estimates.path / _batch_name(batch))
        try:
            self._estimates.create()
            self._estimates.write(_batch_name(batch), checksum, header, content.data, flush=False)
        except OSError as error:
            raise output_error(self.folder, error) from error
        with self._keeping:
            self._kept.add(batch)

    def recall_estimate(self, batch: int) -> Estimate | None:
        """Read the estimate of a batch; None if it is missing or damaged."""
        try:
            with self._estimates.open_file(_batch_name(batch), "rb") as file:
                content = memoryview(file.read())
            (checksum,) = _CHECKSUM.unpack_from(content)
            header = content[_CHECKSUM.size : _CHECKSUM.size + _HEADER.size]
            buildings, std, *shape = _HEADER.unpack(header)
        except (OSError, struct.error):
            return None
        body = content[_CHECKSUM.size + _HEADER.size :]
        if self._checksum(batch, header, body) != checksum or len(body) != 4 * math.prod(shape):
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
            self._estimates.remove_file(_batch_name(batch))

    def forget_work(self) -> None:
        """Remove rows and estimates, where a value that they depend on is missing or damaged."""
        for name in (_BLENDED, _BANDS):
            self.own.remove_file(name)
        self._estimates.remove()

    # End of a cell and of a run.

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result of a complete cell, and remove its rows and estimates."""
        self.own.refuse_links()
        self.note("result", result)
        self.forget_work()
        self.staging.remove()

    def remove(self) -> None:
        """Remove the journal.

        Raises
        ------
        OutputError
            If the journal is or contains a symbolic link.
        """
        self.own.refuse_links()
        # The manifest last: a folder without a manifest is not a journal.
        self.own.clear(keep=_MANIFEST)
        self.own.remove()

    def _purpose(self, name: str) -> str:
        """Bind a value to this run."""
        return f"{self._key} {name}"

    def _checksum(self, batch: int, header: bytes | memoryview, body: memoryview) -> int:
        """Compute the CRC-32 of an estimate, bound to this run and its batch."""
        checksum = zlib.crc32(self._purpose(f"batch {batch}").encode())
        return zlib.crc32(body, zlib.crc32(header, checksum))


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


def journal_folder(output: Path, cell: str) -> OwnFolder:
    """Name the folder of a cell's journal.

    Parameters
    ----------
    output : Path
        Output folder.
    cell : str
        Name of the cell in file names.

    Returns
    -------
    OwnFolder

    Examples
    --------
    >>> journal_folder(Path("maps"), "7").path.name
    '.7.rmgeo-journal'
    """
    return OwnFolder(output, (f".{cell}.rmgeo-journal",))


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
    own = journal_folder(output, cell)
    own.refuse_links()
    journal = Journal(own, key.digest, resumed=False)
    manifest = _manifest(own)
    if fresh or manifest is None:
        journal.remove()
    elif manifest["key"] != key.digest or manifest["format"] != _FORMAT:
        raise JournalError(
            f"{own.path} is the journal of an interrupted run with other "
            f"{_difference(manifest['about'], key.about)}.",
            hint="Run that command again to complete it, or discard its work with `fresh`.",
        )
    else:
        journal.staging.remove()
        return Journal(own, key.digest, resumed=True)
    about = {"format": _FORMAT, "key": key.digest, "about": dict(key.about)}
    try:
        own.create()
        own.write(_MANIFEST, to_line(about, _ANY_RUN))
    except OSError as error:
        raise output_error(own.path, error) from error
    return journal


def _manifest(own: OwnFolder) -> dict[str, Any] | None:
    """Read what a journal is that of; None if it is damaged, or there is none."""
    try:
        found = from_line(own.read(_MANIFEST, _LARGEST_BYTES), _ANY_RUN)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _difference(old: object, new: Mapping[str, str]) -> str:
    """List the names of the inputs that differ between two keys."""
    before = old if isinstance(old, dict) else {}
    names = [name for name in new if before.get(name) != new[name]]
    names += [name for name in before if name not in new]
    return ", ".join(name.replace("_", " ") for name in names) or "inputs"


def _batch_name(batch: int) -> str:
    """Name the file of a batch."""
    return f"{batch:07d}.f32"


def _layers(estimate: Estimate) -> list[Any]:
    """Return the rasters of an estimate that are present."""
    layers = (estimate.rsrp_dbm, estimate.building_probability, estimate.std_db)
    return [layer for layer in layers if layer is not None]
