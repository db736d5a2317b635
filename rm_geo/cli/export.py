"""``rm-geo export``: a trained network as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rm_geo.cli.options import console_options

if TYPE_CHECKING:
    from rm_geo._util.console import Console


@click.command()
@click.argument("model")
@click.option(
    "--onnx",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to write; if not given, it goes where 'predict' looks for a faster "
    "engine on this machine.",
)
@click.option(
    "--beside",
    is_flag=True,
    help="Write the network alone beside the model's file, where its weights stay: for "
    "models that others will install.",
)
@click.option(
    "--tile-size",
    type=click.IntRange(16),
    metavar="PX",
    help="Side of the tiles that the file takes; coarse pixels of super-resolution models.  "
    "[default: 256, or 64 of super-resolution models]",
)
@click.option(
    "--buildings",
    is_flag=True,
    help="Export the network with known buildings as an input ('predict --buildings').",
)
@console_options
def export(
    model: str,
    path: Path | None,
    beside: bool,
    tile_size: int | None,
    buildings: bool,
    console: Console,
) -> None:
    """Export a trained MODEL to ONNX, and compare it with the original."""
    from rm_geo._util.atomic import prepare_output_folder
    from rm_geo.devices import require_torch
    from rm_geo.errors import UsageError

    require_torch("Exporting a model")
    from rm_geo.zoo.catalog import INDEX_NAME, find_model, verified
    from rm_geo.zoo.onnx_export import default_tile_size, export_onnx
    from rm_geo.zoo.onnx_files import export_path
    from rm_geo.zoo.onnx_graph import write_graph
    from rm_geo.zoo.weights import write_index

    record = find_model(model)
    tile_size = default_tile_size(record) if tile_size is None else tile_size
    if beside:
        if path is not None:
            raise UsageError("--beside and --onnx exclude each other.", hint="Give one of them.")
        graph = write_graph(record, tile_size, known_buildings=buildings)
        root = graph.parent.parent
        if (root / INDEX_NAME).is_file():
            write_index(root)
        console.result(
            {"model": record.name, "path": graph, "tile_size_px": tile_size},
            f"{graph}: {record.name} without weights, tiles of {tile_size} pixels.",
        )
        return
    if path is None:
        record = verified(record)  # a file of the user's own gets its checksum here
        path = export_path(record.sha256 or "", tile_size, known_buildings=buildings)
        prepare_output_folder(path.parent)
    made = export_onnx(record, path, tile_size, known_buildings=buildings)
    console.result(
        {
            "model": made.model,
            "path": made.path,
            "sha256": made.sha256,
            "tile_size_px": made.tile_size_px,
            "inputs": made.inputs,
            "outputs": made.outputs,
            "largest_difference": made.difference,
        },
        f"{made.path}: {made.model}, tiles of {made.tile_size_px} pixels; differs from the "
        f"original by at most {made.difference:.2g}.",
    )
