"""The error tree: everything that rm_geo raises on purpose.

A message says what was wrong and in which file; ``hint`` says what to do about it.
The command line prints both and exits with ``exit_code``, without a traceback.
"""

from __future__ import annotations

from typing import ClassVar


class RmGeoError(Exception):
    """Base of all errors that a user can cause or meet.

    Parameters
    ----------
    message : str
        What was wrong, and in which file or option.
    hint : str, optional
        What the user can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} {self.hint}"


class UsageError(RmGeoError):
    """Options or arguments that cannot be meant; exit code 2, as click's own."""

    exit_code: ClassVar[int] = 2


class ConfigError(UsageError):
    """A configuration file or value that is unknown, of the wrong type or out of range."""


class InputError(RmGeoError):
    """An input file that is missing, unreadable, or holds nothing that can be used."""


class FetchError(InputError):
    """An input in object storage that could not be fetched; another try may succeed."""


class CrsError(InputError):
    """A coordinate reference system that is missing, unknown, or of no use for metres."""


class AreaTooLargeError(InputError):
    """An area that would need more tiles than the caller allows."""


class TooSmallError(InputError):
    """A cell that was measured in too few pixels; normal beside others that are large enough."""


class OutputError(RmGeoError):
    """An output that cannot be written; what stood there before is untouched."""


class OutputInUseError(OutputError):
    """An output that another process is writing."""


class JournalError(OutputError):
    """What an interrupted run left belongs to other inputs than those of this run."""


class ClusterError(RmGeoError):
    """A scheduler or its workers that do not answer."""


class ClusterLostError(ClusterError):
    """A scheduler or the last worker that went away in the middle of the work."""


class ModelError(RmGeoError):
    """A trained model that is missing, damaged, or of another kind than asked for."""


class DeviceError(RmGeoError):
    """A compute device that was asked for and is not there."""


class DependencyError(RmGeoError):
    """An optional package that the chosen method needs and that is not installed."""


class CancelledError(RmGeoError):
    """The caller asked for the work to stop."""

    exit_code: ClassVar[int] = 130
