"""What long work tells its caller, and how the caller stops it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """A listener of long work: a terminal bar, a log, or a worker's JSON lines.

    Examples
    --------
    >>> class Printed(SilentProgress):
    ...     def start(self, total, unit, label):
    ...         print(f"{label}: {total} {unit}")
    >>> isinstance(Printed(), Progress)
    True
    >>> Printed().start(40, "tiles", "cell 7")
    cell 7: 40 tiles
    """

    def start(self, total: int, unit: str, label: str) -> None:
        """Announce a stage of ``total`` units of work, such as 40 tiles.

        Parameters
        ----------
        total : int
            Units of work of the stage.
        unit : str
            What is counted, such as ``tiles``.
        label : str
            Name of the stage.

        Raises
        ------
        CancelledError
            If the work is to stop.
        """

    def advance(self, amount: int = 1) -> None:
        """Say that ``amount`` more units are done.

        Parameters
        ----------
        amount : int
            Units that were completed since the call before.

        Raises
        ------
        CancelledError
            If the work is to stop.
        """

    def log(self, message: str) -> None:
        """Pass on one line for a person to read.

        Parameters
        ----------
        message : str
            One line.
        """

    def check(self) -> None:
        """Raise :class:`~rm_geo.errors.CancelledError` if the work is to stop."""

    def finish(self) -> None:
        """Say that the stage is over."""


class SilentProgress:
    """A listener that does nothing; the default of every library function."""

    def start(self, total: int, unit: str, label: str) -> None:
        """Ignore the stage.

        Parameters
        ----------
        total : int
            Not used.
        unit, label : str
            Not used.
        """

    def advance(self, amount: int = 1) -> None:
        """Ignore the units."""

    def log(self, message: str) -> None:
        """Ignore the line."""

    def check(self) -> None:
        """Never cancel."""

    def finish(self) -> None:
        """Ignore the end."""
