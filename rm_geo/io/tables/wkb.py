"""Coordinates out of WKB, without an object per point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from rm_geo.errors import InputError

# Little-endian WKB of a point: byte order, type code, x, y (, z (, m)).
_POINT_BYTES: Final = 21
_HEADER: Final = 5
_POINT_CODES: Final = (1, 1001, 2001, 3001, 0x80000001, 0x40000001, 0xC0000001)
_POINT_TYPE_IDS: Final = (0, 4)  # shapely's Point and MultiPoint


@dataclass(frozen=True)
class Shapes:
    """What the geometries of some rows were; those of several chunks add up.

    Attributes
    ----------
    rows : int
        Rows that were looked at, those without a geometry included.
    not_points : int
        Rows left out because their geometry is a line, a polygon or a collection.
    kinds : tuple of str
        What some of those were.
    multipoints, parts : int
        Multipoints, and the points that they became.
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
        """What was done to multipoints."""
        if not self.multipoints:
            return ()
        return (f"{self.multipoints} multipoints became {self.parts} points.",)

    def require_points(self, source: str) -> None:
        """Raise if the rows hold lines or polygons only.

        Raises
        ------
        InputError
            Naming what they hold.
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
        What the geometries were.
    rows : ndarray of int64, shape (N,), or None
        The row of the column that each point comes from; None where it is each in turn.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    shapes: Shapes
    rows: NDArray[np.int64] | None = None

    def take(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Give an attribute column with one entry per point."""
        return column if self.rows is None else column.take(pa.array(self.rows))


def decode_points(column: pa.ChunkedArray, source: str) -> DecodedPoints:
    """Decode a WKB column to coordinates.

    Little-endian points, which is what every writer of our formats writes, are read by
    numpy straight from Arrow's buffer: 1,000,000 in some 10 ms. Everything else
    (multipoints, big-endian, EWKB with an SRID) goes through shapely.

    Parameters
    ----------
    column : pyarrow.ChunkedArray of binary
        WKB; null where there is no geometry.
    source : str
        The file, for messages.

    Raises
    ------
    InputError
        If the bytes are not WKB.
    """
    array = _binary_array(column)
    count = len(array)
    x, y = np.full(count, np.nan), np.full(count, np.nan)
    null = np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    simple = _decode_simple(array, x, y)
    other = np.flatnonzero(~(simple | null))
    if other.size == 0:
        return DecodedPoints(x, y, Shapes(count))
    return _decode_others(array, x, y, other, source)


def _binary_array(column: pa.ChunkedArray) -> pa.LargeBinaryArray:
    """One contiguous large-binary array, whatever the chunks and the extension type."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.cast(pa.large_binary())


def _decode_simple(
    array: pa.LargeBinaryArray, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Fill the coordinates of little-endian points; say which rows they are."""
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
    """Decode what is not a plain point with shapely; multipoints become several rows."""
    try:
        shapes = shapely.from_wkb(
            np.array(array.take(pa.array(other)).to_pylist(), dtype=object), on_invalid="raise"
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
