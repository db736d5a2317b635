"""What the bytes of a cell's files depend on, as one checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rm_geo._util.disk_columns import iter_blocks
from rm_geo.grid import Grid
from rm_geo.io.provenance import describe_values
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.journal import JournalKey
from rm_geo.sites.facts import SiteInfo

# What changes no byte of a cell's files, or is known by what it leads to.
_IRRELEVANT = frozenset(
    {
        "cells",
        "fresh",
        "max_tiles",
        "min_pixels",
        "sites",
        "sites_crs",
        "buildings",
        "model",
        "method_options",
        "device",
    }
)


def run_key(
    measurements: Measurements,
    grid: Grid,
    facts: SiteInfo,
    options: PredictOptions,
    tags: Mapping[str, str],
) -> JournalKey:
    """Describe a run over one cell.

    Parameters
    ----------
    measurements : Measurements
        Those of the cell, as they were cleaned and projected.
    grid : Grid
        Where its maps lie.
    facts : SiteInfo
        Transmitter and carrier.
    options : PredictOptions
        How the road is taken.
    tags : mapping
        Provenance tags that are known beforehand: input, software, method, model, device.
    """
    parameters = describe_values(
        {name: value for name, value in options.flat().items() if name not in _IRRELEVANT}
    )
    about = {
        **tags,
        **parameters,
        "site": repr(facts),
        "grid": f"{grid.transform.to_gdal()} {grid.shape}",
        "measurements": _digest(measurements),
    }
    text = json.dumps(about, sort_keys=True)
    return JournalKey(hashlib.sha256(text.encode()).hexdigest(), about)


def _digest(measurements: Measurements) -> str:
    """Checksum of positions, levels and CRS."""
    digest = hashlib.sha256(measurements.crs.to_wkt().encode())
    columns: list[NDArray[Any]] = [measurements.x, measurements.y, measurements.rsrp_dbm]
    if measurements.time is not None:
        columns.append(measurements.time)
    for column in columns:
        for (block,) in iter_blocks(column):
            digest.update(np.ascontiguousarray(block).view(np.uint8).data)
    return digest.hexdigest()
