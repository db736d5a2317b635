"""Named tensors in one file, in the safetensors format: no pickle, readable by any tool.

The safetensors library does it where it is installed. Trainings also run on machines that
have torch and numpy and nothing else; there this module lays out the same format itself.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

_DTYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_CODES: Final = {dtype: code for code, dtype in _DTYPES.items()}


def dump_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Lay out tensors with their metadata; the same input gives the same bytes.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        On the CPU, contiguous.
    metadata : mapping of str to str
        Kept in the header.
    """
    try:
        from safetensors.torch import save
    except ImportError:
        return lay_out(tensors, metadata)
    return bytes(save(dict(tensors), dict(metadata)))


def parse_tensors(data: bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read what :func:`dump_tensors` gave.

    Returns
    -------
    metadata : dict of str to str
    tensors : dict of str to Tensor

    Raises
    ------
    ValueError
        If the data is damaged or of another format.
    """
    metadata = read_metadata(data)
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError:
        return metadata, take_apart(data)
    try:
        return metadata, load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def read_metadata(data: bytes) -> dict[str, str]:
    """Read the header's metadata alone.

    Raises
    ------
    ValueError
        If the data does not begin with a header.
    """
    return dict(_header(data)[0].get("__metadata__", {}))


def lay_out(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Lay out tensors without the library: length, header as JSON, then the values."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    pieces: list[bytes] = []
    offset = 0
    # Wide types first, as the library does: every tensor stays aligned to its items.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        values = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": _CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(values)],
        }
        pieces.append(values)
        offset += len(values)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *pieces])


def take_apart(data: bytes) -> dict[str, Tensor]:
    """Read tensors without the library."""
    header, start = _header(data)
    tensors: dict[str, Tensor] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            first, last = entry["data_offsets"]
            piece = data[start + first : start + last]
            dtype = _DTYPES[entry["dtype"]]
            # torch makes no tensor of an empty buffer
            values = (
                torch.frombuffer(bytearray(piece), dtype=dtype)
                if piece
                else torch.empty(0, dtype=dtype)
            )
            tensors[name] = values.reshape(entry["shape"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"tensor {name!r} is damaged: {error}") from error
    return tensors


def _header(data: bytes) -> tuple[dict[str, dict[str, Any]], int]:
    """Header and the position of the first value."""
    try:
        (length,) = struct.unpack("<Q", data[:8])
        if length > len(data) - 8:
            raise ValueError("the header is longer than the file")
        header = json.loads(data[8 : 8 + length])
    except (struct.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"there is no header: {error}") from error
    if not isinstance(header, dict):
        raise ValueError("the header is no table of tensors")
    return header, 8 + int(length)
