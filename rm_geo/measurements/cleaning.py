"""Checks of the rows of a drive test, and the report of dropped rows.

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
"""Placeholders for missing values, below the range of receivers."""

FILLERS_DBM: Final = (-24.0, -30.0)
"""Placeholders of some loggers that are also valid levels, near an antenna."""

REPORTED_DBM: Final = (-140.0, -44.0)
"""Range in which LTE reports RSRP (3GPP TS 36.133, 9.1.4). Values at or below its lower end, or
above its upper one, are valid, but treated as placeholders if far more frequent than levels near
them."""

NEIGHBOURHOOD_DB: Final = 10.0
"""Levels within this distance of a suspect one are counted to decide whether it is valid."""

_LEAST_REPEATS: Final = 10  # of a suspect value that is no known filler
_LEAST_SHARE: Final = 0.01
_FILLER_ROWS: Final = 5  # of -24 dBm in a file without other levels
_BIN_DB: Final = 0.1
_LOWEST_BIN_DBM: Final = -200.0
_BINS: Final = 2601  # to 60 dBm

_GREENWICH_SHARE: Final = 0.01


class DropReason(str, Enum):
    """Reason for dropping a row; the value is the key in machine-readable reports."""

    MALFORMED = "malformed_row"
    NOT_A_POINT = "not_a_point"
    NO_POSITION = "no_position"
    ZERO_POSITION = "zero_position"
    POSITION_OUT_OF_RANGE = "position_out_of_range"
    NO_RSRP = "no_rsrp"
    TEXT_RSRP = "text_rsrp"
    INFINITE = "infinite_rsrp"
    PLACEHOLDER = "placeholder_rsrp"
    ISOLATED_FILLER = "lone_filler"
    NOT_LTE_OR_NR = "not_lte_or_nr"
    IMPOSSIBLE = "impossible_rsrp"
    OUTSIDE_CRS = "outside_crs"

    @property
    def description(self) -> str:
        """The reason in words that follow a number of rows.

        Returns
        -------
        str

        Examples
        --------
        >>> DropReason.NO_RSRP.description
        'without an RSRP'
        """
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
    DropReason.ISOLATED_FILLER: "with a constant filler (such as -24, -30 or -140 dBm), far "
    "from all other values of the file",
    DropReason.NOT_LTE_OR_NR: "of 2G or 3G, whose level is RxLev or RSCP",
    DropReason.IMPOSSIBLE: f"with an RSRP outside {RSRP_MIN_DBM:g}..{RSRP_MAX_DBM:g} dBm",
    DropReason.OUTSIDE_CRS: "at positions that the CRS cannot express",
}


_DROPPED: Final = "  dropped "
_WARNING: Final = "  warning: "


@dataclass(frozen=True)
class CleaningReport:
    r"""Report on reading a file of measurements: rows, columns, notes and warnings.

    Attributes
    ----------
    source : str
        The file.
    total, kept : int
        Rows in the file, and rows that are used.
    dropped : mapping of DropReason to int
        Dropped rows by reason, without zeros; each row is counted once.
    repeated_positions : int
        Kept rows with the position of an earlier row, as for several cells at one place.
    repeated_rows : int
        Kept rows with position, time and cell of an earlier row.
    columns : mapping of str to str
        Column of each role.
    notes : tuple of str
        Conversions that were applied.
    warnings : tuple of str
        Problems that need attention.

    Examples
    --------
    >>> report = CleaningReport("a.csv", 3, 2, {DropReason.NO_RSRP: 1}, columns={"RSRP": "level"})
    >>> print("\n".join(report.lines()))
    a.csv: 2 of 3 rows used.
      RSRP from 'level'
      dropped 1 row without an RSRP
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
        """Number of dropped rows.

        Returns
        -------
        int
        """
        return sum(self.dropped.values())

    def lines(self) -> list[str]:
        """Format the report for a person.

        Returns
        -------
        list of str
        """
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
        """Convert the report to values for JSON.

        Returns
        -------
        dict of str to object
        """
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


def notable_lines(lines: Iterable[str]) -> list[str]:
    """Select the lines of a report that list dropped rows or warnings.

    Parameters
    ----------
    lines : iterable of str
        As of :meth:`CleaningReport.lines`.

    Returns
    -------
    list of str
        Without indentation and prefix.

    Examples
    --------
    >>> notable_lines(["a.csv: 2 of 3 rows used.", "  dropped 1 row without an RSRP"])
    ['dropped 1 row without an RSRP']
    """
    return [
        line.removeprefix(_WARNING).strip()
        for line in lines
        if line.startswith((_DROPPED, _WARNING))
    ]


def rows(count: int) -> str:
    """Return the noun for a number of rows.

    Parameters
    ----------
    count : int
        Number of rows.

    Returns
    -------
    str
        ``row`` or ``rows``.

    Examples
    --------
    >>> rows(1), rows(2)
    ('row', 'rows')
    """
    return "row" if count == 1 else "rows"


