"""Which rows of a drive test can be used, and why the others cannot.

Every dropped row is counted once, under the first reason that applies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray, Float64Array
from rm_geo._util.disk_columns import iter_blocks
from rm_geo._util.external_sort import sorted_parts
from rm_geo.units import RSRP_MAX_DBM, RSRP_MIN_DBM

PLACEHOLDERS_DBM: Final = (-200.0, -205.0, -167.0)
"""What loggers write for "no value" below anything a receiver can report."""

FILLERS_DBM: Final = (-24.0, -30.0)
"""Placeholders of some loggers that are also possible, very strong, values."""

REPORTED_DBM: Final = (-140.0, -44.0)
"""Range in which LTE reports RSRP (3GPP TS 36.133, 9.1.4). Values at or below its lower end, or
above its upper one, are possible, and suspect where one of them is far more frequent than its
neighbourhood."""

VOUCHING_DB: Final = 10.0
"""Other values within this distance of a suspect value vouch for it."""

_LEAST_REPEATS: Final = 10  # of a suspect value that is no known filler
_LEAST_SHARE: Final = 0.01
_FILLER_ROWS: Final = 5  # a file with so many rows of -24 dBm and nothing else has no levels
_BIN_DB: Final = 0.1
_LOWEST_BIN_DBM: Final = -200.0
_BINS: Final = 2601  # to 60 dBm

_GREENWICH_SHARE: Final = 0.01


class DropReason(str, Enum):
    """Why a row was dropped; the value is the key in machine-readable reports."""

    MALFORMED = "malformed_row"
    NOT_A_POINT = "not_a_point"
    NO_POSITION = "no_position"
    ZERO_POSITION = "zero_position"
    POSITION_OUT_OF_RANGE = "position_out_of_range"
    NO_RSRP = "no_rsrp"
    TEXT_RSRP = "text_rsrp"
    INFINITE = "infinite_rsrp"
    PLACEHOLDER = "placeholder_rsrp"
    LONE_SUSPECT = "lone_filler"
    NOT_LTE_OR_NR = "not_lte_or_nr"
    IMPOSSIBLE = "impossible_rsrp"
    OUTSIDE_CRS = "outside_crs"

    @property
    def description(self) -> str:
        """The reason in words that fit behind a number of rows."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS: Final[Mapping[DropReason, str]] = {
    DropReason.MALFORMED: "with more or fewer fields than the header",
    DropReason.NOT_A_POINT: "whose geometry is not a point",
    DropReason.NO_POSITION: "without a position",
    DropReason.ZERO_POSITION: "at position (0, 0)",
    DropReason.POSITION_OUT_OF_RANGE: "with impossible coordinates",
    DropReason.NO_RSRP: "without an RSRP",
    DropReason.TEXT_RSRP: "with text for an RSRP",
    DropReason.INFINITE: "with an infinite RSRP",
    DropReason.PLACEHOLDER: "with a placeholder for an RSRP (-167, -200, -205)",
    DropReason.LONE_SUSPECT: "with a constant filler (such as -24, -30 or -140 dBm), far from all "
    "other values of the file",
    DropReason.NOT_LTE_OR_NR: "of 2G or 3G, whose level is RxLev or RSCP",
    DropReason.IMPOSSIBLE: f"with an RSRP outside {RSRP_MIN_DBM:g}..{RSRP_MAX_DBM:g} dBm",
    DropReason.OUTSIDE_CRS: "at positions that the CRS cannot express",
}


_DROPPED: Final = "  dropped "
_WARNING: Final = "  warning: "


