"""Decoding of points from WKB in bulk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from rm_geo.errors import InputError
from rm_geo.io.tables.arrow_numpy import from_numpy, to_numpy

# Little-endian WKB of a point: byte order, type code, x, y (, z (, m)).
_POINT_BYTES: Final = 21
_HEADER: Final = 5
_POINT_CODES: Final = (1, 1001, 2001, 3001, 0x80000001, 0x40000001, 0xC0000001)
_POINT_TYPE_IDS: Final = (0, 4)  # shapely's Point and MultiPoint


@dataclass(frozen=True)
class Shapes:
    """Counts of the geometry types of some rows. Counts of several chunks can be added.

    Attributes
    ----------
    rows : int
        All rows, including those without a geometry.
    not_points : int
        Rows that were dropped because their geometry is a line, a polygon or a collection.
    kinds : tuple of str
        Some of their types.
    multipoints, parts : int
        Multipoints, and the points in them.

    Examples
    --------
    >>> (Shapes(rows=2, multipoints=1, parts=3) + Shapes(rows=1)).notes
    ('1 multipoints became 3 points.',)
    """

    rows: int = 0
    not_points: int = 0
    kinds: tuple[str, ...] = ()
    multipoints: int = 0
    parts: int = 0

    def __add__(self, other: Shapes) -> Shapes:
        return Shapes(
            self.rows + other.rows,
            self.not_points + other.not_points,
            self.kinds or other.kinds,
            self.multipoints + other.multipoints,
            self.parts + other.parts,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on multipoints for the cleaning report.

        Returns
        -------
        tuple of str
        """
        if not self.multipoints:
            return ()
        return (f"{self.multipoints} multipoints became {self.parts} points.",)

    def require_points(self, source: str) -> None:
        """Check that not all rows are lines or polygons.

        Parameters
        ----------
        source : str
            The file, for messages.

        Raises
        ------
        InputError
            If they are. The message names the types.
        """
        if self.not_points and self.not_points == self.rows:
            raise InputError(
                f"{source} holds {' and '.join(self.kinds)} geometries, not points.",
                hint="Give the layer of the measured points, or extract the vertices first.",
            )


@dataclass(frozen=True)
class DecodedPoints:
    """Points of a geometry column.

    Attributes
    ----------
    x, y : ndarray of float64, shape (N,)
        Coordinates; NaN where the geometry is null or empty.
    shapes : Shapes
        Counts of the geometry types.
    rows : ndarray of int64, shape (N,), or None
        Row of each point in the column; None if each row is one point.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    shapes: Shapes
    rows: NDArray[np.int64] | None = None

    def take(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Repeat or drop the values of an attribute column, one for each point.

        Parameters
        ----------
        column : pyarrow.ChunkedArray
            Values of the rows.

        Returns
        -------
        pyarrow.ChunkedArray
            Values of the points, length N.
        """
        return column if self.rows is None else column.take(from_numpy(self.rows))


def decode_points(column: pa.ChunkedArray, source: str) -> DecodedPoints:
    """Decode a WKB column to coordinates.

    Little-endian points, the usual case, are read by numpy from Arrow's buffer: 1,000,000 in
    about 10 ms. Multipoints, big-endian WKB and EWKB with an SRID are decoded by shapely.

    Parameters
    ----------
    column : pyarrow.ChunkedArray of binary
        WKB; null without a geometry.
    source : str
        The file, for messages.

    Returns
    -------
    DecodedPoints

    Raises
    ------
    InputError
        If the bytes are not WKB.

    Examples
    --------
    >>> points = decode_points(pa.chunked_array([[shapely.Point(13, 52).wkb, None]]), "a.gpkg")
    >>> points.x.tolist(), points.y.tolist()
    ([13.0, nan], [52.0, nan])
    """
    array = _binary_array(column)
    count = len(array)
    x, y = np.full(count, np.nan), np.full(count, np.nan)
    null = to_numpy(array.is_null())
    simple = _decode_simple(array, x, y)
    other = np.flatnonzero(~(simple | null))
    if other.size == 0:
        return DecodedPoints(x, y, Shapes(count))
    return _decode_others(array, x, y, other, source)


def _binary_array(column: pa.ChunkedArray) -> pa.LargeBinaryArray:
    """Convert a column of any chunks and binary type to one large-binary array."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.cast(pa.large_binary())


def _decode_simple(
    array: pa.LargeBinaryArray, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Fill in the coordinates of little-endian points, and return a mask of their rows."""
    simple = np.zeros(len(array), dtype=bool)
    _, offsets_buffer, data_buffer = array.buffers()
    if data_buffer is None or len(array) == 0:
        return simple
    first = array.offset
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[first : first + len(array) + 1]
    data = np.frombuffer(data_buffer, dtype=np.uint8)
    long_enough = np.flatnonzero(np.diff(offsets) >= _POINT_BYTES)
    if long_enough.size == 0:
        return simple
    starts = offsets[:-1][long_enough]
    step = int(starts[1] - starts[0]) if starts.size > 1 else _POINT_BYTES
    if starts.size > 1 and np.all(np.diff(starts) == step):
        # Rows of one length: a strided view, nothing copied.
        whole = np.lib.stride_tricks.as_strided(
            data[int(starts[0]) :], (starts.size, _POINT_BYTES), (step, 1), writeable=False
        )
    else:
        whole = data[starts[:, None] + np.arange(_POINT_BYTES)]
    codes = np.ascontiguousarray(whole[:, 1:_HEADER]).view("<u4")[:, 0]
    is_point = (whole[:, 0] == 1) & np.isin(codes, _POINT_CODES)
    xy = np.ascontiguousarray(whole[is_point, _HEADER:]).view("<f8")
    rows = long_enough[is_point]
    simple[rows] = True
    x[rows], y[rows] = xy[:, 0], xy[:, 1]
    return simple


def _decode_others(
    array: pa.LargeBinaryArray,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    other: NDArray[np.int64],
    source: str,
) -> DecodedPoints:
    """Decode other geometries with shapely; multipoints become several rows."""
    try:
        shapes = shapely.from_wkb(
            np.array(array.take(from_numpy(other)).to_pylist(), dtype=object), on_invalid="raise"
        )
    except shapely.errors.ShapelyError as error:
        raise InputError(
            f"The geometry of {source} is damaged: {error}.", hint="Export the layer again."
        ) from error
    kinds = shapely.get_type_id(shapes)
    pointlike = np.isin(kinds, _POINT_TYPE_IDS)
    not_points = int((~pointlike).sum())
    found = sorted({str(shape.geom_type) for shape in shapes[~pointlike][:1000]})
    coordinates, owner = shapely.get_coordinates(shapes[pointlike], return_index=True)
    owner_rows = other[pointlike][owner]
    empty = np.setdiff1d(other[pointlike], owner_rows)
    kept = np.setdiff1d(np.arange(len(array)), other)
    rows = np.concatenate([kept, owner_rows, empty])
    nan = np.full(empty.size, np.nan)
    xs = np.concatenate([x[kept], coordinates[:, 0], nan])
    ys = np.concatenate([y[kept], coordinates[:, 1], nan])
    order = np.argsort(rows, kind="stable")
    multi = int((kinds == 4).sum())
    parts = int(np.isin(owner, np.flatnonzero(kinds[pointlike] == 4)).sum())
    counted = Shapes(len(array), not_points, tuple(found), multi, parts)
    return DecodedPoints(xs[order], ys[order], counted, rows[order])
