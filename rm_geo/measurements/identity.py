"""The cell of each level: operator, technology, carrier and identity together.

A log has the identity of a cell in several columns, and none of them is sufficient in every log:
a physical cell identity is reused on every carrier and by every operator, a cell number may
count the sectors of one eNodeB. The columns are read together: each distinct combination of
their values gets a number, and :func:`resolve` assigns a cell to each combination. Its cost
depends on the number of combinations, not of rows.

Order of preference: a column that the caller names; CGI, ECI or NCI; eNodeB with local cell
number; a cell number that is not a sector number; the name of a cell; eNodeB with PCI; PCI; a
sector number or the name of a site. An identity that occurs in several networks, technologies
or carriers is split by them.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rm_geo.io.tables.arrow import CellReader
from rm_geo.io.tables.arrow_numpy import from_numpy, to_numpy
from rm_geo.io.tables.column_roles import quoted
from rm_geo.io.tables.identity_columns import IDENTITY_ROLES

_LARGEST_SECTOR: Final = 255
_LARGEST_PCI: Final = 1007
_MOST_DIGITS: Final = 40  # longer ones are no numbers of cells or channels
# Android's and the loggers' words for "unknown": all bits of 28 and 36 bit identities are set.
_NO_GLOBAL: Final = {0, 268435455, 68719476735, 2147483647, 4294967295, 9223372036854775807}
_WHOLE: Final = re.compile(r"[+-]?\d+")
_ROUNDED: Final = re.compile(r"\d[.,]?\d*[eE]\+?\d+")
_ROUNDED_DIGITS: Final = re.compile(r"\d{11,}0{4,}")
_LEGACY: Final = re.compile(
    r"\b(?:2g|3g|gsm|edge|gprs|umts|w-?cdma|cdma|hs(?:pa|dpa|upa)\+?|e?hrpd|evdo|td-?scdma|"
    r"1x(?:rtt)?|utran?|iden|i?wlan|wi-?fi)(?:\b|_)",
    re.I,
)
_NO_TECHNOLOGY: Final = {"", "-", "?", "-1", "unknown", "none", "null", "idle", "n/a", "no service"}
_MOST_NAMED: Final = 3


@dataclass(frozen=True)
class CellIdentity:
    """Identity of one cell of a log.

    Attributes
    ----------
    name : str or None
        Name of the cell in the results; None without an identity.
    keys : tuple of str
        Names to look for in a site table, the most specific first.
    operator, technology, carrier : str
        Values in the log; empty where missing or not unique.
    channel : float
        EARFCN or NR-ARFCN; NaN where unknown.
    pci : int or None
        Physical cell identity; None where unknown or not unique.
    kind : str
        What identifies the cell, such as ``PCI`` or ``global``; ``none`` in a log without an
        identity, empty if only the name is known.
    base : str or None
        The identity without network, technology and carrier, which the name may have besides;
        None without an identity.
    """

    name: str | None
    keys: tuple[str, ...] = ()
    operator: str = ""
    technology: str = ""
    carrier: str = ""
    channel: float = float("nan")
    pci: int | None = None
    kind: str = ""
    base: str | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Provenance tags of what is known: technology, channel and PCI."""
        return {
            **({"technology": self.technology} if self.technology else {}),
            **({"channel": f"{self.channel:g}"} if math.isfinite(self.channel) else {}),
            **({} if self.pci is None else {"pci": str(self.pci)}),
        }