@dataclass(frozen=True)
class RowCheck:
    """Result of :func:`check_rows`.

    Attributes
    ----------
    keep : ndarray of bool, shape (N,)
        Rows that pass all checks.
    has_position : ndarray of bool, shape (N,)
        Rows with a valid position.
    dropped : mapping of DropReason to int
        Dropped rows by reason.
    """

    keep: BoolArray
    has_position: BoolArray
    dropped: Mapping[DropReason, int]


_ROW_REASONS: Final = (
    DropReason.NO_POSITION,
    DropReason.ZERO_POSITION,
    DropReason.POSITION_OUT_OF_RANGE,
    DropReason.TEXT_RSRP,
    DropReason.NO_RSRP,
    DropReason.INFINITE,
    DropReason.PLACEHOLDER,
    DropReason.ISOLATED_FILLER,
    DropReason.IMPOSSIBLE,
    DropReason.NOT_LTE_OR_NR,
)


def sum_dropped(parts: Iterable[Mapping[DropReason, int]]) -> dict[DropReason, int]:
    """Add the counts of dropped rows of parts of a file.

    Parameters
    ----------
    parts : iterable of mapping of DropReason to int
        Counts of :class:`RowCheck`.

    Returns
    -------
    dict of DropReason to int
        Reasons that occur, in the order of the checks.

    Examples
    --------
    >>> sum_dropped([{DropReason.NO_RSRP: 1}, {DropReason.NO_RSRP: 2}])[DropReason.NO_RSRP]
    3
    """
    total: Counter[DropReason] = Counter()
    for part in parts:
        total.update(part)
    return {reason: total[reason] for reason in _ROW_REASONS if total[reason]}


def check_rows(
    x: Float64Array,
    y: Float64Array,
    rsrp_dbm: Float64Array,
    *,
    geographic: bool,
    is_text: BoolArray | None = None,
    levels: LevelCount | None = None,
    is_legacy: BoolArray | None = None,
) -> RowCheck:
    """Check positions and RSRP of rows.

    Parameters
    ----------
    x, y : ndarray of float64, shape (N,)
        Longitude and latitude in degrees if ``geographic``, else coordinates in a projected
        CRS; NaN where missing.
    rsrp_dbm : ndarray of float64, shape (N,)
        RSRP in dBm; NaN where missing.
    geographic : bool
        Whether longitudes beyond 180 and latitudes beyond 90 degrees are invalid.
    is_text : ndarray of bool, shape (N,), optional
        Rows whose RSRP is text that is not a number.
    levels : LevelCount, optional
        Counts of the whole file, if these rows are a part of it.
    is_legacy : ndarray of bool, shape (N,), optional
        Rows of 2G or 3G.

    Returns
    -------
    RowCheck

    Notes
    -----
    -24 and -30 dBm are placeholders of some loggers and valid levels near an antenna. Such a level
    is dropped if it occurs more often than all other valid levels within 10 dB of it together: a
    receiver that reaches -30 dBm passes the levels below. So is any other level outside of
    -140..-44 dBm that occurs in at least 1 % of the rows.

    Examples
    --------
    >>> check = check_rows(np.array([13.0, 0.0]), np.array([52.0, 0.0]), np.array([-90.0, -80.0]),
    ...                    geographic=True)
    >>> check.keep.tolist(), check.dropped[DropReason.ZERO_POSITION]
    ([True, False], 1)
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
        (DropReason.ISOLATED_FILLER, isolated_fillers(rsrp_dbm, levels)),
        (DropReason.IMPOSSIBLE, ~possible),
        (DropReason.NOT_LTE_OR_NR, legacy),
    )
    of_position = {
        DropReason.NO_POSITION,
        DropReason.ZERO_POSITION,
        DropReason.POSITION_OUT_OF_RANGE,
    }
    has_position = np.ones(x.shape, dtype=bool)
    keep = np.ones(x.shape, dtype=bool)
    dropped: dict[DropReason, int] = {}
    for reason, failed in tests:
        newly = keep & failed
        if count := int(newly.sum()):
            dropped[reason] = count
            keep &= ~failed
        if reason in of_position:
            has_position &= ~failed
    return RowCheck(keep, has_position, dropped)


@dataclass(frozen=True)
class LevelCount:
    """Histogram of the levels of a file. Counts of parts of a file can be added.

    Attributes
    ----------
    bins : ndarray of int64, shape (2601,)
        Rows in each tenth of a dB from -200 to 60 dBm.
    whole, values : int
        Number of integer values, and of all finite values.
    lowest, highest : float
        Range of the finite values.

    Examples
    --------
    >>> (LevelCount.of(np.array([-90.0])) + LevelCount.of(np.array([-85.5, np.nan]))).values
    2
    """

    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, dtype=np.int64))
    whole: int = 0
    values: int = 0
    lowest: float = np.inf
    highest: float = -np.inf

    @classmethod
    def of(cls, rsrp_dbm: Float64Array) -> LevelCount:
        """Count the levels of some rows.

        Parameters
        ----------
        rsrp_dbm : ndarray of float64, shape (N,)
            RSRP in dBm; NaN where missing.

        Returns
        -------
        LevelCount
        """
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
        """Find the levels that are placeholders; see :func:`check_rows`.

        Returns
        -------
        list of int
            Their bins.
        """
        first, last = (int(_bin_of(np.array([x]))[0]) for x in (RSRP_MIN_DBM, RSRP_MAX_DBM))
        possible = self.bins[first : last + 1]
        total = int(possible.sum())
        reach = round(NEIGHBOURHOOD_DB / _BIN_DB)
        known = {int(_bin_of(np.array([level]))[0]) for level in FILLERS_DBM}
        found = []
        for place in (np.flatnonzero(possible) + first).tolist():
            count = int(self.bins[place])
            level_dbm = _LOWEST_BIN_DBM + place * _BIN_DB
            if REPORTED_DBM[0] < level_dbm <= REPORTED_DBM[1]:
                continue
            near = self.bins[max(place - reach, first) : min(place + reach, last) + 1]
            nearby = int(near.sum()) - count
            if place in known:
                alone = total == count and place == max(known)  # -24 dBm
                if (total > count and count > nearby) or (alone and count >= _FILLER_ROWS):
                    found.append(place)
            elif total > count > nearby and count >= max(_LEAST_REPEATS, _LEAST_SHARE * total):
                found.append(place)
        return found

    def resembles(self) -> str:
        """Describe values that are not RSRP in dBm.

        Returns
        -------
        str
            The probable quantity; empty if the values may be RSRP in dBm.

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


