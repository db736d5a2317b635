"""Rows of large rasters in a plain file, written once and read back in bands."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo._util.atomic import full_disk_error, output_error, refuse_link

_ITEM_BYTES: Final = 4


class Scratch:
    """Float32 rasters side by side in one file; rows that were never written are NaN.

    Parameters
    ----------
    path : Path
        The file; made when the first rows are written. Rows that are left out take no
        space where the file system knows holes.
    shape : tuple of int
        Rows and columns of each raster.
    channels : int
        How many rasters.

    Notes
    -----
    Read with ordinary calls, not as a memory map: pages of a map count as the process's own
    memory until somebody else needs it.
    """

    def __init__(self, path: Path, shape: tuple[int, int], channels: int) -> None:
        self.path = path
        self.shape = shape
        self.channels = channels
        self._written = np.zeros(shape[0], dtype=np.bool_)

    def require_space(self, rows: int) -> None:
        """Refuse before the work where the disk cannot take so many rows.

        Raises
        ------
        OutputError
            If there is too little space.
        """
        needed = rows * self.shape[1] * self.channels * _ITEM_BYTES
        if shutil.disk_usage(self.path.parent).free < needed:
            raise full_disk_error(self.path.parent)

    def write_rows(self, row: int, values: FloatArray) -> int:
        """Write rows of all rasters.

        Parameters
        ----------
        row : int
            The first one.
        values : ndarray of float32, shape (channels, rows, W)

        Returns
        -------
        int
            Checksum of the values.

        Raises
        ------
        OutputError
            If the disk is full or fails, or there is a symbolic link in the file's place.
        """
        refuse_link(self.path)
        checksum = 0
        try:
            with self.path.open("r+b" if self.path.exists() else "w+b") as file:
                for channel, layer in enumerate(values):
                    content = np.ascontiguousarray(layer, dtype=np.float32).data
                    checksum = zlib.crc32(content, checksum)
                    file.seek(self._offset(channel, row))
                    file.write(content)
        except OSError as error:
            raise output_error(self.path, error) from error
        self._written[row : row + values.shape[1]] = True
        return checksum

    def accept_rows(self, row: int, count: int, checksum: int) -> bool:
        """Take rows that an earlier run wrote for good, if they have that checksum."""
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
        """Read rows of one raster, shape (rows, W), NaN where none were written."""
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
        """Read what the file has of some rows, flat."""
        count = (rows.stop - rows.start) * self.shape[1]
        if not self.path.exists():
            return np.empty(0, dtype=np.float32)
        offset = self._offset(channel, rows.start)
        return np.fromfile(self.path, dtype=np.float32, count=count, offset=offset)

    def _offset(self, channel: int, row: int) -> int:
        return (channel * self.shape[0] + row) * self.shape[1] * _ITEM_BYTES
