"""Conversion of any exception to a message, a hint and an exit code."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

from rm_geo.errors import CancelledError, InputError, OutputError, RmGeoError, redacted

REPORT_AT: Final = "the project's issue tracker"

_NAME_CHARS: Final = 60


@dataclass(frozen=True)
class Explanation:
    """An error as it is shown to a user.

    Attributes
    ----------
    kind : str
        Name of the error's class, for programs.
    message : str
        What was wrong.
    hint : str or None
        What to do about it.
    exit_code : int
        Exit code of a command.
    parameter : str or None
        Flat name of the option at fault, if one is.
    """

    kind: str
    message: str
    hint: str | None
    exit_code: int
    parameter: str | None = None


def explain(error: BaseException, *, details: str = "Set RM_GEO_DEBUG=1, run again") -> Explanation:
    """Explain an error; an unexpected one is reported as a fault of rm_geo.

    Parameters
    ----------
    error : BaseException
        The exception.
    details : str
        How the user gets a traceback.

    Returns
    -------
    Explanation

    Examples
    --------
    >>> explain(MemoryError()).message
    'There is not enough memory.'
    """
    if isinstance(error, RmGeoError):
        return Explanation(
            type(error).__name__, error.message, error.hint, error.exit_code, error.parameter
        )
    if isinstance(error, KeyboardInterrupt):
        return Explanation(
            CancelledError.__name__,
            "Interrupted; no incomplete files are left.",
            None,
            CancelledError.exit_code,
        )
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Explanation(
            OutputError.__name__,
            f"The disk is full ({error.filename or 'while writing'}).",
            "Free some space, or choose another output folder.",
            OutputError.exit_code,
        )
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        name = redacted(str(error.filename))
        shown = name if len(name) <= _NAME_CHARS else f"{name[:_NAME_CHARS]}..."
        return Explanation(
            InputError.__name__,
            f"A name is longer than the system allows: {shown}",
            "Check the path, or choose a shorter one.",
            InputError.exit_code,
        )
    if isinstance(error, MemoryError):
        return Explanation(
            "MemoryError",
            "There is not enough memory.",
            "Use larger pixels (`resolution_m`), or split the area.",
            1,
        )
    return Explanation(
        type(error).__name__,
        redacted(f"Unexpected: {type(error).__name__}: {error}"),
        f"This is a fault of rm_geo. {details} and report the traceback at {REPORT_AT}, "
        "with the output of 'rm-geo doctor'.",
        1,
    )