@dataclass(frozen=True)
class CleaningReport:
    """What reading a file of measurements found, used and left out.

    Attributes
    ----------
    source : str
        The file.
    total, kept : int
        Rows in the file, and rows that are used.
    dropped : mapping of DropReason to int
        Rows left out; never zero, each row under one reason.
    repeated_positions : int
        Kept rows whose position occurred before. Legal: one row per cell heard, stops.
    repeated_rows : int
        Kept rows that repeat position, time and cell of an earlier one exactly.
    columns : mapping of str to str
        Which column was taken for which role.
    notes, warnings : tuple of str
        What was done with the file; what a person should look at.
    """

    source: str
    total: int
    kept: int
    dropped: Mapping[DropReason, int] = field(default_factory=dict)
    repeated_positions: int = 0
    repeated_rows: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def dropped_total(self) -> int:
        """Rows left out for any reason."""
        return sum(self.dropped.values())

    def lines(self) -> list[str]:
        """Describe it in lines for a person."""
        lines = [f"{self.source}: {self.kept:,} of {self.total:,} rows used."]
        if self.columns:
            taken = ", ".join(f"{role} from {name!r}" for role, name in self.columns.items())
            lines.append(f"  {taken}")
        lines += [
            f"{_DROPPED}{count:,} {rows(count)} {reason.description}"
            for reason, count in self.dropped.items()
        ]
        if self.repeated_positions:
            lines.append(
                f"  {self.repeated_positions:,} {rows(self.repeated_positions)} "
                "share a position with an earlier one (kept)"
            )
        if self.repeated_rows:
            lines.append(
                f"  {self.repeated_rows:,} {rows(self.repeated_rows)} repeat "
                "position, time and cell of an earlier one (kept)"
            )
        lines += [f"  {note}" for note in self.notes]
        lines += [f"{_WARNING}{warning}" for warning in self.warnings]
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values that JSON can hold."""
        return {
            "source": self.source,
            "total": self.total,
            "kept": self.kept,
            "dropped": {reason.value: count for reason, count in self.dropped.items()},
            "repeated_positions": self.repeated_positions,
            "repeated_rows": self.repeated_rows,
            "columns": dict(self.columns),
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


def worth_a_look(lines: Iterable[str]) -> list[str]:
    """Give those of a report's lines that tell of rows left out, or warn.

    Examples
    --------
    >>> worth_a_look(["a.csv: 2 of 3 rows used.", "  dropped 1 row without an RSRP"])
    ['dropped 1 row without an RSRP']
    """
    return [
        line.removeprefix(_WARNING).strip()
        for line in lines
        if line.startswith((_DROPPED, _WARNING))
    ]


def rows(count: int) -> str:
    """``row`` or ``rows``."""
    return "row" if count == 1 else "rows"


@dataclass(frozen=True)
class Verdict:
    """Which rows to keep, which have a usable position, and how many were dropped and why."""

    keep: BoolArray
    placed: BoolArray
    dropped: Mapping[DropReason, int]


_JUDGED: Final = (
    DropReason.NO_POSITION,
    DropReason.ZERO_POSITION,
    DropReason.POSITION_OUT_OF_RANGE,
    DropReason.TEXT_RSRP,
    DropReason.NO_RSRP,
    DropReason.INFINITE,
    DropReason.PLACEHOLDER,
    DropReason.LONE_SUSPECT,
    DropReason.IMPOSSIBLE,
    DropReason.NOT_LTE_OR_NR,
)


def sum_dropped(parts: Iterable[Mapping[DropReason, int]]) -> dict[DropReason, int]:
    """Add up what was dropped of parts of a file, in the order in which rows are judged."""
    total: Counter[DropReason] = Counter()
    for part in parts:
        total.update(part)
    return {reason: total[reason] for reason in _JUDGED if total[reason]}


def judge(
    x: Float64Array,
    y: Float64Array,
    rsrp_dbm: Float64Array,
    *,
    geographic: bool,
    is_text: BoolArray | None = None,
    levels: LevelCount | None = None,
    is_legacy: BoolArray | None = None,
) -> Verdict:
    """Judge rows by their position and RSRP.

    Parameters
    ----------
    x, y : ndarray of float64, shape (N,)
        Longitude and latitude in degrees if ``geographic``, else coordinates of a
        projected CRS; NaN where there is none.
    rsrp_dbm : ndarray of float64, shape (N,)
        RSRP in dBm; NaN where there is none.
    geographic : bool
        Whether longitudes beyond 180 and latitudes beyond 90 degrees are impossible.
    is_text : ndarray of bool, optional
        Where the RSRP is text that is no number.
    levels : LevelCount, optional
        That of the whole file, where these rows are a part of it.
    is_legacy : ndarray of bool, optional
        Rows of 2G or 3G.

    Notes
    -----
    -24 and -30 dBm are placeholders of some loggers and possible values next to an antenna. One
    is dropped when it occurs more often than all other possible values within 10 dB of it
    together: a receiver that comes near enough for -30 dBm passes through its neighbours. So is
    any other value outside of -140..-44 dBm that fills at least 1 % of the rows.
    """
    text = np.zeros(x.shape, dtype=bool) if is_text is None else is_text
    legacy = np.zeros(x.shape, dtype=bool) if is_legacy is None else is_legacy
    far = (np.abs(x) > 180.0) | (np.abs(y) > 90.0) if geographic else np.zeros(x.shape, dtype=bool)
    possible = (rsrp_dbm >= RSRP_MIN_DBM) & (rsrp_dbm <= RSRP_MAX_DBM)
    tests: tuple[tuple[DropReason, BoolArray], ...] = (
        (DropReason.NO_POSITION, np.isnan(x) | np.isnan(y)),
        (DropReason.ZERO_POSITION, (x == 0.0) & (y == 0.0)),
        (DropReason.POSITION_OUT_OF_RANGE, np.isinf(x) | np.isinf(y) | far),
        (DropReason.TEXT_RSRP, text),
        (DropReason.NO_RSRP, np.isnan(rsrp_dbm)),
        (DropReason.INFINITE, np.isinf(rsrp_dbm)),
        (DropReason.PLACEHOLDER, np.isin(rsrp_dbm, PLACEHOLDERS_DBM)),
        (DropReason.LONE_SUSPECT, lone_fillers(rsrp_dbm, levels)),
        (DropReason.IMPOSSIBLE, ~possible),
        (DropReason.NOT_LTE_OR_NR, legacy),
    )
    of_position = {
        DropReason.NO_POSITION,
        DropReason.ZERO_POSITION,
        DropReason.POSITION_OUT_OF_RANGE,
    }
    placed = np.ones(x.shape, dtype=bool)
    keep = np.ones(x.shape, dtype=bool)
    dropped: dict[DropReason, int] = {}
    for reason, failed in tests:
        newly = keep & failed
        if count := int(newly.sum()):
            dropped[reason] = count
            keep &= ~failed
        if reason in of_position:
            placed &= ~failed
    return Verdict(keep, placed, dropped)


@dataclass(frozen=True)
class LevelCount:
    """How often which level occurs in a file. Counts of parts of a file add up.

    Attributes
    ----------
    bins : ndarray of int64
        Rows in each tenth of a dB from -200 to 60 dBm.
    whole, values : int
        Values that are whole numbers, and all finite values.
    lowest, highest : float
        Extremes of the finite values.
    """

    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, dtype=np.int64))
    whole: int = 0
    values: int = 0
    lowest: float = np.inf
    highest: float = -np.inf

    @classmethod
    def of(cls, rsrp_dbm: Float64Array) -> LevelCount:
        """Count in some rows."""
        finite = rsrp_dbm[np.isfinite(rsrp_dbm)]
        place = _bin_of(finite)
        inside = (place >= 0) & (place < _BINS)
        return cls(
            np.bincount(place[inside], minlength=_BINS),
            int(np.count_nonzero(finite == np.round(finite))),
            finite.size,
            float(finite.min(initial=np.inf)),
            float(finite.max(initial=-np.inf)),
        )

    def __add__(self, other: LevelCount) -> LevelCount:
        return LevelCount(
            self.bins + other.bins,
            self.whole + other.whole,
            self.values + other.values,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
        )

    def fillers(self) -> list[int]:
        """Bins of the levels that are placeholders; see :func:`judge`."""
        first, last = (int(_bin_of(np.array([x]))[0]) for x in (RSRP_MIN_DBM, RSRP_MAX_DBM))
        possible = self.bins[first : last + 1]
        total = int(possible.sum())
        reach = round(VOUCHING_DB / _BIN_DB)
        known = {int(_bin_of(np.array([level]))[0]) for level in FILLERS_DBM}
        found = []
        for place in (np.flatnonzero(possible) + first).tolist():
            count = int(self.bins[place])
            level_dbm = _LOWEST_BIN_DBM + place * _BIN_DB
            if REPORTED_DBM[0] < level_dbm <= REPORTED_DBM[1]:
                continue
            near = self.bins[max(place - reach, first) : min(place + reach, last) + 1]
            vouching = int(near.sum()) - count
            if place in known:
                alone = total == count and place == max(known)  # -24 dBm
                if (total > count and count > vouching) or (alone and count >= _FILLER_ROWS):
                    found.append(place)
            elif total > count > vouching and count >= max(_LEAST_REPEATS, _LEAST_SHARE * total):
                found.append(place)
        return found

    def resembles(self) -> str:
        """Say what the values look like where they are no RSRP in dBm; empty where they may be.

        Examples
        --------
        >>> LevelCount.of(np.array([54.0, 56.0, 60.0, 41.0, 70.0])).resembles()[:36]
        'an index of reported RSRP (3GPP TS 3'
        """
        if self.values < _FILLER_ROWS or self.lowest < 0.0:
            return ""
        if self.whole == self.values and self.highest <= 127:
            return (
                "an index of reported RSRP (3GPP TS 36.133: level in dBm = index - 141 for LTE; "
                "TS 38.133: index - 157 for NR)"
            )
        if self.highest <= 300.0 and self.lowest >= 30.0:
            return "a path loss in dB, or levels without their sign"
        return "positive numbers, such as powers in mW"


def _bin_of(level_dbm: Float64Array) -> NDArray[np.int64]:
    """Bin of each level."""
    clipped = np.clip(level_dbm, -1e6, 1e6)
    return np.round((clipped - _LOWEST_BIN_DBM) / _BIN_DB).astype(np.int64)


def lone_fillers(rsrp_dbm: Float64Array, counted: LevelCount | None = None) -> BoolArray:
    """Where a level is a placeholder of its file; see :func:`judge`."""
    fillers = (counted or LevelCount.of(rsrp_dbm)).fillers()
    if not fillers:
        return np.zeros(rsrp_dbm.shape, dtype=bool)
    known = np.isfinite(rsrp_dbm)
    found = np.zeros(rsrp_dbm.shape, dtype=bool)
    found[known] = np.isin(_bin_of(rsrp_dbm[known]), fillers)
    return found


@dataclass(frozen=True)
class LongitudeCount:
    """How a file counts its longitudes. Counts of parts of a file add up."""

    known: int = 0
    beyond_180: int = 0
    lowest_deg: float = np.inf

    @classmethod
    def of(cls, longitude_deg: Float64Array) -> LongitudeCount:
        """Count in some rows."""
        finite = longitude_deg[np.isfinite(longitude_deg)]
        beyond = np.count_nonzero((finite > 180.0) & (finite <= 360.0))
        return cls(finite.size, int(beyond), float(finite.min(initial=np.inf)))

    def __add__(self, other: LongitudeCount) -> LongitudeCount:
        return LongitudeCount(
            self.known + other.known,
            self.beyond_180 + other.beyond_180,
            min(self.lowest_deg, other.lowest_deg),
        )

    @property
    def to_360(self) -> bool:
        """Whether the file counts 0..360: none is negative, more than 1 % are beyond 180."""
        share = self.beyond_180 / max(self.known, 1)
        return self.lowest_deg >= 0.0 and share > _GREENWICH_SHARE


def wrap_longitudes(
    longitude_deg: Float64Array, counted: LongitudeCount | None = None
) -> Float64Array:
    """Bring longitudes counted 0..360 to -180..180.

    Only where the file counts that way. A single 200 among European positions stays what it
    is, impossible.

    Parameters
    ----------
    longitude_deg : ndarray of float64, shape (N,)
        Longitudes.
    counted : LongitudeCount, optional
        That of the whole file, where these are a part of it.
    """
    if not (counted or LongitudeCount.of(longitude_deg)).to_360:
        return longitude_deg
    wrap = (longitude_deg > 180.0) & (longitude_deg <= 360.0)
    return np.where(wrap, longitude_deg - 360.0, longitude_deg)


def count_repeats(*values: NDArray[Any]) -> int:
    """Count rows that equal an earlier row in all of the arrays.

    Rows are compared by a 64-bit hash: at a million rows the count is off with a
    probability of some 1e-7, and it informs a person only.
    """
    hashes = (_mixed(*blocks) for blocks in iter_blocks(*values))
    # np.unique's hash table takes ten times as long as sorting.
    return sum(int((part[1:] == part[:-1]).sum()) for part in sorted_parts(hashes))


def _mixed(*values: NDArray[Any]) -> NDArray[np.uint64]:
    """Hash the rows of some arrays of numbers or times."""
    mixed = np.zeros(values[0].shape[0], dtype=np.uint64)
    for value in values:
        wide = value if value.dtype.itemsize == 8 else value.astype(np.int64)
        bits = np.ascontiguousarray(wide).view(np.uint64)
        # The finaliser of splitmix64, after Fibonacci hashing of the running value.
        mixed = (mixed * np.uint64(0x9E3779B97F4A7C15)) ^ bits
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed
