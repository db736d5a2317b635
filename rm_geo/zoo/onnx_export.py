"""Export of trained networks to ONNX files, which are compared with the original."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rm_geo._util.atomic import replacing, require_file_target
from rm_geo.errors import DependencyError, ModelError, OutputError
from rm_geo.networks.features import SparseTiles
from rm_geo.networks.radiocycle import DriveTestMaps, DriveTestRadioCycle
from rm_geo.networks.ray_buildings import RayBuildings
from rm_geo.zoo.catalog import ModelRecord, describe_network
from rm_geo.zoo.kinds import DRIVE_KIND, SUPERRES_KINDS
from rm_geo.zoo.onnx_stem import with_strided_stems
from rm_geo.zoo.weights import load_network

INPUTS: Final = ("rsrp_dbm", "observed", "transmitter_rc", "intercept_dbm", "spacing_m")
"""Inputs of an exported network for drive tests, in their order."""

KNOWN_BUILDINGS_INPUTS: Final = (*INPUTS, "buildings")
"""The same with known buildings."""

OPSET: Final = 18
"""The first with reductions whose axes are inputs, and with Col2Im; ONNX Runtime 1.14."""

MOST_DIFFERENCE: Final = 1e-3
"""Largest difference from the original that passes, on the scale of the output."""

_LARGEST_BATCH: Final = 1024


_TILE_SIZE_PX: Final = 256
_WINDOW_PX: Final = 64


def default_tile_size(record: ModelRecord) -> int:
    """Side of the tiles that a model is run on, in the pixels that it reads.

    Parameters
    ----------
    record : ModelRecord
        The model.

    Returns
    -------
    int
        64 coarse pixels for super-resolution models, 256 for others.
    """
    return _WINDOW_PX if record.kind in SUPERRES_KINDS else _TILE_SIZE_PX


def reads_buildings(record: ModelRecord) -> bool:
    """Whether a super-resolution model has buildings as an input.

    Parameters
    ----------
    record : ModelRecord
        The model.

    Returns
    -------
    bool
    """
    if record.kind not in SUPERRES_KINDS:
        return False
    return bool(describe_network(record)["network"].get("walled", False))


@dataclass(frozen=True)
class Export:
    """One exported network.

    Attributes
    ----------
    path : Path
        The file.
    model, sha256 : str
        Which weights it holds.
    tile_size_px : int
        Side of the tiles that it takes.
    inputs, outputs : tuple of str
        Their names.
    difference : float
        Largest difference from the original network, in dB for levels.
    """

    path: Path
    model: str
    sha256: str
    tile_size_px: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float


@dataclass(frozen=True)
class _Plan:
    """How a kind of network is called."""

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sample: Callable[[int, torch.Generator], tuple[Tensor, ...]]


class _FieldForward(nn.Module):
    """The pair for drive tests, with tensors for arguments."""

    def __init__(self, network: DriveTestRadioCycle) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        rsrp_dbm: Tensor,
        observed: Tensor,
        transmitter_rc: Tensor,
        intercept_dbm: Tensor,
        spacing_m: Tensor,
        buildings: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """RSRP in dBm, building log-odds and logarithm of the standard deviation."""
        tiles = SparseTiles(rsrp_dbm, observed, transmitter_rc, intercept_dbm)
        # A tensor in place of the number, so that the file works at every resolution.
        object.__setattr__(tiles, "spacing_m", spacing_m)
        maps: DriveTestMaps = self.network(tiles, buildings)
        return maps.rsrp_dbm, maps.building_logits, maps.log_std


def export_onnx(
    record: ModelRecord,
    path: Path,
    tile_size_px: int | None = None,
    *,
    known_buildings: bool = False,
) -> Export:
    """Write a trained network as an ONNX file.

    Parameters
    ----------
    record : ModelRecord
        The model.
    path : Path
        The file to make or to replace.
    tile_size_px : int, optional
        Side of the tiles that the file will take; their number is free. Of super-resolution
        models, in coarse pixels. :func:`default_tile_size` if not given.
    known_buildings : bool
        Whether the file takes known buildings too; of models for drive tests. A
        super-resolution model that reads buildings always takes them.

    Returns
    -------
    Export
        What was written, and how far it is from the original.

    Raises
    ------
    ModelError
        If the network cannot be exported, or the file's outputs differ from the network's.
    DependencyError
        If onnx, onnxscript or onnxruntime is not installed.
    OutputError
        If the file cannot be written, or is the model's.
    """
    target = require_file_target(path)
    if target.exists() and target.samefile(record.path):
        raise OutputError(f"{path} is the model itself.", hint="Name another file.")
    onnx, runtime = (_require(name) for name in ("onnx", "onnxruntime"))
    _require("onnxscript")
    network, loaded = load_network(record)
    size = default_tile_size(record) if tile_size_px is None else tile_size_px
    plan = _plan(network.eval(), loaded, size, known_buildings)
    generator = torch.Generator().manual_seed(0)
    sample = plan.sample(2, generator)
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    shapes = tuple({0: batch} if value.dim() else None for value in sample)
    buffer = io.BytesIO()
    try:
        with torch.no_grad(), _silence():
            program: Any = torch.onnx.export(
                plan.module,
                sample,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(plan.inputs),
                output_names=list(plan.outputs),
                dynamic_shapes=shapes,
                external_data=False,
            )
            model = with_strided_stems(program.model_proto)
            onnx.save(_described(model, loaded, size), buffer)
    except Exception as error:
        raise ModelError(
            f"The model {loaded.name!r} cannot be exported: {_first_line(error)}",
            hint="Another tile size may work; else run it with PyTorch.",
        ) from error
    session = runtime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    difference = _difference(plan, session, plan.sample(3, generator))
    if not difference <= MOST_DIFFERENCE:
        raise ModelError(
            f"The exported {loaded.name!r} differs from the original by {difference:.3g}, more "
            f"than {MOST_DIFFERENCE:g}.",
            hint="Use other versions of torch and onnxruntime, or run it with PyTorch.",
        )
    with replacing(path) as part:
        part.write_bytes(buffer.getvalue())
    return Export(
        path, loaded.name, loaded.sha256 or "", size, plan.inputs, plan.outputs, difference
    )


def _plan(network: nn.Module, record: ModelRecord, size: int, known_buildings: bool) -> _Plan:
    """Describe the inputs and outputs of a network."""
    if known_buildings and record.kind != DRIVE_KIND and not reads_buildings(record):
        raise ModelError(
            f"{record.name!r} is not exported with known buildings: it is a {record.kind}.",
            hint=f"Export it without --buildings, or choose a {DRIVE_KIND} model.",
        )
    if isinstance(network, DriveTestRadioCycle):
        _require_multiple(record, size, network.multiple)

        def field_sample(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
            observed = (torch.rand(count, 1, size, size, generator=generator) < 0.02).float()
            level = -90.0 + 10.0 * torch.randn(count, 1, size, size, generator=generator)
            position = torch.full((count, 2), 0.4 * size)
            position[-1] = torch.nan  # one tile whose transmitter is unknown
            spacing_m = torch.tensor(1.0)
            sample = (level * observed, observed, position, position[:, 0] - 40.0, spacing_m)
            if not known_buildings:
                return sample
            blocks = torch.rand(count, 1, size // 8, size // 8, generator=generator) < 0.3
            walls = blocks.float().repeat_interleave(8, 2).repeat_interleave(8, 3)
            return (*sample, functional.pad(walls, (0, size % 8, 0, size % 8)))

        outputs = ("rsrp_dbm_map", "building_logits", "log_std")
        inputs = KNOWN_BUILDINGS_INPUTS if known_buildings else INPUTS
        return _Plan(_FieldForward(network), inputs, outputs, field_sample)
    if isinstance(network, RayBuildings):
        _require_multiple(record, size, network.multiple)

        def raster_sample(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
            points = torch.rand(count, network.point_channels, size, size, generator=generator)
            half = size // 2
            rays = torch.rand(count, network.ray_channels, half, half, generator=generator)
            return points, rays

        return _Plan(network, ("points", "rays"), ("building_logits",), raster_sample)
    if record.kind in SUPERRES_KINDS:
        fine = size * (record.scale or 4)
        walled = reads_buildings(record)

        def coarse_sample(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
            levels = torch.rand(count, 1, size, size, generator=generator)
            coarse = torch.where(levels < 0.1, 0.0, levels)  # samples in buildings are 0
            if not walled:
                return (coarse,)
            buildings = torch.rand(count, 1, fine, fine, generator=generator) < 0.3
            return (coarse, buildings.float())

        names = ("coarse", "buildings") if walled else ("coarse",)
        return _Plan(network, names, ("fine",), coarse_sample)

    def image_sample(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        level = torch.rand(count, 1, size, size, generator=generator)
        transmitter = torch.zeros(count, 1, size, size)
        transmitter[:, :, size // 3, size // 2] = 1.0
        return level, transmitter

    images = ("building_logits", "gain") if record.kind == "radiocycle" else ("gain",)
    return _Plan(network, ("rsrp", "transmitter"), images, image_sample)


def _require_multiple(record: ModelRecord, size: int, multiple: int) -> None:
    """Refuse tiles of a size that a network does not take."""
    if size % multiple:
        raise ModelError(
            f"{record.name!r} takes no tiles of {size} pixels.",
            hint=f"Choose a multiple of {multiple}.",
        )


def _difference(plan: _Plan, session: Any, sample: tuple[Tensor, ...]) -> float:  # noqa: ANN401
    """Largest difference between file and network, over all outputs."""
    with torch.no_grad():
        expected = plan.module(*sample)
    originals = expected if isinstance(expected, tuple) else (expected,)
    feed = {name: value.numpy() for name, value in zip(plan.inputs, sample, strict=True)}
    found = session.run(list(plan.outputs), feed)
    return max(
        float(np.max(np.abs(ours - original.numpy())))
        for ours, original in zip(found, originals, strict=True)
    )


def _described(model: Any, record: ModelRecord, tile_size_px: int) -> Any:  # noqa: ANN401
    """State in an ONNX model which weights it belongs to."""
    facts = {
        "rm_geo_model": record.name,
        "rm_geo_kind": record.kind,
        "rm_geo_sha256": record.sha256 or "",
        "rm_geo_tile_size_px": str(tile_size_px),
    }
    for key, value in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    return model


def _require(name: str) -> Any:  # noqa: ANN401 - a module
    """Import an optional package, or say how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DependencyError(
            f"Exporting needs {name}, which is not installed.",
            hint='Install it with: pip install "rm-geo[onnx]"',
        ) from error


class _silence:  # noqa: N801 - used like a function
    """Keep the exporter's own progress off the terminal."""

    def __enter__(self) -> None:
        self._streams = (redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()))
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        for stream in self._streams:
            stream.__enter__()
        self._level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self._level)
        for stream in self._streams:
            stream.__exit__(None, None, None)
        self._warnings.__exit__(None, None, None)


def _first_line(error: BaseException) -> str:
    """First line of an exporter's message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
