"""Scratch file of large rasters: rows are written once and read back in bands."""

from __future__ import annotations

import shutil
import zlib
from typing import Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo._util.atomic import full_disk_error, output_error
from rm_geo._util.own_folder import OwnFolder

_ITEM_BYTES: Final = 4


class Scratch:
    """Float32 rasters one after another in one file; rows that were not written are NaN.

    Parameters
    ----------
    folder : OwnFolder
        Folder of the file, which exists.
    name : str
        Name of the file; created when the first rows are written. Rows that are not written take
        no space on file systems with sparse files.
    shape : tuple of int
        Rows and columns of each raster.
    channels : int
        Number of rasters.

    Notes
    -----
    Read with ordinary calls, not as a memory map: mapped pages count as memory of the process
    until the system reclaims them.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     scratch = Scratch(OwnFolder(Path(folder)), "rows.f32", (4, 2), 1)
    ...     _ = scratch.write_rows(1, np.ones((1, 2, 2), dtype=np.float32))
    ...     scratch.read_rows(0, slice(0, 3))[:, 0].tolist()
    [nan, 1.0, 1.0]
    """

    def __init__(self, folder: OwnFolder, name: str, shape: tuple[int, int], channels: int) -> None:
        self.folder = folder
        self.name = name
        self.shape = shape
        self.channels = channels
        self._written = np.zeros(shape[0], dtype=np.bool_)

    def require_space(self, rows: int) -> None:
        """Require free disk space for a number of rows of all rasters.

        Parameters
        ----------
        rows : int
            Number of rows.

        Raises
        ------
        OutputError
            If the disk has too little free space.
        """
        needed = rows * self.shape[1] * self.channels * _ITEM_BYTES
        if shutil.disk_usage(self.folder.path).free < needed:
            raise full_disk_error(self.folder.path)

    def write_rows(self, row: int, values: FloatArray) -> int:
        """Write rows of all rasters.

        Parameters
        ----------
        row : int
            First row.
        values : ndarray of float32, shape (channels, rows, W)
            Values of the rows.

        Returns
        -------
        int
            CRC-32 of the values.

        Raises
        ------
        OutputError
            If the file cannot be written, the disk is full, or the file is a symbolic link.
        """
        checksum = 0
        try:
            with self.folder.open_file(self.name, "r+b") as file:
                for channel, layer in enumerate(values):
                    content = np.ascontiguousarray(layer, dtype=np.float32).data
                    checksum = zlib.crc32(content, checksum)
                    file.seek(self._offset(channel, row))
                    file.write(content)
        except OSError as error:
            raise output_error(self.folder.path / self.name, error) from error
        self._written[row : row + values.shape[1]] = True
        return checksum

    def accept_rows(self, row: int, count: int, checksum: int) -> bool:
        """Mark rows of an earlier run as written, if their checksum is right.

        Parameters
        ----------
        row, count : int
            First row, and number of rows.
        checksum : int
            CRC-32 that :meth:`write_rows` returned.

        Returns
        -------
        bool
            Whether the rows are intact.
        """
        found = 0
        for channel in range(self.channels):
            content = self._read(channel, slice(row, row + count))
            if content.size != count * self.shape[1]:
                return False
            found = zlib.crc32(content.data, found)
        accepted = found == checksum
        self._written[row : row + count] = accepted
        return accepted

    def read_rows(self, channel: int, rows: slice) -> FloatArray:
        """Read rows of one raster.

        Parameters
        ----------
        channel : int
            Index of the raster.
        rows : slice
            Rows to read.

        Returns
        -------
        ndarray of float32, shape (rows, W)
            NaN in rows that were not written.
        """
        written = self._written[rows]
        if not written.any():
            return np.full((rows.stop - rows.start, self.shape[1]), np.nan, dtype=np.float32)
        content = self._read(channel, rows)
        values = np.full((rows.stop - rows.start) * self.shape[1], np.nan, dtype=np.float32)
        values[: content.size] = content  # the file ends with its last written row
        table = values.reshape(-1, self.shape[1])
        table[~written] = np.nan
        return table

    def _read(self, channel: int, rows: slice) -> FloatArray:
        """Read rows as a flat array; it is shorter where the file ends."""
        count = (rows.stop - rows.start) * self.shape[1]
        try:
            with self.folder.open_file(self.name, "rb") as file:
                offset = self._offset(channel, rows.start)
                return np.fromfile(file, dtype=np.float32, count=count, offset=offset)
        except FileNotFoundError:
            return np.empty(0, dtype=np.float32)

    def _offset(self, channel: int, row: int) -> int:
        return (channel * self.shape[0] + row) * self.shape[1] * _ITEM_BYTES
