"""Reading and writing safetensors data: named tensors without pickle, readable by any tool.

The safetensors library reads and writes the tensors where it is installed. It returns neither
metadata nor byte offsets of data in memory, so that :func:`read_header` parses those, without
PyTorch. Trainings also run on machines with only PyTorch and NumPy; there this module reads and
writes the same format itself.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rm_geo._util.json_text import parse_json

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES: Final = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""Names of PyTorch's types by those of the format."""
_CODES: Final = {name: code for code, name in _DTYPES.items()}
_MAX_HEADER_BYTES: Final = 4 << 20  # those of rm_geo's models take some tens of kilobytes


def dump_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Write tensors and metadata as safetensors data; the same input gives the same bytes.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        On the CPU, contiguous.
    metadata : mapping of str to str
        Kept in the header.

    Returns
    -------
    bytes
    """
    try:
        from safetensors.torch import save
    except ImportError:
        return write_tensors(tensors, metadata)
    return bytes(save(dict(tensors), dict(metadata)))


def parse_tensors(data: bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read tensors and metadata from safetensors data.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    metadata : dict of str to str
    tensors : dict of str to Tensor

    Raises
    ------
    ValueError
        If the data is damaged or of another format.
    """
    metadata = dict(read_header(data)[0].get("__metadata__", {}))
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError:
        return metadata, read_tensors(data)
    try:
        return metadata, load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def read_header(data: bytes) -> tuple[dict[str, Any], int]:
    """Parse the header of safetensors data.

    Parameters
    ----------
    data : bytes
        The whole file, or its beginning with the header.

    Returns
    -------
    header : dict
        ``dtype``, ``shape`` and ``data_offsets`` of each tensor; strings under ``__metadata__``.
    start : int
        Byte from which ``data_offsets`` count.

    Raises
    ------
    ValueError
        If the data does not begin with a header.

    Examples
    --------
    >>> read_header(struct.pack("<Q", 2) + b"{}")
    ({}, 10)
    """
    try:
        (length,) = struct.unpack("<Q", data[:8])
        if length > len(data) - 8:
            raise ValueError("the header is longer than the file")
        if length > _MAX_HEADER_BYTES:
            raise ValueError(f"the header has more than {_MAX_HEADER_BYTES >> 20} MiB")
        header = parse_json(data[8 : 8 + length])
    except (struct.error, ValueError) as error:
        raise ValueError(f"there is no header: {error}") from error
    if not isinstance(header, dict):
        raise ValueError("the header is not a table of tensors")
    return header, 8 + int(length)


def write_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Write safetensors data without the library: length, header as JSON, then the values.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        On the CPU.
    metadata : mapping of str to str
        Kept in the header.

    Returns
    -------
    bytes
    """
    import torch

    header: dict[str, object] = {"__metadata__": dict(metadata)}
    pieces: list[bytes] = []
    offset = 0
    # Wide types first, as the library does: every tensor is aligned to its item size.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        values = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": _CODES[str(tensor.dtype).removeprefix("torch.")],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(values)],
        }
        pieces.append(values)
        offset += len(values)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *pieces])


def read_tensors(data: bytes) -> dict[str, Tensor]:
    """Read safetensors data without the library.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    ValueError
        If the data is damaged or of another format.
    """
    import torch

    header, start = read_header(data)
    tensors: dict[str, Tensor] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            first, last = entry["data_offsets"]
            piece = data[start + first : start + last]
            dtype = getattr(torch, _DTYPES[entry["dtype"]])
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
