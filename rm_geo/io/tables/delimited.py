"""CSV and its relatives: separators, encodings and preambles guessed, rows read by pyarrow."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pacsv

from rm_geo.errors import InputError
from rm_geo.io.tables.source import Request, Source, Table, sliced

_SNIFFED_BYTES: Final = 1 << 16
_BLOCK_BYTES: Final = 1 << 22
SEPARATORS: Final = (",", ";", "\t", "|")
_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_FALLBACK_ENCODING: Final = "latin-1"  # decodes any byte; Western logs are cp1252 or this


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    Attributes
    ----------
    separator : str
        One of comma, semicolon, tab and bar.
    encoding : str
        Name of the codec.
    header_line : int
        Lines before the header: comments, ``sep=;``.
    names : tuple of str
        Names of the columns, made unique.
    """

    separator: str
    encoding: str
    header_line: int
    names: tuple[str, ...]


def open_delimited(path: Path) -> Source:
    """Describe a delimited text file by its first lines.

    Raises
    ------
    InputError
        If it is not text, has no header, or a ``.gz`` is damaged.
    """
    dialect = _guess(path, _head(path))

    def chunks(request: Request) -> Iterator[Table]:
        return _chunks(path, dialect, request)

    return Source(path, dialect.names, has_geometry=False, crs=None, chunks=chunks)


def _head(path: Path) -> bytes:
    """First bytes of the text, decompressed."""
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path, "rb") as stream:
                return stream.read(_SNIFFED_BYTES)
        with path.open("rb") as plain:
            return plain.read(_SNIFFED_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be decompressed: {error}.", hint="Copy it again, or unpack it first."
        ) from error


def _guess(path: Path, head: bytes) -> Dialect:
    """Find encoding, separator and header."""
    text, encoding = _decode(path, head)
    lines = text.splitlines()
    if len(head) == _SNIFFED_BYTES and len(lines) > 1:
        lines = lines[:-1]  # the last one may be cut
    start, separator = 0, ""
    while start < len(lines) and (not lines[start].strip() or is_preamble(lines[start])):
        if lines[start].lower().startswith("sep=") and len(lines[start]) == 5:
            separator = lines[start][4]
        start += 1
    if start == len(lines):
        raise InputError(f"{path} has no header line.", hint="Export the measurements again.")
    separator = separator or _guess_separator(lines[start : start + 50])
    fields = [f.strip() for f in next(csv.reader(io.StringIO(lines[start]), delimiter=separator))]
    if fields and all(_is_number(field) for field in fields):
        raise InputError(
            f"{path} has no header: its first line holds only numbers.",
            hint="Add a line with the names of the columns, such as longitude,latitude,rsrp.",
        )
    return Dialect(separator, encoding, start, _unique(fields))


def _decode(path: Path, head: bytes) -> tuple[str, str]:
    """Decode the head by its byte-order mark, as UTF-8, or as Latin-1."""
    for mark, codec in _BOMS:
        if head.startswith(mark):
            return head[len(mark) :].decode(codec, errors="ignore"), codec
    if b"\x00" in head:
        raise InputError(
            f"{path} is not text, whatever its extension says.",
            hint="Readable are SHP, GPKG, GeoJSON, GeoParquet, FlatGeobuf and CSV.",
        )
    try:
        # A character may be cut at the end of what was sniffed.
        return head[: head.rfind(b"\n") + 1 or None].decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return head.decode(_FALLBACK_ENCODING), _FALLBACK_ENCODING


def is_preamble(line: str) -> bool:
    """Whether a line stands before the header: a comment or Excel's ``sep=;``."""
    return line.startswith("#") or (line.lower().startswith("sep=") and len(line) == 5)


def _guess_separator(lines: list[str]) -> str:
    """Take the separator that splits the header most, and the rows alike."""

    def score(separator: str) -> tuple[float, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        alike = sum(count == counts[0] for count in counts) / len(counts)
        return (alike if counts[0] > 1 else 0.0), counts[0]

    best = max(SEPARATORS, key=lambda s: (round(score(s)[0], 1), score(s)[1]))
    return best if score(best)[1] > 1 else ","


def _unique(fields: list[str]) -> tuple[str, ...]:
    """Tell columns of the same name apart by their place."""
    names: list[str] = []
    for place, name in enumerate(fields, start=1):
        plain = name.lstrip("\ufeff") or f"column {place}"
        names.append(plain if plain not in names else f"{plain} (column {place})")
    return tuple(names)


def _is_number(text: str) -> bool:
    """Whether a header field is a number, so that the header is missing."""
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _chunks(path: Path, dialect: Dialect, request: Request) -> Iterator[Table]:
    """Read columns as text, which :mod:`rm_geo.io.tables.arrow` turns into numbers.

    Text, because the type that pyarrow infers from its first block breaks at the first
    odd value of a later one.
    """
    encodings = dict.fromkeys((dialect.encoding, _FALLBACK_ENCODING))
    for place, encoding in enumerate(encodings):
        if place:
            yield Table({}, begins_anew=True)
        try:
            yield from _read(path, dialect, encoding, request)
        except pa.ArrowInvalid as error:
            # The head was ASCII, a later line is not UTF-8.
            if "invalid UTF8" not in str(error) or encoding == _FALLBACK_ENCODING:
                raise _unreadable(path, error) from error
        except (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeError) as error:
            raise _unreadable(path, error) from error
        else:
            return


def _read(path: Path, dialect: Dialect, encoding: str, request: Request) -> Iterator[Table]:
    """Read with one encoding."""
    malformed = 0

    def skip(_row: pacsv.InvalidRow) -> str:
        nonlocal malformed
        malformed += 1
        return "skip"

    # Columns go by their place: names may repeat or be empty.
    places = [str(place) for place in range(len(dialect.names))]
    chosen = {name: places[dialect.names.index(name)] for name in request.names}
    reader = pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(
            column_names=places,
            skip_rows=dialect.header_line + 1,
            encoding=encoding,
            block_size=_BLOCK_BYTES,
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=dialect.separator, invalid_row_handler=skip, newlines_in_values=False
        ),
        convert_options=pacsv.ConvertOptions(
            include_columns=list(dict.fromkeys(chosen.values())),
            column_types=dict.fromkeys(chosen.values(), pa.string()),
            strings_can_be_null=False,
        ),
    )
    with reader:
        for table in sliced(reader, request.rows):
            yield Table({name: table.column(place) for name, place in chosen.items()})
    yield Table({name: pa.chunked_array([], pa.string()) for name in chosen}, malformed=malformed)


def _unreadable(path: Path, error: BaseException) -> InputError:
    """Say in one line why the rows cannot be read."""
    text = str(error).strip()
    reason = text.splitlines()[0][:200] if text else type(error).__name__
    if "Empty CSV file" in reason or "Could not skip initial" in reason:
        return InputError(
            f"{path} has a header and no rows.", hint="Export the measurements again."
        )
    return InputError(
        f"{path} cannot be read as delimited text: {reason.rstrip('.')}.",
        hint="It may be damaged or cut short; copy or export it again.",
    )
