"""The summary of a report: at most ten lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rm_geo.products.summary import CellResult
from rm_geo.report.sources import ReportSources
from rm_geo.report.tables import number, percent

MOST_LINES: Final = 10

_SINR_LIMITS: Final = ("0 dB", "10 dB")


def summary_lines(
    sources: ReportSources,
    statistics: Mapping[str, Mapping[str, Any]],
    errors: Mapping[str, float],
) -> list[tuple[str, str]]:
    """Say what matters most.

    Parameters
    ----------
    sources : ReportSources
        The results.
    statistics : mapping of str to mapping
        Statistics of the products of a plan by name.
    errors : mapping of str to float
        Errors at held-out blocks that predict measured, by cell, in dB.

    Returns
    -------
    list of (str, str)
        Names and texts, at most ten.
    """
    lines = [
        ("Area", _area(sources, statistics.get("composite", {}))),
        ("Cells", _cells(sources, statistics.get("best_server", {}))),
        ("Level", _level(statistics.get("composite", {}))),
        ("Coverage", _classes(statistics.get("coverage", {}))),
        ("Probability", _probability(statistics.get("probability", {}))),
        ("Holes", _holes(sources, statistics)),
        ("Overlap", _overlap(sources, statistics.get("overlap", {}))),
        ("SINR", _sinr(statistics)),
        ("Comparison", _comparison(sources)),
        ("Drive next", _next_drive(statistics.get("next_drive", {}))),
        ("Accuracy", _accuracy(sources, errors)),
        ("Data", _data(sources)),
    ]
    return [(name, text) for name, text in lines if text][:MOST_LINES]


def _area(sources: ReportSources, composite: Mapping[str, Any]) -> str:
    """Size and grid of the area."""
    parts = []
    if composite.get("area_km2") is not None:
        parts.append(f"{number(float(composite['area_km2']))} km² mapped")
    grid = {} if sources.plan is None else sources.plan.index.get("grid", {})
    if grid:
        parts.append(
            f"{grid['rows']:,} x {grid['cols']:,} pixels of {grid['spacing_m']:g} m, {grid['crs']}"
        )
    elif sources.predict is not None and sources.predict.mapped:
        first = sources.predict.mapped[0]
        parts.append(f"pixels of {first.spacing_m:g} m, {first.crs}")
    return "; ".join(parts)


def _cells(sources: ReportSources, servers: Mapping[str, Any]) -> str:
    """Give the number of cells, and how many serve somewhere."""
    if sources.plan is not None:
        count = len(sources.plan.index.get("cells", []))
    elif sources.predict is not None:
        count = len(sources.predict.mapped)
    else:
        return ""
    text = f"{count:,}"
    if servers.get("serving_cells") is not None:
        serving = int(servers["serving_cells"])
        text += (
            ", each the strongest somewhere"
            if serving == count
            else f", of which {serving:,} are the strongest somewhere"
        )
    if sources.predict is not None:
        failed = sum(cell.is_failed for cell in sources.predict.cells)
        skipped = sum(cell.is_skipped for cell in sources.predict.cells)
        text += f"; {failed} failed" if failed else ""
        text += f"; {skipped} skipped, measured in too few pixels" if skipped else ""
    return text


def _level(composite: Mapping[str, Any]) -> str:
    """Level of the strongest cell."""
    if composite.get("mean_dbm") is None:
        return ""
    return (
        f"mean {composite['mean_dbm']:.1f} dBm, {composite['min_dbm']:.1f} to "
        f"{composite['max_dbm']:.1f} dBm (strongest cell)"
    )


def _classes(coverage: Mapping[str, Any]) -> str:
    """Shares of the classes."""
    shares: Mapping[str, float] = coverage.get("share_by_class", {})
    return ", ".join(f"{name} {percent(share)}" for name, share in shares.items() if share)


def _probability(found: Mapping[str, Any]) -> str:
    """Share of the area that is covered with some probability."""
    shares: Mapping[str, float] = found.get("share_at_least", {})
    if not shares:
        return ""
    parts = [f"P of at least {at} on {percent(share)}" for at, share in shares.items()]
    return f"{found['threshold_dbm']:g} dBm is reached with {', '.join(parts)} of the area"


def _holes(sources: ReportSources, statistics: Mapping[str, Mapping[str, Any]]) -> str:
    """Give number and area of the holes."""
    found = statistics.get("holes")
    if found is None or sources.plan is None or found.get("holes") is None:
        return ""
    threshold = sources.plan.setting("coverage", "threshold_dbm")
    below = "" if threshold is None else f" below {threshold:g} dBm"
    if not found["holes"]:
        return f"none{below}"
    text = f"{found['holes']:,}{below}, {number(float(found['area_km2']))} km² together"
    largest = found.get("largest") or []
    if largest and largest[0].get("area_m2") is not None:
        text += f"; the first has {number(round(largest[0]['area_m2']))} m²"
    return text


def _overlap(sources: ReportSources, found: Mapping[str, Any]) -> str:
    """Mean number of servers, and pilot pollution."""
    if found.get("mean_servers") is None or sources.plan is None:
        return ""
    margin = sources.plan.setting("overlap", "margin_db")
    most = sources.plan.setting("overlap", "polluted_above")
    return (
        f"{found['mean_servers']:.1f} cells within {margin:g} dB of the best on average; "
        f"{percent(found.get('polluted_share'))} of the area with more than {most}"
    )


def _sinr(statistics: Mapping[str, Mapping[str, Any]]) -> str:
    """Mean SINR and the share that is low."""
    found = statistics.get("interference") or statistics.get("sinr") or {}
    if found.get("mean_db") is None:
        return ""
    below: Mapping[str, float] = found.get("share_of_sinr_below", {})
    parts = [f"{percent(below[limit])} below {limit}" for limit in _SINR_LIMITS if limit in below]
    load = f" at {percent(found['load'])} load" if found.get("load") is not None else ""
    return f"mean {found['mean_db']:.1f} dB{load}" + (f"; {', '.join(parts)}" if parts else "")


def _comparison(sources: ReportSources) -> str:
    """Mean difference of two maps, and what became of the coverage."""
    if sources.comparison is None:
        return ""
    found: Mapping[str, Any] = sources.comparison.index["all"]
    if found.get("bias_db") is None:
        return ""
    first, second = sources.comparison.sides
    text = f"{second} minus {first}: {found['bias_db']:+.1f} dB, RMSE {found['rmse_db']:.1f} dB"
    coverage: Mapping[str, Any] = found.get("coverage", {})
    if coverage:
        text += (
            f"; at {coverage['threshold_dbm']:g} dBm {percent(coverage['first_share'])} and "
            f"{percent(coverage['second_share'])} are covered"
        )
    changes: Mapping[str, Any] = found.get("changes", {})
    if changes:
        text += (
            f"; significantly lower on {percent(changes['share_lower'])}, higher on "
            f"{percent(changes['share_higher'])} (by chance {percent(changes['share_by_chance'])})"
        )
    return text


def _next_drive(found: Mapping[str, Any]) -> str:
    """Length of the proposed roads."""
    length = found.get("length_km")
    return "" if length is None else f"{number(float(length))} km of roads are proposed"


def _accuracy(sources: ReportSources, errors: Mapping[str, float]) -> str:
    """Error at held-out places: of a validation, else as predict measured it."""
    for validation in sources.validations:
        methods: Mapping[str, Any] = validation.get("methods", {})
        name = "default" if "default" in methods else next(iter(methods), "")
        score = methods.get(name, {}).get("pooled", {})
        if score.get("rmse_db") is not None:
            size = score.get("block_m")
            where = f"in held-out blocks of {size:g} m" if size else "on held-out drives"
            return f"RMSE {score['rmse_db']:.1f} dB {where} ({name}, {score['points']:,} places)"
    if not errors:
        return ""
    low, high = min(errors.values()), max(errors.values())
    text = f"{low:.1f} dB" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f} dB"
    return f"RMSE {text} in held-out blocks of the measured places"


def _data(sources: ReportSources) -> str:
    """Measurements and method."""
    if sources.predict is None:
        return ""
    mapped: list[CellResult] = [cell for cell in sources.predict.cells if cell.is_mapped]
    if not mapped:
        return ""
    methods = ", ".join(dict.fromkeys(cell.method for cell in mapped))
    return f"{sum(cell.measurements for cell in mapped):,} measurements; method {methods}"
