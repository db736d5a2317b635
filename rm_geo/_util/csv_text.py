"""Texts in CSV files that people open in a spreadsheet."""

from __future__ import annotations

from typing import Final

_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_text(value: object) -> object:
    """Give a value of a table as it is written, so that no spreadsheet takes it for a formula.

    Parameters
    ----------
    value : object
        A value of a row.

    Returns
    -------
    object
        A text that begins like a formula and is no number with an apostrophe before it, as
        spreadsheets themselves mark text; other values as they are.

    Examples
    --------
    >>> csv_text("=cmd|' /C calc'!A0"), csv_text("-90.5"), csv_text(3)
    ("'=cmd|' /C calc'!A0", '-90.5', 3)
    """
    if not isinstance(value, str) or not value.lstrip(" ").startswith(_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def text_of_csv(value: str) -> str:
    """Give the text that :func:`csv_text` was given.

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
