"""Several logs of one area as one: the cells that they share, and all visited places.

Cells are the same only if the logs leave no doubt. A name is not sufficient: a physical cell
identity is reused by every operator and on every carrier, so a log that states them and one that
does not cannot be joined.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from rm_geo._util.disk_columns import drop_pages, empty_column, iter_blocks
from rm_geo.errors import InputError
from rm_geo.io.crs import to_metres
from rm_geo.io.tables.cell_ids import CellColumn
from rm_geo.measurements.identity import (
    SPLIT_BY_TECHNOLOGY,
    UNIQUE_IN_NETWORK,
    CellIdentity,
    cell_label,
    label_2g_3g,
    label_suffix,
)
from rm_geo.measurements.model import Measurements, split_carriers
from rm_geo.measurements.spread import FAR_APART_M
from rm_geo.measurements.visits import Visits

_PLMN: Final = re.compile(r"(\d{3})-?(\d{2,3})|(\d{3})-(\d)")
_NETWORK_CODE: Final = re.compile(r"mnc\d+")


def join_measurements(logs: Sequence[Measurements]) -> Measurements:
    """Join logs of one area.

    Parameters
    ----------
    logs : sequence of Measurements
        At least one, each with at least one row.

    Returns
    -------
    Measurements
        The rows of all logs in their order, in the CRS of the first one, with the visited places
        of all. Times are kept if all logs have them. A cell that several logs have is one cell if
        operator, technology and carrier are the same; cells of one name that differ in them have
        them in their names, as in a single log.

    Raises
    ------
    InputError
        If there is no log, a log has no row, a log states the operator, carrier or technology of
        a cell and another one does not, or a log is more than 5 km away from all others.
    CrsError
        If the positions of a log cannot be expressed in the CRS of the first.

    Examples
    --------
    >>> from pyproj import CRS
    >>> monday = Measurements(np.zeros(2), np.zeros(2), np.full(2, -90, np.float32),
    ...                       ["1", "2"], CRS.from_epsg(32633))
    >>> joined = join_measurements([monday, monday])
    >>> joined.cell.tolist(), len(joined.visits())
    (['1', '2', '1', '2'], 1)
    """
    if not logs:
        raise InputError("There are no logs to join.")
    for number, log in enumerate(logs, start=1):
        if len(log) == 0:
            raise InputError(f"{_name(log, number)} has no measurements.")
    if len(logs) == 1:
        return logs[0]
    crs = logs[0].crs
    _require_near(logs, crs)
    placed = [_in_crs(log, crs, number) for number, log in enumerate(logs, start=1)]
    placed = [_with_carriers(log) for log in placed]
    cells = _joined_cells(placed)
    columns = _joined_columns(placed, cells)
    sources = [path for log in placed for path in log.sources]
    joined = Measurements(
        **columns,
        crs=crs,
        source=sources[0] if sources else None,
        further_sources=tuple(sources[1:]),
        files=tuple(file for log in placed for file in log.files),
        identities=cells.identities,
        places=_joined_places(placed),
    )
    return replace(joined, partly_serving_only=_has_serving_only(placed, joined))


def joining_notes(joined: Measurements, logs: int) -> list[str]:
    """Summarise joined logs, and list cells that may be one and are not joined.

    Parameters
    ----------
    joined : Measurements
        Result of :func:`join_measurements`.
    logs : int
        Number of logs.

    Returns
    -------
    list of str
        Lines for the log of a run.

    Examples
    --------
    >>> log = Measurements(np.zeros(1), np.zeros(1), np.full(1, -90, np.float32), ["1"],
    ...                    CRS.from_epsg(32633))
    >>> joining_notes(join_measurements([log, log]), 2)
    ['2 logs together: 2 rows, 1 cell.']
    """
    cells = joined.cell.present()
    noun = "cell" if len(cells) == 1 else "cells"
    notes = [f"{logs} logs together: {len(joined):,} rows, {len(cells)} {noun}."]
    named: dict[tuple[object, ...], list[CellIdentity]] = defaultdict(list)
    for identity in map(joined.identity_of, cells):
        if identity.pci is not None and np.isfinite(identity.channel):
            named[(identity.operator, identity.channel, identity.pci)].append(identity)
    doubtful = [some for some in named.values() if len({cell.kind for cell in some}) > 1]
    if doubtful:
        shown = ", ".join(" and ".join(str(cell.name) for cell in some) for some in doubtful[:3])
        more = f" and {len(doubtful) - 3} more" if len(doubtful) > 3 else ""
        notes.append(
            f"  {shown}{more} have one PCI and channel and different identities: they are mapped "
            "as different cells."
        )
    return notes


def _name(log: Measurements, number: int) -> str:
    """Name a log in messages."""
    return log.source_label or f"Log {number}"


# The area.


def _require_near(logs: Sequence[Measurements], crs: CRS) -> None:
    """Raise for logs that are far away from the first one and all that are near it."""
    boxes = np.array([_bounds_in(log, crs) for log in logs])
    low, high = boxes[:, :2], boxes[:, 2:]
    with np.errstate(invalid="ignore"):  # boxes that the CRS cannot express
        between = np.maximum(low[:, None] - high[None], low[None] - high[:, None])
    gap_m = np.hypot(*np.moveaxis(np.maximum(between, 0.0), -1, 0))
    near = np.zeros(len(logs), dtype=np.bool_)
    near[0] = True
    while (reached := near | (gap_m[near] <= FAR_APART_M).any(axis=0)).sum() > near.sum():
        near = reached
    if near.all():
        return
    place = int(np.flatnonzero(~near)[0])
    distance_m = float(gap_m[near, place].min())
    far = f"{distance_m / 1000:,.0f} km" if np.isfinite(distance_m) else "very far"
    raise InputError(
        f"{_name(logs[place], place + 1)} is {far} away from {_name(logs[0], 1)}; logs that are "
        f"mapped together may have gaps of up to {FAR_APART_M / 1000:g} km.",
        hint="Map it in a job of its own, or check its CRS.",
    )


def _bounds_in(log: Measurements, crs: CRS) -> tuple[float, float, float, float]:
    """Bounding box of a log in a CRS; infinite where the CRS cannot express it."""
    if log.crs == crs:
        return log.bounds
    transformer = Transformer.from_crs(log.crs, crs, always_xy=True)
    west, south, east, north = transformer.transform_bounds(*log.bounds)
    if not np.isfinite([west, south, east, north]).all():
        return np.inf, np.inf, np.inf, np.inf
    return west, south, east, north


def _in_crs(log: Measurements, crs: CRS, number: int) -> Measurements:
    """Express positions and places of a log in a CRS."""
    if log.crs == crs:
        return log
    label = _name(log, number)
    moved = to_metres(log.x, log.y, log.crs, label, target=crs)
    places = log.places
    if places is not None:
        seen = to_metres(places.x, places.y, log.crs, label, target=crs)
        places = Visits(seen.x, seen.y, places.time)
    return replace(log, x=moved.x, y=moved.y, crs=crs, places=places)


# The columns.


def _joined_columns(logs: Sequence[Measurements], cells: _Cells) -> dict[str, Any]:
    """Concatenate the columns of all logs, in memory or on disk."""
    rows = sum(len(log) for log in logs)
    timed = all(log.time is not None for log in logs)
    on_channel = any(log.earfcn is not None for log in logs)
    codes = empty_column(rows, np.int32)
    begin = 0
    for log, lookup in zip(logs, cells.codes, strict=True):
        part = codes[begin : begin + len(log)]
        for of_log, target in iter_blocks(log.cell.codes, part):
            target[:] = lookup[of_log]
        begin += len(log)
    return {
        "x": _concatenated([log.x for log in logs], rows, np.float64),
        "y": _concatenated([log.y for log in logs], rows, np.float64),
        "rsrp_dbm": _concatenated([log.rsrp_dbm for log in logs], rows, np.float32),
        "cell": CellColumn(codes, tuple(identity.name for identity in cells.identities)),
        "time": _concatenated([log.time for log in logs], rows, "datetime64[ms]")
        if timed
        else None,
        "earfcn": _concatenated([_channels(log) for log in logs], rows, np.float64)
        if on_channel
        else None,
    }


def _channels(log: Measurements) -> NDArray[np.float64]:
    """Channel of each row; NaN where unknown."""
    return np.broadcast_to(np.float64(np.nan), len(log)) if log.earfcn is None else log.earfcn


def _concatenated(
    parts: Iterable[NDArray[Any] | None], rows: int, dtype: np.dtype[Any] | type | str
) -> NDArray[Any]:
    """Concatenate columns block by block."""
    joined = empty_column(rows, dtype)
    begin = 0
    for part in parts:
        assert part is not None
        for values, target in iter_blocks(part, joined[begin : begin + len(part)]):
            target[:] = values
        begin += len(part)
    drop_pages(joined)
    return joined


def _joined_places(logs: Sequence[Measurements]) -> Visits | None:
    """Concatenate the places without a valid level."""
    found = [log.places for log in logs if log.places is not None]
    joined = found[0] if found else None
    for places in found[1:]:
        assert joined is not None
        joined = joined.joined(places)
    return joined


def _with_carriers(log: Measurements) -> Measurements:
    """Split identities with several carriers, which measurements in memory may have."""
    cell, origin = split_carriers(log.cell, log.earfcn)
    if cell is log.cell:
        return log
    identities = []
    for name, code in zip(cell.names, origin, strict=True):
        original = log.cell.names[code]
        known = log.identity_of(original)
        kind = "none" if original is None else known.kind
        identities.append(replace(known, name=name, kind=kind, base=known.base or original))
    return replace(log, cell=cell, identities=tuple(identities))


def _has_serving_only(logs: Sequence[Measurements], joined: Measurements) -> bool:
    """Whether one of the logs lists the serving cell only.

    Logs with one cell at each visit are judged together: files of single cells that were reported
    at the same visits are parts of a log that lists all cells.
    """
    single = np.repeat([log.lists_one_cell for log in logs], [len(log) for log in logs])
    if single.all():
        return joined.lists_one_cell
    return bool(single.any()) and joined.select(single).lists_one_cell


# The cells.


class _Entry(NamedTuple):
    """One cell of one log."""

    log: int
    code: int
    identity: CellIdentity
    carrier: str
    operator: str


@dataclass(frozen=True)
class _Cells:
    """The cells of all logs.

    Attributes
    ----------
    identities : tuple of CellIdentity
        Each cell once.
    codes : list of ndarray of int32
        For each log, the index in ``identities`` of each of its names.
    """

    identities: tuple[CellIdentity, ...]
    codes: list[NDArray[np.int32]]


def _joined_cells(logs: Sequence[Measurements]) -> _Cells:
    """Find the cells that several logs have."""
    entries = [entry for number, log in enumerate(logs) for entry in _entries(number, log)]
    groups: dict[tuple[str, str, str | None], list[_Entry]] = defaultdict(list)
    for entry in _with_kinds(_same_operators(entries)):
        identity = entry.identity
        generation = identity.technology if identity.technology in {"2G", "3G"} else ""
        groups[(generation, identity.kind, identity.base)].append(entry)
    names = [_name(log, number) for number, log in enumerate(logs, start=1)]
    doubts = _Doubts(names, entries)
    kinds = {kind for generation, kind, _ in groups if not generation}
    cells: list[CellIdentity] = []
    codes = [np.zeros(len(log.cell.names), dtype=np.int32) for log in logs]
    for (generation, kind, base), members in groups.items():
        for suffix, some in _split(kind, members, doubts).items():
            label = cell_label(kind, base, suffix, kinds)
            if generation:
                label = label_2g_3g(label, generation)
            for entry in some:
                codes[entry.log][entry.code] = len(cells)
            cells.append(_merged(label, some, kind, base))
    doubts.raise_first()
    _require_distinct(cells)
    return _Cells(tuple(cells), codes)


def _entries(number: int, log: Measurements) -> list[_Entry]:
    """List the cells of a log that occur."""
    counts = log.cell.counts()
    channels = _channels_of_names(log)
    entries = []
    for code in np.flatnonzero(counts):
        name = log.cell.names[code]
        identity = log.identity_of(name)
        if not identity.kind and identity.base is None:
            identity = replace(identity, base=name)
        carrier = identity.carrier
        if not carrier and code in channels:
            carrier = f"earfcn{channels[int(code)]:.0f}"
        entries.append(_Entry(number, int(code), identity, carrier, identity.operator))
    return entries


def _channels_of_names(log: Measurements) -> Mapping[int, float]:
    """Channel of each name, as far as the rows state it."""
    found: dict[int, float] = {}
    if log.earfcn is not None:
        for codes, channels in iter_blocks(log.cell.codes, log.earfcn):
            known = np.isfinite(channels)
            present, first = np.unique(codes[known], return_index=True)
            found.update(zip(present.tolist(), channels[known][first].tolist(), strict=True))
    return found


def _same_operators(entries: Iterable[_Entry]) -> list[_Entry]:
    """Write each operator in one way: ``26201`` and ``262-01`` are the same network."""
    spelling: dict[object, str] = {}
    return [
        entry._replace(operator=spelling.setdefault(_operator_key(entry.operator), entry.operator))
        for entry in entries
    ]


def _operator_key(operator: str) -> object:
    """Value that is the same for all notations of a network code, or of a name."""
    if match := _PLMN.fullmatch(operator):
        return match[1] or match[3], int(match[2] or match[4])
    return " ".join(operator.casefold().split())


def _with_kinds(entries: Sequence[_Entry]) -> list[_Entry]:
    """Give cells of which only the name is known the kind of the other logs' cell of that name."""
    kinds: dict[str | None, set[str]] = defaultdict(set)
    for entry in entries:
        kinds[entry.identity.base].add(entry.identity.kind)
    found = []
    for entry in entries:
        others = kinds[entry.identity.base] - {""}
        if not entry.identity.kind and len(others) == 1:
            entry = entry._replace(identity=replace(entry.identity, kind=next(iter(others))))
        found.append(entry)
    return found


