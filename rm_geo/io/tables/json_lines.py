"""JSON lines: one object on each line, whose fields are the columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.json as pajson

from rm_geo._util.json_text import parse_json
from rm_geo.errors import InputError
from rm_geo.io.tables.source import Request, Source, Table, split_batches

SUFFIXES: Final = (".jsonl", ".ndjson", ".jsonlines")
_SNIFFED_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 1 << 23


def is_json_lines(path: Path, head: bytes) -> bool:
    """Whether the first line of a file is a JSON object other than GeoJSON.

    Parameters
    ----------
    path : Path
        The file.
    head : bytes
        Its first bytes.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_json_lines(Path("drive.csv"), b"lon,lat,rsrp")
    False
    """
    if head.lstrip(b"\xef\xbb\xbf")[:1] != b"{":
        return False
    with path.open("rb") as stream:
        line = stream.readline(_SNIFFED_BYTES).removeprefix(b"\xef\xbb\xbf")
    try:
        first = parse_json(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and first.get("type") not in {
        "Feature",
        "FeatureCollection",
        "Topology",
    }


def open_json_lines(path: Path) -> Source:
    r"""Describe a file of JSON lines; fields of nested objects are named ``outer.inner``.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        If it cannot be parsed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.jsonl")
    ...     _ = path.write_text('{"lon": 13.4, "cell": {"pci": 40}}\n')
    ...     open_json_lines(path).names
    ('lon', 'cell.pci')
    """
    table, names = _read(path)

    def chunks(request: Request) -> Iterator[Table]:
        for part in split_batches(iter(table.to_batches()), request.rows):
            yield Table({name: part.column(name) for name in request.names})

    return Source(path, names, has_geometry=False, crs=None, chunks=chunks)


def _read(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Read all objects; gives them and the names of their values."""
    try:
        table = pajson.read_json(path, read_options=pajson.ReadOptions(block_size=_BLOCK_BYTES))
        while any(pa.types.is_struct(kind) for kind in table.schema.types):
            table = table.flatten()
        names = tuple(str(name) for name in table.column_names)  # must be UTF-8
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise InputError(
            f"{path} cannot be read as JSON lines: {str(error).splitlines()[0].rstrip('.')}.",
            hint="Each line must be one JSON object with the same fields.",
            path=path,
        ) from error
    return table, names
