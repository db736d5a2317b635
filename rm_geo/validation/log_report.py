"""Tables of :func:`rm_geo.validation.log_holdout.validate`, as text and as files."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rm_geo._util.atomic import replacing
from rm_geo.io.provenance import describe_software
from rm_geo.validation.log_holdout import LogScore, LogValidation
from rm_geo.validation.log_methods import REPORTED
from rm_geo.validation.tables import write_csv

TABLE_NAME: Final = "validation.csv"
INDEX_NAME: Final = "validation.json"


def write_validation(folder: Path, result: LogValidation) -> None:
    """Write ``validation.json`` and ``validation.csv``.

    Parameters
    ----------
    folder : Path
        Existing folder.
    result : LogValidation
        The scores.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    methods: dict[str, Any] = {}
    for score in result.scores:
        tables = methods.setdefault(score.method, {})
        entry = {key: _finite(value) for key, value in asdict(score).items()}
        if not score.coverage:
            del entry["coverage"]
        key = f"{score.block_m:g}"
        if score.cell == "all":
            tables.setdefault("pooled", entry)
            tables.setdefault("pooled_by_block_m", {})[key] = entry
        else:
            tables.setdefault("cells", {}).setdefault(score.cell, entry)
            tables.setdefault("cells_by_block_m", {}).setdefault(key, {})[score.cell] = entry
    document = {
        "methods": methods,
        "noise_floor": {key: _finite(value) for key, value in asdict(result.floor).items()},
        "left_out": dict(result.left_out),
        "settings": dict(result.settings),
        "provenance": describe_software() | dict(result.provenance),
    }
    with replacing(folder / INDEX_NAME) as part:
        part.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
    write_csv(folder / TABLE_NAME, result.scores)


def table_text(result: LogValidation) -> str:
    """Format the pooled scores and the noise floor for a terminal.

    Parameters
    ----------
    result : LogValidation
        The scores.

    Returns
    -------
    str
        A table for each size of the blocks, the best method first.
    """
    lines: list[str] = []
    sizes = dict.fromkeys(score.block_m for score in result.scores)
    for size in sizes:
        of_size = [score for score in result.scores if score.block_m == size]
        where = f"blocks of {size:g} m" if size else "whole drives or days"
        levels = [s for s in of_size if s.cell == "all" and s.method != REPORTED]
        if levels:
            cells = {s.cell for s in of_size if s.method != REPORTED} - {"all"}
            lines.append(f"{where} held out, {len(cells)} cells, {levels[0].points:,} places")
            lines.append(
                f"{'method':<20}{'RMSE':>8}{'MAE':>8}{'bias':>8}{'corr.':>8}{'in 6 dB':>9}"
                f"{'90 %':>7}{'to best':>9}{'p':>7}"
            )
            lines += [_row(score) for score in sorted(levels, key=lambda s: s.rmse_db)]
        lines += [
            f"{where} held out, reported or not at {s.points:,} visited places: "
            f"AUC {s.auc:.3f}, Brier score {s.brier:.3f}"
            for s in of_size
            if s.cell == "all" and s.method == REPORTED
        ]
        for score in levels:
            lines += _coverage_lines(score)
        lines.append("")
    floor = result.floor
    if not math.isnan(floor.within_pass_db):
        text = f"Noise floor: {floor.within_pass_db:.1f} dB within a pass"
        if floor.repeated_bins:
            text += (
                f", {floor.between_passes_db:.1f} dB between two passes "
                f"({floor.repeated_bins:,} places)"
            )
        lines.append(f"{text}.")
    if result.left_out:
        lines.append(f"Left out: {len(result.left_out)} cells with too few places.")
    return "\n".join(lines)


def _coverage_lines(score: LogScore) -> list[str]:
    """Format the calibration of the probability of coverage of a method."""
    if not score.coverage:
        return []
    return [
        f"{score.method}: places by their probability of coverage, and the share that is covered",
        *(
            f"  {share.lowest:.1f} to {share.highest:.1f}{share.places:>9,} places"
            f"{100 * share.covered:>7.1f} %"
            for share in score.coverage
        ),
    ]


def _row(score: LogScore) -> str:
    """Format a score."""
    cells = (
        f"{score.rmse_db:8.2f}",
        f"{score.mae_db:8.2f}",
        f"{score.bias_db:8.2f}",
        f"{score.correlation:8.2f}",
        f"{100 * score.within_6_db:8.0f} %"[-9:],
        f"{100 * score.interval_90:5.0f} %",
        f"{score.difference_db:+9.2f}",
        f"{score.p_value:7.3f}",
    )
    return f"{score.method[-19:]:<20}" + "".join(
        text if "nan" not in text else f"{'-':>{len(text)}}" for text in cells
    )


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Replace NaN by None, which JSON has."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
