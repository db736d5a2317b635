"""Dialog labels for the option names in messages of rm_geo.

Messages name an option as the library's keyword in backticks, such as ```reach_m```.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LABELS: Mapping[str, str] = {
    "assimilate": "the parameter 'Correct to the measurements'",
    "assimilate=False": "the parameter 'Correct to the measurements' switched off",
    "band": "the parameter 'Band'",
    "batch_size": "the number of tiles computed at once",
    "bbox": "a filter or a selection of the layer",
    "buildings": "the parameter 'Known buildings'",
    "buildings_layer": "another layer",
    "carrier_column": "the parameter 'Carrier field'",
    "cell_column": "the parameter 'Cell field'",
    "cells": "the parameter 'Only these cells'",
    "channels": "the parameter 'Only these channels'",
    "composite": "the parameter 'Compare the strongest levels'",
    "confidence": "the parameter 'Confidence of a change'",
    "coverage.std_db": "the parameter 'Standard deviation of maps without one [dB]'",
    "coverage.threshold_dbm": "the parameter 'Threshold [dBm]'",
    "crs": "the layer's CRS (right-click the layer, Layer CRS)",
    "default_height_m": "the parameter 'Height of other buildings [m]'",
    "device": "the parameter 'Device'",
    "device=auto": "the parameter 'Device' set to auto",
    "device=cpu": "the parameter 'Device' set to cpu",
    "device=cuda": "the parameter 'Device' set to cuda",
    "eirp_dbm": "the parameter 'EIRP [dBm]'",
    "frequency_mhz": "the parameter 'Carrier frequency [MHz]'",
    "fresh": "an empty folder",
    "height_column": "the parameter 'Height field'",
    "holes.min_area_m2": "the parameter 'Smallest hole [m²]'",
    "holes.min_probability": "the parameter 'Holes below this probability'",
    "holes.rank_by": "the parameter 'Rank holes by'",
    "intercept_dbm": "the parameter 'Level at 1 m [dBm]'",
    "interference.bandwidth_mhz": "the parameter 'Bandwidth [MHz]'",
    "interference.load": "the parameter 'Load of the cells, 0 to 1'",
    "interference.same_carrier": "the parameter 'All cells share one carrier'",
    "interference.technology": "the parameter 'Technology'",
    "joint": "the parameter 'Estimate all cells together'",
    "layer": "another layer",
    "mask": "the parameter 'Also write the building mask'",
    "max_tiles": "the parameter 'Most tiles'",
    "method": "the parameter 'Method'",
    "method_options": "the parameter 'Options of the method'",
    "method_weight": "the parameter 'Weight of the method'",
    "min_area_m2": "the parameter 'Smallest area of change [m²]'",
    "min_pixels": "the parameter 'Fewest measured pixels'",
    "min_points": "the parameter 'Fewest measurements of a cell'",
    "model": "the parameter 'Model'",
    "next_drive.budget_km": "the parameter 'Length to drive next [km]'",
    "node_column": "the parameter 'Base station field'",
    "noise_db": "the parameter 'Error of a measured pixel [dB]'",
    "only": "the parameter 'Only these products'",
    "operator_column": "the parameter 'Operator field'",
    "operators": "the parameter 'Only these operators'",
    "overlap.margin_db": "the parameter 'Margin of overlap [dB]'",
    "overlap_px": "the parameter 'Tile overlap [px]'",
    "pci_column": "the parameter 'PCI field'",
    "polygons": "the parameter 'Polygons of statistics'",
    "population": "the parameter 'Population'",
    "preview": "the parameter 'Also write previews'",
    "reach_m": "the parameter 'Reach [m]'",
    "reported": "the parameter 'Also write the probability of being reported'",
    "resolution_m": "the parameter 'Resolution [m]'",
    "roads": "the parameter 'Roads'",
    "rsrp_column": "the parameter 'RSRP field'",
    "scale": "the parameter 'Scale'",
    "selection_correction": "the parameter 'Lower the map where a cell was not reported'",
    "servers.hysteresis_db": "the parameter 'Hysteresis [dB]'",
    "servers.minimum_dbm": "the parameter 'Lowest level of a server [dBm]'",
    "servers.ranks": "the parameter 'Ranks of servers'",
    "sites": "the parameter 'Sites'",
    "sites_crs": "the parameter 'CRS of the sites'",
    "statistics.grid_m": "the parameter 'Squares of the statistics [m]'",
    "std_db": "the parameter 'Standard deviation of maps without one [dB]'",
    "strict": "the parameter 'Refuse files that may mix up cells'",
    "target_crs": "the parameter 'CRS of the maps'",
    "technologies": "the parameter 'Only these technologies'",
    "technology_column": "the parameter 'Technology field'",
    "tile_size_px": "the parameter 'Tile size [px]'",
    "time_column": "the parameter 'Time field'",
    "time_from": "the parameter 'From time'",
    "time_to": "the parameter 'To time'",
    "top": "the parameter 'Most cells'",
    "uncertainty": "the parameter 'Also write the uncertainty'",
    "where": "the parameter 'Row filter'",
    "within_db": "the parameter 'Share within [dB]'",
    "x_column": "the layer's geometry",
    "y_column": "the layer's geometry",
}
"""Dialog labels by the library's keywords; a test compares them with the dialogs."""

_TOKEN = re.compile(r"`([^`\n]+)`")


def with_labels(text: str, parameter: str | None = None) -> str:
    """Replace the library's keywords by dialog labels.

    Parameters
    ----------
    text : str
        Message of rm_geo.
    parameter : str, optional
        Option of the message; added at the end if the text does not name it.

    Returns
    -------
    str
        Text for a dialog.

    Examples
    --------
    >>> with_labels("Name it with `rsrp_column`.")
    "Name it with the parameter 'RSRP field'."
    """
    made = _TOKEN.sub(lambda found: LABELS.get(found.group(1), found.group()), text)
    label = LABELS.get(parameter or "")
    if label is None or label in made:
        return made
    return f"{made}\nSee {label}."