class _Attribute(NamedTuple):
    """A property in which cells of one identity may differ."""

    noun: str
    parameter: str
    value: Callable[[_Entry], str]
    notation: Callable[[str], str]


def _carrier_notation(carrier: str) -> str:
    """Whether a carrier is a channel, a frequency or a band."""
    return next((text for text in ("MHz", "band") if text in carrier), "channel")


def _operator_notation(operator: str) -> str:
    """Whether an operator is a network code, a part of one, or a name."""
    if _PLMN.fullmatch(operator):
        return "code"
    return "part" if _NETWORK_CODE.fullmatch(operator) else "name"


_OPERATOR: Final = _Attribute(
    "operator", "operator_column", lambda entry: entry.operator, _operator_notation
)
_CARRIER: Final = _Attribute(
    "carrier", "carrier_column", lambda entry: entry.carrier, _carrier_notation
)
# The number of a channel belongs to one technology.
_TECHNOLOGY: Final = _Attribute(
    "technology",
    "technology_column",
    lambda entry: "" if entry.carrier.startswith("earfcn") else entry.identity.technology,
    lambda technology: "name",
)


class _Doubts:
    """Cells that may or may not be the same."""

    def __init__(self, names: Sequence[str], entries: Sequence[_Entry]) -> None:
        self._names = names
        self._found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._hints: dict[str, str] = {}
        self._stating = {
            attribute.noun: {entry.log for entry in entries if attribute.value(entry)}
            for attribute in (_OPERATOR, _CARRIER, _TECHNOLOGY)
        }

    def check(self, attribute: _Attribute, members: Sequence[_Entry]) -> None:
        """Note cells that only some logs, or logs in different notations, state something of."""
        of_log: dict[int, set[str]] = defaultdict(set)
        for entry in members:
            of_log[entry.log] |= {attribute.value(entry)} - {""}
        stating = [log for log, values in of_log.items() if values]
        # A log that states it of other cells leaves this cell apart.
        silent = [
            log
            for log, values in of_log.items()
            if not values and log not in self._stating[attribute.noun]
        ]
        if stating and silent:
            self._note(attribute, members, stating[0], silent[0], "does not")
        for log in stating[1:]:
            first, second = (
                {attribute.notation(value) for value in of_log[some]} for some in (stating[0], log)
            )
            if first.isdisjoint(second):
                other = f"states {min(of_log[log])}"
                self._note(attribute, members, stating[0], log, other)

    def _note(
        self,
        attribute: _Attribute,
        members: Sequence[_Entry],
        stating: int,
        doubtful: int,
        instead: str,
    ) -> None:
        """Note one cell."""
        stated = next(v for e in members if e.log == stating and (v := attribute.value(e)))
        name = members[0].identity.base or "unknown"
        text = (
            f"{self._names[stating]} states the {attribute.noun} of cell {name!r} ({stated}), and "
            f"{self._names[doubtful]} {instead}"
        )
        self._found[attribute.noun].append((name, text))
        self._hints[attribute.noun] = (
            f"Name the column of the {attribute.noun} in both (`{attribute.parameter}`), or map "
            "the logs separately."
        )

    def raise_first(self) -> None:
        """Raise for the first property with doubtful cells."""
        for noun, found in self._found.items():
            others = len({name for name, _ in found}) - 1
            more = f" The same holds for {others} more." if others else ""
            raise InputError(
                f"{found[0][1]}: they may be different cells.{more}", hint=self._hints[noun]
            )


