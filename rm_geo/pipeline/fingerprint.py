"""Fingerprint of a run over one cell: a checksum of all inputs of its output files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from rm_geo.grid import Grid
from rm_geo.io.provenance import describe_values
from rm_geo.options import PredictOptions
from rm_geo.pipeline.journal import JournalKey
from rm_geo.sites.facts import SiteInfo

# Options that change no output byte, or whose effect is in the other parts of the key.
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
    checksum: str,
    grid: Grid,
    facts: SiteInfo,
    options: PredictOptions,
    tags: Mapping[str, str],
) -> JournalKey:
    """Compute the journal key of a run over one cell.

    Parameters
    ----------
    checksum : str
        Of the cleaned and projected measurements of the cell.
    grid : Grid
        Grid of its maps.
    facts : SiteInfo
        Transmitter and carrier.
    options : PredictOptions
        Options of the run.
    tags : mapping of str to str
        Provenance tags of the run: input, software, method, model, device.

    Returns
    -------
    JournalKey
    """
    parameters = describe_values(
        {name: value for name, value in options.flat().items() if name not in _IRRELEVANT}
    )
    about = {
        **tags,
        **parameters,
        "site": repr(facts),
        "grid": f"{grid.transform.to_gdal()} {grid.shape}",
        "measurements": checksum,
    }
    text = json.dumps(about, sort_keys=True)
    return JournalKey(hashlib.sha256(text.encode()).hexdigest(), about)
