"""Tables and charts of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rm_geo.products.summary import CellResult

MOST_ROWS: Final = 100
"""Rows of a table that are shown."""


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    columns : tuple of str
        Headings.
    rows : tuple of tuple of str
        The first rows.
    total : int
        Number of all rows.
    numeric : frozenset of int
        Columns that are aligned to the right.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int
    numeric: frozenset[int]

    @classmethod
    def of(cls, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
        """Format values; columns whose values are all missing are left out.

        Parameters
        ----------
        columns : sequence of str
            Headings.
        rows : iterable of sequence
            Numbers, text, or None.

        Returns
        -------
        Table

        Examples
        --------
        >>> Table.of(["cell", "mean", "none"], [["7", -90.25, None]]).rows
        (('7', '-90.25'),)
        """
        given = [list(row) for row in rows]
        kept = [
            place
            for place in range(len(columns))
            if any(row[place] not in (None, "") for row in given)
        ]
        numeric = frozenset(
            new for new, place in enumerate(kept) if all(_is_numeric(row[place]) for row in given)
        )
        shown = tuple(tuple(number(row[place]) for place in kept) for row in given[:MOST_ROWS])
        return cls(tuple(columns[place] for place in kept), shown, len(given), numeric)


@dataclass(frozen=True)
class Part:
    """A part of a bar.

    Attributes
    ----------
    label, colour : str
        Name and colour, as ``#rrggbb``.
    share : float
        Length, 0..1.
    """

    label: str
    colour: str
    share: float


@dataclass(frozen=True)
class Bar:
    """A bar of a chart.

    Attributes
    ----------
    label : str
        What the bar is of.
    parts : tuple of Part
        From left to right.
    note : str
        Text after the bar.
    """

    label: str
    parts: tuple[Part, ...]
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A heading with tables and charts.

    Attributes
    ----------
    title : str
        Heading.
    text : str
        A sentence.
    bars : tuple of Bar
        A chart.
    legend : tuple of Part
        Names of the colours of the chart.
    tables : tuple of (str, Table)
        Tables with their captions.
    """

    title: str
    text: str = ""
    bars: tuple[Bar, ...] = ()
    legend: tuple[Part, ...] = ()
    tables: tuple[tuple[str, Table], ...] = field(default_factory=tuple)


def _is_numeric(value: Any) -> bool:  # noqa: ANN401 - any value of a table
    """Whether a value is a number, a share as text, or missing."""
    if isinstance(value, str):
        return value.endswith(" %") or value in {"", "< 0.01", "\N{EN DASH}"}
    return isinstance(value, (int, float, type(None)))


def number(value: Any) -> str:  # noqa: ANN401 - any value of a table
    """Format a value: integers in full, other numbers with up to four significant digits.

    Parameters
    ----------
    value : object

    Returns
    -------
    str
        A dash for a missing value.

    Examples
    --------
    >>> number(12345), number(0.12345), number(-103.26), number(None), number("a")
    ('12,345', '0.1235', '-103.3', '–', 'a')
    """
    if value is None or value == "":
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return f"{int(value):,}"
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return str(value)


def percent(share: Any) -> str:  # noqa: ANN401 - a number or None
    """Format a share.

    Examples
    --------
    >>> percent(0.12345), percent(0.00004), percent(0.0), percent(None)
    ('12.3 %', '< 0.1 %', '0 %', '–')
    """
    if share is None:
        return "\N{EN DASH}"
    value = 100.0 * float(share)
    if value in (0.0, 100.0):
        return f"{value:.0f} %"
    return "< 0.1 %" if 0.0 < value < 0.05 else f"{value:.1f} %"


