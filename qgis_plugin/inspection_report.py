"""HTML report of 'Inspect measurements'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from .labels import with_labels

_STYLE = (
    "body{font-family:sans-serif}table{border-collapse:collapse}"
    "th,td{border:1px solid #bbb;padding:2px 8px;text-align:left}"
    ".warning{color:#b85a20}"
)


def inspection_html(title: str, found: Mapping[str, Any]) -> str:
    """Format the result of an inspection as HTML.

    Parameters
    ----------
    title : str
        Name of the layer.
    found : mapping
        Result of the worker's job ``inspect``.

    Returns
    -------
    str
        Complete HTML page.
    """
    west, south, east, north = found["bounds_lonlat"]
    facts = [
        ("Rows used", f"{found['kept']:,} of {found['total']:,}"),
        ("Cells", f"{len(found['cells']):,}"),
        ("Visited places", f"{found['visits']:,}"),
        ("Longitude", f"{west:.5f}° to {east:.5f}°"),
        ("Latitude", f"{south:.5f}° to {north:.5f}°"),
        ("CRS of the maps", found["crs"]),
    ]
    if found["first"]:
        facts.append(("Time", f"{found['first']} to {found['last']}"))
    sample = found["sample"]
    parts = [
        _lines("Warnings", found["warnings"], ' class="warning"'),
        _table("Measurements", (), facts),
        _table("Fields", ("holds", "field"), found["columns"].items()),
        _table(
            "Rows left out",
            ("rows", "reason"),
            [(f"{one['rows']:,}", one["reason"]) for one in found["dropped"]],
        ),
        _lines("Notes", found["notes"]),
        _table(
            "Cells",
            (
                "cell",
                "measurements",
                "median RSRP [dBm]",
                "extent [km]",
                "technology",
                "carrier",
                "operator",
            ),
            [_cell(cell) for cell in found["cells"]],
        ),
        _table(
            "First rows as understood",
            tuple(sample[0]) if sample else (),
            [tuple(row.values()) for row in sample],
        ),
    ]
    heading = escape(f"Measurements of {title}")
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{heading}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{heading}</h1>\n{''.join(parts)}</body></html>\n"
    )


def _cell(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the row of a cell; its file name replaces a missing identity."""
    return (
        cell["identity"] or cell["name"],
        f"{cell['points']:,}",
        f"{cell['median_dbm']:.1f}",
        f"{cell['extent_m'] / 1000.0:.2f}",
        cell["technology"],
        cell["carrier"],
        cell["operator"],
    )


def _lines(title: str, lines: Sequence[str], attributes: str = "") -> str:
    """Format a list with a heading; empty if there are no lines."""
    if not lines:
        return ""
    items = "".join(f"<li>{escape(with_labels(line))}</li>" for line in lines)
    return f"<h2>{title}</h2>\n<ul{attributes}>{items}</ul>\n"


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a table with a heading; empty if there are no rows."""
    body = [f"<tr>{''.join(f'<td>{escape(str(one))}</td>' for one in row)}</tr>" for row in rows]
    if not body:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    return "".join((f"<h2>{title}</h2>\n<table>", f"<tr>{head}</tr>" if head else "", *body)) + (
        "</table>\n"
    )
