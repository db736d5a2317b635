"""The error tree: all exceptions that rm_geo raises on purpose.

A message says what was wrong and in which file; ``hint`` says what to do about it. Both are in
the words of the library: an option is named as the library's keyword, in backticks, such as
```reach_m```. Each interface replaces these tokens by its own names with :func:`in_words_of`:
the command line by ``--reach``, QGIS by the label of its parameter. Text that is not the name of
an option stays as it is, so that file names need no escaping.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeAlias, TypeVar, cast

PathText: TypeAlias = str | os.PathLike[str]
"""A path, or the address of a file as text."""

_Error = TypeVar("_Error", bound="RmGeoError")
_Reader = TypeVar("_Reader", bound=Callable[..., Any])
_TOKEN: Final = re.compile(r"`([^`\n]+)`")
# A password may contain any sign but blanks and quotes: up to the last @ before the next of them,
# if no query precedes it.
_USER: Final = re.compile(r"(?<=://)[^\s'\"?#]*@")
_QUERY: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^\s?#'\"]*)[?#][^\s'\"]*")
_VIRTUAL_QUERY: Final = re.compile(r"(/vsi[a-z0-9_]+(?:/[^\s?'\"]*)?)\?[^\s'\"]*")


def in_words_of(names: Mapping[str, str], text: str) -> str:
    """Replace the options that a message names by the names of an interface.

    Parameters
    ----------
    names : mapping of str to str
        Names of the interface by the library's keywords, such as ``{"reach_m": "--reach"}``; a
        value can be part of a key, such as ``"assimilate=False"``.
    text : str
        A message or a hint.

    Returns
    -------
    str
        The text with each known token replaced; others stay.

    Examples
    --------
    >>> in_words_of({"reach_m": "--reach"}, "`reach_m` must not be negative.")
    '--reach must not be negative.'
    """
    return _TOKEN.sub(lambda found: names.get(found[1], found[0]), text)


def redacted(text: str) -> str:
    """Remove user names, passwords, signatures and keys from the addresses in a text.

    Parameters
    ----------
    text : str
        An address, or a message that contains some.

    Returns
    -------
    str
        Without what stands before the host, and after the path.

    Examples
    --------
    >>> redacted("https://key:secret@example.org/a.csv?signature=1 cannot be read")
    'https://example.org/a.csv cannot be read'
    >>> redacted("/vsicurl?url=https%3A%2F%2Fexample.org&pc_url_signing=yes is not read")
    '/vsicurl is not read'
    """
    if "://" not in text and "/vsi" not in text:
        return text
    text = _USER.sub("", text)
    return _VIRTUAL_QUERY.sub(r"\1", _QUERY.sub(r"\1", text))


def with_known_paths(text: str, names: Mapping[str, str]) -> str:
    """Name files as the user knows them in a text about their copies.

    Parameters
    ----------
    text : str
        A message, or a line of the log.
    names : mapping
        Names for the user by the files or folders that were worked on.

    Returns
    -------
    str
        The text with every name replaced.
    """
    for hidden, known in names.items():
        text = text.replace(hidden, known)
    return text


class RmGeoError(Exception):
    """Base of all exceptions that rm_geo raises on purpose.

    Parameters
    ----------
    message : str
        What was wrong, and in which file or option. Credentials of addresses are removed from it
        and from the hint.
    hint : str, optional
        What the user can do about it.
    parameter : str, optional
        Flat name of the option that is at fault, such as ``reach_m`` or ``rsrp_column``.
    path : str or Path, optional
        File that is at fault.

    Examples
    --------
    >>> from rm_geo import read_sites
    >>> try:
    ...     read_sites("missing.csv", target_crs=32633)
    ... except RmGeoError as error:
    ...     print(type(error).__name__, error.path)
    InputError missing.csv
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        parameter: str | None = None,
        path: PathText | None = None,
    ) -> None:
        message = redacted(message)
        super().__init__(message)
        self.message = message
        self.hint = hint and redacted(hint)
        self.parameter = parameter
        self.path = path

    def known_as(self: _Error, hidden: PathText, known: PathText) -> _Error:
        """Give a copy that names a file as the user knows it.

        Parameters
        ----------
        hidden : str or Path
            The file or folder that was worked on: a local copy, or a folder for results in the
            making.
        known : str or Path
            Its name for the user, such as a URL or the output folder.

        Returns
        -------
        RmGeoError
            An error of the same class, with ``path`` set if it is about the file.

        Examples
        --------
        >>> InputError("/tmp/x/a.csv is empty.").known_as("/tmp/x/a.csv", "s3://b/a.csv").message
        's3://b/a.csv is empty.'
        """
        names = {str(hidden): str(known)}
        is_named = str(hidden) in self.message or str(hidden) == str(self.path)
        return type(self)(
            with_known_paths(self.message, names),
            hint=self.hint and with_known_paths(self.hint, names),
            parameter=self.parameter,
            path=known if is_named else self.path,
        )

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} {self.hint}"


def about_its_file(read: _Reader) -> _Reader:
    """Decorate a reader: errors about its input that name no file are about its first argument.

    Parameters
    ----------
    read : callable
        Its first parameter is a path, named ``path``.

    Returns
    -------
    callable
        The reader.

    Examples
    --------
    >>> @about_its_file
    ... def read(path):
    ...     raise InputError("There are no rows.")
    >>> try:
    ...     read("a.csv")
    ... except InputError as error:
    ...     print(error.path)
    a.csv
    """

    @functools.wraps(read)
    def naming(*args: object, **options: object) -> object:
        try:
            return read(*args, **options)
        except InputError as error:
            if error.path is None:
                error.path = cast("PathText", args[0] if args else options["path"])
            raise

    return cast("_Reader", naming)


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
