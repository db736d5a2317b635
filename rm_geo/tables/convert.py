"""Arrow columns to numpy: numbers that may be text, names of cells, times."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rm_geo.errors import InputError

NULL_WORDS: Final = ("", "-", "--", "---", "?", "n/a", "na", "#n/a", "null", "none", "nan", "nil")
"""What loggers write for nothing, in lower case."""

_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?[iI]nf(inity)?$"
_UNIT: Final = r"(?i)\s*(dbm|db|mhz|deg|degrees|°|m)$"
_DECIMAL_COMMA: Final = r"^([+-]?\d*),(\d+)$"
_WHOLE_FLOAT: Final = re.compile(r"[+-]?\d+\.0+")
# Android's CellInfo.UNAVAILABLE and UNAVAILABLE_LONG.
_UNAVAILABLE: Final = ("2147483647", "9223372036854775807")
_EXAMPLES: Final = 3


@dataclass(frozen=True)
class Numbers:
    """A numeric column.

    Attributes
    ----------
    values : ndarray of float64, shape (N,)
        NaN where null or not a number.
    is_text : ndarray of bool, shape (N,)
        Where a value is there and is not a number.
    examples : tuple of str
        A few of those values.
    """

    values: NDArray[np.float64]
    is_text: NDArray[np.bool_]
    examples: tuple[str, ...] = ()


def to_numbers(column: pa.ChunkedArray, name: str, source: str) -> Numbers:
    """Convert a column to float64, as text where it must be.

    Decimal commas, units behind the number (``-95 dBm``) and the typographical minus are
    understood; the words of :data:`NULL_WORDS` are null.

    Raises
    ------
    InputError
        If the type of the column cannot hold numbers (times, bytes).
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


def to_cells(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Convert a column of cell names or numbers to an object array of str, or None.

    A whole number that was stored as a float (40.0) becomes ``40``.
    """
    encoded = _plain(column).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    names = np.array(
        [cell_text(value) for value in encoded.dictionary.to_pylist()] + [None], object
    )
    codes = encoded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(names[codes.astype(np.int64)], dtype=object)


def cell_text(value: object) -> str | None:
    """Name of a cell as text.

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


def to_times(column: pa.ChunkedArray) -> NDArray[np.datetime64] | None:
    """Convert a column of times (stamps, ISO 8601 text, Unix seconds or milliseconds) to UTC.

    Returns
    -------
    ndarray of datetime64[ms] or None
        None where the column cannot be understood; NaT where one value is null.
    """
    column = _plain(column)
    kind = column.type
    try:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            column = _null_words_to_null(pc.utf8_trim_whitespace(column))
            column = _parse_times(column)
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            values = _numpy(column.cast(pa.float64()))
            return _from_unix(values)
        elif not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            return None
        stamps = column.cast(pa.timestamp("ms"), safe=False)
        return np.asarray(stamps.to_numpy().astype("datetime64[ms]"))
    except pa.ArrowException:
        return None


def _parse_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Parse ISO 8601 text with or without a zone."""
    try:
        return column.cast(pa.timestamp("ms"))
    except pa.ArrowInvalid:
        # With a zone; "+01:00" and "Z" are turned to UTC.
        return column.cast(pa.timestamp("ms", tz="UTC"))


def _from_unix(values: NDArray[np.float64]) -> NDArray[np.datetime64] | None:
    """Unix time in seconds or milliseconds, by its size; None where it is neither."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return None
    middle = float(np.median(finite))
    # 1990 to 2100, in seconds and in milliseconds.
    if 6.3e8 < middle < 4.2e9:
        scale = 1000.0
    elif 6.3e11 < middle < 4.2e12:
        scale = 1.0
    else:
        return None
    stamps = np.full(values.shape, np.datetime64("NaT", "ms"))
    sane = np.isfinite(values) & (np.abs(values) < 1e14)
    stamps[sane] = np.round(values[sane] * scale).astype(np.int64).astype("datetime64[ms]")
    return stamps


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Unwrap dictionaries and extension types."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if isinstance(column.type, pa.ExtensionType):
        column = column.cast(column.type.storage_type)
    return column


def _numpy(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Give a float64 column as a numpy array that may be written to, NaN for null."""
    return np.array(column.fill_null(math.nan).to_numpy(), dtype=np.float64)


def _null_words_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turn the words for nothing into null."""
    is_null_word = pc.is_in(pc.utf8_lower(column), value_set=pa.array(NULL_WORDS, column.type))
    return pc.if_else(is_null_word, pa.scalar(None, column.type), column)


def _text_to_numbers(column: pa.ChunkedArray) -> Numbers:
    """Convert text; the whole column at once where it is clean."""
    text = _null_words_to_null(pc.utf8_trim_whitespace(column))
    try:
        return Numbers(_numpy(text.cast(pa.float64())), np.zeros(len(text), dtype=bool))
    except pa.ArrowInvalid:
        pass
    tidy = pc.replace_substring(text, "\u2212", "-")
    tidy = pc.replace_substring_regex(tidy, _UNIT, "")
    tidy = pc.replace_substring_regex(tidy, _DECIMAL_COMMA, r"\1.\2")
    is_number = pc.fill_null(pc.match_substring_regex(tidy, _NUMBER), False)
    is_text = np.asarray(pc.and_(pc.invert(is_number), pc.is_valid(text)).to_numpy(), dtype=bool)
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
