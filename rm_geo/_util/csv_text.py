"""Texts in CSV files that people open in a spreadsheet or show on a terminal."""

from __future__ import annotations

from typing import Final

from rm_geo._util.console import printable

_STARTS: Final = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_text(value: object) -> object:
    """Give a value of a table as it is written: no formula, and no control characters.

    Parameters
    ----------
    value : object
        A value of a row.

    Returns
    -------
    object
        A text with escapes in place of control characters, and if it begins like a formula and is
        no number with an apostrophe before it, as spreadsheets themselves mark text; other values
        as they are.

    Examples
    --------
    >>> csv_text("=cmd|' /C calc'!A0"), csv_text("-90.5"), csv_text(3)
    ("'=cmd|' /C calc'!A0", '-90.5', 3)
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    if not text.lstrip(" ").startswith(_STARTS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def text_of_csv(value: str) -> str:
    """Give the text that :func:`csv_text` was given, control characters as escapes.

    Parameters
    ----------
    value : str
        A field of a CSV file of rm_geo.

    Returns
    -------
    str

    Examples
    --------
    >>> text_of_csv("'=7"), text_of_csv("'7")
    ('=7', "'7")
    """
    original = value[1:]
    return original if value[:1] == "'" and csv_text(original) == value else value
