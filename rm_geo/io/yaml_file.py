"""Settings in YAML files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rm_geo.errors import ConfigError, InputError


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
        If it is not YAML, or not a mapping.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "settings.yaml")
    >>> _ = file.write_text("reach_m: 40")
    >>> read_yaml_mapping(file)
    {'reach_m': 40}
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text("utf-8-sig")) or {}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.", hint="Check the path.", path=path) from None
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}.", hint="Save it as UTF-8.", path=path
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}.", path=path) from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path} is not a mapping of names to values.", path=path)
    return values
