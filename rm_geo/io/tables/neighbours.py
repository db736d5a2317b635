"""Serving and neighbour cells in the columns of one row, converted to one measurement each.

Loggers write all cells of one moment into one row: ``PCI, RSRP, N1 PCI, N1 RSRP, ...``,
``PCI_1, RSRP_1, PCI_2, ...``, or lists in one field (``101;202``). Each cell of a row becomes a
measurement at the position and time of the row.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rm_geo.io.tables.arrow_numpy import from_numpy, joined, to_numpy
from rm_geo.io.tables.column_roles import normalise

_NEIGHBOUR: Final = (
    r"(?:n|nb|nc|nbr|nbor|ncell|neigh|neighb|neighbor|neighbour|neighborcell|neighbourcell|"
    r"nachbar|nachbarzelle|vecina|voisine|adjacent|adjacentcell|detected|detectedcell|monitored|"
    r"monitoredcell|cell|top|scan|best)"
)
_TECHNOLOGY: Final = r"(?:lte|nr|eutra|eutran|5g|4g|ss|ssb)*"
_ROLES: Final[Mapping[str, str]] = {
    "level": r"(?:rsrp|level|rxlevel|power)(?:dbm)?",
    "pci": r"(?:pci|physicalcellid|physcellid|physicalcellidentity)",
    "global": r"(?:eci|nci|cgi|ecgi|ncgi)",
    "channel": r"(?:dl)?(?:earfcn|nrarfcn|arfcn|channel)",
}
_PATTERNS: Final = {
    key: (
        re.compile(
            rf"{_TECHNOLOGY}(?P<kind>{_NEIGHBOUR})(?P<number>\d{{1,2}}){_TECHNOLOGY}{role}\Z"
        ),
        re.compile(
            rf"{_TECHNOLOGY}(?P<kind>{_NEIGHBOUR}){_TECHNOLOGY}{role}(?P<number>\d{{1,2}})\Z"
        ),
        re.compile(rf"{_TECHNOLOGY}(?P<kind>){role}(?P<number>\d{{1,2}})\Z"),
    )
    for key, role in _ROLES.items()
}
_LIST_SEPARATOR: Final = r"\s*[;|]\s*"


@dataclass(frozen=True)
class NeighbourColumns:
    """Columns of one neighbour cell of every row.

    Attributes
    ----------
    number : str
        Prefix and number in the column names, such as ``n1``.
    level : str
        Column of the level.
    identity : mapping of str to str
        Columns of ``pci``, ``global`` and ``channel``, where present.
    """

    number: str
    level: str
    identity: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns.

        Returns
        -------
        tuple of str
        """
        return (self.level, *self.identity.values())


def find_neighbours(names: Sequence[str]) -> tuple[NeighbourColumns, ...]:
    """Find the columns of neighbour cells.

    A neighbour has a level and a PCI or global identity with the same number.

    Parameters
    ----------
    names : sequence of str
        The columns of the file.

    Returns
    -------
    tuple of NeighbourColumns
        In the order of their numbers.

    Examples
    --------
    >>> [n.columns for n in find_neighbours(["PCI", "RSRP", "N1 PCI", "N1 RSRP", "N1 EARFCN"])]
    [('N1 RSRP', 'N1 PCI', 'N1 EARFCN')]
    >>> find_neighbours(["rsrp_rx0", "rsrp_rx1", "PCI"])
    ()
    """
    groups: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for name in names:
        normal = normalise(name)
        for key, patterns in _PATTERNS.items():
            for pattern in patterns:
                if (match := pattern.match(normal)) is not None:
                    groups[(match["kind"], int(match["number"]))].setdefault(key, name)
                    break
    found = []
    for (kind, number), columns in sorted(groups.items(), key=lambda item: item[0]):
        if "level" in columns and ({"pci", "global"} & set(columns)):
            identity = {key: name for key, name in columns.items() if key != "level"}
            found.append(NeighbourColumns(f"{kind}{number}", columns["level"], identity))
    return tuple(found)


def has_lists(column: pa.ChunkedArray) -> bool:
    """Whether fields of a column are lists: of Arrow's list type, or text with separators.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        The column.

    Returns
    -------
    bool

    Examples
    --------
    >>> has_lists(pa.chunked_array([["101;202", "101"]]))
    True
    """
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return True
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return False
    return bool(pc.any(pc.match_substring_regex(column, r"[^;|]+[;|][^;|]+")).as_py() or False)


def explode_lists(
    columns: Mapping[str, pa.ChunkedArray], level: str
) -> tuple[dict[str, pa.ChunkedArray], NDArray[np.int64] | None]:
    """Convert each entry of lists in a field to a row.

    Parameters
    ----------
    columns : mapping of str to pyarrow.ChunkedArray
        Columns of one cell: level, identity, carrier. Those without lists are repeated.
    level : str
        Key of the level. Lists in other columns alone are not converted.

    Returns
    -------
    columns : dict of str to pyarrow.ChunkedArray
        The columns of the new rows.
    row : ndarray of int64, shape (M,), or None
        Original row of each new row; None without lists. A row with lists of different lengths
        gives one row without a level.

    Examples
    --------
    >>> columns, row = explode_lists({"rsrp": pa.chunked_array([["-90;-95"]]),
    ...                               "pci": pa.chunked_array([["101;202"]])}, "rsrp")
    >>> columns["pci"].to_pylist(), row.tolist()
    (['101', '202'], [0, 0])
    """
    if not has_lists(columns[level]):
        return dict(columns), None
    lists = {name: _as_lists(column) for name, column in columns.items() if has_lists(column)}
    lengths = {name: _lengths(values) for name, values in lists.items()}
    length = np.maximum.reduce(list(lengths.values()))
    alike = np.all([(own == length) for own in lengths.values()], axis=0)
    rows = np.arange(length.size)
    number = np.where(alike, np.maximum(length, 1), 1)
    parent = np.repeat(rows, number)
    exploded: dict[str, pa.ChunkedArray] = {}
    for name, column in columns.items():
        if name not in lists:
            exploded[name] = column.take(from_numpy(parent))
            continue
        values = lists[name]
        starts = np.cumsum(lengths[name]) - lengths[name]
        place = np.repeat(starts, number) + _ranks(number)
        empty = np.repeat(~alike | (lengths[name] == 0), number)
        flat = pc.list_flatten(values)
        index = pa.array(np.where(empty, 0, place), mask=empty)
        exploded[name] = pa.chunked_array([flat.take(index)])
    return exploded, parent


def _as_lists(column: pa.ChunkedArray) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Convert a column to a list array."""
    whole = joined(column)
    if pa.types.is_string(whole.type) or pa.types.is_large_string(whole.type):
        trimmed = pc.utf8_trim(whole, characters=" \t[](){};|")
        return pc.split_pattern_regex(trimmed, _LIST_SEPARATOR)
    return whole


def _lengths(values: Any) -> NDArray[np.int64]:  # noqa: ANN401 - pyarrow has no types
    """Lengths of the lists; 0 for null."""
    return to_numpy(pc.list_value_length(values), null=0).astype(np.int64)


def _ranks(number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers 0, 1, ... within each row."""
    starts = np.cumsum(number) - number
    return np.asarray(np.arange(int(number.sum())) - np.repeat(starts, number))
