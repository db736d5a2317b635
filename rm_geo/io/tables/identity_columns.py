"""The columns of a file that identify the cell of a level."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rm_geo.errors import InputError
from rm_geo.io.tables import column_roles as roles
from rm_geo.io.tables.column_roles import Role, column_technology, matching_columns, quoted

IDENTITY_ROLES: Final[Mapping[str, Role]] = {
    "global": roles.GLOBAL_ID,
    "node": roles.NODE,
    "number": roles.CELL_NUMBER,
    "pci": roles.PCI,
    "name": roles.CELL_NAME,
    "site": roles.SITE_NAME,
    "channel": roles.CHANNEL,
    "frequency": roles.FREQUENCY,
    "band": roles.BAND,
    "plmn": roles.PLMN,
    "mcc": roles.MCC,
    "mnc": roles.MNC,
    "operator": roles.OPERATOR,
    "technology": roles.TECHNOLOGY,
}
"""Roles of columns in the identity of a cell."""

SHARED_ROLES: Final = ("plmn", "mcc", "mnc", "operator", "technology")
"""Roles of the network, common to the serving cell and its neighbours."""

_IN_PLACE_OF_CHOSEN: Final = {"global", "node", "number", "name", "site"}


@dataclass(frozen=True)
class IdentityColumns:
    """The columns that identify the cell of one level column.

    Attributes
    ----------
    columns : mapping of str to str
        Column of each role of :data:`IDENTITY_ROLES`, and of ``chosen`` where the caller named
        the cell's column.
    unrecognised : tuple of str
        Columns whose names suggest an identity and that have no role.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    unrecognised: tuple[str, ...] = ()

    @property
    def has_identity(self) -> bool:
        """Whether any of the columns distinguishes cells.

        Returns
        -------
        bool

        Examples
        --------
        >>> [IdentityColumns({role: "A"}).has_identity for role in ("pci", "band")]
        [True, False]
        """
        telling = {"chosen", "global", "node", "number", "pci", "name", "site"}
        return not telling.isdisjoint(self.columns)


def choose_identity_columns(
    names: Sequence[str],
    level_column: str,
    source: str,
    *,
    chosen: Mapping[str, str | None] | None = None,
) -> IdentityColumns:
    """Find the identity columns that belong to a level column.

    In a log of 5G and 4G, the level of NR belongs to the identity of NR. Columns whose names state
    the other technology are not used.

    Parameters
    ----------
    names : sequence of str
        The columns of the file, without those of neighbour cells.
    level_column : str
        The column of the level.
    source : str
        The file, for messages.
    chosen : mapping of str to str, optional
        Columns that the caller names: ``cell``, ``pci``, ``node``, ``carrier``, ``operator``,
        ``technology``.

    Returns
    -------
    IdentityColumns

    Raises
    ------
    UsageError
        If the file does not have a column that the caller names.
    InputError
        If two columns of cell numbers fit equally well.

    Examples
    --------
    >>> dict(choose_identity_columns(["time", "PCI", "EARFCN"], "RSRP", "drive.csv").columns)
    {'pci': 'PCI', 'channel': 'EARFCN'}
    """
    given = {key: name for key, name in (chosen or {}).items() if name is not None}
    columns: dict[str, str] = {}
    carrier = given.pop("carrier", None)
    for key, name in given.items():
        role = {"cell": roles.CELL, "technology": roles.TECHNOLOGY}.get(key)
        role = role or IDENTITY_ROLES[key]
        found = roles.find_column(names, role, source, chosen=name)
        columns["chosen" if key == "cell" else key] = str(found)
    if carrier is not None:
        found = str(roles.find_column(names, roles.CHANNEL, source, chosen=carrier))
        columns[_carrier_kind(found)] = found
    level = column_technology(level_column)
    tagged = any(column_technology(name) == level for name in names if name != level_column)
    # Where the log has one level only, all identities are those of that level.
    alone = not any(roles.is_named(name, roles.RSRP) for name in names if name != level_column)
    for key, role in IDENTITY_ROLES.items():
        if key in columns or (carrier is not None and key in {"channel", "frequency", "band"}):
            continue
        found_columns = matching_columns(names, role)
        fitting = _fitting(found_columns, level, tagged=tagged)
        if not fitting and alone:
            fitting = found_columns
        taken = set(columns.values()) | {level_column}
        fitting = [name for name in fitting if name not in taken]
        if fitting and not ("chosen" in columns and key in _IN_PLACE_OF_CHOSEN):
            columns[key] = _only_column(fitting, key, level, source)
    suspicious = re.compile(r"pci|cell|zell|celda|cellule|\bn?ci\b|nci|eci|cgi|identity|sector")
    unrecognised = [
        name
        for name in names
        if name not in columns.values()
        and name != level_column
        and suspicious.search(name.casefold())
        and not re.search(r"rsr|sinr|snr|type|tech|neigh|count|qual|load|lat|lon", name.casefold())
    ]
    return IdentityColumns(columns, tuple(unrecognised))


def _only_column(fitting: Sequence[str], key: str, level: str | None, source: str) -> str:
    """Choose one of several columns of a role: that of the level's technology, else the first.

    Two PCI or two cell numbers of one rank may differ: that is a question to the user.
    """
    if len(fitting) == 1 or key not in {"global", "pci", "number"}:
        return fitting[0]
    role = IDENTITY_ROLES[key]
    ranks = [
        next((k for k, r in enumerate(role.patterns) if r.match(roles.normalise(name))), None)
        for name in fitting
    ]
    alike = [name for name, rank in zip(fitting, ranks, strict=True) if rank == ranks[0]]
    best = [name for name in alike if column_technology(name) == level] or alike
    if len(best) > 1 and key in {"pci", "number"}:
        raise InputError(
            f"{source} has {len(best)} columns that may hold the {role.name}: {quoted(best)}.",
            hint=f"Choose one with {role.remedy}.",
            parameter=role.parameter,
        )
    return best[0]


def _carrier_kind(name: str) -> str:
    """Determine by its name whether a carrier column has channels, frequencies or bands."""
    for kind in ("frequency", "band"):
        if matching_columns([name], IDENTITY_ROLES[kind]):
            return kind
    return "channel"


def _fitting(found: Sequence[str], level: str | None, *, tagged: bool) -> list[str]:
    """Select the columns that belong to the technology of the level."""
    own = [name for name in found if column_technology(name) == level]
    neutral = [name for name in found if column_technology(name) is None]
    if level is None:
        # A level without a technology beside columns of NR belongs to LTE or the serving cell.
        others = [name for name in found if column_technology(name) == "LTE"]
        rest = [name for name in found if column_technology(name) == "NR"]
        return neutral + others if neutral or others else rest
    if level == "NR" and tagged:
        # Beside a column of LTE, those without a technology belong to LTE as well.
        has_lte = any(column_technology(name) == "LTE" for name in found)
        return own or ([] if has_lte else neutral)
    return own + neutral
