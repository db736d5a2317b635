"""ONNX graphs without weights: ONNX Runtime reads those from the model's file beside the graph.

A model therefore ships its weights once. A graph states the checksum of the weights it belongs to.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from rm_geo._util.atomic import replacing
from rm_geo._util.json_text import parse_json
from rm_geo.errors import ModelError
from rm_geo.zoo.catalog import ModelRecord
from rm_geo.zoo.kinds import DRIVE_KIND, GRAPH_KINDS
from rm_geo.zoo.model_file import CARD_NAME, read_model, tensor_header
from rm_geo.zoo.onnx_export import default_tile_size, export_onnx, reads_buildings
from rm_geo.zoo.onnx_files import graph_path
from rm_geo.zoo.weights import write_json

MOST_BYTES: Final = 8192
"""Constants of at most this size, such as shapes and coordinates, may be the graph's own."""

_PREFIX: Final = "network."


TILE_SIZES_PX: Final = (128, 256, 512)
"""Tile sizes for which models for drive tests come with graphs."""


def write_graphs(record: ModelRecord) -> list[Path]:
    """Write all graphs that come with a model.

    Parameters
    ----------
    record : ModelRecord
        A model in a folder of its own, with its card.

    Returns
    -------
    list of Path
        Of a model for drive tests, graphs for :data:`TILE_SIZES_PX` with and without known
        buildings; of a super-resolution model, one for its windows.

    Raises
    ------
    ModelError, DependencyError, OutputError
        As :func:`write_graph`.
    """
    if record.kind != DRIVE_KIND:
        return [write_graph(record)]
    return [
        write_graph(record, size, known_buildings=known)
        for size in TILE_SIZES_PX
        for known in (False, True)
    ]


def write_graph(
    record: ModelRecord, tile_size_px: int | None = None, *, known_buildings: bool = False
) -> Path:
    """Export a network, write its graph beside the weights, and list it in the model's card.

    Parameters
    ----------
    record : ModelRecord
        A model in a folder of its own, with its card.
    tile_size_px : int, optional
        Side of the tiles that it takes, in the pixels that the network reads;
        :func:`rm_geo.zoo.onnx_export.default_tile_size` if not given.
    known_buildings : bool
        Whether it takes known buildings too. A super-resolution model that reads buildings
        always takes them.

    Returns
    -------
    Path
        The file, ``tiles-<size>.onnx`` or ``buildings-<size>.onnx``.

    Raises
    ------
    ModelError
        If the model is of a kind without graphs, cannot be exported, differs from the original,
        or has weights that are not those of the file.
    DependencyError
        If onnx, onnxscript or onnxruntime is not installed.
    OutputError
        If the file cannot be written.
    """
    if record.kind not in GRAPH_KINDS:
        raise ModelError(
            f"The model {record.name!r} is a {record.kind!r} network; graphs for ONNX Runtime "
            f"are made of {', '.join(GRAPH_KINDS)} models.",
            hint="Make a complete file: rm-geo export MODEL --onnx FILE",
        )
    size = default_tile_size(record) if tile_size_px is None else tile_size_px
    takes = known_buildings or reads_buildings(record)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        export_onnx(record, whole, size, known_buildings=takes)
        import onnx

        graph = detached(onnx.load(whole), record.path)
    target = graph_path(record.path, size, known_buildings=takes)
    data = graph.SerializeToString()
    with replacing(target) as part:
        part.write_bytes(data)
    _list_in_card(record.path.with_name(CARD_NAME), target.name, data)
    return target


def _list_in_card(card_path: Path, name: str, data: bytes) -> None:
    """Write the checksum of a graph into the model's card."""
    card = parse_json(card_path.read_text("utf-8"))
    card["onnx"] = {**card.get("onnx", {}), name: hashlib.sha256(data).hexdigest()}
    write_json(card_path, card)


def detached(model: Any, weights: Path) -> Any:  # noqa: ANN401 - onnx has no types
    """Point the initializers of an ONNX model to the tensors of a safetensors file.

    Half-precision weights become a half-precision initializer and a cast, and weights that the
    exporter transposed become the original and a transposition; ONNX Runtime folds both.

    Parameters
    ----------
    model : onnx.ModelProto
        A complete export; it is changed.
    weights : Path
        The safetensors file of its weights.

    Returns
    -------
    onnx.ModelProto
        The graph without weights.

    Raises
    ------
    ModelError
        If an initializer of more than :data:`MOST_BYTES` is not a tensor of the file.
    """
    import onnx
    from onnx import helper, numpy_helper

    places = _places(weights)
    transposed = {
        (values.T.shape, values.T.astype(np.float32).tobytes()): name
        for name, (values, _) in places.items()
        if values.ndim == 2
    }
    initializers, casts = [], []
    for initializer in model.graph.initializer:
        array = numpy_helper.to_array(initializer)
        place = places.get(initializer.name.removeprefix(_PREFIX))
        if place is not None and np.array_equal(array, place[0]):
            outside, nodes = _outside(initializer.name, *place, weights.name)
        elif array.nbytes <= MOST_BYTES:
            outside, nodes = initializer, []
        elif original := transposed.get((array.shape, array.tobytes())):
            flat = f"{initializer.name}.transposed"
            outside, nodes = _outside(flat, *places[original], weights.name)
            nodes.append(helper.make_node("Transpose", [flat], [initializer.name], perm=[1, 0]))
        else:
            raise ModelError(
                f"The export of {weights} holds {initializer.name!r}, which is none of its "
                "weights.",
                hint="Use another version of torch, or a complete export ('rm-geo export').",
            )
        initializers.append(outside)
        casts += nodes
    nodes = [*casts, *model.graph.node]
    for node in nodes:  # the exporter's notes have paths and line numbers of its machine
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    del model.graph.initializer[:], model.graph.node[:], model.graph.value_info[:]
    model.graph.initializer.extend(initializers)
    model.graph.node.extend(nodes)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result


def _outside(name: str, values: np.ndarray, offset: int, file: str) -> tuple[Any, list[Any]]:
    """Make an initializer that lies in a file, and the cast that widens half precision."""
    from onnx import TensorProto, helper

    is_half = values.dtype == np.float16
    outside = TensorProto(
        name=f"{name}.half" if is_half else name,
        data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
        dims=values.shape,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", file), ("offset", offset), ("length", values.nbytes)):
        entry = outside.external_data.add()
        entry.key, entry.value = key, str(value)
    cast = helper.make_node("Cast", [outside.name], [name], to=TensorProto.FLOAT)
    return outside, [cast] if is_half else []


def _places(weights: Path) -> dict[str, tuple[np.ndarray, int]]:
    """Read the tensors of a safetensors file, and where each begins."""
    from safetensors.numpy import load

    data = read_model(weights)
    header, start = tensor_header(data, weights)
    return {
        name: (values, start + int(header[name]["data_offsets"][0]))
        for name, values in load(data).items()
    }
