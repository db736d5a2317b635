"""Super-resolution networks as estimators: measurements on a regular lattice, made dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from rm_geo._types import BoolArray, FloatArray
from rm_geo._util.padding import pad_window
from rm_geo.errors import InputError, UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.network import LoadedModel, as_array, gain_offset_db
from rm_geo.estimators.symmetries import orientations, require_count, reversed_axes, turn, turn_back
from rm_geo.units import gain_to_unit, unit_to_gain


class SuperResolutionEstimator:
    """A network on tiles whose measurements form a lattice of the model's scale.

    Nodes without a measurement, inside the lattice, count as buildings; beyond it the map
    goes on as it ends.

    Parameters
    ----------
    model : str or Path, optional
        Name in the model index, or a file; the default model of the scale if not given.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    scale : int
        Scale of the default model; a model that is given has its own.
    symmetries : {1, 2, 4, 8}
        Orientations of a tile whose results are averaged: more is slower and better.
    smallest_share : float
        Share of the lattice's nodes that must be measured, and share of a tile's
        measurements that must lie on it.

    Raises
    ------
    ModelError
        If the model is missing, damaged or of another kind.
    UsageError
        If ``symmetries`` is another number.
    """

    name: ClassVar[str]
    network_type: ClassVar[type[nn.Module]]
    maps_buildings = False

    def __init__(
        self,
        model: str | Path | None = None,
        device: str = "auto",
        scale: int = 4,
        symmetries: int = 1,
        smallest_share: float = 0.4,
    ) -> None:
        self.check_options(symmetries=symmetries)
        self.symmetries = symmetries
        self.smallest_share = smallest_share
        self._model = LoadedModel(model, f"{self.name}-{scale}", device)
        self._model.require(self.network_type, self.network_type.__name__)
        self.scale = int(self._model.network.scale)  # type: ignore[arg-type]

    @staticmethod
    def check_options(*, symmetries: int = 1, **_others: object) -> None:
        """Refuse values that are none, opening no model.

        Raises
        ------
        UsageError
            If there are any.
        """
        require_count(symmetries)

    @property
    def parameters(self) -> int:
        """Number of the network's weights."""
        return sum(p.numel() for p in self._model.network.parameters())

    @property
    def provenance(self) -> dict[str, str]:
        """Model, checksum, precision and symmetries."""
        return {**self._model.provenance, "symmetries": str(self.symmetries)}

    @torch.inference_mode()
    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; tiles without a measurement give NaN.

        Raises
        ------
        InputError
            If the measurements of a tile are no lattice of the model's scale.
        UsageError
            If the model needs known buildings and the batch has none.
        """
        if not self._takes_buildings:
            batch = replace(batch, buildings=None)
        elif batch.buildings is None:
            raise UsageError(
                f"The model {self._model.record.name!r} needs known buildings.",
                hint="Use a model that finds them itself, such as the default.",
            )
        offset_db = gain_offset_db(batch)
        level = np.full(batch.rsrp_dbm.shape, np.nan, dtype=np.float32)
        for index in np.flatnonzero(np.isfinite(offset_db)):
            rsrp = batch.rsrp_dbm[index]
            phase = self._phase(batch.observed[index])
            coarse, first = _within(rsrp[phase[0] :: self.scale, phase[1] :: self.scale])
            unit = np.where(np.isfinite(coarse), gain_to_unit(coarse - offset_db[index]), 0.0)
            row, col = (
                node * self.scale + offset - self.scale // 2
                for node, offset in zip(first, phase, strict=True)
            )
            size = (unit.shape[0] * self.scale, unit.shape[1] * self.scale)
            buildings = (
                None
                if batch.buildings is None
                else pad_window(batch.buildings[index], (row, col), size)
            )
            fine = self._enlarge(np.asarray(unit, dtype=np.float32), buildings)
            level[index] = pad_window(
                unit_to_gain(fine) + offset_db[index], (-row, -col), rsrp.shape
            )
        return Estimate(rsrp_dbm=level)

    def _phase(self, observed: BoolArray) -> tuple[int, int]:
        """Row and column of the lattice's first node."""
        counts = np.zeros((self.scale, self.scale), dtype=np.int64)
        rows, cols = np.nonzero(observed)
        np.add.at(counts, (rows % self.scale, cols % self.scale), 1)
        row, col = (int(i) for i in np.unravel_index(int(counts.argmax()), counts.shape))
        measured = observed[row :: self.scale, col :: self.scale]
        nodes = int(np.prod([np.ptp(axis) + 1 for axis in np.nonzero(measured)]))
        on_lattice = int(counts.max())
        if on_lattice < self.smallest_share * max(nodes, rows.size):
            raise InputError(
                f"The measurements are no regular lattice of {self.scale} pixels: "
                f"{on_lattice} of {rows.size} lie on the best one, which has {nodes} nodes.",
                hint=f"{self.name} enlarges regular grids, whose step must be {self.scale} pixels "
                "(`resolution_m`); use `method` radiocycle for drive tests.",
            )
        return row, col

    def _enlarge(self, unit: FloatArray, buildings: BoolArray | None) -> FloatArray:
        """Run the network on (h, w), padded to what its pyramid can halve; 0 in known buildings."""
        rows, cols = unit.shape
        spare = (-rows % 4, -cols % 4)
        padded = np.pad(unit, ((0, spare[0]), (0, spare[1])), mode="edge")
        coarse = self._model.tensor(padded)[None, None]
        known = None
        if buildings is not None:
            beyond = ((0, spare[0] * self.scale), (0, spare[1] * self.scale))
            known = self._model.tensor(np.pad(buildings, beyond, mode="edge").astype(np.float32))
            known = known[None, None]
        with self._model.autocast():
            fine = averaged(
                self._model.network, coarse, self.symmetries, self.scale, buildings=known
            )
        cut = as_array(fine)[0, : rows * self.scale, : cols * self.scale]
        return cut if buildings is None else np.where(buildings, np.float32(0), cut)

    @property
    def _takes_buildings(self) -> bool:
        """Whether the network takes known buildings."""
        return bool(getattr(self._model.network, "walled", False))


