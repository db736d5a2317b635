"""rm_geo's hints name options of its command line: here they are the words of the dialogs."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LABELS: Mapping[str, str] = {
    "--rsrp-column": "the parameter 'RSRP field'",
    "--cell-column": "the parameter 'Cell field'",
    "--x-column": "the layer's geometry",
    "--y-column": "the layer's geometry",
    "--crs": "the layer's CRS (right-click the layer, Layer CRS)",
    "--target-crs": "the parameter 'CRS of the maps'",
    "--layer": "another layer",
    "--method": "the parameter 'Method'",
    "--model": "the parameter 'Model'",
    "--device": "the parameter 'Device'",
    "--resolution": "the parameter 'Resolution'",
    "--reach": "the parameter 'Reach'",
    "--max-tiles": "the parameter 'Most tiles'",
    "--tile-size": "the parameter 'Tile size'",
    "--overlap": "the parameter 'Tile overlap'",
    "--band": "the parameter 'Band'",
    "--scale": "the parameter 'Scale'",
    "--mask": "the parameter 'Also write the building mask'",
    "--uncertainty": "the parameter 'Also write the uncertainty'",
    "--sites-crs": "the parameter 'CRS of the sites'",
    "--sites": "the parameter 'Sites'",
    "--trust": "the parameter 'MethodWeight in the method'",
    "--height-column": "the parameter 'Height field'",
    "--frequency": "the parameter 'Carrier frequency'",
    "--eirp": "the parameter 'EIRP'",
    "--min-pixels": "the parameter 'Fewest measured pixels'",
}

_OPTION = re.compile(r"--[a-z][a-z-]*")


def in_words_of_qgis(text: str) -> str:
    """Replace the options of the command line by the labels of the parameters.

    Examples
    --------
    >>> in_words_of_qgis("Name it with --rsrp-column.")
    "Name it with the parameter 'RSRP field'."
    """
    return _OPTION.sub(lambda found: _LABELS.get(found.group(), found.group()), text)
