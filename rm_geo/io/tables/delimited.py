"""Delimited text such as CSV: detection of separator, encoding and header; rows by pyarrow."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pacsv

from rm_geo.errors import InputError
from rm_geo.io.tables import column_roles as roles
from rm_geo.io.tables.source import Request, Source, Table, split_batches
from rm_geo.io.zip_files import LARGEST_RATIO

_SNIFFED_BYTES: Final = 1 << 16
_BLOCK_BYTES: Final = 1 << 22
SEPARATORS: Final = (",", ";", "\t", "|")
_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_SPACE: Final = " "
_SPACES: Final = re.compile(rb"[ \t\r\f\v]+")
_LEAST_BOUND_BYTES: Final = 1 << 26
_UNITS: Final = {"dbm", "db", "deg", "degrees", "°", "m", "mhz", "khz", "km/h", "m/s", "s", "ms"}
_MOST_TITLE_LINES: Final = 40
_LEAST_KNOWN: Final = 2  # columns that make a line below the first one a header
_FALLBACK_ENCODING: Final = "latin-1"  # decodes any byte; Western logs are cp1252 or this


@dataclass(frozen=True)
class Dialect:
    """Format of a delimited file.

    Attributes
    ----------
    separator : str
        Comma, semicolon, tab, bar or space.
    encoding : str
        Name of the codec.
    header_line : int
        Lines before the header: comments, ``sep=;``.
    names : tuple of str
        Names of the columns, made unique.
    data_line : int
        Lines before the first row: the header, and a row of units where present.
    spaces : bool
        Whether fields are separated by any number of spaces and tabs.
    """

    separator: str
    encoding: str
    header_line: int
    names: tuple[str, ...]
    data_line: int
    spaces: bool = False


def open_delimited(path: Path) -> Source:
    r"""Describe a delimited text file by its first lines.

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
        If it is not text, has no header, or a ``.gz`` is damaged.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.csv")
    ...     _ = path.write_text("lon;lat;rsrp\n13,4;52,5;-90\n")
    ...     open_delimited(path).names
    ('lon', 'lat', 'rsrp')
    """
    dialect = _guess(path, _head(path))

    def chunks(request: Request) -> Iterator[Table]:
        return _chunks(path, dialect, request)

    return Source(path, dialect.names, has_geometry=False, crs=None, chunks=chunks)


def _head(path: Path) -> bytes:
    """Read the first bytes of the text, decompressed."""
    try:
        if path.suffix.lower() == ".gz":
            with BoundedGzip(path) as stream:
                return stream.read(_SNIFFED_BYTES)
        with path.open("rb") as plain:
            return plain.read(_SNIFFED_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be decompressed: {error}.",
            hint="Copy it again, or unpack it first.",
            path=path,
        ) from error


def _guess(path: Path, head: bytes) -> Dialect:
    """Detect encoding, separator and header."""
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
        raise InputError(
            f"{path} has no header line.", hint="Export the measurements again.", path=path
        )
    start = _find_header(lines, start, separator)
    separator = separator or _guess_separator(lines[start : start + 50])
    spaces = separator == _SPACE
    rows = [_fields(line, separator) for line in lines[start : start + 50] if line.strip()]
    fields, samples = rows[0], rows[1:]
    if _is_data(fields):
        shown = ", ".join(repr(field) for field in fields[:3])
        raise InputError(
            f"{path} has no header: its first line looks like a row of values ({shown}, ...).",
            hint="Add a line with the names of the columns, such as longitude,latitude,pci,rsrp.",
            path=path,
        )
    longer = sum(len(row) == len(fields) + 1 and not row[-1] for row in samples)
    if (
        samples and longer > len(samples) // 2
    ):  # every row ends in a separator, but the header does not
        fields = [*fields, ""]
    data = start + 1
    if samples and _is_units(samples[0]) and len(samples) > 1 and not _is_units(samples[1]):
        data += 1 + sum(not line.strip() for line in lines[start + 1 : start + 2])
    return Dialect(separator, encoding, start, _unique(fields), data, spaces)


def _find_header(lines: list[str], first: int, separator: str) -> int:
    """Find the line of the column names, which titles and metadata may precede.

    It is the first line if that names a known column; else the first of the next ones that names
    a position and a level or cell and has as many fields as the line after it.
    """
    if _known_columns(lines[first], separator):
        return first
    for place in range(first + 1, min(first + _MOST_TITLE_LINES, len(lines) - 1)):
        if lines[place].strip() and _known_columns(lines[place], separator) >= _LEAST_KNOWN:
            return place
    return first


def _known_columns(line: str, separator: str) -> int:
    """Count the fields of a line that are names of positions, levels and cells."""
    fields = _fields(line, separator or _guess_separator([line]))
    known = (roles.LONGITUDE, roles.LATITUDE, roles.RSRP, roles.PCI, roles.EASTING, roles.NORTHING)
    return sum(any(roles.is_named(field, role) for role in known) for field in fields)


def _fields(line: str, separator: str) -> list[str]:
    """Split a line."""
    if separator == _SPACE:
        return line.split()
    return [field.strip() for field in next(csv.reader(io.StringIO(line), delimiter=separator))]


def _is_data(fields: list[str]) -> bool:
    """Whether the fields are values, not names: most are numbers, and none is a known name."""
    numbers = sum(_is_number(field) for field in fields)
    if numbers == len(fields):
        return True
    every = (roles.LONGITUDE, roles.LATITUDE, roles.RSRP, roles.PCI, roles.CELL, roles.TIME)
    named = any(roles.is_named(field, role) for field in fields for role in every)
    return not named and numbers >= max(2, len(fields) // 2)


def _is_units(fields: list[str]) -> bool:
    """Whether a row below the header states units: no number, and one known unit."""
    if any(_is_number(field) for field in fields if field):
        return False
    return any(field.strip("[]() ").casefold() in _UNITS for field in fields)


def _decode(path: Path, head: bytes) -> tuple[str, str]:
    """Decode the head by its byte-order mark, as UTF-8, or as Latin-1."""
    for mark, codec in _BOMS:
        if head.startswith(mark):
            return head[len(mark) :].decode(codec, errors="ignore"), codec
    if b"\x00" in head:
        raise InputError(
            f"{path} is not text, despite its extension.",
            hint="Readable are SHP, GPKG, GeoJSON, GeoParquet, FlatGeobuf and CSV.",
            path=path,
        )
    try:
        # The last character of the head may be incomplete.
        return head[: head.rfind(b"\n") + 1 or None].decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return head.decode(_FALLBACK_ENCODING), _FALLBACK_ENCODING


def is_preamble(line: str) -> bool:
    """Whether a line precedes the header: a comment or Excel's ``sep=;``.

    Parameters
    ----------
    line : str
        The line.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_preamble("sep=;"), is_preamble("lon;lat")
    (True, False)
    """
    return line.startswith("#") or (line.lower().startswith("sep=") and len(line) == 5)


def _guess_separator(lines: list[str]) -> str:
    """Choose the separator that splits the header into most fields, and the rows likewise."""

    def score(separator: str) -> tuple[float, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        alike = sum(count == counts[0] for count in counts) / len(counts)
        return (alike if counts[0] > 1 else 0.0), counts[0]

    best = max(SEPARATORS, key=lambda s: (round(score(s)[0], 1), score(s)[1]))
    if score(best)[1] > 1 and score(best)[0] > 0.0:
        return best
    counts = [len(line.split()) for line in lines if line.strip()]
    alike = sum(count == counts[0] for count in counts) if counts else 0
    return _SPACE if counts and counts[0] > 2 and alike > len(counts) // 2 else ","


def _unique(fields: list[str]) -> tuple[str, ...]:
    """Make repeated column names unique by their position."""
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
    """Read columns as text, which :mod:`rm_geo.io.tables.arrow` converts to numbers.

    With types inferred from its first block, pyarrow would fail at the first text in a later one.
    """
    encodings = dict.fromkeys((dialect.encoding, _FALLBACK_ENCODING))
    for place, encoding in enumerate(encodings):
        if place:
            yield Table({}, restarts=True)
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

    # Columns are read by position: names may repeat or be empty.
    places = [str(place) for place in range(len(dialect.names))]
    chosen = {name: places[dialect.names.index(name)] for name in request.names}
    reader = pacsv.open_csv(
        _stream(path, spaces=dialect.spaces),
        read_options=pacsv.ReadOptions(
            column_names=places,
            skip_rows=dialect.data_line,
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
        for table in split_batches(reader, request.rows):
            yield Table({name: table.column(place) for name, place in chosen.items()})
    yield Table({name: pa.chunked_array([], pa.string()) for name in chosen}, malformed=malformed)


def _stream(path: Path, *, spaces: bool) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Open the text for pyarrow: decompressed within bounds, with single spaces."""
    if spaces:
        return pa.PythonFile(_SingleSpaces(path), mode="r")
    if path.suffix.lower() == ".gz":
        return pa.PythonFile(BoundedGzip(path), mode="r")
    return path


