"""A network as ONNX without its weights, which stay in the model's own file beside it.

ONNX Runtime reads them there: a model that is shipped costs its weights once, and a graph that
came with other weights cannot be mistaken for its own.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from rm_geo._util.atomic import replacing
from rm_geo.errors import ModelError
from rm_geo.networks.kind_names import FIELD_KIND
from rm_geo.zoo.catalog import ModelRecord
from rm_geo.zoo.model_file import CARD_NAME, read_model, tensor_header
from rm_geo.zoo.onnx_export import export_onnx
from rm_geo.zoo.onnx_files import graph_path
from rm_geo.zoo.weights import write_json

MOST_BYTES: Final = 8192
"""Constants of at most this size, such as shapes and coordinates, may be the graph's own."""

_PREFIX: Final = "network."


def write_graph(
    record: ModelRecord, tile_size_px: int = 256, *, known_buildings: bool = False
) -> Path:
    """Export a network, write it without weights beside them, and list it in the model's card.

    Parameters
    ----------
    record : ModelRecord
        A model in a folder of its own, with its card.
    tile_size_px : int
        Side of the tiles that it takes.
    known_buildings : bool
        Whether it takes known buildings too.

    Returns
    -------
    Path
        The file, ``tiles-<size>.onnx`` or ``told-<size>.onnx``.

    Raises
    ------
    ModelError
        If the model is none for the field, cannot be exported, differs from the original, or has
        weights that are not those of the file.
    DependencyError
        If onnx, onnxscript or onnxruntime is not installed.
    OutputError
        If the file cannot be written.
    """
    if record.kind != FIELD_KIND:
        raise ModelError(
            f"The model {record.name!r} is a {record.kind!r} network; networks for ONNX Runtime "
            f"lie beside {FIELD_KIND} models alone.",
            hint="Make a file of its own: rm-geo export MODEL --onnx FILE",
        )
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        export_onnx(record, whole, tile_size_px, known_buildings=known_buildings)
        import onnx

        graph = detached(onnx.load(whole), record.path)
    target = graph_path(record.path, tile_size_px, known_buildings=known_buildings)
    data = graph.SerializeToString()
    with replacing(target) as part:
        part.write_bytes(data)
    _list_in_card(record.path.with_name(CARD_NAME), target.name, data)
    return target


def _list_in_card(card_path: Path, name: str, data: bytes) -> None:
    """Write the checksum of a graph into the model's card."""
    card = json.loads(card_path.read_text("utf-8"))
    card["onnx"] = {**card.get("onnx", {}), name: hashlib.sha256(data).hexdigest()}
    write_json(card_path, card)


def detached(model: Any, weights: Path) -> Any:  # noqa: ANN401 - onnx has no types
    """Point the initializers of an ONNX model to the tensors of a safetensors file.

    Halves become an initializer of halves and a cast, which ONNX Runtime folds away.

    Raises
    ------
    ModelError
        If an initializer of more than :data:`MOST_BYTES` is not a tensor of the file.
    """
    import onnx
    from onnx import numpy_helper

    places = _places(weights)
    initializers, casts = [], []
    for initializer in model.graph.initializer:
        array = numpy_helper.to_array(initializer)
        place = places.get(initializer.name.removeprefix(_PREFIX))
        if place is not None and np.array_equal(array, place[0]):
            outside, cast = _outside(initializer, *place, weights.name)
            initializers.append(outside)
            casts += cast
        elif array.nbytes <= MOST_BYTES:
            initializers.append(initializer)
        else:
            raise ModelError(
                f"The export of {weights} holds {initializer.name!r}, which is none of its "
                "weights.",
                hint="Use another version of torch, or a whole export ('rm-geo export').",
            )
    nodes = [*casts, *model.graph.node]
    for node in nodes:  # the exporter's notes: paths and line numbers of where it ran
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    del model.graph.initializer[:], model.graph.node[:], model.graph.value_info[:]
    model.graph.initializer.extend(initializers)
    model.graph.node.extend(nodes)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result


def _outside(initializer: Any, values: np.ndarray, offset: int, file: str) -> tuple[Any, list[Any]]:  # noqa: ANN401
    """Make an initializer that lies in a file, and the cast that widens it if it is of halves."""
    from onnx import TensorProto, helper

    name, is_half = initializer.name, values.dtype == np.float16
    outside = TensorProto(
        name=f"{name}.half" if is_half else name,
        data_type=TensorProto.FLOAT16 if is_half else initializer.data_type,
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
