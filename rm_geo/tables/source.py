"""What every reader gives: a description first, then the chosen columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

Column: TypeAlias = Any
"""A ``pyarrow.ChunkedArray``; pyarrow carries no types."""

Bounds: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north in the CRS of the source."""


@dataclass(frozen=True)
class Table:
    """The columns that were read, one entry per row.

    Attributes
    ----------
    columns : mapping of str to pyarrow.ChunkedArray
        The columns that were asked for.
    x, y : ndarray of float64, shape (N,), or None
        Coordinates of the geometry, NaN where null or empty; None without a geometry.
    not_points : int
        Rows left out because their geometry is a line, a polygon or a collection.
    malformed : int
        Rows left out because they have more or fewer fields than the header.
    notes : tuple of str
        What the reader did that a person may want to know.
    """

    columns: Mapping[str, Column]
    x: NDArray[np.float64] | None = None
    y: NDArray[np.float64] | None = None
    not_points: int = 0
    malformed: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A file that was opened and described, not yet read.

    Attributes
    ----------
    path : Path
        The file.
    names : tuple of str
        Its columns, without the geometry.
    has_geometry : bool
        Whether the rows carry a geometry.
    crs : pyproj.CRS or None
        CRS of the geometry, where the file says.
    layer : str or None
        The layer, in files that have layers.
    load : callable
        ``load(names, bounds)`` reads those columns; ``bounds`` lets a reader leave out
        rows early and binds none to do so.
    """

    path: Path
    names: tuple[str, ...]
    has_geometry: bool
    crs: CRS | None
    load: Callable[[Sequence[str], Bounds | None], Table] = field(repr=False)
    layer: str | None = None

    @property
    def label(self) -> str:
        """The file, and the layer where there is a choice, for messages."""
        return f"{self.path}" if self.layer is None else f"{self.path} (layer {self.layer!r})"
