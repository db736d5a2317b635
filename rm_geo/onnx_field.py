"""The field networks in ONNX Runtime: on a CPU without bfloat16 it is the faster engine."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from rm_geo.errors import ModelError
from rm_geo.networks.fields import SparseTiles
from rm_geo.networks.radiocycle import FieldMaps

_INPUTS: Final = ("rsrp_dbm", "observed", "transmitter_rc", "intercept_dbm", "spacing_m")


def export_folder() -> Path:
    """Folder where exported networks are looked for; ``RM_GEO_ONNX`` overrides it."""
    chosen = os.environ.get("RM_GEO_ONNX")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rm_geo" / "onnx"


def export_path(sha256: str, tile_size_px: int) -> Path:
    """Where the export of some weights for tiles of a size lies, if there is one."""
    return export_folder() / f"{sha256[:16]}-{tile_size_px}.onnx"


def exported_sizes(sha256: str) -> list[int]:
    """Sizes of tiles for which some weights were exported; empty without ONNX Runtime."""
    if not sha256 or importlib.util.find_spec("onnxruntime") is None:
        return []
    found = export_folder().glob(f"{sha256[:16]}-*.onnx")
    return sorted(int(size) for path in found if (size := path.stem.split("-")[-1]).isdecimal())


class OnnxField:
    """A field network in ONNX Runtime on the CPU.

    Parameters
    ----------
    path : Path
        As :func:`rm_geo.onnx_export.export_onnx` writes it.
    sha256 : str
        Checksum of the weights that it must hold.

    Raises
    ------
    ModelError
        If the file is damaged, or holds other weights.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own classes derive from nothing in common
            raise ModelError(f"{path} is no ONNX file that can be run.",
                             hint="Make it again with 'rm-geo export'.") from error  # fmt: skip
        held = session.get_modelmeta().custom_metadata_map.get("rm_geo_sha256", "")
        if held != sha256:
            raise ModelError(f"{path} holds other weights than the model.",
                             hint="Make it again with 'rm-geo export'.")  # fmt: skip
        self._session = session

    def __call__(self, tiles: SparseTiles) -> FieldMaps:
        """Run a batch of tiles, of the size that the file was made for."""
        values = (
            tiles.rsrp_dbm, tiles.observed, tiles.transmitter_rc, tiles.intercept_dbm,
            torch.tensor(tiles.spacing_m),
        )  # fmt: skip
        feed = {
            name: np.ascontiguousarray(value.float().numpy())
            for name, value in zip(_INPUTS, values, strict=True)
        }
        rsrp_dbm, logits, log_std = (
            torch.from_numpy(array) for array in self._session.run(None, feed)
        )
        return FieldMaps(rsrp_dbm=rsrp_dbm, building_logits=logits, log_std=log_std)