def coverage_section(
    rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str], of_whom: str
) -> Section | None:
    """Show the shares of the coverage classes, of all cells and of each.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``coverage.csv``: ``cell``, ``class``, ``area_km2``, ``share``.
    colours : mapping of str to str
        Colours by class.
    of_whom : str
        What the shares of a cell are of.

    Returns
    -------
    Section or None
        None without rows.
    """
    if not rows:
        return None
    names = list(dict.fromkeys(str(row["class"]) for row in rows))
    cells: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        cells.setdefault(str(row["cell"]), {})[str(row["class"])] = row
    bars, table = [], []
    for cell, by_class in cells.items():
        shares = {name: to_number(by_class.get(name, {}).get("share")) or 0.0 for name in names}
        area = sum(to_number(row["area_km2"]) or 0.0 for row in by_class.values())
        if cell != "all" and not area:
            continue
        label = "all cells" if cell == "all" else cell
        parts = tuple(Part(name, colours.get(name, "#999999"), shares[name]) for name in names)
        bars.append(Bar(label, parts, f"{number(round(area, 4))} km²"))
        table.append([label, area, *(percent(shares[name]) for name in names)])
    columns = ["cell", "area in km²", *names]
    sections = [("Share of the area by class", Table.of(columns, table))]
    levels = {str(row["class"]): row for row in rows}
    limits = [[name, class_limits(levels[name])] for name in names]
    sections.append(("Classes", Table.of(["class", "RSRP"], limits)))
    legend = tuple(Part(name, colours.get(name, "#999999"), 0.0) for name in names)
    return Section("Coverage", of_whom, tuple(bars[: MOST_ROWS + 1]), legend, tuple(sections))


def class_limits(row: Mapping[str, Any]) -> str:
    """Say which levels a class has.

    Parameters
    ----------
    row : mapping
        With ``from_dbm`` and ``below_dbm``, as numbers or text; missing where there is no limit.

    Returns
    -------
    str

    Examples
    --------
    >>> class_limits({"from_dbm": "-90", "below_dbm": "-80"}), class_limits({"from_dbm": -80.0})
    ('-90 to -80 dBm', '-80 dBm and more')
    """
    low, high = to_number(row.get("from_dbm")), to_number(row.get("below_dbm"))
    if low is None and high is None:
        return ""
    if low is None:
        return f"below {high:g} dBm"
    return f"{low:g} dBm and more" if high is None else f"{low:g} to {high:g} dBm"


def servers_section(rows: Sequence[Mapping[str, Any]]) -> Section | None:
    """Show the area that each cell serves.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``best_server.csv``.

    Returns
    -------
    Section or None
        None without rows.
    """
    if not rows:
        return None
    ordered = sorted(rows, key=lambda row: -(to_number(row["area_km2"]) or 0.0))
    table = [
        [
            row["cell"],
            to_number(row["area_km2"]),
            percent(to_number(row["share"])),
            to_number(row["mean_rsrp_dbm"]),
        ]
        for row in ordered
    ]
    columns = ["cell", "served area in km²", "share", "mean RSRP in dBm"]
    return Section(
        "Best servers", tables=(("Area that each cell serves", Table.of(columns, table)),)
    )


def cells_section(cells: Sequence[CellResult], errors: Mapping[str, float]) -> Section:
    """Show how each cell was mapped.

    Parameters
    ----------
    cells : sequence of CellResult
        Rows of the summary.
    errors : mapping of str to float
        Errors at held-out blocks of the measurements in dB, by cell.

    Returns
    -------
    Section
    """
    table = [
        [
            cell.title,
            cell.measurements,
            cell.mapped_pixels * cell.spacing_m**2 / 1e6 if cell.is_mapped else None,
            cell.rsrp_min_dbm,
            cell.rsrp_mean_dbm,
            cell.rsrp_max_dbm,
            errors.get(cell.cell),
            cell.joint_cells or None,
            cell.transmitter,
            cell.method if cell.is_mapped else f"{cell.status}: {cell.message}",
        ]
        for cell in cells
    ]
    columns = [
        "cell",
        "measurements",
        "mapped km²",
        "min dBm",
        "mean dBm",
        "max dBm",
        "held-out error in dB",
        "cells that correct it",
        "transmitter",
        "method",
    ]
    shared = len(errors) > 1 and len(set(errors.values())) == 1
    text = (
        "The cells share one weight of the network, judged on the largest of them: the held-out "
        "error is theirs together."
        if shared
        else ""
    )
    return Section("Cells", text, tables=(("Maps of the cells", Table.of(columns, table)),))