def _split(kind: str, members: Sequence[_Entry], doubts: _Doubts) -> dict[str, list[_Entry]]:
    """Split the cells of one identity by operator, carrier and technology; return them by suffix.

    The same rules as in one log, except that a cell without the attribute, beside one with it in
    another log, stays a cell of its own.
    """
    attributes = [_OPERATOR, _CARRIER]
    if kind in SPLIT_BY_TECHNOLOGY or kind in {"", "none"}:
        attributes.append(_TECHNOLOGY)
    parts = {"": list(members)}
    for attribute in attributes:
        split: dict[str, list[_Entry]] = {}
        for suffix, some in parts.items():
            stated = {attribute.value(entry) for entry in some} - {""}
            unique = attribute is _CARRIER and kind in UNIQUE_IN_NETWORK
            complete = unique or all(attribute.value(entry) for entry in some)
            if not stated or (len(stated) == 1 and complete):
                split[suffix] = some
                continue
            doubts.check(attribute, some)
            for entry in some:
                value = attribute.value(entry)
                longer = f"{suffix}{label_suffix(value)}" if value else suffix
                split.setdefault(longer, []).append(entry)
        parts = split
    return parts


def _merged(
    label: str | None, members: Sequence[_Entry], kind: str, base: str | None
) -> CellIdentity:
    """Merge what the logs say of one cell."""

    def only(values: Iterable[Any]) -> Any:  # noqa: ANN401 - texts and numbers
        stated = {value for value in values if value}
        return stated.pop() if len(stated) == 1 else None

    identities = [entry.identity for entry in members]
    own = [] if label is None else [label]
    keys = dict.fromkeys(own + [key for identity in identities for key in identity.keys])
    channel = only(i.channel for i in identities if np.isfinite(i.channel))
    pci = {identity.pci for identity in identities} - {None}
    return CellIdentity(
        label,
        tuple(keys),
        operator=only(entry.operator for entry in members) or "",
        technology=only(identity.technology for identity in identities) or "",
        carrier=only(identity.carrier for identity in identities) or "",
        channel=float("nan") if channel is None else channel,
        pci=pci.pop() if len(pci) == 1 else None,
        kind=kind,
        base=base,
    )


def _require_distinct(cells: Sequence[CellIdentity]) -> None:
    """Raise if one name is that of cells with different kinds of identity."""
    known: dict[str | None, CellIdentity] = {}
    for cell in cells:
        other = known.setdefault(cell.name, cell)
        if other is not cell:
            first, second = (identity.kind or "name" for identity in (other, cell))
            raise InputError(
                f"The logs have two cells {cell.name!r}, by {first} and by {second}: they may be "
                "different cells.",
                hint="Name the column of the cell in both logs (`cell_column`), or map the logs "
                "separately.",
                parameter="cell_column",
            )
