"""Scattered values on a raster."""

from __future__ import annotations

from typing import NamedTuple

from rm_geo._types import FloatArray, IntArray


class Points(NamedTuple):
    """Scattered values on a raster; shape (N,) each.

    Attributes
    ----------
    row, col : ndarray of int
        Pixels.
    value : ndarray of float32
        Values, of which the expected one is 0.
    """

    row: IntArray
    col: IntArray
    value: FloatArray