def averaged(
    network: nn.Module,
    coarse: Tensor,
    symmetries: int,
    scale: int,
    *,
    centred: bool = False,
    buildings: Tensor | None = None,
) -> Tensor:
    """Enlarge samples at the cells' centre pixels in several orientations, and average.

    Parameters
    ----------
    network : torch.nn.Module
        Takes (B, 1, h, w) to (B, 1, scale h, scale w).
    coarse : Tensor, shape (B, 1, h, w)
    symmetries : {1, 2, 4, 8}
    scale : int
        An even cell has no centre pixel: samples lie half a pixel south-east of the centre,
        and so half a pixel elsewhere once the samples are turned. Maps that were turned
        are moved by what that makes.
    centred : bool
        Whether samples are means of their cells instead, which need no moving.
    buildings : Tensor, shape (B, 1, scale h, scale w), optional
        1 in buildings, for a network that takes them.

    Returns
    -------
    Tensor, shape (B, 1, scale h, scale w)
    """
    total = torch.zeros((), device=coarse.device)
    for turns, mirror in orientations(symmetries):
        backwards = reversed_axes(turns, mirror) if scale % 2 == 0 and not centred else ()
        axes = [axis for axis, runs in zip((-2, -1), backwards, strict=False) if runs]
        given = [turn(coarse, turns, mirror)]
        if buildings is not None:
            given.append(turn(_shifted(buildings, axes, 1), turns, mirror))
        fine = turn_back(network(*given).float(), turns, mirror)
        total = total + _shifted(fine, axes, -1)
    return total / symmetries


def _shifted(image: Tensor, axes: Sequence[int], step: int) -> Tensor:
    """Take pixels ``step`` further along each axis, the edge's own beyond it."""
    for axis in axes:
        size = int(image.shape[axis])
        source = (torch.arange(size, device=image.device) + step).clamp(0, size - 1)
        image = image.index_select(axis, source)
    return image


def _within(coarse: FloatArray) -> tuple[FloatArray, tuple[int, int]]:
    """Cut (h, w) to what was measured; also the first row and column of the cut."""
    rows, cols = np.nonzero(np.isfinite(coarse))
    first = (int(rows.min()), int(cols.min()))
    return coarse[first[0] : rows.max() + 1, first[1] : cols.max() + 1], first
