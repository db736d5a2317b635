"""Descriptions of the options for the dialogs of QGIS.

The plugin does not import rm_geo in QGIS's process. It reads ``options.json`` in its folder, which
``python -m rm_geo.qgis.option_descriptions`` writes in a checkout.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from rm_geo.options import GROUPS

FILE: Final = "options.json"
"""Name of the file in the plugin's folder."""

_KEPT: Final = ("type", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def describe_options() -> dict[str, dict[str, Any]]:
    """Describe all options of a prediction.

    Returns
    -------
    dict of str to dict
        By flat name: ``description``, ``default``, and if stated ``type``, ``minimum``,
        ``exclusiveMinimum``, ``maximum`` and ``exclusiveMaximum``, as in a JSON schema.

    Examples
    --------
    >>> describe_options()["tile_size_px"]["minimum"]
    16
    """
    found = {}
    for group in GROUPS.values():
        for name, schema in group.model_json_schema()["properties"].items():
            kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
            found[name] = {
                "description": schema["description"],
                "default": schema["default"],
                **{key: kinds[0][key] for key in _KEPT if key in kinds[0]},
            }
    return found


def options_text() -> str:
    """Write the descriptions as the text of ``options.json``.

    Returns
    -------
    str
        JSON with a line for each fact.
    """
    return json.dumps(describe_options(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    plugin = Path(__file__).resolve().parents[2] / "qgis_plugin"
    (plugin / FILE).write_text(options_text(), "utf-8")