class BoundedGzip(io.RawIOBase):
    """A gzip file that ends with an error when it unpacks to an unreasonable size.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._packed: Any = path.open("rb")
        self._plain = gzip.GzipFile(fileobj=self._packed)
        self._size = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read some bytes."""
        data = self._plain.read(_BLOCK_BYTES if size is None or size < 0 else size)
        self._size += len(data)
        if self._size > max(_LEAST_BOUND_BYTES, LARGEST_RATIO * self._packed.tell()):
            raise InputError(
                f"{self._path} unpacks to more than {LARGEST_RATIO} times its size.",
                hint="Unpack it yourself if it can be trusted.",
                path=self._path,
            )
        return data

    def close(self) -> None:
        """Close the file."""
        self._packed.close()
        super().close()


class _SingleSpaces(io.RawIOBase):
    """A file with runs of spaces and tabs reduced to one space, and none at the ends of lines."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        is_packed = path.suffix.lower() == ".gz"
        self._stream: Any = BoundedGzip(path) if is_packed else path.open("rb")
        self._rest = b""  # of a line
        self._ready = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read some bytes."""
        wanted = -1 if size is None else size
        while wanted < 0 or len(self._ready) < wanted:
            block = self._stream.read(_BLOCK_BYTES)
            if not block and not self._rest:
                break
            lines, _, rest = (self._rest + block).rpartition(b"\n")
            if not block or not lines:  # at the end, or in a line longer than a block
                lines, rest = lines + b"\n" * bool(lines) + rest, b""
            single = _SPACES.sub(b" ", lines) + b"\n"
            self._ready += single.replace(b" \n", b"\n").replace(b"\n ", b"\n").lstrip(b" ")
            self._rest = rest
        cut = len(self._ready) if wanted < 0 else wanted
        given, self._ready = self._ready[:cut], self._ready[cut:]
        return given

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()


def _unreadable(path: Path, error: BaseException) -> InputError:
    """Convert an error of pyarrow to one sentence."""
    text = str(error).strip()
    reason = text.splitlines()[0][:200] if text else type(error).__name__
    if "Empty CSV file" in reason or "Could not skip initial" in reason:
        return InputError(
            f"{path} has a header and no rows.", hint="Export the measurements again.", path=path
        )
    return InputError(
        f"{path} cannot be read as delimited text: {reason.rstrip('.')}.",
        hint="It may be damaged or cut short; copy or export it again.",
        path=path,
    )
