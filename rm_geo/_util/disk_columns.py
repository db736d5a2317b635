"""Columns of a table that may be larger than memory.

A column grows block by block. Beyond half a million rows it is written to an unnamed file in
the folder for temporary files, and the result is a memory-mapped array: the operating system
loads pages on access and evicts them under memory pressure. The file is deleted with the last
array over it, also when the process is killed.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, Generic

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rm_geo._types import Scalar
from rm_geo._util.atomic import output_error

IN_MEMORY_ROWS: Final = 1 << 19
"""Columns with more rows are on disk."""

BLOCK_ROWS: Final = 1 << 18
"""Rows of a block: temporary arrays take some megabytes."""


class DiskColumn(Generic[Scalar]):
    """A column that values are appended to.

    Parameters
    ----------
    dtype : dtype
        Type of the values.
    in_memory_rows : int, optional
        Longer columns are on disk (default: :data:`IN_MEMORY_ROWS`).

    Examples
    --------
    >>> column = DiskColumn(np.float32)
    >>> column.append(np.arange(2))
    >>> column.append(np.array([5]))
    >>> column.finish().tolist()
    [0.0, 1.0, 5.0]
    """

    def __init__(self, dtype: DTypeLike, in_memory_rows: int | None = None) -> None:
        self._dtype = np.dtype(dtype)
        self._limit = IN_MEMORY_ROWS if in_memory_rows is None else in_memory_rows
        self._blocks: list[NDArray[Scalar]] = []
        self._file: IO[bytes] | None = None
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, values: NDArray[Any]) -> None:
        """Append values; views are copied, so that they do not keep a larger array in memory.

        Parameters
        ----------
        values : ndarray, shape (n,)
            Values, converted to the type of the column.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        if values.size == 0:
            return
        block = np.ascontiguousarray(values, dtype=self._dtype)
        self._rows += block.size
        if self._rows > self._limit:
            self._spill()
        if self._file is None:
            self._blocks.append(block.copy() if block.base is not None else block)
        else:
            _write(self._file, block)

    def finish(self) -> NDArray[Scalar]:
        """Return the values and empty the column.

        Returns
        -------
        ndarray, shape (N,)
            In memory, or mapped from disk.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        blocks, file, rows = self._blocks, self._file, self._rows
        self._blocks, self._file, self._rows = [], None, 0
        if file is not None:
            return _mapped(file, self._dtype, rows)
        if len(blocks) == 1:
            return blocks[0]
        return np.concatenate(blocks) if blocks else np.empty(0, dtype=self._dtype)

    def _spill(self) -> None:
        """Move the blocks in memory to disk."""
        if self._file is None:
            self._file = _open_file()
            for block in self._blocks:
                _write(self._file, block)
            self._blocks = []


def empty_column(rows: int, dtype: DTypeLike, in_memory_rows: int | None = None) -> NDArray[Any]:
    """Create a column without values, in memory or on disk.

    Parameters
    ----------
    rows : int
        Length.
    dtype : dtype
        Type of the values.
    in_memory_rows : int, optional
        Longer columns are on disk (default: :data:`IN_MEMORY_ROWS`).

    Returns
    -------
    ndarray, shape (rows,)
        To be filled.

    Raises
    ------
    OutputError
        If the disk is full. Space is allocated here: without it, writing to the mapped array
        would kill the process (SIGBUS).

    Examples
    --------
    >>> empty_column(3, np.float32).shape
    (3,)
    """
    kind = np.dtype(dtype)
    if rows <= (IN_MEMORY_ROWS if in_memory_rows is None else in_memory_rows):
        return np.empty(rows, dtype=kind)
    file = _open_file()
    size = rows * kind.itemsize
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise output_error(Path(tempfile.gettempdir()), error) from error
    else:
        zeros = np.zeros(BLOCK_ROWS, dtype=kind)
        for start in range(0, rows, BLOCK_ROWS):
            _write(file, zeros[: rows - start])
    return _mapped(file, kind, rows)


def map_blocks(
    function: Callable[..., NDArray[Any]], *columns: NDArray[Any], dtype: DTypeLike
) -> NDArray[Any]:
    """Compute a column row by row from others, in memory or on disk.

    Parameters
    ----------
    function : callable
        Maps a block of each column, shape (n,), to the block of the result, shape (n,).
    columns : ndarray, shape (N,)
        Columns of one length.
    dtype : dtype
        Type of the result.

    Returns
    -------
    ndarray, shape (N,)
        The result.

    Raises
    ------
    OutputError
        If the disk is full.

    Examples
    --------
    >>> map_blocks(np.add, np.arange(3), np.ones(3), dtype=np.float32)
    array([1., 2., 3.], dtype=float32)
    """
    result = empty_column(columns[0].shape[0], dtype)
    for *blocks, target in iter_blocks(*columns, result):
        target[:] = function(*blocks)
    return result


def iter_blocks(
    *columns: NDArray[Any], rows: int | None = None
) -> Iterator[tuple[NDArray[Any], ...]]:
    """Iterate over columns of one length in blocks of rows, and free each block afterwards.

    Parameters
    ----------
    columns : ndarray, shape (N,)
        Columns of one length.
    rows : int, optional
        Rows of a block (default: :data:`BLOCK_ROWS`).

    Yields
    ------
    tuple of ndarray
        Views of the same rows of each column.

    Examples
    --------
    >>> [int(block.sum()) for (block,) in iter_blocks(np.arange(5), rows=2)]
    [1, 5, 4]
    """
    step = BLOCK_ROWS if rows is None else rows
    for start in range(0, columns[0].shape[0], step):
        yield tuple(column[start : start + step] for column in columns)
        for column in columns:
            drop_pages(column)


def compress_in_place(
    columns: Mapping[str, NDArray[Any]],
    keep: Callable[[Mapping[str, NDArray[Any]]], NDArray[np.bool_]],
) -> dict[str, NDArray[Any]]:
    """Drop rows, in the memory of the columns, whose contents are overwritten.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (N,)
        Columns of one length.
    keep : callable
        Maps a block of each column to a mask of the rows to keep. Called in the order of the rows.

    Returns
    -------
    dict of str to ndarray, shape (M,)
        Views of the kept rows.

    Examples
    --------
    >>> columns = compress_in_place({"x": np.arange(5)}, lambda rows: rows["x"] % 2 == 0)
    >>> columns["x"].tolist()
    [0, 2, 4]
    """
    begin = end = 0
    for blocks in iter_blocks(*columns.values()):
        kept = keep(dict(zip(columns, blocks, strict=True)))
        count = int(np.count_nonzero(kept))
        if end < begin or count < kept.size:
            for column, block in zip(columns.values(), blocks, strict=True):
                column[end : end + count] = block[kept]
        begin += kept.size
        end += count
    return {name: column[:end] for name, column in columns.items()}


def drop_pages(column: NDArray[Any]) -> None:
    """Remove the pages of a column on disk from the memory of this process.

    No data is lost: the next access reads from the file, or from the system's cache. Arrays in
    memory are not changed.

    Parameters
    ----------
    column : ndarray, shape (N,)
        Column, in memory or on disk.

    Examples
    --------
    >>> drop_pages(np.zeros(3))
    """
    mapped = _map_of(column)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def copy_rows(column: NDArray[Scalar], rows: slice) -> NDArray[Scalar]:
    """Read some rows of a column into memory.

    Parameters
    ----------
    column : ndarray, shape (N,)
        Column, in memory or on disk.
    rows : slice
        Rows.

    Returns
    -------
    ndarray, shape (n,)
        A view of a column in memory; a copy of one on disk, whose pages are dropped.

    Examples
    --------
    >>> copy_rows(np.arange(5), slice(1, 3)).tolist()
    [1, 2]
    """
    if _map_of(column) is None:
        return np.asarray(column[rows])
    copied = np.array(column[rows])
    drop_pages(column)
    return copied


def _map_of(column: NDArray[Any]) -> mmap.mmap | None:
    """Give the mapped file under a column; None for a column in memory."""
    base: object = column
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            mapped = getattr(base, "_mmap", None)
            return mapped if isinstance(mapped, mmap.mmap) else None
        base = base.base
    return None


def _open_file() -> IO[bytes]:
    """Create an unnamed file, which is deleted when it is closed."""
    try:
        return tempfile.TemporaryFile(prefix="rm_geo_")
    except OSError as error:
        raise output_error(Path(tempfile.gettempdir()), error) from error


def _write(file: IO[bytes], block: NDArray[Any]) -> None:
    """Append a contiguous block."""
    try:
        file.write(block.view(np.uint8).data)
    except OSError as error:
        raise output_error(Path(tempfile.gettempdir()), error) from error


def _mapped(file: IO[bytes], dtype: np.dtype[Any], rows: int) -> NDArray[Any]:
    """Give an array over a file, which lives as long as the array."""
    try:
        file.flush()
        return np.asarray(np.memmap(file, dtype=dtype, mode="r+", shape=(rows,)))
    except OSError as error:
        raise output_error(Path(tempfile.gettempdir()), error) from error
    finally:
        file.close()
