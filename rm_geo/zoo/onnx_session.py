"""The field networks in ONNX Runtime: on a CPU without bfloat16 it is the faster engine.

Nothing here needs PyTorch, whose import alone takes longer than mapping a square kilometre.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.errors import ModelError

INPUTS: Final = ("rsrp_dbm", "observed", "transmitter_rc", "intercept_dbm", "spacing_m")
"""Names and order of what an exported field network takes."""

KNOWN_BUILDINGS_INPUTS: Final = (*INPUTS, "buildings")
"""The same where buildings are known."""


class OnnxField:
    """A field network in ONNX Runtime on the CPU.

    Parameters
    ----------
    path : Path
        As :func:`rm_geo.zoo.onnx_export.export_onnx` or :func:`rm_geo.zoo.onnx_graph.write_graph`
        writes it.
    sha256 : str
        Checksum of the weights that it must hold, or name.

    Raises
    ------
    ModelError
        If the file is damaged, or is of other weights.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = _threads()
        # Tiles are prepared and written while the network computes: waiting threads would take
        # the cores from that.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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

    def __call__(
        self,
        rsrp_dbm: FloatArray,
        observed: FloatArray,
        transmitter_rc: FloatArray,
        intercept_dbm: FloatArray,
        spacing_m: float,
        buildings: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Run a batch of tiles, of the size that the file was made for.

        Parameters
        ----------
        rsrp_dbm, observed : ndarray of float32, shape (B, H, W)
            Levels, 0 where nothing was measured, and 1 where something was.
        transmitter_rc : ndarray of float32, shape (B, 2)
        intercept_dbm : ndarray of float32, shape (B,)
        spacing_m : float
        buildings : ndarray of float32, shape (B, H, W), optional
            1 in buildings, for a file that takes them.

        Returns
        -------
        rsrp_dbm, building_logits, log_std : ndarray of float32, shape (B, H, W)
            ``log_std`` is the logarithm of the deviation in units of 20 dB.
        """
        values = [
            rsrp_dbm[:, None],
            observed[:, None],
            transmitter_rc,
            intercept_dbm,
            np.asarray(spacing_m),
        ]
        if buildings is not None:
            values.append(buildings[:, None])
        names = INPUTS if buildings is None else KNOWN_BUILDINGS_INPUTS
        feed = {
            name: np.ascontiguousarray(value, dtype=np.float32).reshape(value.shape)
            for name, value in zip(names, values, strict=True)
        }
        levels, logits, log_std = (array[:, 0] for array in self._session.run(None, feed))
        return levels, logits, log_std


def _threads() -> int:
    """Count the threads to compute with: PyTorch's number where it is there, else the cores."""
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    if hasattr(os, "sched_getaffinity"):  # a container's share, where the system tells
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
