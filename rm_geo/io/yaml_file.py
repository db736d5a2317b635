"""Reading of YAML files: settings, column names, recipes, tables of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rm_geo._util import yaml_text
from rm_geo.errors import ConfigError, InputError

_MOST_BYTES: Final = 1 << 24  # four bytes for each character that parse_yaml accepts


def read_yaml_mapping(path: Path) -> Mapping[Any, Any]:
    """Read a YAML file that maps names to values.

    Parameters
    ----------
    path : Path
        The file, in UTF-8.

    Returns
    -------
    mapping
        Empty for an empty file.

    Raises
    ------
    InputError
        If the file is missing or is not text.
    ConfigError
        If it is not YAML, beyond the bounds of :func:`rm_geo._util.yaml_text.parse_yaml`, or not
        a mapping.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "settings.yaml")
    >>> _ = file.write_text("reach_m: 40")
    >>> read_yaml_mapping(file)
    {'reach_m': 40}
    """
    values = parse_yaml(read_text(path), path)
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path} is not a mapping of names to values.", path=path)
    return values


def read_text(path: Path, known: str | None = None) -> str:
    """Read a file of settings or jobs.

    Parameters
    ----------
    path : Path
        The file, in UTF-8.
    known : str, optional
        Its name for the user, such as an address (default: the path).

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the file is missing, too large, or is not text.
    """
    name = str(path) if known is None else known
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise InputError(f"{name} has more than {_MOST_BYTES >> 20} MiB.", path=name)
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{name} does not exist.", hint="Check the path.", path=name) from None
    except UnicodeError:
        raise InputError(
            f"{name} is not text in UTF-8.", hint="Save it as UTF-8.", path=name
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{name} cannot be read: {reason}.", hint="Check its permissions.", path=name
        ) from error


def parse_yaml(text: str, name: Path | str) -> Any:  # noqa: ANN401 - any YAML value
    """Parse the text of a YAML file.

    Parameters
    ----------
    text : str
        The text.
    name : Path or str
        Name of the file, for the error.

    Returns
    -------
    object

    Raises
    ------
    ConfigError
        If it is not YAML, or beyond the bounds of :func:`rm_geo._util.yaml_text.parse_yaml`.
    """
    try:
        return yaml_text.parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{name} {error}.", path=name) from None
