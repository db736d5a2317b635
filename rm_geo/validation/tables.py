"""Tables of results as CSV and Markdown."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from rm_geo._util.atomic import replacing
from rm_geo._util.csv_text import csv_text


def write_csv(path: Path, rows: Sequence[object]) -> None:
    """Write records of a dataclass as CSV, with all digits of numbers.

    Parameters
    ----------
    path : Path
        File to write.
    rows : sequence of dataclass instances
        One record per row.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    records = _records(rows)
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(records[0]) if records else [])
        writer.writeheader()
        writer.writerows({key: csv_text(v) for key, v in record.items()} for record in records)


def write_markdown(path: Path, rows: Sequence[object]) -> None:
    """Write records of a dataclass as a Markdown table.

    Parameters
    ----------
    path : Path
        File to write.
    rows : sequence of dataclass instances
        One record per row.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with replacing(path) as part:
        part.write_text(markdown_table(rows), encoding="utf-8")


def markdown_table(rows: Sequence[object]) -> str:
    """Format records of a dataclass as a Markdown table; columns without values are left out.

    Numbers have at most four significant digits; a missing value is a dash.

    Parameters
    ----------
    rows : sequence of dataclass instances
        One record per row.

    Returns
    -------
    str
        The table; empty without rows.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Score:
    ...     method: str
    ...     rmse_db: float
    >>> print(markdown_table([Score("idw", 5.4321)]), end="")
    | method | rmse_db |
    |---|---:|
    | idw | 5.432 |
    """
    records = _records(rows)
    if not records:
        return ""
    names = [name for name in records[0] if any(_shown(row[name]) != "-" for row in records)]
    numeric = [not isinstance(records[0][name], str) for name in names]
    lines = [
        "| " + " | ".join(names) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
    ]
    lines += ["| " + " | ".join(_shown(row[name]) for name in names) + " |" for row in records]
    return "\n".join(lines) + "\n"


def _records(rows: Sequence[object]) -> list[dict[str, Any]]:
    """Convert dataclass instances to dictionaries."""
    return [asdict(row) for row in rows if is_dataclass(row) and not isinstance(row, type)]


def _shown(value: object) -> str:
    """Format one value of a table."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "-"
    return str(value)
