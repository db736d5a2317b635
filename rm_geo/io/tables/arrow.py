"""Conversion of Arrow columns to numpy: numbers that may be text, cell names, times."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rm_geo._util.disk_columns import iter_blocks
from rm_geo.errors import InputError
from rm_geo.io.tables.arrow_numpy import joined, to_numpy
from rm_geo.io.tables.cell_ids import CellColumn
from rm_geo.io.tables.column_roles import quoted

NULL_WORDS: Final = ("", "-", "--", "---", "?", "n/a", "na", "#n/a", "null", "none", "nan", "nil")
"""Words for missing values in logs, in lower case."""

MAX_TEXT_SHARE: Final = 0.05
"""Share of the values of a numeric column that may be text before the file is refused."""

_NULL_WORD: Final = f"^({'|'.join(map(re.escape, NULL_WORDS))})$"
_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?([iI]nf(inity)?|[nN]a[nN])$"
_UNIT: Final = r"(?i)\s*(dbm|db|mhz|deg|degrees|°|m)$"
_LARGEST_LATITUDE: Final = 90.0
_NMEA_LATITUDE: Final = r"^\d{4}(\.\d+)?$"
_SEXAGESIMAL: Final = (
    r"^(?P<first>[NSEW]?)\s*(?P<d>\d{1,3}(?:[.,]\d+)?)\s*(?:[°ºD]|DEG)?\s*"
    r"(?:(?P<m>\d{1,2}(?:[.,]\d+)?)\s*(?:['′’M]|MIN)?)?\s*"
    r"(?:(?P<s>\d{1,2}(?:[.,]\d+)?)\s*(?:\"|''|″|”|SEC|S)?)?\s*(?P<last>[NSEW]?)$"
)
_DECIMAL_COMMA: Final = r"^([+-]?\d*),(\d+)$"
_WHOLE_FLOAT: Final = re.compile(r"[+-]?\d+\.0+")
# Android's CellInfo.UNAVAILABLE and UNAVAILABLE_LONG.
_UNAVAILABLE: Final = ("2147483647", "9223372036854775807")
_EXAMPLES: Final = 3
# 1990 to 2100 in seconds and in milliseconds since 1970, and what scales them.
_UNIX_EDGES: Final = np.array([6.3e8, 4.2e9, 6.3e11, 4.2e12])
_UNIX_SCALES: Final = {1: 1000.0, 3: 1.0}
_UNIX_TEXT: Final = r"^\d{9,13}([.,]\d+)?$"
_CLOCK: Final = r"(\d{1,2})[:.h](\d{2})[:.m](\d{2}(?:[.,]\d+)?)"
# Patterns of times in logs, and their replacement in ISO 8601.
_VENDOR_TIMES: Final = (
    (rf"^(\d{{4}})[./-](\d{{1,2}})[./-](\d{{1,2}})[ _T]+{_CLOCK}", r"\1-\2-\3 \4:\5:\6"),
    (rf"^(\d{{1,2}})\.(\d{{1,2}})\.(\d{{4}})[ ,_T]+{_CLOCK}", r"\3-\2-\1 \4:\5:\6"),
    (r"^(\d{4})(\d{2})(\d{2})[_T -](\d{2})(\d{2})(\d{2})$", r"\1-\2-\3 \4:\5:\6"),
    (r"(:\d{2}),(\d+)", r"\1.\2"),
    (r" UTC$", "Z"),
)
_PADDING: Final = (
    (r"^(\d{4})-(\d)-", r"\1-0\2-"),
    (r"^(\d{4}-\d{2})-(\d)([ T])", r"\1-0\2\3"),
    (r"^(\d{4}-\d{2}-\d{2}[ T])(\d):", r"\10\2:"),
    (r"(:\d{2}\.\d{9})\d+", r"\1"),
)


@dataclass(frozen=True)
class Numbers:
    """A numeric column.

    Attributes
    ----------
    values : ndarray of float64, shape (N,)
        NaN where null or not a number.
    is_text : ndarray of bool, shape (N,)
        Values that are neither null nor a number.
    examples : tuple of str
        Some of those values.
    """

    values: NDArray[np.float64]
    is_text: NDArray[np.bool_]
    examples: tuple[str, ...] = ()


class TextShare:
    """Share of text in a numeric column, summed over its chunks.

    Examples
    --------
    >>> share = TextShare()
    >>> share.add(to_numbers(pa.chunked_array([["-90", "-95"]]), "rsrp", "drive.csv"))
    >>> share.require_mostly_numbers("rsrp", "drive.csv")
    """

    def __init__(self) -> None:
        self._texts = 0
        self._values = 0
        self._examples: dict[str, None] = {}

    def add(self, numbers: Numbers) -> None:
        """Count the values of a chunk.

        Parameters
        ----------
        numbers : Numbers
            The chunk.
        """
        texts = int(np.count_nonzero(numbers.is_text))
        self._texts += texts
        self._values += texts + int(np.count_nonzero(~np.isnan(numbers.values)))
        self._examples |= dict.fromkeys(numbers.examples)

    def require_mostly_numbers(self, name: str, source: str) -> None:
        """Check that at most 5 % of the values are text.

        Parameters
        ----------
        name, source : str
            Column and file, for messages.

        Raises
        ------
        InputError
            If more values are text. The message has examples.
        """
        if self._texts > MAX_TEXT_SHARE * self._values:
            raise InputError(
                f"The column {name!r} of {source} holds text: {self._texts:,} of "
                f"{self._values:,} values are not numbers, such as "
                f"{quoted(list(self._examples)[:_EXAMPLES])}.",
                hint="Choose another column, or correct the file.",
            )


def to_numbers(column: pa.ChunkedArray, name: str, source: str) -> Numbers:
    """Convert a column to float64.

    Text with decimal commas, units (``-95 dBm``) or the typographical minus is converted; the words
    in :data:`NULL_WORDS` are null.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        The values.
    name, source : str
        Column and file, for messages.

    Returns
    -------
    Numbers

    Raises
    ------
    InputError
        If the type of the column cannot represent numbers (times, bytes).

    Examples
    --------
    >>> to_numbers(pa.chunked_array([["-95,5 dBm", "n/a"]]), "rsrp", "drive.csv").values.tolist()
    [-95.5, nan]
    """
    column = _plain(column)
    kind = column.type
    if pa.types.is_null(kind):
        return Numbers(np.full(len(column), np.nan), np.zeros(len(column), dtype=bool))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text_to_numbers(column)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InputError(
            f"The column {name!r} of {source} holds {kind}, not numbers.",
            hint="Choose another column.",
        )
    return Numbers(_numpy(column.cast(pa.float64(), safe=False)), np.zeros(len(column), dtype=bool))


def to_degrees(
    column: pa.ChunkedArray,
    name: str,
    source: str,
    *,
    hemisphere: pa.ChunkedArray | None = None,
    nmea: bool = False,
) -> Numbers:
    r"""Convert a column of longitudes or latitudes to degrees.

    Accepted are decimal degrees, degrees with minutes and seconds (``52°31'12.1"N``), a letter of
    the hemisphere before or behind the number, and degrees and minutes of NMEA (``5231.2017,N``).

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        The values.
    name, source : str
        Column and file, for messages.
    hemisphere : pyarrow.ChunkedArray, optional
        ``N``, ``S``, ``E`` or ``W`` of each row.
    nmea : bool
        Whether plain numbers are degrees and minutes without a separator; see
        :func:`looks_like_nmea`.

    Returns
    -------
    Numbers
        Values in degrees.

    Raises
    ------
    InputError
        If the type of the column cannot represent numbers.

    Examples
    --------
    >>> column = pa.chunked_array([["52°30'36\"N", "13.5 W", "52.51"]])
    >>> to_degrees(column, "lat", "a.csv").values.tolist()
    [52.51, -13.5, 52.51]
    """
    numbers = to_numbers(column, name, source)
    if numbers.is_text.any():
        plain = pc.utf8_upper(pc.utf8_trim_whitespace(_plain(column)))
        parts = pc.extract_regex(plain, pattern=_SEXAGESIMAL)
        part = {key: pc.struct_field(parts, key) for key in ("first", "d", "m", "s", "last")}
        degrees, minutes, seconds = (_part(part[key]) for key in ("d", "m", "s"))
        found = numbers.is_text & np.isfinite(degrees)
        size = np.nan_to_num(degrees) + np.nan_to_num(minutes) / 60 + np.nan_to_num(seconds) / 3600
        letters = [
            to_numpy(pc.is_in(part[key], value_set=pa.array(["S", "W"])))
            for key in ("first", "last")
        ]
        values = np.where(found, np.where(letters[0] | letters[1], -size, size), numbers.values)
        left = numbers.is_text & ~found
        numbers = Numbers(values, left, numbers.examples if left.any() else ())
    if hemisphere is None:
        return numbers
    letter = pc.utf8_upper(pc.utf8_trim_whitespace(_plain(hemisphere).cast(pa.string())))
    southern = np.asarray(pc.fill_null(pc.is_in(letter, value_set=pa.array(["S", "W"])), False))
    size = np.abs(numbers.values)
    if nmea:
        size = size // 100 + (size % 100) / 60
    return Numbers(np.where(southern, -size, size), numbers.is_text, numbers.examples)


def looks_like_nmea(latitude: pa.ChunkedArray) -> bool | None:
    """Whether latitudes are degrees and minutes without a separator, as in NMEA sentences.

    Latitudes decide for longitudes too: ``00007.66`` could be a longitude in degrees.

    Parameters
    ----------
    latitude : pyarrow.ChunkedArray
        Latitudes beside a column of hemispheres.

    Returns
    -------
    bool or None
        None if there is no value.

    Examples
    --------
    >>> looks_like_nmea(pa.chunked_array([["5231.2017"]]))
    True
    >>> looks_like_nmea(pa.chunked_array([["0030.5"]])), looks_like_nmea(pa.chunked_array([[52.5]]))
    (True, False)
    """
    column = _plain(latitude)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = _null_words_to_null(pc.utf8_trim_whitespace(column))
        if text.null_count == len(text):
            return None
        if _all_match(text, _NMEA_LATITUDE):
            return True
    sizes = np.abs(to_numbers(column, "latitude", "").values)
    return bool(np.nanmedian(sizes) > _LARGEST_LATITUDE) if np.isfinite(sizes).any() else None


def _part(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a part of an angle; NaN where missing."""
    text = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
    return _numpy(pc.replace_substring(text, ",", ".").cast(pa.float64()))


class CellReader:
    """Encodes the cell names of a column, chunk by chunk, as integers.

    An integer that was stored as a float (40.0) becomes ``40``.

    Attributes
    ----------
    names : dict of (str or None) to int
        The names so far, and their codes.

    Examples
    --------
    >>> reader = CellReader()
    >>> reader.read(pa.chunked_array([[40.0, None, 40.0]])).tolist(), reader.names
    ([0, 1, 0], {'40': 0, None: 1})
    """

    def __init__(self) -> None:
        self.names: dict[str | None, int] = {}

    def read(self, column: pa.ChunkedArray) -> NDArray[np.int32]:
        """Encode a chunk.

        Parameters
        ----------
        column : pyarrow.ChunkedArray
            Cell names or numbers.

        Returns
        -------
        ndarray of int32, shape (N,)
            Code of each row's name.
        """
        plain = _plain(column)
        whole = plain.combine_chunks() if len(plain) else joined(plain)
        encoded = whole.dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().combine_chunks()
        names = [*map(cell_text, encoded.dictionary.to_pylist()), None]
        numbers = np.array([self.names.setdefault(n, len(self.names)) for n in names], np.int32)
        return np.asarray(numbers[to_numpy(encoded.indices, null=len(names) - 1)])


def to_cells(column: pa.ChunkedArray) -> CellColumn:
    """Convert a column of cell names or numbers.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Cell names or numbers.

    Returns
    -------
    CellColumn

    Examples
    --------
    >>> to_cells(pa.chunked_array([["A", "B", "A"]])).tolist()
    ['A', 'B', 'A']
    """
    reader = CellReader()
    codes = reader.read(column)
    return CellColumn(codes, tuple(reader.names))


def cell_text(value: object) -> str | None:
    """Convert the name or number of a cell to text.

    Parameters
    ----------
    value : object
        The value in the file.

    Returns
    -------
    str or None
        None for null, blank text and the words in :data:`NULL_WORDS`.

    Examples
    --------
    >>> cell_text(40.0), cell_text(" 310-260/A "), cell_text("n/a")
    ('40', '310-260/A', None)
    """
    if value is None:
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        value = int(value) if value.is_integer() else value
    text = str(value).strip()
    if _WHOLE_FLOAT.fullmatch(text):
        text = text.split(".")[0]
    return None if text.lower() in NULL_WORDS or text in _UNAVAILABLE else text


class TimeReader:
    """Converts a column of times to UTC: timestamps, text, Unix seconds or milliseconds.

    Text may be ISO 8601, Unix time, day.month.year, or year.month.day_hour.minute.second, with
    fractions of a second. Dates with slashes are refused, because the order of day and month is
    ambiguous. The notation is determined from all chunks of the column: the result of
    :meth:`finish` does not depend on the size of the chunks.

    Examples
    --------
    >>> reader = TimeReader()
    >>> values = reader.read(pa.chunked_array([["2024-05-01T10:30:00", None]]))
    >>> reader.finish(values).astype(str).tolist()
    ['2024-05-01T10:30:00.000', 'NaT']
    """

    def __init__(self) -> None:
        self._understood = True
        self._notations: set[str] = set()
        self._sizes = np.zeros(len(_UNIX_EDGES) + 1, dtype=np.int64)

    def read(self, column: pa.ChunkedArray) -> NDArray[np.float64] | None:
        """Convert a chunk to numbers.

        Parameters
        ----------
        column : pyarrow.ChunkedArray
            The times.

        Returns
        -------
        ndarray of float64, shape (N,), or None
            Input of :meth:`finish`: milliseconds since 1970 for timestamps, Unix times unchanged;
            None if the notation is unknown.
        """
        column = _plain(column)
        kind = column.type
        try:
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                text = _null_words_to_null(pc.utf8_trim_whitespace(column))
                if text.null_count < len(text) and _all_match(text, _UNIX_TEXT):
                    plain = pc.replace_substring(text, ",", ".")
                    self._notations.add("number")
                    return self._measure(_numpy(plain.cast(pa.float64())))
                column = self._parse(text)
            elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
                self._notations.add("number")
                return self._measure(_numpy(column.cast(pa.float64())))
            elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
                self._notations.add("stamp")
            else:
                self._understood = False
                return None
            stamps = column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
            return _numpy(stamps.cast(pa.float64(), safe=False))
        except pa.ArrowException:
            self._understood = False
            return None

    def finish(self, values: NDArray[Any]) -> NDArray[np.datetime64] | None:
        """Convert numbers of :meth:`read` to times.

        Parameters
        ----------
        values : ndarray of float64, shape (N,)
            Concatenated results of :meth:`read`, or a part of them; overwritten.

        Returns
        -------
        ndarray of datetime64[ms], shape (N,), or None
            In the memory of ``values``; NaT for null. None if the notation is unknown.
        """
        if not self._understood or len(self._notations) > 1:
            return None
        scale = self._unix_scale() if "number" in self._notations else 1.0
        if scale is None:
            return None
        stamps = values.view("datetime64[ms]")
        for numbers, target in iter_blocks(values, stamps):
            sane = np.isfinite(numbers) & (np.abs(numbers) < 1e14)
            rounded = np.round(np.where(sane, numbers, 0.0) * scale).astype(np.int64)
            target[:] = np.where(sane, rounded.astype("datetime64[ms]"), np.datetime64("NaT", "ms"))
        return stamps

    def _parse(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Parse text with or without a time zone; a column must not mix the two."""
        try:
            stamps, notation = _parse_iso(column)
        except pa.ArrowInvalid:  # rarely needed, and slow: the notations of loggers
            text = column
            for pattern, replacement in (*_VENDOR_TIMES, *_PADDING):
                text = pc.replace_substring_regex(text, pattern, replacement)
            stamps, notation = _parse_iso(text)
        if column.null_count < len(column):
            self._notations.add(notation)
        return stamps

    def _measure(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count the values by magnitude."""
        finite = values[np.isfinite(values)]
        place = np.searchsorted(_UNIX_EDGES, finite)
        self._sizes += np.bincount(place, minlength=self._sizes.size)
        return values

    def _unix_scale(self) -> float | None:
        """Milliseconds per unit, by the magnitude of the median; None if not a Unix time."""
        count = int(self._sizes.sum())
        if count == 0:
            return None
        middle = int(np.searchsorted(np.cumsum(self._sizes), (count - 1) // 2, side="right"))
        return _UNIX_SCALES.get(middle)


def _parse_iso(text: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """Parse ISO 8601; say whether it has a time zone. ``+01:00`` and ``Z`` are turned to UTC."""
    try:
        return text.cast(pa.timestamp("ns")), "without a zone"
    except pa.ArrowInvalid:
        return text.cast(pa.timestamp("ns", tz="UTC")), "with a zone"


def _all_match(column: pa.ChunkedArray, pattern: str) -> bool:
    """Whether all values that are not null match."""
    found = pc.all(pc.match_substring_regex(column, pattern), skip_nulls=True).as_py()
    return bool(found)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Unwrap dictionaries and extension types."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if isinstance(column.type, pa.ExtensionType):
        column = column.cast(column.type.storage_type)
    return column


def _numpy(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Convert a float64 column to a writable numpy array, with NaN for null."""
    return np.array(to_numpy(column, null=math.nan), dtype=np.float64)


def _null_words_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert the words for missing values to null."""
    # A pattern, and no array of the words: pyarrow imports pandas to make one.
    is_null_word = pc.match_substring_regex(column, _NULL_WORD, ignore_case=True)
    return pc.if_else(is_null_word, pa.nulls(1, column.type)[0], column)


def _text_to_numbers(column: pa.ChunkedArray) -> Numbers:
    """Convert text; the whole column at once if all values are plain numbers."""
    text = _null_words_to_null(pc.utf8_trim_whitespace(column))
    try:
        return Numbers(_numpy(text.cast(pa.float64())), np.zeros(len(text), dtype=bool))
    except pa.ArrowInvalid:
        pass
    tidy = pc.replace_substring(text, "\u2212", "-")
    tidy = pc.replace_substring_regex(tidy, _UNIT, "")
    tidy = pc.replace_substring_regex(tidy, _DECIMAL_COMMA, r"\1.\2")
    is_number = pc.fill_null(pc.match_substring_regex(tidy, _NUMBER), False)
    is_text = to_numpy(pc.and_(pc.invert(is_number), pc.is_valid(text)))
    # Arrow's parser takes neither a leading plus nor a bare leading or trailing point.
    tidy = pc.replace_substring_regex(tidy, r"^\+", "")
    numbers = pc.if_else(is_number, tidy, pa.scalar(None, tidy.type))
    try:
        values = _numpy(numbers.cast(pa.float64()))
    except pa.ArrowInvalid:
        values = np.array(
            [math.nan if value is None else float(value) for value in numbers.to_pylist()]
        )
    examples = pc.unique(text.filter(pa.array(is_text)))[:_EXAMPLES].to_pylist()
    return Numbers(values, is_text, tuple(str(example) for example in examples))
