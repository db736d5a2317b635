"""Options of a prediction as a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rm_geo.errors import ConfigError, UsageError
from rm_geo.io.paths import Location, below, folder_of
from rm_geo.io.yaml_file import read_yaml_mapping
from rm_geo.options import GROUPS, PredictOptions, option_fields, option_named
from rm_geo.zoo.catalog import list_models

_PATHS: Final = ("sites", "buildings")


def read_options(path: Path) -> PredictOptions:
    """Read options from a YAML file.

    Parameters
    ----------
    path : Path
        A mapping of names to values: groups as :func:`write_options` writes them, flat names, or
        flat names without their units. Paths in it are relative to the file's folder.

    Returns
    -------
    PredictOptions
        Options of the file; defaults for the others.

    Raises
    ------
    InputError
        If the file is missing or is not text.
    ConfigError
        If it is not YAML, has an unknown name, or an invalid value.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_options(folder / "options.yaml", PredictOptions(method="knn", reach_m=40))
    >>> read_options(folder / "options.yaml").grid.reach_m
    40.0
    """
    values = read_yaml_mapping(path)
    try:
        return PredictOptions(**paths_below(folder_of(path), _flat(values)))
    except UsageError as error:
        raise ConfigError(
            f"{error.message.rstrip('.')} (in {path}).",
            hint=error.hint,
            parameter=error.parameter,
            path=path,
        ) from error


def write_options(path: Path, options: PredictOptions) -> None:
    """Write options as a YAML file that :func:`read_options` reads.

    Parameters
    ----------
    path : Path
        The file to write.
    options : PredictOptions
        Options to write; all of them, by group.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    import yaml

    text = yaml.safe_dump(options.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    path.write_text(text, "utf-8")


def paths_below(base: Location, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Make the paths among options relative to the folder of the file that states them.

    Parameters
    ----------
    base : Path or str
        Folder of the file.
    settings : mapping
        Options by their flat names.

    Returns
    -------
    dict
        The options, with ``sites``, ``buildings`` and ``model`` relative to the folder. The name
        of a listed model, and a model that is not a file in the folder, are not changed.
    """
    made = dict(settings)
    for name in _PATHS:
        if made.get(name) is not None:
            made[name] = below(base, made[name])
    model = made.get("model")
    if model is not None and isinstance(base, Path):
        place = base / model
        if place.exists() and model not in {record.name for record in list_models()}:
            made["model"] = place.absolute()  # workers may run in another folder
    return made


def _flat(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Turn groups and short names into flat names; null values are left out."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if key in GROUPS and isinstance(value, Mapping):
            names = {o.field: o.name for o in option_fields().values() if o.group == key}
            inner = {names.get(str(name), str(name)): item for name, item in value.items()}
            flat.update(_flat(inner))
        elif value is not None:
            flat[option_named(str(key), GROUPS).name] = value
    return flat