def isolated_fillers(rsrp_dbm: Float64Array, counted: LevelCount | None = None) -> BoolArray:
    """Mark the levels that are placeholders in their file; see :func:`check_rows`.

    Parameters
    ----------
    rsrp_dbm : ndarray of float64, shape (N,)
        RSRP in dBm; NaN where missing.
    counted : LevelCount, optional
        Counts of the whole file (default: of these rows).

    Returns
    -------
    ndarray of bool, shape (N,)

    Examples
    --------
    >>> isolated_fillers(np.array([-24.0, -24.0, -24.0, -90.0])).tolist()
    [True, True, True, False]
    """
    fillers = (counted or LevelCount.of(rsrp_dbm)).fillers()
    if not fillers:
        return np.zeros(rsrp_dbm.shape, dtype=bool)
    known = np.isfinite(rsrp_dbm)
    found = np.zeros(rsrp_dbm.shape, dtype=bool)
    found[known] = np.isin(_bin_of(rsrp_dbm[known]), fillers)
    return found


@dataclass(frozen=True)
class LongitudeCount:
    """Counts that distinguish longitudes in 0..360 from -180..180. Counts of parts can be added.

    Attributes
    ----------
    known : int
        Finite longitudes.
    beyond_180 : int
        Longitudes in 180..360 degrees.
    lowest_deg : float
        Smallest longitude.
    """

    known: int = 0
    beyond_180: int = 0
    lowest_deg: float = np.inf

    @classmethod
    def of(cls, longitude_deg: Float64Array) -> LongitudeCount:
        """Count the longitudes of some rows.

        Parameters
        ----------
        longitude_deg : ndarray of float64, shape (N,)
            Longitudes in degrees; NaN where missing.

        Returns
        -------
        LongitudeCount
        """
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
    def uses_0_to_360(self) -> bool:
        """Whether longitudes are in 0..360: none is negative, and more than 1 % are beyond 180.

        Returns
        -------
        bool

        Examples
        --------
        >>> LongitudeCount.of(np.array([10.0, 350.0])).uses_0_to_360
        True
        """
        share = self.beyond_180 / max(self.known, 1)
        return self.lowest_deg >= 0.0 and share > _GREENWICH_SHARE


def wrap_longitudes(
    longitude_deg: Float64Array, counted: LongitudeCount | None = None
) -> Float64Array:
    """Convert longitudes in 0..360 to -180..180, if the file uses that range.

    A single longitude of 200 degrees among European positions stays invalid.

    Parameters
    ----------
    longitude_deg : ndarray of float64, shape (N,)
        Longitudes in degrees.
    counted : LongitudeCount, optional
        Counts of the whole file (default: of these rows).

    Returns
    -------
    ndarray of float64, shape (N,)

    Examples
    --------
    >>> wrap_longitudes(np.array([10.0, 350.0])).tolist()
    [10.0, -10.0]
    """
    if not (counted or LongitudeCount.of(longitude_deg)).uses_0_to_360:
        return longitude_deg
    wrap = (longitude_deg > 180.0) & (longitude_deg <= 360.0)
    return np.where(wrap, longitude_deg - 360.0, longitude_deg)


def count_repeats(*values: NDArray[Any]) -> int:
    """Count rows that equal an earlier row in all columns.

    Rows are compared by a 64-bit hash. At a million rows, the probability of a wrong count is
    about 1e-7; the count is only informative.

    Parameters
    ----------
    values : ndarray, shape (N,)
        Columns of numbers or times.

    Returns
    -------
    int

    Examples
    --------
    >>> count_repeats(np.array([1.0, 2.0, 1.0]), np.array([5.0, 5.0, 5.0]))
    1
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