@dataclass(frozen=True)
class Resolution:
    """The cells of a log.

    Attributes
    ----------
    cells : tuple of CellIdentity
        The cells, each once.
    cell_of : ndarray of int32, shape (K,)
        Index in ``cells`` of each combination of values; -1 where its levels are not RSRP (2G and
        3G, unless they are kept).
    channel_of : ndarray of float64, shape (K,)
        EARFCN or NR-ARFCN of each combination; NaN where unknown.
    used : tuple of str
        Roles of the identity of most rows; empty without one.
    notes, warnings : tuple of str
        Assignments that were made; cells that may be mixed up.
    """

    cells: tuple[CellIdentity, ...]
    cell_of: NDArray[np.int32]
    channel_of: NDArray[np.float64]
    used: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class CombinationReader:
    """Numbers the distinct combinations of values of identity columns, chunk by chunk.

    Parameters
    ----------
    keys : sequence of str
        Roles, in a fixed order.

    Attributes
    ----------
    combinations : dict of tuple of (str or None) to int
        The combinations so far, and their numbers.

    Examples
    --------
    >>> reader = CombinationReader(["pci", "channel"])
    >>> reader.read({"pci": pa.chunked_array([["1", "1", "2"]])}, 3).tolist()
    [0, 0, 1]
    >>> reader.combinations
    {('1', None): 0, ('2', None): 1}
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        self.combinations: dict[tuple[str | None, ...], int] = {}
        self._readers = {key: CellReader() for key in self.keys}

    def read(self, columns: Mapping[str, pa.ChunkedArray], rows: int) -> NDArray[np.int32]:
        """Assign a number to each combination of a chunk.

        Parameters
        ----------
        columns : mapping of str to pyarrow.ChunkedArray
            Column of each role; the value of a role without a column is None.
        rows : int
            Length of the columns.

        Returns
        -------
        ndarray of int32, shape (rows,)
            Number of the combination of each row.
        """
        codes = {key: self._readers[key].read(columns[key]) for key in self.keys if key in columns}
        dense = np.zeros(rows, dtype=np.int64)
        for values in codes.values():
            width = int(values.max(initial=0)) + 1
            encoded = from_numpy(dense * width + values).dictionary_encode()
            dense = to_numpy(encoded.indices).astype(np.int64)
        _, first, inverse = np.unique(dense, return_index=True, return_inverse=True)
        names = {key: list(self._readers[key].names) for key in codes}
        numbers = np.empty(first.size, dtype=np.int32)
        for place, row in enumerate(first):
            values_of = {key: names[key][int(column[row])] for key, column in codes.items()}
            combination = tuple(values_of.get(key) for key in self.keys)
            numbers[place] = self.combinations.setdefault(combination, len(self.combinations))
        return np.asarray(numbers[inverse])


def clean_value(key: str, text: str | None) -> str | None:
    """Normalise a value of an identity column.

    Parameters
    ----------
    key : str
        Role of the column, a key of :data:`IDENTITY_ROLES` or ``chosen``.
    text : str or None
        The value.

    Returns
    -------
    str or None
        None for placeholders and impossible values.

    Examples
    --------
    >>> clean_value("pci", "008"), clean_value("pci", "-1"), clean_value("channel", "0")
    ('8', None, '0')
    >>> clean_value("global", "0"), clean_value("node", "1001")
    (None, '1001')
    """
    if text is None:
        return None
    if key in {"operator", "name", "site", "chosen"}:
        return None if text in {"-1", "-"} else text
    if key == "technology":
        return None if text.strip().casefold() in _NO_TECHNOLOGY else technology_of(text)
    if key in {"band", "plmn", "mcc", "mnc"}:
        return None if text in {"-1", "-"} or (key != "mnc" and text == "0") else text
    number = _number(text)
    if number is None:
        return text
    if key == "frequency":
        return f"{number:g}" if number > 0 else None
    if number != int(number):
        return text
    whole = int(number)
    impossible = {
        "pci": not 0 <= whole <= _LARGEST_PCI,
        "channel": whole < 0 or whole == 2147483647,
        "node": whole <= 0,
        "number": whole < 0 or whole in _NO_GLOBAL - {0},
        "global": whole <= 0 or whole in _NO_GLOBAL,
    }
    return None if impossible.get(key, False) else str(whole)


def _number(text: str) -> float | None:
    """Parse a number; None if the text is not a number."""
    if len(text) > _MOST_DIGITS:
        return None
    if _WHOLE.fullmatch(text):
        return float(text) if len(text) < 16 else int(text)
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def technology_of(text: str) -> str:
    """Normalise the name of a radio access technology.

    Parameters
    ----------
    text : str
        Name in the log.

    Returns
    -------
    str
        ``LTE``, ``NR``, ``2G/3G``, or the text itself.

    Examples
    --------
    >>> technology_of("4G"), technology_of("LTE-A"), technology_of("5G NSA"), technology_of("UMTS")
    ('LTE', 'LTE', 'NR', '2G/3G')
    """
    words = text.casefold()
    if re.search(r"5g|\bnr|nr\b|new ?radio|en-?dc", words):
        return "NR"
    if re.search(r"4g|lte|e-?utra", words):
        return "LTE"
    return "2G/3G" if _LEGACY.search(words) else text.strip()


def looks_rounded(text: str) -> bool:
    """Whether a spreadsheet may have rounded an identity.

    Parameters
    ----------
    text : str
        The identity in the log.

    Returns
    -------
    bool

    Examples
    --------
    >>> looks_rounded("9.99011E+14"), looks_rounded("999011001001000"), looks_rounded("26385409")
    (True, False, False)
    """
    return bool(_ROUNDED.fullmatch(text) or _ROUNDED_DIGITS.fullmatch(text))


@dataclass(frozen=True)
class _Row:
    """One combination of values, with its number of rows, network and carrier."""

    values: Mapping[str, str | None]
    count: int
    operator: str | None = None
    carrier: str | None = None

    def get(self, key: str) -> str | None:
        """Value of a role."""
        return self.values.get(key)


def _table(
    keys: Sequence[str],
    combinations: Sequence[tuple[str | None, ...]],
    counts: NDArray[np.int64],
    ignored: set[str],
) -> list[_Row]:
    """Normalise the values of all combinations, and name their networks and carriers."""
    values = [
        {
            key: None if key in ignored else clean_value(key, text)
            for key, text in zip(keys, combination, strict=True)
        }
        for combination in combinations
    ]
    operators = _labels(
        [
            [row.get("plmn"), _network_code(row.get("mcc"), row.get("mnc")), row.get("operator")]
            for row in values
        ]
    )
    carriers = _labels(
        [
            [
                _shaped("earfcn{}", row.get("channel")),
                _shaped("{}MHz", row.get("frequency")),
                _shaped("band{}", row.get("band")),
            ]
            for row in values
        ]
    )
    rows = zip(values, counts, operators, carriers, strict=True)
    return [_Row(row, int(count), operator, carrier) for row, count, operator, carrier in rows]


def _labels(rows: Sequence[Sequence[str | None]]) -> list[str | None]:
    """Label rows by the first of several columns; others stand in where it is empty.

    A value of a later column means the label that it has in other rows, if that is only one. If
    it never occurs beside a label it is one itself; if it occurs beside several the row has none:
    a band with two channels does not say which.

    Examples
    --------
    >>> _labels([["1300", "3"], [None, "3"], [None, "20"], ["6300", "28"], ["6200", "28"],
    ...          [None, "28"]])
    ['1300', '1300', '20', '6300', '6200', None]
    """
    labels = [row[0] for row in rows]
    for place in range(1, max((len(row) for row in rows), default=0)):
        meant: dict[str, set[str]] = defaultdict(set)
        for row, label in zip(rows, labels, strict=True):
            if (value := row[place]) is not None and label is not None:
                meant[value].add(label)
        for number, (row, label) in enumerate(zip(rows, list(labels), strict=True)):
            if label is None and (value := row[place]) is not None:
                known = meant.get(value, {value})
                labels[number] = next(iter(known)) if len(known) == 1 else None
    return labels


def _shaped(shape: str, value: str | None) -> str | None:
    """Format a value; None stays None."""
    return None if value is None else shape.format(value)


def _network_code(mcc: str | None, mnc: str | None) -> str | None:
    """Name a network by its codes; None without a network code."""
    if mnc is None:
        return None
    return f"mnc{mnc}" if mcc is None else f"{mcc}-{mnc}"


class _Kind(NamedTuple):
    """A kind of identity: the roles that make it, and how; None where they are missing."""

    roles: tuple[str, ...]
    make: Callable[[_Row], str | None]


# In order of preference.
_KINDS: Final[Mapping[str, _Kind]] = {
    "chosen": _Kind(("chosen",), lambda row: row.get("chosen")),
    "global": _Kind(("global",), lambda row: row.get("global")),
    "node and cell number": _Kind(
        ("node", "number"), lambda row: _pair(row.get("node"), row.get("number"))
    ),
    "cell number": _Kind(
        ("number",), lambda row: _if(row.get("number"), lambda text: not _is_sector(text))
    ),
    "name": _Kind(
        ("name",), lambda row: _if(row.get("name"), lambda text: not _WHOLE.fullmatch(text))
    ),
    "node and PCI": _Kind(
        ("node", "pci"), lambda row: _pair(row.get("node"), row.get("pci"), "-pci")
    ),
    "PCI": _Kind(("pci",), lambda row: row.get("pci")),
    "sector number": _Kind(("number",), lambda row: row.get("number")),
    "sector": _Kind(("name",), lambda row: row.get("name")),
    "site": _Kind(("site",), lambda row: row.get("site")),
    "node": _Kind(("node",), lambda row: row.get("node")),
}
UNIQUE_IN_NETWORK: Final = ("global", "node and cell number")
"""Kinds of identity that name one cell of a network, whatever its carrier."""

_UNIQUE_KINDS: Final = ("chosen", "global", "node and cell number", "cell number")
SPLIT_BY_TECHNOLOGY: Final = ("name", "node and PCI", "PCI", "sector number", "sector", "site")
"""Kinds of identity that cells of several technologies may share."""


def _pair(first: str | None, second: str | None, joint: str = "-") -> str | None:
    """Join two values; None if one is missing."""
    return None if first is None or second is None else f"{first}{joint}{second}"


def _if(text: str | None, test: Callable[[str], bool]) -> str | None:
    """Return a value that passes a test, else None."""
    return text if text is not None and test(text) else None


def _is_sector(text: str) -> bool:
    """Whether a cell number is small enough to be a sector number of a site."""
    return bool(_WHOLE.fullmatch(text)) and 0 <= int(text) <= _LARGEST_SECTOR


def resolve(
    keys: Sequence[str],
    combinations: Sequence[tuple[str | None, ...]],
    counts: NDArray[np.int64],
    *,
    keep_2g_3g: bool = False,
) -> Resolution:
    """Assign combinations of identity values to cells.

    Parameters
    ----------
    keys : sequence of str
        Roles of the values.
    combinations : sequence of tuple of (str or None)
        Distinct combinations, in the order of :class:`CombinationReader`.
    counts : ndarray of int64, shape (K,)
        Rows of each combination.
    keep_2g_3g : bool
        Whether cells of 2G and 3G are cells of their own, such as ``3G_101``: the level column is
        that of any technology, and theirs is RxLev or RSCP.

    Returns
    -------
    Resolution

    Examples
    --------
    >>> rows = [("101", "1300"), ("101", "6300"), ("102", "1300")]
    >>> found = resolve(["pci", "channel"], rows, np.array([5, 5, 5]))
    >>> [cell.name for cell in found.cells]
    ['101_earfcn1300', '101_earfcn6300', '102']
    """
    warnings: list[str] = []
    notes: list[str] = []
    lost = _rounded_columns(keys, combinations, warnings)
    table = _table(keys, combinations, counts, lost)
    legacy = [row.get("technology") == "2G/3G" for row in table]
    rows = [place for place, old in enumerate(legacy) if not old]
    base: dict[int, tuple[str, str | None]] = {p: _base(table[p]) for p in rows}
    rows_by_kind: dict[str, int] = defaultdict(int)
    for place in rows:
        rows_by_kind[base[place][0]] += table[place].count
    _assign_by_pci(table, base, notes)
    groups: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for place in rows:
        groups[base[place]].append(place)
    kinds = {kind for kind, _ in groups}
    parts: dict[tuple[str, str | None, str], list[int]] = {}
    unstated: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for (kind, name), members in groups.items():
        for suffix, some in _split(kind, name, [(p, table[p]) for p in members], unstated).items():
            parts[(kind, name, suffix)] = some
    warnings += [_unstated_warning(what, cells_of) for what, cells_of in unstated.items()]
    cells: list[CellIdentity] = []
    cell_of = np.full(len(table), -1, dtype=np.int32)
    for (kind, name, suffix), members in parts.items():
        cell_of[members] = len(cells)
        label = cell_label(kind, name, suffix, kinds)
        cells.append(_identity(label, [table[p] for p in members], kind, name))
    warnings += _mixed_identity_warnings(cells, cell_of, table)
    most = max(rows_by_kind, key=lambda kind: rows_by_kind[kind], default="")
    used = _KINDS[most].roles if most else ()
    channel_of = np.array(
        [float("nan") if old else _channel(row) for row, old in zip(table, legacy, strict=True)]
    )
    if keep_2g_3g and "technology" in keys:
        _add_2g_3g(keys, combinations, counts, cells, cell_of)
    return Resolution(tuple(cells), cell_of, channel_of, used, tuple(notes), tuple(warnings))


def _add_2g_3g(
    keys: Sequence[str],
    combinations: Sequence[tuple[str | None, ...]],
    counts: NDArray[np.int64],
    cells: list[CellIdentity],
    cell_of: NDArray[np.int32],
) -> None:
    """Add the cells of 2G and 3G, each technology by itself: their numbers mean other things."""
    at = list(keys).index("technology")
    places: dict[str, list[int]] = defaultdict(list)
    for place, combination in enumerate(combinations):
        generation = _generation(combination[at] or "")
        if cell_of[place] < 0 and generation is not None:
            places[generation].append(place)
    for generation, members in places.items():
        own = [(*combinations[p][:at], None, *combinations[p][at + 1 :]) for p in members]
        found = resolve(keys, own, counts[members])
        cell_of[members] = np.where(found.cell_of < 0, -1, found.cell_of + len(cells))
        for cell in found.cells:
            name = label_2g_3g(cell.name, generation)
            of_2g_3g = CellIdentity(name, (name,), cell.operator, generation, cell.carrier)
            cells.append(replace(of_2g_3g, kind=cell.kind, base=cell.base))


def label_2g_3g(name: str | None, generation: str) -> str:
    """Name a cell of 2G or 3G.

    Parameters
    ----------
    name : str or None
        Name that a cell of LTE would have.
    generation : {"2G", "3G"}
        Its technology.

    Returns
    -------
    str

    Examples
    --------
    >>> label_2g_3g("33_earfcn10588", "3G")
    '3G_33_uarfcn10588'
    """
    channel = "uarfcn" if generation == "3G" else "arfcn"
    return f"{generation}_{name or 'unknown'}".replace("_earfcn", f"_{channel}")


def cell_label(kind: str, base: str | None, suffix: str, kinds: Collection[str]) -> str | None:
    """Name a cell in the results.

    Parameters
    ----------
    kind : str
        What identifies the cell.
    base : str or None
        The identity.
    suffix : str
        Network, technology and carrier, as far as they distinguish cells of this identity; see
        :func:`label_suffix`.
    kinds : collection of str
        Kinds of all cells. A PCI beside more specific identities is marked as one.

    Returns
    -------
    str or None
        None without an identity.

    Examples
    --------
    >>> cell_label("PCI", "101", label_suffix("earfcn1300"), {"PCI", "global"})
    'pci101_earfcn1300'
    """
    if base is None:
        return f"unknown{suffix}" if suffix else None
    order = list(_KINDS)
    marked = kind == "PCI" and not set(order[: order.index(kind)]).isdisjoint(kinds)
    return f"{'pci' if marked else ''}{base}{suffix}"


def label_suffix(value: str) -> str:
    """Suffix of a name for a network, technology or carrier.

    Parameters
    ----------
    value : str
        Its name in the log.

    Returns
    -------
    str

    Examples
    --------
    >>> label_suffix("Operator A")
    '_Operator-A'
    """
    return "_" + re.sub(r"\s+", "-", value.strip())


def _generation(text: str) -> str | None:
    """Tell 2G from 3G; None for other words, such as CDMA, which may be either."""
    words = text.casefold()
    if re.search(r"umts|w-?cdma|hs(?:pa|dpa|upa)|td-?scdma|3g|utra", words):
        return "3G"
    return "2G" if re.search(r"gsm|edge|gprs|2g", words) else None


def _channel(row: _Row) -> float:
    """Return the channel number of a combination; NaN where unknown."""
    text = row.get("channel")
    number = None if text is None else _number(text)
    return float("nan") if number is None else float(number)


def _base(row: _Row) -> tuple[str, str | None]:
    """Return the first kind of identity whose values are present, and the identity."""
    for kind, (_, make) in _KINDS.items():
        if (name := make(row)) is not None:
            return kind, name
    return "", None


def _assign_by_pci(
    table: Sequence[_Row], base: dict[int, tuple[str, str | None]], notes: list[str]
) -> None:
    """Assign rows with a PCI only to the single cell with that PCI on their carrier and network.

    Neighbour cells and rows between two registrations have no global identity.
    """
    owners: dict[str, list[tuple[tuple[str, str | None], _Row]]] = defaultdict(list)
    for place, identity in base.items():
        pci = table[place].get("pci")
        if pci is not None and identity[0] in _UNIQUE_KINDS:
            owners[pci].append((identity, table[place]))
    assigned = 0
    for place, (kind, _) in list(base.items()):
        row = table[place]
        pci = row.get("pci")
        if kind not in {"PCI", "node and PCI"} or pci is None or pci not in owners:
            continue
        fitting = {
            identity
            for identity, other in owners[pci]
            if _agree(row.carrier, other.carrier)
            and _agree(row.operator, other.operator)
            and _agree(row.get("node"), other.get("node"))
            and _agree(row.get("technology"), other.get("technology"))
        }
        if len(fitting) == 1:
            base[place] = fitting.pop()
            assigned += row.count
    if assigned:
        notes.append(
            f"{assigned:,} rows have only a PCI and belong to the one cell with this PCI on their "
            "carrier."
        )


def _agree(first: str | None, second: str | None) -> bool:
    """Whether two values are the same, or one is unknown."""
    return first is None or second is None or first == second


def _split(
    kind: str,
    name: str | None,
    members: Sequence[tuple[int, _Row]],
    unstated: dict[str, list[tuple[str, int]]],
) -> dict[str, list[int]]:
    """Split the rows of one identity by network, technology and carrier; return them by suffix.

    Rows without one of these, beside rows with several of it, are added to ``unstated``.
    """
    parts: dict[str, list[tuple[int, _Row]]] = {"": list(members)}
    tests: list[tuple[str, Callable[[_Row], str | None]]] = [
        ("operator", lambda row: row.operator),
        ("carrier", lambda row: row.carrier),
    ]
    if kind in SPLIT_BY_TECHNOLOGY or not kind:
        # A channel number belongs to one technology: a log of 5G NSA states 5G for its LTE anchor.
        tests.append(
            ("technology", lambda row: None if row.get("channel") else row.get("technology"))
        )
    for what, value_of in tests:
        split: dict[str, list[tuple[int, _Row]]] = {}
        for suffix, some in parts.items():
            found = {value_of(row) for _, row in some}
            stated = found - {None}
            if len(stated) < 2:
                split[suffix] = some
                continue
            silent = [row for _, row in some if value_of(row) is None and row.get(what) is None]
            if missing := sum(row.count for row in silent):
                unstated[what].append((name or "the cell without an identity", missing))
            for place, row in some:
                value = value_of(row)
                longer = suffix if value is None else f"{suffix}{label_suffix(value)}"
                split.setdefault(longer, []).append((place, row))
        parts = split
    return {suffix: [place for place, _ in some] for suffix, some in parts.items()}


def _unstated_warning(what: str, cells: Sequence[tuple[str, int]]) -> str:
    """Warn of rows that may belong to any of several networks, technologies or carriers."""
    rows = sum(count for _, count in cells)
    shown = ", ".join(name for name, _ in cells[:_MOST_NAMED])
    more = f" and {len(cells) - _MOST_NAMED} more" if len(cells) > _MOST_NAMED else ""
    return (
        f"{rows:,} rows of {shown}{more} state no {what}, and other rows of these identities have "
        f"several: these rows may belong to any."
    )


def _identity(
    name: str | None, members: Sequence[_Row], kind: str, base: str | None
) -> CellIdentity:
    """Collect the attributes of a cell."""

    def only(values: set[str | None]) -> str:
        stated = sorted(value for value in values if value is not None)
        return stated[0] if len(stated) == 1 else ""

    keys: dict[str, None] = {} if name is None else {name: None}
    for _, (_, make) in sorted(_KINDS.items(), key=lambda item: item[0] != kind):
        if key := only({make(row) for row in members}):
            keys[key] = None
    channel = only({row.get("channel") for row in members})
    number = _number(channel) if channel else None
    pci = only({row.get("pci") for row in members})
    return CellIdentity(
        name,
        tuple(keys),
        operator=only({row.operator for row in members}),
        technology=only({row.get("technology") for row in members}),
        carrier=only({row.carrier for row in members}),
        channel=float("nan") if number is None else float(number),
        pci=int(pci) if pci.isdecimal() else None,
        kind=kind or "none",
        base=base,
    )


def _rounded_columns(
    keys: Sequence[str], combinations: Sequence[tuple[str | None, ...]], warnings: list[str]
) -> set[str]:
    """Find columns whose identities a spreadsheet rounded; they cannot identify cells."""
    lost: set[str] = set()
    for place, key in enumerate(keys):
        if key not in {"chosen", "global", "number", "node", "name"}:
            continue
        texts = {c[place] for c in combinations if c[place] is not None}
        rounded = sorted(text for text in texts if text is not None and looks_rounded(text))
        if rounded and 2 * len(rounded) >= len(texts):
            others = any(
                clean_value(other, combination[at]) is not None
                for at, other in enumerate(keys)
                if other in {"pci", "global", "number", "node"} and other != key
                for combination in combinations
            )
            warnings.append(
                f"The identities in the column of the {_role_name(key)} look rounded by a "
                f"spreadsheet ({quoted(rounded, _MOST_NAMED)}): several cells may be one. Export "
                "them as text."
            )
            if others:
                lost.add(key)
    return lost


def _role_name(key: str) -> str:
    """Name of a role for messages."""
    return "cell" if key == "chosen" else IDENTITY_ROLES[key].name


def _mixed_identity_warnings(
    cells: Sequence[CellIdentity], cell_of: NDArray[np.int32], table: Sequence[_Row]
) -> list[str]:
    """Warn of cells with several values of another identity column."""
    found: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for place, row in enumerate(table):
        if (cell := int(cell_of[place])) < 0:
            continue
        for key, value in row.values.items():
            if value is not None and key not in {"operator", "mcc", "mnc", "plmn"}:
                found[key][cell].add(value)
        if row.operator is not None:
            found["operator"][cell].add(row.operator)
    warnings = []
    for key, by_cell in found.items():
        mixed = {cell: values for cell, values in by_cell.items() if len(values) > 1}
        if not mixed:
            continue
        shown = ", ".join(
            f"{cells[cell].name or 'unknown'} ({quoted(sorted(values), _MOST_NAMED)})"
            for cell, values in list(mixed.items())[:_MOST_NAMED]
        )
        more = f" and {len(mixed) - _MOST_NAMED} more" if len(mixed) > _MOST_NAMED else ""
        role = IDENTITY_ROLES.get(key)
        remedy = "`cell_column`" if role is None else role.remedy
        noun = "cell holds" if len(mixed) == 1 else "cells hold"
        warnings.append(
            f"{len(mixed)} {noun} several values of the {_role_name(key)}: {shown}{more}. If they "
            f"are different cells, choose the columns with {remedy}."
        )
    return warnings
