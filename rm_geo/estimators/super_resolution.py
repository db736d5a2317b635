"""Super-resolution estimators: refinement of measurements on a regular lattice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from rm_geo._types import BoolArray, FloatArray
from rm_geo._util.padding import pad_window
from rm_geo.devices import require_precision
from rm_geo.errors import InputError, UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.network import gain_offset_db, model_record, require_kind
from rm_geo.estimators.symmetries import orientations, require_count, reversed_axes, turn, turn_back
from rm_geo.units import gain_to_unit, unit_to_gain
from rm_geo.zoo.model_file import read_model, tensor_header
from rm_geo.zoo.superres_network import SuperResolutionNetwork


class SuperResolutionEstimator:
    """Super-resolution network for measurements on a regular lattice of the model's scale.

    Nodes of the lattice without a measurement are treated as buildings. Outside the lattice the
    map is extrapolated with its outermost values.

    Parameters
    ----------
    model : str or Path, optional
        Name in the model index, or a file. Default: the default model of the scale.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    scale : int
        Scale of the default model; not used with ``model``.
    symmetries : {1, 2, 4, 8}
        Number of orientations that are averaged; more are slower and more accurate.
    precision : {"auto", "float32", "bfloat16"}
        See :func:`rm_geo.devices.choose_precision`.
    smallest_share : float
        Minimum share of measured nodes of the lattice, and minimum share of the measurements of
        a tile that lie on the lattice.

    Raises
    ------
    ModelError
        If the model is missing, damaged or of another kind.
    UsageError
        If an option has an invalid value.
    DependencyError
        If the model has no graph for ONNX Runtime and PyTorch is not installed.
    """

    name: ClassVar[str]
    maps_buildings = False

    def __init__(
        self,
        model: str | Path | None = None,
        device: str = "auto",
        scale: int = 4,
        symmetries: int = 1,
        smallest_share: float = 0.4,
        precision: str = "auto",
    ) -> None:
        self.check_options(symmetries=symmetries, precision=precision)
        self.symmetries = symmetries
        self.smallest_share = smallest_share
        record = model_record(model, f"{self.name}-{scale}")
        require_kind(record, (self.name,), type(self).__name__.removesuffix("Estimator"))
        self._network = SuperResolutionNetwork(record, device, precision)
        self.scale = self._network.scale

    @staticmethod
    def check_options(*, symmetries: int = 1, precision: str = "auto", **_others: object) -> None:
        """Check the values of options without opening a model.

        Parameters
        ----------
        symmetries : int
            Number of orientations.
        precision : str
            See :func:`rm_geo.devices.choose_precision`.

        Raises
        ------
        UsageError
            If a value is invalid.
        """
        require_count(symmetries)
        require_precision(precision)

    @property
    def parameters(self) -> int:
        """Return the number of parameters of the network, from the header of its file.

        All tensors of these networks are parameters, since they have no batch normalisation.
        """
        path = self._network.record.path
        header, _ = tensor_header(read_model(path), path)
        return sum(
            math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"
        )

    @property
    def provenance(self) -> dict[str, str]:
        """Return model, checksum, precision and symmetries as tags."""
        return {
            **self._network.record.provenance,
            "precision": self._network.precision,
            "symmetries": str(self.symmetries),
        }

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch of tiles; NaN for tiles without measurements.

        Parameters
        ----------
        batch : TileBatch
            Tiles of one size.

        Returns
        -------
        Estimate
            RSRP in dBm, shape (B, H, W).

        Raises
        ------
        InputError
            If the measurements of a tile do not form a lattice of the model's scale.
        UsageError
            If the model needs known buildings and the batch has none.
        """
        if not self._network.takes_buildings:
            batch = replace(batch, buildings=None)
        elif batch.buildings is None:
            raise UsageError(
                f"The model {self._network.record.name!r} needs known buildings.",
                hint="Use a model without them, such as the default.",
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
        """Return row and column of the first node of the lattice."""
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
        """Run the network on (h, w), padded to a multiple of 4; gives 0 in known buildings."""
        rows, cols = unit.shape
        spare = (-rows % 4, -cols % 4)
        padded = np.pad(unit, ((0, spare[0]), (0, spare[1])), mode="edge")
        known = None
        if buildings is not None:
            beyond = ((0, spare[0] * self.scale), (0, spare[1] * self.scale))
            known = np.pad(buildings, beyond, mode="edge").astype(np.float32)[None, None]
        fine = averaged(
            self._network, padded[None, None], self.symmetries, self.scale, buildings=known
        )
        cut = fine[0, 0, : rows * self.scale, : cols * self.scale]
        return cut if buildings is None else np.where(buildings, np.float32(0), cut)


def averaged(
    network: Callable[..., FloatArray],
    coarse: FloatArray,
    symmetries: int,
    scale: int,
    *,
    centred: bool = False,
    buildings: FloatArray | None = None,
) -> FloatArray:
    """Run a network on samples in several orientations, and average.

    Parameters
    ----------
    network : callable
        Maps (B, 1, h, w) to (B, 1, scale h, scale w); called with ``buildings`` as second
        argument if they are given.
    coarse : ndarray of float32, shape (B, 1, h, w)
        Samples at the centre pixels of their coarse pixels.
    symmetries : {1, 2, 4, 8}
        Number of orientations.
    scale : int
        Fine pixels along each side of a coarse pixel. If it is even, the sample lies half a
        fine pixel south-east of the centre of the coarse pixel, and in another direction in a
        rotated image. The results for rotated images are therefore shifted by one fine pixel.
    centred : bool
        Whether the samples are means of the coarse pixels, which need no shift.
    buildings : ndarray of float32, shape (B, 1, scale h, scale w), optional
        1 in buildings, for a network that reads them.

    Returns
    -------
    ndarray of float32, shape (B, 1, scale h, scale w)
        Mean of the results.

    Examples
    --------
    >>> def repeat(image):
    ...     return image.repeat(2, axis=-2).repeat(2, axis=-1)
    >>> averaged(repeat, np.ones((1, 1, 4, 4), np.float32), 8, 2, centred=True).shape
    (1, 1, 8, 8)
    """
    total = np.float32(0.0)
    for turns, mirror in orientations(symmetries):
        backwards = reversed_axes(turns, mirror) if scale % 2 == 0 and not centred else ()
        axes = [axis for axis, runs in zip((-2, -1), backwards, strict=False) if runs]
        inputs = [turn(coarse, turns, mirror)]
        if buildings is not None:
            inputs.append(turn(_shifted(buildings, axes, 1), turns, mirror))
        fine = turn_back(network(*inputs), turns, mirror)
        total = total + _shifted(fine, axes, -1)
    return np.asarray(total / np.float32(symmetries), dtype=np.float32)


def _shifted(image: FloatArray, axes: Sequence[int], step: int) -> FloatArray:
    """Shift an image by ``step`` pixels along each axis; edge pixels are repeated."""
    for axis in axes:
        size = image.shape[axis]
        image = image.take(np.clip(np.arange(size) + step, 0, size - 1), axis)
    return image


def _within(coarse: FloatArray) -> tuple[FloatArray, tuple[int, int]]:
    """Return the measured part of (h, w), and its first row and column."""
    rows, cols = np.nonzero(np.isfinite(coarse))
    first = (int(rows.min()), int(cols.min()))
    return coarse[first[0] : rows.max() + 1, first[1] : cols.max() + 1], first
