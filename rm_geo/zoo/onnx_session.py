"""Trained networks in ONNX Runtime, the engine of CPUs. Nothing here needs PyTorch."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from rm_geo._types import FloatArray
from rm_geo._util.threads import available_threads
from rm_geo.errors import ModelError


class OnnxNetwork:
    """A network in ONNX Runtime on the CPU, in float32.

    Parameters
    ----------
    path : Path
        As :func:`rm_geo.zoo.onnx_export.export_onnx` or :func:`rm_geo.zoo.onnx_graph.write_graph`
        writes it.
    sha256 : str
        Checksum of the weights that it must hold, or refer to.

    Raises
    ------
    ModelError
        If the file is damaged, or belongs to other weights.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        # A tile is computed by one thread, and several tiles side by side: the threads wait for
        # nothing, and the last bits do not depend on their number.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own classes derive from nothing in common
            raise ModelError(
                f"{path} is no ONNX file that can be run.",
                hint="Make it again with 'rm-geo export', or compute with -O engine=torch.",
            ) from error
        held = session.get_modelmeta().custom_metadata_map.get("rm_geo_sha256", "")
        if held != sha256:
            raise ModelError(
                f"{path} holds other weights than the model.",
                hint="Make it again with 'rm-geo export'.",
            )
        self._session = session
        self._inputs = [entry.name for entry in session.get_inputs()]

    def __call__(self, *arrays: np.ndarray) -> tuple[FloatArray, ...]:
        """Run a batch of tiles of the size that the file was made for.

        Parameters
        ----------
        *arrays : ndarray
            The network's inputs in their order; computed as float32. The first axis is that of
            the tiles; what has none is the same for all.

        Returns
        -------
        tuple of ndarray of float32
            The network's outputs; the same whatever the number of threads and of tiles.
        """
        feed = {
            name: np.ascontiguousarray(array, dtype=np.float32).reshape(array.shape)
            for name, array in zip(self._inputs, arrays, strict=True)
        }

        def tile(index: int) -> list[FloatArray]:
            part = slice(index, index + 1)
            one = {name: array[part] if array.ndim else array for name, array in feed.items()}
            outputs: list[FloatArray] = self._session.run(None, one)
            return outputs

        count = len(arrays[0])
        if count == 1:
            return tuple(tile(0))
        with ThreadPoolExecutor(min(available_threads(), count)) as pool:
            tiles = list(pool.map(tile, range(count)))
        return tuple(np.concatenate(parts) for parts in zip(*tiles, strict=True))