def holes_table(rows: Sequence[Mapping[str, Any]], total: int) -> Table:
    """Give the list of holes; its first column is the rank.

    Parameters
    ----------
    rows : sequence of mapping
        As of :func:`rm_geo.report.map_features.hole_rows`.
    total : int
        Number of all holes.

    Returns
    -------
    Table
    """
    named = {
        "rank": "hole",
        "area_m2": "area in m²",
        "mean_rsrp_dbm": "mean RSRP in dBm",
        "worst_rsrp_dbm": "worst RSRP in dBm",
        "probability": "probability of coverage",
        "population": "persons",
        "road_m": "roads in m",
        "nearest_site": "nearest site",
        "site_distance_m": "distance in m",
    }
    present = [name for name in named if any(row.get(name) is not None for row in rows)]
    values = [
        [
            *(_whole(name, row.get(name)) for name in present),
            f"{row['latitude']:.6f}, {row['longitude']:.6f}",
        ]
        for row in rows
    ]
    made = Table.of([*(named[name] for name in present), "latitude, longitude"], values)
    return Table(made.columns, made.rows, total, made.numeric)


def comparison_section(index: Mapping[str, Any], sides: tuple[str, str]) -> Section:
    """Show how two maps differ, for each cell and for all of them.

    Parameters
    ----------
    index : mapping
        Content of ``comparison.json``.
    sides : tuple of (str, str)
        Names of the first and the second map.

    Returns
    -------
    Section
    """
    found: dict[str, Mapping[str, Any]] = dict(index["cells"])
    if len(found) > 1:
        found["all cells"] = index["all"]
    differences, covered = [], []
    threshold = None
    for cell, own in found.items():
        within = next((own[name] for name in own if name.startswith("share_within_")), None)
        changes: Mapping[str, Any] = own.get("changes", {})
        differences.append(
            [
                cell,
                own.get("area_km2"),
                *(_round(own.get(name), 2) for name in ("bias_db", "rmse_db", "p5_db", "p95_db")),
                _round(own.get("correlation"), 3),
                percent(within),
                *(
                    percent(changes[name]) if name in changes else None
                    for name in ("share_lower", "share_higher", "share_by_chance")
                ),
            ]
        )
        coverage: Mapping[str, Any] = own.get("coverage", {})
        threshold = coverage.get("threshold_dbm", threshold)
        covered.append(
            [
                cell,
                *(percent(coverage.get(name)) for name in ("first_share", "second_share")),
                *(_round(coverage.get(name), 4) for name in ("gained_km2", "lost_km2")),
            ]
        )
    limit = index.get("parameters", {}).get("within_db", 6.0)
    columns = [
        "cell",
        "area in km²",
        "mean in dB",
        "RMSE in dB",
        "5 % in dB",
        "95 % in dB",
        "correlation",
        f"within {limit:g} dB",
        "significantly lower",
        "higher",
        "by chance",
    ]
    tables = [("Difference", Table.of(columns, differences))]
    if threshold is not None:
        names = ["cell", "covered: first", "second", "gained in km²", "lost in km²"]
        tables.append((f"Coverage at {threshold:g} dBm", Table.of(names, covered)))
    text = f"The second map, {sides[1]}, minus the first, {sides[0]}."
    return Section("Comparison", text, tables=tuple(tables))


def validation_section(validation: Mapping[str, Any]) -> Section:
    """Show errors at held-out places.

    Parameters
    ----------
    validation : mapping
        Content of ``validation.json``.

    Returns
    -------
    Section
    """
    methods: Mapping[str, Any] = validation.get("methods", {})
    tables, bars = [], []
    for size in _sizes(methods):
        scores = sorted(
            (
                score
                for score in (_pooled(tables_of, size) for tables_of in methods.values())
                if score
            ),
            key=lambda score: score["rmse_db"],
        )
        if not scores:
            continue
        where = f"Blocks of {size} m held out" if size not in {"", "0"} else "Held-out drives"
        rows = [_score_row(score) for score in scores]
        tables.append((f"{where}, {scores[0].get('points', 0):,} places", Table.of(_SCORES, rows)))
        tables += [
            (
                f"{score['method']}: held-out places by their probability of coverage",
                Table.of(_SHARES, _coverage_rows(score["coverage"])),
            )
            for score in scores
            if score.get("coverage")
        ]
        worst = max(*(score["rmse_db"] for score in scores), 1e-9)
        bars += [
            Bar(
                score["method"] if size in {"", "0"} else f"{score['method']} ({size} m)",
                (Part("RMSE", "#3b6ea5", score["rmse_db"] / worst),),
                f"{score['rmse_db']:.1f} dB",
            )
            for score in scores
        ]
    floor = validation.get("noise_floor", {})
    settings = validation.get("settings", {})
    text = "Errors at places whose measurements were hidden from the method"
    if settings.get("hold_out") == "all":
        text += ", of all cells"
    text += "."
    if floor.get("within_pass_db") is not None:
        text += f" Noise floor of the measurements: {floor['within_pass_db']:.1f} dB within a pass"
        if floor.get("between_passes_db") is not None:
            text += f", {floor['between_passes_db']:.1f} dB between two passes"
        text += "."
    return Section("Hold-out errors", text, tuple(bars), tables=tuple(tables))


