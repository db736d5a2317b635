"""A faster form of the first layer of compact U-Nets in ONNX graphs.

Such a network takes its full-size channels apart (pixel-unshuffle), joins them with channels of a
quarter of the size, and convolves all of them. ONNX Runtime moves the pixels one by one, and has no
fast convolution for numbers of channels that fill no vector. The same sums are a convolution of the
full-size channels with strides, plus one of the others: the forward pass takes a sixth less time.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

_UNSHUFFLE: Final = [0, 1, 3, 5, 2, 4]
"""Order of the axes (batch, channel, row, row in block, column, column in block)."""


class _Stem(NamedTuple):
    """The nodes of a first layer, and its inputs."""

    conv: Any
    replaced: tuple[Any, ...]
    fine: str
    smooth: str
    channels: int
    block: int


def with_strided_stems(model: Any) -> Any:  # noqa: ANN401 - onnx has no types
    """Rewrite the first layers of compact U-Nets.

    Parameters
    ----------
    model : onnx.ModelProto
        A complete export; it is changed.

    Returns
    -------
    onnx.ModelProto
        The same graph, with other nodes where a first layer was found. The weights keep their
        names; runtimes fold what is made of them when they open the graph.
    """
    import onnx

    graph = model.graph
    stems = {id(stem.conv): stem for stem in _stems(graph)}
    gone = {id(node) for stem in stems.values() for node in stem.replaced}
    nodes = []
    for node in graph.node:
        if id(node) in stems:
            nodes += _strided(graph, stems[id(node)])
        elif id(node) not in gone:
            nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    for tensor in list(graph.initializer):
        if tensor.name not in used:
            graph.initializer.remove(tensor)
    return model


def _stems(graph: Any) -> list[_Stem]:  # noqa: ANN401 - onnx has no types
    """Find convolutions of unshuffled channels beside others, used nowhere else."""
    from onnx import helper, numpy_helper

    source: dict[str, Any] = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    uses: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    found = []
    for node in graph.node:
        if node.op_type != "Conv" or len(node.input) != 3:
            continue
        joined = source.get(node.input[0])
        if joined is None or joined.op_type != "Concat" or len(joined.input) != 2:
            continue
        chain: list[Any] = []
        for kind in ("Reshape", "Transpose", "Reshape"):
            part = source.get((chain[-1] if chain else joined).input[0])
            if part is None or part.op_type != kind:
                break
            chain.append(part)
        if len(chain) < 3:
            continue
        _, turned, blocks = chain
        options = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        shape = constants.get(blocks.input[1])
        plain = (
            options.get("group", 1) == 1
            and set(options.get("strides", [1])) == {1}
            and set(options.get("dilations", [1])) == {1}
            and options.get("kernel_shape") == [3, 3]
            and options.get("pads") == [1, 1, 1, 1]
            and [list(entry.ints) for entry in turned.attribute] == [_UNSHUFFLE]
            and node.input[1] in constants
            and all(uses[part.output[0]] == 1 for part in (joined, *chain))
        )
        if not plain or shape is None:
            continue
        _, channels, _, block, _, block_across = numpy_helper.to_array(shape).tolist()
        if block == block_across:
            replaced = (joined, *chain)
            found.append(_Stem(node, replaced, blocks.input[0], joined.input[1], channels, block))
    return found


def _strided(graph: Any, stem: _Stem) -> list[Any]:  # noqa: ANN401 - onnx has no types
    """Make the nodes in place of a first layer: two convolutions and their sum."""
    from onnx import helper, numpy_helper

    weight, bias = stem.conv.input[1:]
    (output,) = stem.conv.output
    dims = next(tensor.dims for tensor in graph.initializer if tensor.name == weight)
    block, channels = stem.block, stem.channels

    def name(part: str) -> str:
        return f"{output}.{part}"

    def constant(part: str, *values: int) -> str:
        graph.initializer.append(
            numpy_helper.from_array(np.array(values, dtype=np.int64), name(part))
        )
        return name(part)

    def node(kind: str, inputs: list[str], part: str, **options: Any) -> Any:  # noqa: ANN401
        return helper.make_node(kind, inputs, [part], name=part, **options)

    first, last = constant("first", 0), constant("last", dims[1])
    between, axis = constant("between", channels * block**2), constant("axis", 1)
    split = constant("split_shape", dims[0], channels, block, block, 3, 3)
    large = constant("large_shape", dims[0], channels, 3 * block, 3 * block)
    return [
        node("Slice", [weight, first, between, axis], name("fine_weight")),
        node("Reshape", [name("fine_weight"), split], name("split")),
        node("Transpose", [name("split")], name("turned"), perm=[0, 1, 4, 2, 5, 3]),
        node("Reshape", [name("turned"), large], name("large")),
        node("Slice", [weight, between, last, axis], name("smooth_weight")),
        node(
            "Conv",
            [stem.fine, name("large")],
            name("fine"),
            kernel_shape=[3 * block, 3 * block],
            strides=[block, block],
            pads=[block] * 4,
        ),
        node(
            "Conv",
            [stem.smooth, name("smooth_weight"), bias],
            name("smooth"),
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        ),
        node("Add", [name("smooth"), name("fine")], output),
    ]
