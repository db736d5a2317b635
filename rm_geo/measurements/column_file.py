"""Files with the column names of a vendor's log format, to be reused for other logs.

A file of column names is YAML, with the reading options that end in ``_column``::

    rsrp_column: Serving RSRP [dBm]
    cell_column: ECI
    carrier_column: DL EARFCN
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rm_geo._util.atomic import replacing
from rm_geo.errors import ConfigError
from rm_geo.io.yaml_file import read_yaml_mapping

COLUMN_OPTIONS: Final = (
    "rsrp_column",
    "cell_column",
    "x_column",
    "y_column",
    "time_column",
    "pci_column",
    "node_column",
    "carrier_column",
    "operator_column",
    "technology_column",
)
"""Options that a file may set."""

# Roles in a cleaning report, and their options.
_OF_REPORT: Final = {
    "RSRP": "rsrp_column",
    "x": "x_column",
    "y": "y_column",
    "time": "time_column",
    "cell": "cell_column",
    "channel": "carrier_column",
    "operator": "operator_column",
    "technology": "technology_column",
}


def read_column_file(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a file of column names.

    Parameters
    ----------
    path : path-like
        A YAML file.

    Returns
    -------
    dict of str to str
        Column of each option in :data:`COLUMN_OPTIONS`.

    Raises
    ------
    InputError
        If it is missing or is not text.
    ConfigError
        If it is not YAML, or has other keys.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "tems.yaml")
    ...     write_column_file(path, {"rsrp_column": "Serving RSRP [dBm]"})
    ...     read_column_file(path)
    {'rsrp_column': 'Serving RSRP [dBm]'}
    """
    file = Path(path)
    values = read_yaml_mapping(file)
    if not values:
        raise ConfigError(
            f"{file} has no column names.",
            hint=f"It may have {', '.join(COLUMN_OPTIONS)}.",
            path=file,
        )
    for name, column in values.items():
        if name not in COLUMN_OPTIONS:
            raise ConfigError(
                f"{file} has {name!r}, which is not an option of a column.",
                hint=f"It may have {', '.join(COLUMN_OPTIONS)}.",
                path=file,
            )
        if not isinstance(column, str | int | float) or isinstance(column, bool):
            raise ConfigError(f"{file} has no column name for {name!r}.", path=file)
    return {name: str(column) for name, column in values.items()}


def columns_of_report(columns: Mapping[str, str]) -> dict[str, str]:
    """Convert the columns of a cleaning report to reading options.

    Columns that identify a cell in combination are omitted: reading finds them again.

    Parameters
    ----------
    columns : mapping of str to str
        As in :attr:`rm_geo.measurements.cleaning.CleaningReport.columns`.

    Returns
    -------
    dict of str to str
        Column of each option in :data:`COLUMN_OPTIONS`.

    Examples
    --------
    >>> columns_of_report({"RSRP": "Level", "cell": "Node and CellID", "time": "t"})
    {'rsrp_column': 'Level', 'time_column': 't'}
    """
    named = {_OF_REPORT[key]: name for key, name in columns.items() if key in _OF_REPORT}
    if " and " in named.get("cell_column", ""):
        del named["cell_column"]
    return named


def write_column_file(path: str | os.PathLike[str], columns: Mapping[str, str]) -> None:
    r"""Write a file of column names.

    Parameters
    ----------
    path : path-like
        The file; an existing one is replaced.
    columns : mapping of str to str
        Column of each option in :data:`COLUMN_OPTIONS`.

    Raises
    ------
    OutputError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "tems.yaml")
    ...     write_column_file(path, {"cell_column": "ECI"})
    ...     path.read_text("utf-8")
    'cell_column: ECI\n'
    """
    import yaml

    with replacing(Path(path)) as part:
        part.write_text(yaml.safe_dump(dict(columns), sort_keys=False, allow_unicode=True), "utf-8")
