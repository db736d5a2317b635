"""Numbers of Arrow as numpy arrays, and back, without pandas.

pyarrow's own conversions import pandas where it is installed, which takes as long as to read ten
thousand rows, and which they need for none of these types.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def to_numpy(column: pa.Array | pa.ChunkedArray, null: float | None = None) -> NDArray[Any]:
    """Convert a column of numbers or truth values.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray
        Integers, floating-point numbers or truth values.
    null : float, optional
        Value of rows that are null; not needed where there is none.

    Returns
    -------
    ndarray, shape (N,)
        May share memory with the column; not writable then.

    Raises
    ------
    ValueError
        If rows are null, and no value was given for them.

    Examples
    --------
    >>> to_numpy(pa.array([1.5, None]), null=np.nan).tolist()
    [1.5, nan]
    >>> to_numpy(pa.chunked_array([[True], [False]])).tolist()
    [True, False]
    """
    array = joined(column)
    if array.null_count:
        if null is None:
            raise ValueError(f"{array.null_count} of {len(array)} rows are null")
        valid = to_numpy(array.is_valid())
        _, values = array.buffers()
        whole = pa.Array.from_buffers(array.type, len(array), [None, values], 0, array.offset)
        return np.asarray(np.where(valid, to_numpy(whole), null))
    if pa.types.is_boolean(array.type):
        return np.from_dlpack(array.cast(pa.uint8())).astype(np.bool_)
    return np.from_dlpack(array)


def joined(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Join the chunks of a column, of which there may be none.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray
        Values of any type.

    Returns
    -------
    pyarrow.Array

    Examples
    --------
    >>> joined(pa.chunked_array([[1], [2, 3]])).to_pylist()
    [1, 2, 3]
    """
    if not isinstance(column, pa.ChunkedArray):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def from_numpy(values: NDArray[Any]) -> pa.Array:
    """Convert an array of numbers; the column shares its memory.

    Parameters
    ----------
    values : ndarray, shape (N,)
        Integers or floating-point numbers.

    Returns
    -------
    pyarrow.Array

    Examples
    --------
    >>> from_numpy(np.array([1, 2])).to_pylist()
    [1, 2]
    """
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [None, buffer])
