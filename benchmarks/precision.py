"""Time and error of the default network in eight-bit integers, in ONNX Runtime.

Run ``python -m benchmarks.precision``. The tiles are those of a street drive of 1.05 km2; half of
a dozen calibrate the integers. The error is the difference from the network in float32. One core;
eight-bit numbers are fast only where the processor has instructions for them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from rm_geo._types import FloatArray
from rm_geo.estimators.base import TileBatch
from rm_geo.inference.batches import tile_batches
from rm_geo.options import PredictOptions
from rm_geo.pipeline.plan import plan_run
from rm_geo.progress import SilentProgress
from rm_geo.raster.binning import bin_measurements
from rm_geo.sites.selection import choose_site
from rm_geo.zoo.catalog import default_model
from rm_geo.zoo.onnx_files import graph_path

SIDE_M: Final = 1025.0
SIZE_PX: Final = 256
CALIBRATED: Final = 6
_PROVIDERS: Final = ["CPUExecutionProvider"]

Feed = dict[str, FloatArray]


def drive_tiles(folder: Path) -> list[Feed]:
    """Inputs of the network for each tile of a street drive."""
    from benchmarks.stages import write_street_drive

    path, options = folder / "drive.gpkg", PredictOptions()
    write_street_drive(path, SIDE_M)
    (cell,) = plan_run(path, options, SilentProgress()).cells
    if cell.grid is None:
        raise RuntimeError("the drive has no grid")
    sparse = bin_measurements(cell.measurements, cell.grid)
    site = choose_site(cell.measurements, None)
    tiles, _ = sparse.measured_tiles(SIZE_PX, options.grid.overlap_px)
    return [feed(batch) for batch in tile_batches(sparse, tiles, site.facts, 1)]


def feed(batch: TileBatch) -> Feed:
    """Inputs of the network for a batch of one tile."""
    observed = batch.observed
    return {
        "rsrp_dbm": np.where(observed, batch.rsrp_dbm, np.float32(0.0))[:, None],
        "observed": observed.astype(np.float32)[:, None],
        "transmitter_rc": batch.transmitter_rc,
        "intercept_dbm": batch.intercept_dbm,
        "spacing_m": np.asarray(batch.spacing_m, dtype=np.float32),
    }


def opened(path: Path, **options: Any) -> Any:
    """Open a graph for one thread."""
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads, chosen.log_severity_level = 1, 3
    for name, value in options.items():
        setattr(chosen, name, value)
    return onnxruntime.InferenceSession(str(path), chosen, providers=_PROVIDERS)


def whole(folder: Path) -> Path:
    """Write the network beside its weights, with the nodes folded that are made of constants."""
    import onnxruntime

    path = folder / "whole.onnx"
    weights = default_model("radiocycle").path
    graph = graph_path(weights, SIZE_PX)
    for file in (weights, graph):
        shutil.copy(file, folder)
    opened(
        folder / graph.name,
        graph_optimization_level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        optimized_model_filepath=str(path),
    )
    return path


def in_integers(path: Path, target: Path, feeds: Sequence[Feed], kept: Sequence[str]) -> None:
    """Write a network whose convolutions compute in eight bits, but for those that are kept."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Tiles(CalibrationDataReader):  # type: ignore[misc] # it has no types
        def __init__(self) -> None:
            self._feeds: Iterator[Feed] = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self._feeds, None)

    quantize_static(
        str(path),
        str(target),
        Tiles(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["Conv"],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(kept),
    )


def ends(path: Path) -> list[str]:
    """Names of the convolutions that read features, and of those that make maps."""
    import onnx

    graph = onnx.load(path).graph
    used = {name: node.op_type for node in graph.node for name in node.input}
    return [
        node.name
        for node in graph.node
        if node.op_type == "Conv"
        and (
            node.output[0].endswith((".fine", ".smooth")) or used[node.output[0]] == "DepthToSpace"
        )
    ]


@click.command()
def main() -> None:
    """Measure the network in several precisions."""
    from benchmarks.stages import instruction_set
    from benchmarks.suite import as_markdown

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        feeds = drive_tiles(folder)
        plain = whole(folder)
        chosen = feeds[:: len(feeds) // CALIBRATED]
        most, inner = folder / "all.onnx", folder / "inner.onnx"
        in_integers(plain, most, chosen, [])
        in_integers(plain, inner, chosen, ends(plain))
        forms = {
            "float32 (shipped)": plain,
            "8 bits, first and last layers float32": inner,
            "8 bits": most,
        }
        rows, exact = [], None
        for form, path in forms.items():
            session, maps, seconds = opened(path), [], []
            for tile in feeds:
                begun = time.process_time()
                maps.append(session.run(None, tile))
                seconds.append(time.process_time() - begun)
            level, logits = (np.stack([each[k] for each in maps]) for k in range(2))
            share = 1.0 / (1.0 + np.exp(-logits))
            exact = (level, share) if exact is None else exact
            rows.append(
                {
                    "network": form,
                    "ms a tile": round(1e3 * float(np.median(seconds)), 1),
                    "RMS dB": round(float(np.sqrt(np.mean((level - exact[0]) ** 2))), 3),
                    "largest dB": round(float(np.abs(level - exact[0]).max()), 2),
                    "RMS building probability": round(
                        float(np.sqrt(np.mean((share - exact[1]) ** 2))), 4
                    ),
                }
            )
    click.echo(f"One core with {instruction_set()}, {len(feeds)} tiles of {SIZE_PX} pixels.\n")
    click.echo(as_markdown(rows))


if __name__ == "__main__":
    main()
