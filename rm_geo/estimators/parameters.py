"""Parameters of methods, as people give them: numbers within their bounds, or one message."""

from __future__ import annotations

import math

from rm_geo.errors import UsageError


def require_whole(method: str, name: str, value: object, least: int) -> None:
    """Refuse a parameter that is no whole number from a least one on.

    Parameters
    ----------
    method, name : str
        Method and parameter, for the message.
    value : object
        What was given.
    least : int
        Smallest value allowed.

    Raises
    ------
    UsageError
        If it is not.

    Examples
    --------
    >>> require_whole("knn", "neighbors", 5, least=1)
    >>> require_whole("knn", "neighbors", 0, least=1)
    Traceback (most recent call last):
    rm_geo.errors.UsageError: neighbors of knn must be a whole number from 1 on, not 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(
            f"{name} of {method} must be a whole number from {least} on, not {value!r}."
        )


def require_not_negative(method: str, name: str, value: object) -> None:
    """Refuse a parameter that is no finite number from 0 on.

    Parameters
    ----------
    method, name : str
        Method and parameter, for the message.
    value : object
        What was given.

    Raises
    ------
    UsageError
        If it is not.

    Examples
    --------
    >>> require_not_negative("idw", "power", 2.0)
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and math.isfinite(float(value)) and float(value) >= 0.0):  # type: ignore[arg-type]
        raise UsageError(f"{name} of {method} must be a number from 0 on, not {value!r}.")