_SHARES: Final = ("probability of coverage", "places", "covered")


def _coverage_rows(shares: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Give the rows of the calibration of the probability of coverage."""
    return [
        [
            f"{share['lowest']:.1f} to {share['highest']:.1f}",
            int(share["places"]),
            percent(share["covered"]),
        ]
        for share in shares
    ]


_SCORES: Final = (
    "method",
    "RMSE in dB",
    "MAE in dB",
    "bias in dB",
    "correlation",
    "within 6 dB",
    "in the 90 % interval",
    "RMSE to the best other in dB",
    "p",
)


def _score_row(score: Mapping[str, Any]) -> list[Any]:
    """Give the row of a score."""
    return [
        score.get("method"),
        *(_round(score.get(name), 2) for name in ("rmse_db", "mae_db", "bias_db", "correlation")),
        *(percent(score.get(name)) for name in ("within_6_db", "interval_90")),
        _round(score.get("difference_db"), 2),
        _p_value(score.get("p_value")),
    ]


def _p_value(value: Any) -> float | str | None:  # noqa: ANN401 - a number or None
    """Round a p-value; the bootstrap does not tell small ones apart."""
    if value is None:
        return None
    return "< 0.01" if float(value) < 0.01 else round(float(value), 2)


def _sizes(methods: Mapping[str, Any]) -> list[str]:
    """List the sizes of held-out blocks, as text."""
    sizes: dict[str, None] = {}
    for tables in methods.values():
        for size in tables.get("pooled_by_block_m", {}):
            sizes[str(size)] = None
    return list(sizes) or [""]


def _pooled(tables: Mapping[str, Any], size: str) -> Mapping[str, Any] | None:
    """Give the score of a method over all cells; None if it has no error in dB."""
    score = tables.get("pooled_by_block_m", {}).get(size) or tables.get("pooled")
    if not isinstance(score, Mapping) or score.get("rmse_db") is None:
        return None
    return score


def plain_table(rows: Sequence[Mapping[str, str]], most_rows: int = 25) -> Table:
    """Show a table of a plan as it is.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of a CSV file.
    most_rows : int
        Rows that are shown.

    Returns
    -------
    Table
    """
    columns = list(rows[0])
    values = [
        [value if (found := to_number(value)) is None else found for value in row.values()]
        for row in rows[:most_rows]
    ]
    made = Table.of([column.replace("_", " ") for column in columns], values)
    return Table(made.columns, made.rows, len(rows), made.numeric)


def to_number(value: Any) -> float | None:  # noqa: ANN401 - text of a table, or a number
    """Read a number; None for anything else.

    Examples
    --------
    >>> to_number("1.5"), to_number(""), to_number("a"), to_number(None)
    (1.5, None, None, None)
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _whole(name: str, value: Any) -> Any:  # noqa: ANN401 - a value of a column
    """Round areas, lengths and persons to whole numbers, probabilities to two digits."""
    if not isinstance(value, float):
        return value
    if name in {"area_m2", "road_m", "site_distance_m", "population"}:
        return round(value)
    return round(value, 2)


def _round(value: Any, digits: int) -> Any:  # noqa: ANN401 - a number or None
    """Round a number that may be missing."""
    return None if value is None else round(float(value), digits)
