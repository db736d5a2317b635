"""Values of a request, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from rm_geo.errors import UsageError
from rm_geo.progress import Progress

Values: TypeAlias = Mapping[str, Any]
"""A request."""


class JobProgress(Progress, Protocol):
    """Progress of a job, which may also have files that are finished before others."""

    def share(
        self, cell: str, cells: int, files: Sequence[str], rasters: Sequence[Mapping[str, Any]]
    ) -> None:
        """Put the files of a cell into the output folder, and say so.

        Parameters
        ----------
        cell : str
            Name of the cell.
        cells : int
            Number of cells of the run.
        files : sequence of str
            Names of all its files, in the folder of the job.
        rasters : sequence of mapping
            Its rasters as in the result, see :mod:`rm_geo.worker.service`.

        Raises
        ------
        RmGeoError
            If the files cannot be put there, or the job is cancelled.
        """


Job: TypeAlias = Callable[[Values, Path, JobProgress], dict[str, Any]]
"""A job of the worker, see :mod:`rm_geo.worker.jobs`."""

T = TypeVar("T")


def require(values: Values, key: str, kind: type[T]) -> T:
    """Return a value of a request.

    Parameters
    ----------
    values : mapping
        The request.
    key : str
        Name of the value.
    kind : type
        Its type.

    Returns
    -------
    object of that type

    Raises
    ------
    UsageError
        If it is missing or has another type.

    Examples
    --------
    >>> require({"folds": 5}, "folds", int)
    5
    """
    value = values.get(key)
    if not isinstance(value, kind):
        raise UsageError(f"The request has no {key!r}, or it is not of type {kind.__name__}.")
    return value


def options_of(values: Values, known: set[str], key: str = "options") -> dict[str, Any]:
    """Read the options of a request; null means the default.

    Parameters
    ----------
    values : mapping
        The request.
    known : set of str
        Names of the options.
    key : str
        Where they are in the request; may be absent.

    Returns
    -------
    dict of str to object
        The options that are given.

    Raises
    ------
    UsageError
        If there is no option of a name.

    Examples
    --------
    >>> options_of({"options": {"scale": 4, "model": None}}, {"scale", "model"})
    {'scale': 4}
    """
    given = values.get(key, {})
    if not isinstance(given, Mapping):
        raise UsageError(f"{key!r} of the request is not an object.")
    if unknown := sorted(set(given) - known):
        raise UsageError(
            f"There is no option {', '.join(unknown)}.",
            hint="The program that asked is of another version than rm_geo.",
        )
    return {name: value for name, value in given.items() if value is not None}
