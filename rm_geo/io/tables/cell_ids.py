"""Columns of cell names: an integer code per row, and each name once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from rm_geo._util.disk_columns import iter_blocks
from rm_geo.io.tables.arrow_numpy import to_numpy


@dataclass(frozen=True, eq=False)
class CellColumn:
    """A column of names with 4 bytes per row, which behaves like an array of objects.

    Attributes
    ----------
    codes : ndarray of int32, shape (N,)
        Index of each row's name.
    names : tuple of (str or None)
        Distinct names, None for rows without one. Some may not occur.

    Examples
    --------
    >>> cells = CellColumn.of(["A", None, "A"])
    >>> cells.shape, cells.tolist(), cells.present()
    ((3,), ['A', None, 'A'], ['A', None])
    >>> cells.counts().tolist(), cells[0], (cells == "A").tolist()
    ([2, 1], 'A', [True, False, True])
    """

    codes: NDArray[np.int32]
    names: tuple[str | None, ...]

    @classmethod
    def of(cls, cells: Sequence[str | None] | NDArray[Any] | CellColumn) -> CellColumn:
        """Encode a sequence of names.

        Parameters
        ----------
        cells : sequence of (str or None), ndarray or CellColumn
            Names, row by row.

        Returns
        -------
        CellColumn
        """
        if isinstance(cells, CellColumn):
            return cells
        encoded = pa.array(cells, type=pa.string()).dictionary_encode()
        names = (*encoded.dictionary.to_pylist(), None)
        codes = to_numpy(encoded.indices, null=len(names) - 1)
        return cls(codes.astype(np.int32), names)

    @classmethod
    def unnamed(cls, rows: int) -> CellColumn:
        """Create a column of rows without a name; it takes no memory.

        Parameters
        ----------
        rows : int
            Number of rows.

        Returns
        -------
        CellColumn

        Examples
        --------
        >>> CellColumn.unnamed(2).tolist()
        [None, None]
        """
        return cls(np.broadcast_to(np.int32(0), rows), (None,))

    @property
    def shape(self) -> tuple[int]:
        """Number of rows.

        Returns
        -------
        tuple of int
        """
        return (self.codes.shape[0],)

    def counts(self) -> NDArray[np.int64]:
        """Count the rows of each name.

        Returns
        -------
        ndarray of int64, shape (len(names),)
        """
        found = np.zeros(len(self.names), dtype=np.int64)
        for (codes,) in iter_blocks(self.codes):
            found += np.bincount(codes, minlength=found.size)
        return found

    def present(self) -> list[str | None]:
        """List the names that occur.

        Returns
        -------
        list of (str or None)
        """
        return [self.names[place] for place in np.flatnonzero(self.counts())]

    def tolist(self) -> list[str | None]:
        """List the names row by row.

        Returns
        -------
        list of (str or None)
        """
        return list(self)

    def __len__(self) -> int:
        return int(self.codes.shape[0])

    def __iter__(self) -> Iterator[str | None]:
        return (self.names[code] for code in self.codes)

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> str | None: ...
    @overload
    def __getitem__(self, rows: slice | NDArray[Any] | Sequence[int]) -> CellColumn: ...
    def __getitem__(
        self, rows: int | np.integer[Any] | slice | NDArray[Any] | Sequence[int]
    ) -> str | CellColumn | None:
        if isinstance(rows, int | np.integer):
            return self.names[int(self.codes[rows])]
        return CellColumn(self.codes[rows], self.names)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        array = np.array([*self.names, None], dtype=object)[self.codes]
        return array if dtype is None else array.astype(dtype)

    def __eq__(self, other: object) -> NDArray[np.bool_]:  # type: ignore[override]
        """Compare row by row, as arrays do."""
        return np.asarray(np.asarray(self) == other)

    __hash__ = None  # type: ignore[assignment]  # arrays have none either
