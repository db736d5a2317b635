"""Held-out places of a validation as a layer of points with errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rm_geo.validation.log_holdout import LogValidation
from rm_geo.worker.layers import describe_features


def write_held_out(result: LogValidation, target: Path) -> list[dict[str, Any]]:
    """Write the held-out places with the errors of the method that is best over all cells.

    The layer has the fields ``cell``, ``method``, ``measured_dbm``, ``estimate_dbm``,
    ``error_db`` (estimate minus measurement) and ``distance_m``.

    Parameters
    ----------
    result : LogValidation
        A validation with one size of blocks.
    target : Path
        The GeoPackage to write.

    Returns
    -------
    list of dict
        As of :func:`rm_geo.worker.layers.describe_features`, with the kind ``held_out``; empty if
        there are no such places.
    """
    import shapely

    from rm_geo.io.features import FeatureTable, write_features

    pooled = [one for one in result.scores if one.cell == "all" and np.isfinite(one.rmse_db)]
    if not pooled or not result.places:
        return []
    best, places = min(pooled, key=lambda score: score.rmse_db).method, result.places[0]
    estimate = places.estimate_dbm[best]
    known = np.isfinite(estimate)
    columns = {
        "cell": places.cell[known],
        "method": np.full(int(known.sum()), best.removeprefix("pipeline:"), dtype=object),
        "measured_dbm": np.round(places.measured_dbm[known], 2),
        "estimate_dbm": np.round(estimate[known], 2),
        "error_db": np.round((estimate - places.measured_dbm)[known], 2),
        "distance_m": np.round(places.distance_m[known], 1),
    }
    points = np.asarray(shapely.points(places.position_m[known]), dtype=object)
    write_features(target, [FeatureTable("held_out", points, columns, places.crs, "Point")])
    return [describe_features(target, "held_out")]
