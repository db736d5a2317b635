"""Reading of YAML files: settings, column names, recipes, tables of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rm_geo.errors import ConfigError, InputError

_MOST_BYTES: Final = 1 << 20
"""Larger files are no settings, such as a raster that was given by mistake."""


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
        If it is not YAML, not a mapping, or larger than 1 MiB.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "settings.yaml")
    >>> _ = file.write_text("reach_m: 40")
    >>> read_yaml_mapping(file)
    {'reach_m': 40}
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path} is too large for a file of settings.", path=path)
        values = parse_yaml(path.read_text("utf-8-sig"), path) or {}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.", hint="Check the path.", path=path) from None
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}.", hint="Save it as UTF-8.", path=path
        ) from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path} is not a mapping of names to values.", path=path)
    return values


def parse_yaml(text: str, source: Path | str) -> object:
    """Parse a YAML document.

    Parameters
    ----------
    text : str
        The document.
    source : Path or str
        Where it comes from, for messages.

    Returns
    -------
    object
        Mappings, lists, strings, numbers, booleans and dates; None for an empty document.

    Raises
    ------
    ConfigError
        If it is not YAML, or is nested too deeply.

    Examples
    --------
    >>> parse_yaml("[1, two]", "jobs.yaml")
    [1, 'two']
    """
    import yaml

    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{source} is not YAML: {reason}.", path=source) from error
    except RecursionError as error:
        raise ConfigError(f"{source} is nested too deeply.", path=source) from error
    return document
