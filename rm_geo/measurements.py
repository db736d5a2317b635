"""Measurements: received power at points, and their split by cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo.cell_names import safe_file_names

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Measurements:
    """Received power at points, in metres.

    Attributes
    ----------
    x, y : ndarray of float64, shape (N,)
        Positions in metres in ``crs``.
    rsrp_dbm : ndarray of float32, shape (N,)
        RSRP in -156..-20 dBm; finite.
    cell : ndarray of object (str or None), shape (N,)
        Identity of the cell; None where unknown.
    crs : pyproj.CRS
        A projected CRS with metres.
    time : ndarray of datetime64[ms], shape (N,), optional
        UTC, or whatever the file's clock said.
    earfcn : ndarray of float64, shape (N,), optional
        EARFCN or NR-ARFCN of the carrier; NaN where unknown.
    source : Path, optional
        The file.
    """

    x: FloatArray
    y: FloatArray
    rsrp_dbm: NDArray[np.float32]
    cell: NDArray[np.object_]
    crs: CRS
    time: NDArray[np.datetime64] | None = None
    earfcn: FloatArray | None = None
    source: Path | None = None

    def __post_init__(self) -> None:
        arrays = (self.y, self.rsrp_dbm, self.cell, self.time, self.earfcn)
        if any(array is not None and array.shape != self.x.shape for array in arrays):
            raise ValueError("the arrays of Measurements must have one shape")

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the positions in metres."""
        return (
            float(self.x.min()), float(self.y.min()), float(self.x.max()), float(self.y.max())
        )  # fmt: skip

    def select(self, rows: NDArray[Any]) -> Measurements:
        """Take some rows, by a mask or by indices."""
        return replace(
            self,
            x=self.x[rows],
            y=self.y[rows],
            rsrp_dbm=self.rsrp_dbm[rows],
            cell=self.cell[rows],
            time=None if self.time is None else self.time[rows],
            earfcn=None if self.earfcn is None else self.earfcn[rows],
        )

    def by_cell(self) -> dict[str, Measurements]:
        """Split by cell, under names that are safe and unique as names of files.

        A physical cell id is reused on every carrier: where one identity was heard on
        several channel numbers, each is a cell of its own, ``40_earfcn1300``. Rows without
        an identity are the cell ``unknown``. Cells with the most rows come first.
        """
        labels, codes = factorise(self.cell)
        labels, codes = _split_carriers(labels, codes, self.earfcn)
        names = safe_file_names(labels)
        counts = np.bincount(codes, minlength=len(labels))
        if counts.max(initial=0) == len(self):  # one cell: no need of a second copy
            return {names[labels[int(counts.argmax())]]: self} if len(self) else {}
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(counts)
        largest = sorted(range(len(labels)), key=lambda k: (-int(counts[k]), names[labels[k]]))
        return {
            names[labels[k]]: self.select(order[ends[k] - counts[k] : ends[k]])
            for k in largest
            if counts[k]
        }


def factorise(cell: NDArray[np.object_]) -> tuple[list[str | None], NDArray[np.int64]]:
    """Give the distinct names of cells, and for each row the place of its name among them."""
    encoded = pa.array(cell, type=pa.string()).dictionary_encode()
    labels: list[str | None] = [*encoded.dictionary.to_pylist(), None]
    codes = encoded.indices.fill_null(len(labels) - 1).to_numpy(zero_copy_only=False)
    return labels, codes.astype(np.int64)


def _split_carriers(
    labels: list[str | None], codes: NDArray[np.int64], earfcn: FloatArray | None
) -> tuple[list[str | None], NDArray[np.int64]]:
    """Make each carrier on which one identity was heard a cell of its own."""
    if earfcn is None:
        return labels, codes
    heard = np.isfinite(earfcn)
    pairs = np.unique(np.column_stack([codes[heard], earfcn[heard].astype(np.int64)]), axis=0)
    counts = np.bincount(pairs[:, 0].astype(np.int64), minlength=len(labels))
    split, split_codes = list(labels), codes.copy()
    for code, channel in pairs:
        if counts[code] > 1:
            split_codes[heard & (codes == code) & (earfcn == channel)] = len(split)
            split.append(f"{labels[code] or 'unknown'}_earfcn{channel}")
    return split, split_codes
