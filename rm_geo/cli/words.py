"""Values of options that contain several parts."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rm_geo.errors import UsageError


def key_pairs(models: Sequence[str]) -> dict[str, str]:
    """Split KEY=NAME|FILE options."""
    pairs = {}
    for text in models:
        key, sign, value = text.partition("=")
        if not sign or not key or not value:
            raise click.BadParameter(f"{text!r} is not KEY=NAME|FILE.", param_hint="--model")
        pairs[key.strip()] = value
    return pairs


def optional_names(text: str | None) -> list[str] | None:
    """Split names at commas, as :func:`split_names`; None for None."""
    return None if text is None else split_names(text)


def split_names(text: str) -> list[str]:
    """Split names at commas and drop repetitions.

    Parameters
    ----------
    text : str
        Names with commas between them.

    Returns
    -------
    list of str
        At least one name.

    Raises
    ------
    UsageError
        If there is none.

    Examples
    --------
    >>> split_names("knn, idw,knn")
    ['knn', 'idw']
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"{text!r} names nothing.", hint="Write names with commas between them.")
    return list(dict.fromkeys(names))


def split_shares(text: str, option: str) -> list[float]:
    """Split fractions at commas.

    Parameters
    ----------
    text : str
        Numbers with commas between them; can be empty.
    option : str
        Their option, for messages.

    Returns
    -------
    list of float
        The numbers.

    Raises
    ------
    click.BadParameter
        If one is not a number.

    Examples
    --------
    >>> split_shares("0.05,0.2", "--rates")
    [0.05, 0.2]
    """
    try:
        shares = [float(piece) for piece in text.split(",") if piece.strip()]
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is not a list of fractions such as 0.05,0.2.", param_hint=option
        ) from error
    return shares


def split_counts(text: str, option: str) -> list[int]:
    """Split whole numbers at commas.

    Parameters
    ----------
    text : str
        Numbers with commas between them.
    option : str
        Their option, for messages.

    Returns
    -------
    list of int
        At least one number, each once.

    Raises
    ------
    click.BadParameter
        If one is not a whole number above 0, or there is none.

    Examples
    --------
    >>> split_counts("1,8,8", "--cells")
    [1, 8]
    """
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not pieces or not all(piece.isdecimal() and int(piece) > 0 for piece in pieces):
        raise click.BadParameter(
            f"{text!r} is not a list of whole numbers such as 1,8.", param_hint=option
        )
    return list(dict.fromkeys(int(piece) for piece in pieces))
